"""Scores and statistics into probabilities that mean what they say.

A calibrator is a logistic regression over named features, then isotonic regression, both fitted with scikit-learn on
held-out corpus tables and stored as JSON numbers. Inference needs numpy alone. The features are the model's scores
beside what judges make of column statistics, so one place weighs the two, and leaving the statistics out is another
calibrator, not another code path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import CheckpointError, InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Features to a probability.

    Attributes:
        features: names of the columns that `predict` takes, in order.
        center, scale: standardization of each feature.
        coefficients, intercept: the logistic regression over the standardized features.
        knots, probabilities: the isotonic map from its probability to the calibrated one.
    """

    features: tuple[str, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    knots: tuple[float, ...]
    probabilities: tuple[float, ...]

    def contributions(self, features: npt.NDArray[np.floating[Any]]) -> Floats:
        """What each feature adds to the log-odds of the logistic regression, against its mean, (n, features)."""
        standard = np.clip((features.astype(np.float64) - self.center) / self.scale, -8.0, 8.0)
        return np.asarray(standard * np.array(self.coefficients))

    def log_odds(self, features: npt.NDArray[np.floating[Any]]) -> Floats:
        """Log-odds of the logistic regression alone, before the isotonic map, (n,)."""
        return np.asarray(self.contributions(features).sum(axis=1) + self.intercept)

    def predict(self, features: npt.NDArray[np.floating[Any]]) -> Floats:
        """Calibrated probabilities, float64 (n,), of features (n, len(self.features)); rounded to 1e-6."""
        if features.shape[0] == 0:
            return np.zeros(0)
        scores = _probabilities(self.log_odds(features))
        return np.round(np.interp(scores, self.knots, self.probabilities), 6)


@dataclass(frozen=True, slots=True)
class Calibration:
    """All calibrators of a checkpoint by name, and where they came from.

    Attributes:
        of_labels: names of those that were fitted to labels of a user's own data.
    """

    calibrators: Mapping[str, Calibrator]
    source: str = ""
    of_labels: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> Calibrator:
        try:
            return self.calibrators[name]
        except KeyError as error:
            raise CheckpointError(f"the checkpoint has no calibrator {name!r}") from error

    def save(self, path: Path) -> None:
        """Write one JSON file."""
        record: dict[str, Any] = {"source": self.source}
        if self.of_labels:
            record["of_labels"] = sorted(self.of_labels)
        record["calibrators"] = {name: asdict(one) for name, one in self.calibrators.items()}
        path.write_text(json.dumps(record) + "\n", encoding="utf-8")

    @classmethod
    def add_to(cls, path: Path, calibrators: Mapping[str, Calibrator], *, of_labels: bool = False) -> None:
        """Add calibrators to a file, or renew them; the others stay as they are.

        Args:
            of_labels: they were fitted to labels of a user's own data.

        Raises:
            CheckpointError: the file is damaged.
        """
        known = cls.load(path)
        own = known.of_labels | calibrators.keys() if of_labels else known.of_labels - calibrators.keys()
        replace(known, calibrators={**known.calibrators, **calibrators}, of_labels=frozenset(own)).save(path)

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
        return cls(calibrators, str(record.get("source", "")), frozenset(map(str, record.get("of_labels", ()))))


def _calibrator(values: Mapping[str, Any]) -> Calibrator:
    return Calibrator(
        features=tuple(values["features"]),
        center=tuple(values["center"]),
        scale=tuple(values["scale"]),
        coefficients=tuple(values["coefficients"]),
        intercept=values["intercept"],
        knots=tuple(values["knots"]),
        probabilities=tuple(values["probabilities"]),
    )


def fit_calibrator(
    names: Sequence[str],
    features: Floats,
    labels: Floats,
    groups: Floats,
    *,
    directions: Mapping[str, int] | None = None,
) -> Calibrator:
    """Fit regression and isotonic map; the map sees only out-of-fold scores, folds split by `groups`.

    Args:
        features: (n, len(names)).
        labels: 0 or 1, (n,).
        groups: (n,) which table each row came from; a table is never on both sides of a fold.
        directions: 1 where a larger feature can only speak for the positive class, -1 where only against it; one that
            would do otherwise beside the others is left out, which is a weight of 0.

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
    signs = np.array([(directions or {}).get(name, 0) for name in names])
    for train, test in GroupKFold(folds).split(standard, labels, groups):
        scores[test] = _scores(standard[test], *_regression(standard[train], labels[train], signs))
    coefficients, intercept = _regression(standard, labels, signs)
    knots, probabilities = _centered_isotonic(scores, labels)
    return Calibrator(
        tuple(names),
        tuple(center.round(6).tolist()),
        tuple(scale.round(6).tolist()),
        tuple(coefficients.tolist()),
        intercept,
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


def _scores(standard: Floats, coefficients: Floats, intercept: float) -> Floats:
    """Uncalibrated probabilities, (n,), of standardized features (n, features)."""
    # Summed row by row: a product of matrices could depend on the other rows in its last bits.
    return _probabilities((standard * coefficients).sum(axis=1) + intercept)


def _probabilities(log_odds: Floats) -> Floats:
    raw: Floats = 1.0 / (1.0 + np.exp(-np.clip(log_odds, -40.0, 40.0)))
    return raw


def _regression(standard: Floats, labels: Floats, signs: npt.NDArray[np.int64]) -> tuple[Floats, float]:
    """Fitted coefficients (features,) and intercept, rounded to 1e-6; none is against its sign."""
    from sklearn.linear_model import LogisticRegression

    if labels.min() == labels.max():  # nothing to tell apart
        return np.zeros(standard.shape[1]), 10.0 if labels.max() else -10.0
    coefficients, kept = np.zeros(standard.shape[1]), np.arange(standard.shape[1])
    while True:
        fitted = LogisticRegression().fit(standard[:, kept], labels)
        against = fitted.coef_[0] * signs[kept] < 0
        if not against.any() or against.all():
            break
        kept = kept[~against]
    coefficients[kept] = np.where(against, 0.0, fitted.coef_[0].round(6))
    return coefficients, round(float(fitted.intercept_[0]), 6)


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
