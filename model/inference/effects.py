"""Few labels on top of a probability that is already there: logistic regression whose zero is "as before".

The pretrained logit of each case is its offset. What is fitted is added to it: weights of standardized features, and
effects of the groups that a case belongs to (its column, its shape within the column, …), each drawn to zero by a
normal prior. Cases of a group that has no labels keep their logit but for the shared weights, and without labels
nothing changes at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse

Floats = npt.NDArray[np.float64]
Group = tuple[str, ...]
"""A group of cases: its kind, and what tells it from others of the kind."""

_MAX_STEPS = 500
_LIMIT = 12.0


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


@dataclass(frozen=True, slots=True)
class Effects:
    """What labels add to pretrained logits."""

    weights: Floats
    by_group: Mapping[Group, float]

    def logits(self, cases: Cases) -> Floats:
        """Logits of cases, (cases,)."""
        of_groups = np.array([self.of(groups) for groups in cases.groups], dtype=np.float64)
        return np.clip(cases.logits + cases.features @ self.weights + of_groups, -_LIMIT, _LIMIT)

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


def _indicators(held: Sequence[Sequence[int]], width: int) -> sparse.csr_array:
    lengths = np.array([0, *(len(places) for places in held)])
    columns = np.array([place for places in held for place in places], dtype=np.int64)
    return sparse.csr_array((np.ones(len(columns)), columns, np.cumsum(lengths)), shape=(len(held), width))
