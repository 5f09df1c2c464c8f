"""Approximate functional dependencies, and the votes that tuples give each other by them.

Tuples that agree on a determinant vote for the value of the dependent attribute, each tuple left out of
its own poll. How strong a dependency is, is how often such polls agree beyond what the dependent's own
frequencies would give: a near-constant attribute is determined by nothing. Weights and shares are
rounded to multiples of 2**-20, so that sums of them are exact and no order of tuples or attributes matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np

from model.inference.columns import MISSING, Column, Floats, Ints, exact
from model.tuples import FunctionalDependency

MAX_DETERMINANTS = 8
"""Only this many of the strongest dependencies vote on an attribute; given rules always do."""

MAX_VALUES = 8
"""Only the most frequent values of a group are voted for; the observed one always counts."""

BEST_KEPT = 5
"""Voted values kept for each cell."""

_MIN_STRENGTH = 0.05
_TELLING = 0.3
_SHARED_SHARE = 0.5
_PRIOR_TUPLES = 4.0
_SHARPNESS = 2
_POLL_PRIOR = 8.0
_MIN_REPEATED_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Dependency:
    """Determinants that predict a dependent, with the contingency of their values.

    Attributes:
        strength: agreement above chance, 0…1; 1 for a rule that the caller gave.
        weight: what a poll by this dependency counts.
        groups: for each tuple the meaning of its determinant value, MISSING where a part is missing.
        starts: where the entries of each group begin, (groups + 1,).
        breadth: share of the attributes that the determinant tells something about: near 1 where it names an entity.
        values, counts: meanings and what the tuples that hold them count, by group, then falling count, then meaning.
    """

    determinants: tuple[int, ...]
    dependent: int
    strength: float
    weight: float
    groups: Ints
    starts: Ints
    values: Ints
    counts: Floats
    breadth: float = 1.0


@dataclass(frozen=True, slots=True)
class Votes:
    """The polls about one attribute, one row a tuple.

    Attributes:
        values: the most voted meanings, best first, MISSING beyond them, int64 (tuples, BEST_KEPT).
        shares: their share of all votes, float64 (tuples, BEST_KEPT).
        supports: weighted number of tuples that hold them, float64 (tuples, BEST_KEPT).
        observed: share of what the observed value means, float64 (tuples,).
        strength: strength of the strongest dependency that voted, 0 where none did, float64 (tuples,).
        breadth: breadth of the broadest dependency that voted and is not weak, float64 (tuples,).
        voters: number of dependencies that voted, int64 (tuples,).
    """

    values: Ints
    shares: Floats
    supports: Floats
    observed: Floats
    strength: Floats
    breadth: Floats
    voters: Ints


def find_dependencies(
    columns: Sequence[Column], rank: Sequence[int], rules: Sequence[FunctionalDependency] = ()
) -> list[list[Dependency]]:
    """For each attribute the dependencies that may vote on it: rules first, then the strongest found.

    Args:
        columns: all attributes of one relation.
        rank: a canonical place for each attribute, which decides between equal strengths.
        rules: dependencies that are given, of strength 1.
    """
    found: list[list[Dependency]] = []
    strengths: dict[tuple[int, int], float] = {}
    usable = [place for place, column in enumerate(columns) if _can_determine(column)]
    for dependent, column in enumerate(columns):
        given = [rule for rule in rules if rule.dependent == dependent]
        dependencies = [
            _given(columns, rule) for rule in sorted(given, key=lambda rule: sorted(rank[a] for a in rule.determinants))
        ]
        named = {dependency.determinants for dependency in dependencies}
        learned: list[tuple[float, int, int]] = []
        if column.repeated:
            for place in usable:
                if place != dependent and (place,) not in named:
                    strength = strengths[place, dependent] = _strength(columns[place], column)
                    if strength >= _MIN_STRENGTH:
                        learned.append((-strength, rank[place], place))
        for negative, _, place in sorted(learned)[:MAX_DETERMINANTS]:
            strength = -negative
            weight = float(exact(strength**_SHARPNESS))
            groups = columns[place].meanings
            dependencies.append(_dependency((place,), dependent, groups, column, strength, weight))
        found.append(dependencies)
    breadths = _breadths(columns, strengths)
    return [
        [replace(one, breadth=min(breadths.get(place, 1.0) for place in one.determinants)) for one in dependencies]
        for dependencies in found
    ]


def _breadths(columns: Sequence[Column], strengths: Mapping[tuple[int, int], float]) -> dict[int, float]:
    """For each determinant the share of the other attributes with repeated values that it tells something about."""
    told: dict[int, list[bool]] = {}
    for (place, dependent), strength in strengths.items():
        column = columns[dependent]
        if column.repeated >= _SHARED_SHARE * column.present and len(column.usual.representatives) > 1:
            told.setdefault(place, []).append(strength >= _TELLING)
    return {place: float(exact(sum(shown) / len(shown))) for place, shown in told.items()}


def poll(
    dependencies: Sequence[Dependency],
    column: Column,
    weights: Floats | None = None,
    reliability: Floats | None = None,
) -> Votes:
    """Let every tuple's companions vote on its value of one attribute.

    Values vote for what they mean, so spellings of one value support each other.

    Args:
        weights: what each tuple counts, (tuples,).
        reliability: how far each cell is to be believed as a determinant, 0…1, (tuples, attributes): tuples that
            share a wrong value are no companions.
    """
    count = len(column)
    codes = column.meanings
    worth = np.ones(count) if weights is None else weights
    width = max(1, len(column.usual.representatives))
    keys: list[Ints] = []
    parts: list[tuple[Floats, Floats]] = []
    total, observed, strength, breadth = (np.zeros(count) for _ in range(4))
    voters = np.zeros(count, dtype=np.int64)
    for dependency in dependencies:
        if weights is not None:
            dependency = replace(dependency, **_entries(dependency.groups, column, weights))
        ballots = _ballots(dependency, codes, worth, reliability)
        total += ballots.weights
        observed += ballots.observed
        voters += ballots.weights > 0
        np.maximum(strength, np.where(ballots.weights > 0, dependency.strength, 0.0), out=strength)
        if dependency.strength >= _TELLING:
            np.maximum(breadth, np.where(ballots.weights > 0, dependency.breadth, 0.0), out=breadth)
        keys.append(ballots.rows * width + ballots.values)
        parts.append((ballots.shares, ballots.supports))
    safe = np.where(total > 0, total, 1.0)
    values, shares, supports = _rank(keys, parts, count, width)
    return Votes(values, shares / safe[:, None], supports, observed / safe, strength, breadth, voters)


def supporters(
    dependencies: Sequence[Dependency], column: Column, tuple_id: int, meaning: int
) -> tuple[list[int], list[int]]:
    """Who speaks for a meaning: attributes of the dependencies that do, strongest first, and the agreeing tuples."""
    attributes: dict[int, None] = {}
    tuple_ids: dict[int, None] = {}
    for dependency in sorted(dependencies, key=lambda one: -one.weight):
        group = dependency.groups[tuple_id]
        if group == MISSING:
            continue
        agree = np.nonzero((dependency.groups == group) & (column.meanings == meaning))[0]
        others = [int(one) for one in agree if one != tuple_id]
        if others:
            attributes.update(dict.fromkeys(dependency.determinants))
            tuple_ids.update(dict.fromkeys(others))
    return list(attributes), list(tuple_ids)


@dataclass(frozen=True, slots=True)
class _Ballots:
    """What one dependency says: entries (row, value, share, support), and per tuple its weight and observed share."""

    rows: Ints
    values: Ints
    shares: Floats
    supports: Floats
    weights: Floats
    observed: Floats


def _can_determine(column: Column) -> bool:
    return len(column.usual.representatives) > 1 and column.repeated >= max(2.0, _MIN_REPEATED_SHARE * column.present)


def _contingency(groups: Ints, column: Column, weights: Floats | None = None) -> tuple[Ints, Ints, Floats]:
    """Entries (group, meaning, what its tuples count) over tuples where both are present, sorted by the first two."""
    both = (groups >= 0) & (column.meanings >= 0)
    width = max(1, len(column.usual.representatives))
    keys, place = np.unique(groups[both] * width + column.meanings[both], return_inverse=True)
    counts = np.bincount(place, weights=None if weights is None else weights[both], minlength=len(keys))
    return keys // width, keys % width, counts.astype(np.float64)


def _strength(determinant: Column, dependent: Column) -> float:
    """Leave-one-out agreement within groups, above the agreement that the dependent's frequencies give by chance."""
    groups, values, counts = _contingency(determinant.meanings, dependent)
    sizes = np.bincount(groups, weights=counts)[groups] if len(groups) else counts
    use = sizes > 1
    polled = float(counts[use].sum())
    if polled == 0.0:
        return 0.0
    agreed = float((counts[use] * (counts[use] - 1) / (sizes[use] - 1)).sum())
    frequency = (dependent.meaning_counts - 1) / max(1, dependent.present - 1)
    chance = float((counts[use] * frequency[values[use]]).sum()) / polled
    if chance >= 1.0:
        return 0.0
    agreement = (agreed + _PRIOR_TUPLES * chance) / (polled + _PRIOR_TUPLES)
    return float(exact(max(0.0, (agreement - chance) / (1.0 - chance))))


def _dependency(
    determinants: tuple[int, ...], dependent: int, groups: Ints, column: Column, strength: float, weight: float
) -> Dependency:
    return Dependency(determinants, dependent, strength, weight, groups, **_entries(groups, column))


class _Entries(TypedDict):
    starts: Ints
    values: Ints
    counts: Floats


def _entries(groups: Ints, column: Column, weights: Floats | None = None) -> _Entries:
    """The contingency of groups and meanings as a dependency holds it."""
    owner, values, counts = _contingency(groups, column, weights)
    order = np.lexsort((values, -counts, owner))
    size = int(groups.max()) + 1 if len(groups) else 0
    starts = np.searchsorted(owner, np.arange(size + 1)).astype(np.int64)
    return {"starts": starts, "values": values[order], "counts": counts[order]}


def _given(columns: Sequence[Column], rule: FunctionalDependency) -> Dependency:
    """A dependency that the caller states; its groups are tuples that agree on all determinants."""
    parts = np.stack([columns[place].meanings for place in rule.determinants], axis=1)
    present = (parts >= 0).all(axis=1)
    groups = np.full(len(parts), MISSING, dtype=np.int64)
    if present.any():
        groups[present] = np.unique(parts[present], axis=0, return_inverse=True)[1].reshape(-1)
    return _dependency(rule.determinants, rule.dependent, groups, columns[rule.dependent], 1.0, 1.0)


def _ballots(dependency: Dependency, codes: Ints, worth: Floats, reliability: Floats | None) -> _Ballots:
    rows = np.nonzero(dependency.groups >= 0)[0]
    groups = dependency.groups[rows]
    starts, ends = dependency.starts[groups], dependency.starts[groups + 1]
    cumulated = np.concatenate(([0.0], np.cumsum(dependency.counts)))
    sizes = cumulated[ends] - cumulated[starts]
    own = codes[rows]
    voters = sizes - (own >= 0) * worth[rows]
    believed = np.ones(len(rows))
    if reliability is not None:
        believed = exact(reliability[rows][:, list(dependency.determinants)].min(axis=1) ** 2)
    weights = exact(dependency.weight * believed * voters / (voters + _POLL_PRIOR))
    polled = (voters > 0) & (weights > 0)
    rows, starts, ends, own = rows[polled], starts[polled], ends[polled], own[polled]
    voters, weights, believed = voters[polled], weights[polled], believed[polled]
    lengths = np.minimum(ends - starts, MAX_VALUES)
    entry_row = np.repeat(np.arange(len(rows)), lengths)
    offset = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    place = starts[entry_row] + offset
    values = dependency.values[place]
    others = dependency.counts[place] - (values == own[entry_row]) * worth[rows[entry_row]]
    shares = exact(weights[entry_row] * others / voters[entry_row])
    supports = exact(dependency.weight * believed[entry_row] * others)
    total = np.zeros(len(codes))
    total[rows] = weights
    observed = np.zeros(len(codes))
    observed[rows] = exact(weights * _own_counts(dependency, rows, own, worth) / voters)
    use = others > 0
    return _Ballots(rows[entry_row][use], values[use], shares[use], supports[use], total, observed)


def _own_counts(dependency: Dependency, rows: Ints, own: Ints, worth: Floats) -> Floats:
    """What the other tuples of the group that hold each row's own value count."""
    if not len(rows):
        return np.zeros(0)
    width = int(max(dependency.values.max(initial=0), own.max(initial=0))) + 1
    owner = np.repeat(np.arange(len(dependency.starts) - 1), np.diff(dependency.starts))
    keys = owner * width + dependency.values
    order = np.argsort(keys, kind="stable")
    wanted = dependency.groups[rows] * width + np.maximum(own, 0)
    place = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    others = dependency.counts[order][place] - worth[rows]
    return np.where((keys[order][place] == wanted) & (own >= 0), others, 0.0)


def _rank(
    keys: Sequence[Ints], parts: Sequence[tuple[Floats, Floats]], count: int, width: int
) -> tuple[Ints, Floats, Floats]:
    """Add up entries of the same row and value, and keep the best of each row."""
    values = np.full((count, BEST_KEPT), MISSING, dtype=np.int32)
    shares, supports = np.zeros((count, BEST_KEPT)), np.zeros((count, BEST_KEPT))
    if not keys or not sum(len(one) for one in keys):
        return values.astype(np.int64), shares, supports
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    share = np.bincount(inverse, weights=np.concatenate([part[0] for part in parts]))
    support = np.bincount(inverse, weights=np.concatenate([part[1] for part in parts]))
    rows, codes = unique // width, unique % width
    order = np.lexsort((codes, -support, -share, rows))
    rows, codes, share, support = rows[order], codes[order], share[order], support[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    use = rank < BEST_KEPT
    values[rows[use], rank[use]] = codes[use]
    shares[rows[use], rank[use]] = share[use]
    supports[rows[use], rank[use]] = support[use]
    return values.astype(np.int64), shares, supports
