"""Which tuples to believe: an attribute that names sources, and how often each source agrees with the others.

Where the same entities are reported by several sources (shops, sites, sensors), some sources are wrong far more often
than others. The attribute whose values best tell apart how often tuples agree with the polls about them is taken to
name the source, unless it is itself what tuples are grouped by. Tuples of a reliable source then count more in every
poll, and so on for a few rounds (truth discovery: Yin et al. 2007; Dong et al. 2009, without their copying model).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from model.inference.columns import Column, Floats, Ints, exact
from model.inference.dependencies import Dependency, Votes

_MIN_STRENGTH = 0.3
_MIN_BREADTH = 0.5
"""Sources tell of entities, so something must name them: an attribute that tells much about half of the others."""

_MAX_SOURCES = 200
_MIN_TUPLES = 5.0
"""Tuples that a source must have on average."""

_MIN_EXPLAINED = 0.12
_MIN_DISAGREEMENT = 0.02
_ROUNDS = 4
_PRIOR_TUPLES = 2.0
_LIKELIHOOD = 10.0
"""How many wrong values a source could choose from; it sets what agreement is worth (ACCU's n)."""


def source_weights(
    columns: Sequence[Column], dependencies: Sequence[Sequence[Dependency]], poll: Callable[[int, Floats], Votes]
) -> Floats | None:
    """What each tuple counts in polls, float64 (tuples,) with mean 1; None where no attribute names sources.

    Args:
        columns: all attributes.
        dependencies: those that vote on each attribute.
        poll: the votes about one attribute, given what each tuple counts.
    """
    polled = [
        place
        for place, found in enumerate(dependencies)
        if found and max(dependency.strength for dependency in found) >= _MIN_STRENGTH
    ]
    grouping = {
        attribute
        for place in polled
        for dependency in dependencies[place]
        if dependency.strength >= _MIN_STRENGTH
        for attribute in dependency.determinants
    }
    named = [place for place, column in enumerate(columns) if place not in grouping and _can_name_sources(column)]
    breadth = max((dependency.breadth for place in polled for dependency in dependencies[place]), default=0.0)
    if not polled or not named or breadth < _MIN_BREADTH:
        return None
    weights = np.ones(len(columns[0]))
    best, sources = _MIN_EXPLAINED, None
    for number in range(_ROUNDS):
        agreed, asked = _agreement(columns, polled, poll, weights)
        if not number:
            total = agreed.sum() / max(1.0, asked.sum())
            if total > 1.0 - _MIN_DISAGREEMENT:
                return None
            for place in named:
                explained = _explained(columns[place].meanings, agreed, asked)
                if explained > best:
                    best, sources = explained, columns[place].meanings
        if sources is None:
            return None
        weights = _weights(sources, agreed, asked)
    return weights


def _can_name_sources(column: Column) -> bool:
    classes = len(column.usual.representatives)
    return 2 <= classes <= _MAX_SOURCES and column.present >= _MIN_TUPLES * classes


def _agreement(
    columns: Sequence[Column], polled: Sequence[int], poll: Callable[[int, Floats], Votes], weights: Floats
) -> tuple[Floats, Floats]:
    """For each tuple how many of its values win their poll, and how many of them were polled."""
    agreed, asked = np.zeros(len(weights)), np.zeros(len(weights))
    for place in polled:
        votes = poll(place, weights)
        use = (columns[place].meanings >= 0) & (votes.supports[:, 0] > 0)
        asked += use
        agreed += use & (votes.values[:, 0] == columns[place].meanings)
    return agreed, asked


def _explained(sources: Ints, agreed: Floats, asked: Floats) -> float:
    """Share of the variance of tuples' agreement that lies between sources, corrected for chance (omega squared)."""
    use = (asked > 0) & (sources >= 0)
    if use.sum() < 3:
        return 0.0
    share, source = agreed[use] / asked[use], np.unique(sources[use], return_inverse=True)[1]
    sizes = np.bincount(source).astype(np.float64)
    if len(sizes) < 2 or len(sizes) >= use.sum():
        return 0.0
    sums = np.bincount(source, weights=exact(share))
    mean = sums.sum() / sizes.sum()
    between = float((sizes * (sums / sizes - mean) ** 2).sum())
    total = float(((share - mean) ** 2).sum())
    within = (total - between) / (use.sum() - len(sizes))
    return float(exact((between - (len(sizes) - 1) * within) / max(1e-9, total + within)))


def _weights(sources: Ints, agreed: Floats, asked: Floats) -> Floats:
    """Log-odds of a source being right, of mean 1; tuples that name no source count as the average."""
    overall = float(agreed.sum() / max(1.0, asked.sum()))
    known = sources >= 0
    count = int(sources.max()) + 1
    right = np.bincount(sources[known], weights=agreed[known], minlength=count) + _PRIOR_TUPLES * overall
    all_asked = np.bincount(sources[known], weights=asked[known], minlength=count) + _PRIOR_TUPLES
    accuracy = np.clip(right / all_asked, 0.02, 0.98)
    worth = np.maximum(0.05, np.log(_LIKELIHOOD * accuracy / (1.0 - accuracy)))
    weights = np.where(known, worth[np.maximum(sources, 0)], 0.0)
    average = weights[known].mean()
    return exact(np.where(known, weights, average) / average)
