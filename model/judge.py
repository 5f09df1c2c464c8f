"""A judge over column statistics: gradient-boosted trees that were trained on corrupted windows of training tables.

The statistics of a cell or of a candidate value are numbers of very different kinds that count only together, which
is what trees are good at and a small network is not. A judge is fitted with scikit-learn's histogram gradient boosting
and stored as arrays (safetensors); inference needs numpy alone. It gives a logit: calibrators, fitted on held-out
tables, weigh it beside the denoiser's scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from model.errors import CheckpointError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

_ROWS = 65_536
"""Rows judged at once, which bounds memory."""

_ARRAYS = ("feature", "threshold", "left", "right", "value", "roots")


@dataclass(frozen=True, slots=True)
class Judge:
    """Trees in one array of nodes; leaves point to themselves.

    Attributes:
        features: names of the columns that `logits` takes, in order.
        base: logit before any tree.
        depth: steps from a root to its farthest leaf.
        feature, threshold, left, right, value: of each node; a row goes left where its feature is at most that.
        roots: node numbers of the trees' roots.
    """

    features: tuple[str, ...]
    base: float
    depth: int
    feature: Ints
    threshold: npt.NDArray[np.float32]
    left: Ints
    right: Ints
    value: npt.NDArray[np.float32]
    roots: Ints

    def logits(self, features: npt.NDArray[np.float32]) -> Floats:
        """Logit of the positive class of each row, float64 (n,), of features float32 (n, len(self.features))."""
        parts = [self._part(features[start : start + _ROWS]) for start in range(0, len(features), _ROWS)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _part(self, features: npt.NDArray[np.float32]) -> Floats:
        total = np.full(len(features), self.base)
        flat, width = np.ascontiguousarray(features, dtype=np.float32).ravel(), features.shape[1]
        offsets = np.arange(len(features), dtype=np.int64) * width
        for root in self.roots.tolist():
            nodes = np.full(len(features), root, dtype=np.int32)
            for _ in range(self.depth):
                smaller = flat[offsets + self.feature[nodes]] <= self.threshold[nodes]
                nodes = np.where(smaller, self.left[nodes], self.right[nodes])
            total += self.value[nodes]
        return total


def fit_judge(
    names: Sequence[str],
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    weights: Floats | None = None,
    *,
    directions: Mapping[str, int] | None = None,
    trees: int = 250,
    leaves: int = 24,
    seed: int = 0,
) -> Judge:
    """Fit a judge.

    Args:
        features: float32 (n, len(names)).
        labels: 0 or 1, (n,).
        weights: how much each row counts, (n,).
        directions: 1 where a larger feature can only speak for the positive class, -1 where only against it: tables
            unlike the training tables are then judged by what the features mean.
        trees, leaves: how many, and the most leaves of each.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    fitted = HistGradientBoostingClassifier(
        max_iter=trees,
        learning_rate=0.08,
        max_leaf_nodes=leaves,
        max_depth=9,
        min_samples_leaf=100,
        l2_regularization=10.0,
        monotonic_cst=[(directions or {}).get(name, 0) for name in names],
        early_stopping=False,
        random_state=seed,
    ).fit(features.astype(np.float32), labels, weights)
    forest = [stage[0].nodes for stage in fitted._predictors]  # scikit-learn has no public way to read the trees
    starts = np.cumsum([0, *(len(nodes) for nodes in forest)])
    parts: dict[str, list[np.ndarray]] = {name: [] for name in _ARRAYS[:-1]}
    for nodes, start in zip(forest, starts.tolist(), strict=False):
        leaf = nodes["is_leaf"].astype(bool)
        own = np.arange(len(nodes)) + start
        parts["feature"].append(np.where(leaf, 0, nodes["feature_idx"]))
        # A feature is a float32: the largest one that is not above the threshold decides alike.
        parts["threshold"].append(_rounded_down(np.where(leaf, np.inf, nodes["num_threshold"])))
        parts["left"].append(np.where(leaf, own, nodes["left"].astype(np.int64) + start))
        parts["right"].append(np.where(leaf, own, nodes["right"].astype(np.int64) + start))
        parts["value"].append(np.where(leaf, nodes["value"], 0.0))
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Judge(
        tuple(names),
        float(np.asarray(fitted._baseline_prediction).reshape(-1)[0]),
        int(max(nodes["depth"].max() for nodes in forest)),
        joined["feature"].astype(np.int32),
        joined["threshold"].astype(np.float32),
        joined["left"].astype(np.int32),
        joined["right"].astype(np.int32),
        joined["value"].astype(np.float32),
        starts[:-1].astype(np.int32),
    )


def _rounded_down(values: Floats) -> npt.NDArray[np.float32]:
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def save_judges(path: Path, judges: Mapping[str, Judge]) -> None:
    """Write judges by name into one file."""
    arrays: dict[str, np.ndarray] = {}
    metadata: dict[str, str] = {}
    for name, judge in judges.items():
        arrays |= {f"{name}.{array}": np.ascontiguousarray(getattr(judge, array)) for array in _ARRAYS}
        metadata[name] = "\n".join((repr(judge.base), str(judge.depth), *judge.features))
    save_file(arrays, path, metadata)


def load_judges(path: Path) -> dict[str, Judge]:
    """Read what `save_judges` wrote.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="np") as file:
            judges = {}
            for name, text in sorted((file.metadata() or {}).items()):
                base, depth, *features = text.split("\n")
                arrays = {array: file.get_tensor(f"{name}.{array}") for array in _ARRAYS}
                judges[name] = Judge(tuple(features), float(base), int(depth), **arrays)
            return judges
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"cannot read {path.name}: {error}") from error
