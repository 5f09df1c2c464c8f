"""Scores and statistics into probabilities that mean what they say.

A calibrator is a logistic regression or a small multilayer perceptron over named features, then isotonic regression,
both fitted with scikit-learn on held-out corpus tables and stored as JSON numbers. Inference needs numpy alone. The
features are the model's scores beside column statistics, so one place weighs the two, and leaving the
statistics out is another calibrator, not another code path.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import CheckpointError, InputError

Floats = npt.NDArray[np.float64]
Layers = tuple[tuple[list[list[float]], list[float]], ...]
"""Weights (in, out) and bias (out,) of each layer, as nested lists."""


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Features to a probability. Layers are (weights (in, out), bias (out,)) as nested lists.

    Attributes:
        features: names of the columns that `predict` takes, in order.
        center, scale: standardization of each feature.
        layers: hidden layers with ReLU, then one output unit; that alone is a logistic regression.
        knots, probabilities: the isotonic map from the network's probability to the calibrated one.
    """

    features: tuple[str, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    layers: Layers
    knots: tuple[float, ...]
    probabilities: tuple[float, ...]

    def predict(self, features: npt.NDArray[np.floating[Any]]) -> Floats:
        """Calibrated probabilities, float64 (n,), of features (n, len(self.features)); rounded to 1e-6."""
        if features.shape[0] == 0:
            return np.zeros(0)
        standard = np.clip((features.astype(np.float64) - self.center) / self.scale, -8.0, 8.0)
        return np.round(np.interp(_scores(self.layers, standard), self.knots, self.probabilities), 6)


@dataclass(frozen=True, slots=True)
class Calibration:
    """All calibrators of a checkpoint by name, and where they came from."""

    calibrators: Mapping[str, Calibrator]
    source: str = ""

    def __getitem__(self, name: str) -> Calibrator:
        try:
            return self.calibrators[name]
        except KeyError as error:
            raise CheckpointError(f"the checkpoint has no calibrator {name!r}") from error

    def save(self, path: Path) -> None:
        """Write one JSON file."""
        record = {"source": self.source, "calibrators": {name: asdict(one) for name, one in self.calibrators.items()}}
        path.write_text(json.dumps(record) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is damaged.
        """
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            calibrators = {name: _calibrator(values) for name, values in record["calibrators"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"cannot read {path.name}: {error}") from error
        return cls(calibrators, str(record.get("source", "")))


def _calibrator(values: Mapping[str, list]) -> Calibrator:  # type: ignore[type-arg]
    return Calibrator(
        features=tuple(values["features"]),
        center=tuple(values["center"]),
        scale=tuple(values["scale"]),
        layers=tuple((weights, bias) for weights, bias in values["layers"]),
        knots=tuple(values["knots"]),
        probabilities=tuple(values["probabilities"]),
    )


def fit_calibrator(
    names: Sequence[str], features: Floats, labels: Floats, groups: Floats, *, seed: int = 0, hidden: int = 24
) -> Calibrator:
    """Fit network and isotonic map; the map sees only out-of-fold scores, folds split by `groups`.

    Args:
        features: (n, len(names)).
        labels: 0 or 1, (n,).
        groups: (n,) which table each row came from; a table is never on both sides of a fold.
        hidden: hidden units of the perceptron; 0 fits a logistic regression.

    Raises:
        InputError: all rows are of one group, so none can be held out.
    """
    from sklearn.model_selection import GroupKFold

    center, scale = features.mean(0), features.std(0) + 1e-6
    standard = np.clip((features - center) / scale, -8.0, 8.0)
    folds = min(4, len(np.unique(groups)))
    if folds < 2:
        raise InputError("a calibrator needs windows of two repositories or more", field="windows")
    scores = np.zeros(len(labels))
    for train, test in GroupKFold(folds).split(standard, labels, groups):
        scores[test] = _scores(_layers(standard[train], labels[train], seed, hidden), standard[test])
    layers = _layers(standard, labels, seed, hidden)
    knots, probabilities = _centered_isotonic(scores, labels)
    return Calibrator(
        tuple(names),
        tuple(center.round(6).tolist()),
        tuple(scale.round(6).tolist()),
        layers,
        tuple(knots.tolist()),
        tuple(probabilities.tolist()),
    )


def _centered_isotonic(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Knots and values of isotonic regression, each block of equal values as one knot at its mean score.

    So the map rises throughout instead of in steps (centered isotonic regression, Oron and Flournoy 2017): a threshold
    cuts where it says, and two cells of one block still differ.
    """
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=1e-4, y_max=1 - 1e-4, out_of_bounds="clip").fit_transform(scores, labels)
    values, block = np.unique(fitted, return_inverse=True)
    return np.bincount(block, weights=scores) / np.bincount(block), values


def _scores(layers: Layers, standard: Floats) -> Floats:
    """Uncalibrated probabilities, (n,), of standardized features (n, features)."""
    hidden = standard
    for number, (weights, bias) in enumerate(layers):
        hidden = hidden @ np.asarray(weights) + np.asarray(bias)
        if number < len(layers) - 1:
            hidden = np.maximum(hidden, 0.0)
    raw: Floats = 1.0 / (1.0 + np.exp(-np.clip(hidden[:, 0], -40.0, 40.0)))
    return raw


def _layers(standard: Floats, labels: Floats, seed: int, hidden: int) -> Layers:
    """Fitted layers, rounded to 1e-6."""
    if hidden:
        network = _network(standard, labels, seed, hidden)
        fitted = list(zip(network.coefs_, network.intercepts_, strict=True))
    else:
        from sklearn.linear_model import LogisticRegression

        if labels.min() == labels.max():  # nothing to tell apart
            fitted = [(np.zeros((standard.shape[1], 1)), np.array([10.0 if labels.max() else -10.0]))]
        else:
            regression = LogisticRegression().fit(standard, labels)
            fitted = [(regression.coef_.T, regression.intercept_)]
    return tuple((weights.round(6).tolist(), bias.round(6).tolist()) for weights, bias in fitted)


def _network(features: Floats, labels: Floats, seed: int, hidden: int):  # type: ignore[no-untyped-def]
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        (hidden,),
        alpha=1e-3,
        batch_size=min(256, len(labels) * 9 // 10),  # a tenth is held out for early stopping
        max_iter=40,
        early_stopping=True,
        n_iter_no_change=5,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is bounded on purpose
        return network.fit(features, labels)


def expected_calibration_error(probabilities: Floats, labels: Floats, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by bin size (Guo et al. 2017)."""
    if not len(labels):
        return float("nan")
    index = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [
        abs(float(probabilities[index == one].mean() - labels[index == one].mean())) * float((index == one).mean())
        for one in np.unique(index)
    ]
    return float(sum(gaps))
