"""Few labels on top of a probability that is already there: logistic regression whose zero is "as before".

The pretrained logit of each case is its offset. What is fitted is added to it: weights of standardized features, and
effects of the groups that a case belongs to (its column, its shape within the column, …), each drawn to zero by a
normal prior. Cases of a group that has no labels keep their logit but for the shared weights, and without labels
nothing changes at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse, special

from model.calibration import Calibrator

Floats = npt.NDArray[np.float64]
Group = tuple[str, ...]
"""A group of cases: its kind, and what tells it from others of the kind."""

_MAX_STEPS = 500
_LIMIT = 12.0
_FEATURE_LIMIT = 3.0
_LEAST = 1e-3


@dataclass(frozen=True, slots=True)
class Cases:
    """Cases to fit on or to judge.

    Attributes:
        logits: pretrained logits, (cases,).
        features: (cases, features), about one unit wide each.
        groups: the groups of each case.
    """

    logits: Floats
    features: Floats
    groups: Sequence[Sequence[Group]]

    @classmethod
    def of(cls, parts: Sequence[Cases]) -> Cases:
        """The cases of at least one part, one after another."""
        return cls(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.features for part in parts]),
            [group for part in parts for group in part.groups],
        )

    @classmethod
    def calibrated(
        cls, calibrator: Calibrator, features: npt.NDArray[np.floating[Any]], groups: Sequence[Sequence[Group]]
    ) -> Cases:
        """Cases of a calibrator's features, (cases, features), the first of which are its own."""
        own = features[:, : len(calibrator.features)]
        return cls(log_odds(calibrator.predict(own)), standardized(calibrator, features), groups)


@dataclass(frozen=True, slots=True)
class Effects:
    """What labels add to pretrained logits."""

    weights: Floats
    by_group: Mapping[Group, float]

    def logits(self, cases: Cases) -> Floats:
        """Logits of cases, (cases,)."""
        of_groups = np.array([self.of(groups) for groups in cases.groups], dtype=np.float64)
        return np.clip(cases.logits + cases.features @ self.weights + of_groups, -_LIMIT, _LIMIT)

    def probabilities(self, cases: Cases) -> Floats:
        """Probabilities of cases, (cases,), rounded to 1e-6."""
        return np.asarray(np.round(special.expit(self.logits(cases)), 6), dtype=np.float64)

    def of(self, groups: Sequence[Group]) -> float:
        """What the groups of one case add up to."""
        return sum(self.by_group.get(group, 0.0) for group in groups)


def fit_effects(
    cases: Cases, labels: Floats, feature_scale: Floats | float, group_scales: Mapping[str, float]
) -> Effects:
    """The most probable effects.

    Args:
        labels: 0 or 1, (cases,).
        feature_scale: standard deviation of the prior of each feature's weight.
        group_scales: the same of the effects of each kind of group.
    """
    groups = sorted({group for of_case in cases.groups for group in of_case})
    place = {group: number for number, group in enumerate(groups)}
    held = [[place[group] for group in of_case] for of_case in cases.groups]
    scales = np.array([group_scales[group[0]] for group in groups], dtype=np.float64)
    design = sparse.hstack(
        (sparse.csr_array(cases.features * feature_scale), _indicators(held, len(groups)) @ sparse.diags_array(scales)),
        format="csr",
    )

    def loss(free: Floats) -> tuple[float, Floats]:
        logits = cases.logits + design @ free
        miss = np.logaddexp(0.0, logits) - labels * logits
        slope = 1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0))) - labels
        return float(miss.sum() + 0.5 * free @ free), design.T @ slope + free

    found = optimize.minimize(
        loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": _MAX_STEPS, "ftol": 1e-12}
    )
    width = cases.features.shape[1]
    values = np.round(found.x * np.concatenate((np.broadcast_to(feature_scale, width), scales)), 6)
    return Effects(values[:width], dict(zip(groups, values[width:].tolist(), strict=True)))


def standardized(calibrator: Calibrator, features: npt.NDArray[np.floating[Any]]) -> Floats:
    """The calibrator's own features in its own units, (n, features), without outliers."""
    own = features[:, : len(calibrator.features)].astype(np.float64)
    return np.clip((own - calibrator.center) / calibrator.scale, -_FEATURE_LIMIT, _FEATURE_LIMIT)


def log_odds(chances: npt.ArrayLike) -> Floats:
    """Log-odds of probabilities, within what a few labels can speak against."""
    clipped = np.clip(np.asarray(chances, dtype=np.float64), _LEAST, 1.0 - _LEAST)
    return np.asarray(np.log(clipped / (1.0 - clipped)), dtype=np.float64)


def _indicators(held: Sequence[Sequence[int]], width: int) -> sparse.csr_array:
    lengths = np.array([0, *(len(places) for places in held)])
    columns = np.array([place for places in held for place in places], dtype=np.int64)
    return sparse.csr_array((np.ones(len(columns)), columns, np.cumsum(lengths)), shape=(len(held), width))
