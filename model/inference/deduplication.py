"""Pairs of one table, judged by trees that know pairs of many domains and by what agreement says in this table.

What a table alone teaches by expectation maximization (`model.inference.agreement`) goes wrong where few records have a
duplicate: the most frequent way to be alike, such as one city and kind of restaurant, is then taken for a match. The
trees of single pairs (`model.inference.pairs`) know better what a match is, but not what this table's attributes are.
So the trees are asked first, and what agreement on each attribute says is estimated from their answers, and the other
way round, a few times over (co-training: Blum and Mitchell 1998); agreement counts as far as it tells what the trees
call a match from what they do not.

Attributes that tell nothing, such as a list of co-authors in a table of applicants, are not shown to the trees: those
in which matches, found by the other attributes alone, agree hardly more often than strangers. Attributes that nearly
always agree together, such as a latitude and its longitude, say what they say once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from scipy import special

from model.inference.agreement import (
    FIRST,
    SMOOTHING,
    Agreement,
    distinct_pairs,
    levels,
    log_odds,
    possible_pairs,
    rarity_of,
    shares_of,
    strangers,
    taught,
    weights_of,
)
from model.inference.columns import Floats, Ints, spread
from model.inference.pairs import PairJudge, compare
from model.inference.records import Records
from model.inference.similarity import Similarity
from model.tuples import Value

MOST_PAIRS = 250_000
"""Pairs of distinct records that the trees are asked about, whatever agreement says of them."""

SAMPLED_PAIRS, SAMPLED_IN_ALL = 3000, 20_000
"""Pairs that are read without each attribute, to see what it tells, and those of all attributes together."""

TELLING = 0.25, 0.35
"""An attribute tells something if its divergence is this share of the greatest, or this many nats."""

WHOLE_RECORD = "(the record as a whole)"
"""What trees read off all telling attributes together, beside what each attribute says."""

_ROUNDS = 10
_LIMIT = 12.0
_BAND = 0.01
_SEEMING = 2.5
_FIRST_OF_OTHERS = (0.02, 0.03, 0.05, 0.2, 0.7)
_COMMON, _TOGETHER = 0.02, 0.95
_TOO_MANY = 0.5
_PAIRS_PER_STEP = 500


@dataclass
class PairsOfTable:
    """Candidate pairs of records, judged step by step.

    Attributes:
        left, right: the pairs, (pairs,).
        told: 1 for pairs that are known to match, -1 for pairs that do not, 0 for all others, (pairs,).
    """

    records: Records
    similarity: Similarity
    judge: PairJudge
    left: Ints
    right: Ints
    similarities: np.ndarray
    told: Ints
    _levels: Ints = field(init=False)
    _strangers: Ints = field(init=False)
    _once: Ints = field(init=False)
    _same: Ints = field(init=False)
    _groups: Ints = field(init=False)
    _shown: Ints = field(init=False)
    _trees: Floats = field(init=False)
    _asked: np.ndarray = field(init=False)
    _agreed: _Agreed = field(init=False)

    def steps(self) -> Iterator[partial[None]]:
        """All work in pieces; `result` is ready when they have been done in order."""
        yield partial(self._prepare)
        groups = sorted(set(self._groups.tolist()))
        sample = spread(np.arange(len(self._once)), min(SAMPLED_PAIRS, SAMPLED_IN_ALL // max(1, len(groups))))
        divergences: dict[int, float] = {}
        for group in groups if len(groups) > 1 else ():
            yield partial(self._without, group, sample, divergences)
        yield partial(self._choose, divergences)
        first = spread(np.arange(len(self._once)), MOST_PAIRS)
        yield from self._asking(first)
        yield partial(self._weigh, first)
        # Of the pairs of a very large table only those are read that agreement does not decide.
        rest = np.nonzero(~self._asked & (np.abs(self._agreed.alone(self._once)) < float(special.logit(1 - _BAND))))[0]
        yield from self._asking(rest)

    def result(self) -> Agreement:
        """What each attribute says of each pair, and, last, what the trees say of both records as a whole."""
        agreed = self._agreed
        alone = agreed.alone(self._once)
        trees = np.where(self._asked, self._trees, (1 - agreed.trust) * alone)[self._same]
        said = np.concatenate((agreed.trust * agreed.slope * agreed.said, trees[:, None]), axis=1)
        found = Agreement(said, 0.0, agreed.trust * agreed.level)
        matched = np.where(self.told == 0, found.probabilities, self.told > 0)[self._once]
        share = float(matched.sum()) / max(1, possible_pairs(self.records))
        found = Agreement(found.weights, share, found.prior)
        return taught(found, self.told) if self.told.any() else found

    def _prepare(self) -> None:
        self._levels = levels(self.similarities)
        self._strangers = levels(self.similarity.of_attributes(*strangers(self.records)))
        self._once, self._same = distinct_pairs(self.records, self.left, self.right, self.told)
        self._groups = _said_together(self._strangers)
        self._trees = np.zeros(len(self._once))
        self._asked = np.zeros(len(self._once), dtype=bool)

    def _without(self, group: int, sample: Ints, divergences: dict[int, float]) -> None:
        """How differently matches and strangers agree on a group of attributes; the others say which pairs match."""
        chosen = self._once[sample]
        matched = special.expit(self._read(sample, np.nonzero(self._groups != group)[0]))
        if matched.mean() > _TOO_MANY:
            return  # the others do not tell records apart: without this group nearly all are one
        for attribute in np.nonzero(self._groups == group)[0].tolist():
            every = np.ones(len(self._strangers))
            of_strangers = shares_of(self._strangers[:, attribute], every, np.array(SMOOTHING))
            of_matches = shares_of(self._levels[chosen, attribute], matched, _SEEMING * of_strangers)
            divergences[attribute] = round(float((of_matches * np.log(of_matches / of_strangers)).sum()), 6)

    def _choose(self, divergences: Mapping[int, float]) -> None:
        """Show the trees the attributes that tell something, and those of which that is not known."""
        share, least = TELLING
        enough = min(least, share * max(divergences.values(), default=0.0))
        width = len(self._groups)
        self._shown = np.array([a for a in range(width) if divergences.get(a, least) >= enough], dtype=np.int64)

    def _asking(self, pairs: Ints) -> Iterator[partial[None]]:
        for start in range(0, len(pairs), _PAIRS_PER_STEP):
            yield partial(self._ask, pairs[start : start + _PAIRS_PER_STEP])

    def _ask(self, pairs: Ints) -> None:
        self._trees[pairs] = self._read(pairs, self._shown)
        self._asked[pairs] = True

    def _read(self, pairs: Ints, attributes: Ints) -> Floats:
        """What the trees say of pairs that are shown some attributes of both records, (pairs,)."""
        values, chosen = self.records.values, attributes.tolist()
        shown: dict[int, tuple[Value, ...]] = {}

        def row(record: int) -> tuple[Value, ...]:
            if record not in shown:
                shown[record] = tuple(values[record][attribute] for attribute in chosen)
            return shown[record]

        both = zip(self.left[self._once[pairs]].tolist(), self.right[self._once[pairs]].tolist(), strict=True)
        rarity = self.judge.rarity
        features = np.stack([compare(row(one), row(other), rarity).features for one, other in both])
        return np.asarray(np.clip(self.judge.trees.logits(features), -_LIMIT, _LIMIT), dtype=np.float64)

    def _weigh(self, asked: Ints) -> None:
        """Let the trees and agreement teach each other."""
        pairs = self._once[asked]
        trees, known, observed = self._trees[asked], self.told[pairs], self._levels[pairs]
        rarity = rarity_of(self.records, self.left, self._levels)
        share = 1 / np.bincount(self._groups)[self._groups]
        attributes = range(observed.shape[1])
        says = special.expit(trees)
        matched = np.where(known == 0, says, known > 0)
        for _ in range(_ROUNDS):
            of_matches, of_others = (
                np.stack([shares_of(observed[:, a], counted, _SEEMING * np.array(first)) for a in attributes])
                for counted, first in ((matched, FIRST), (1 - matched, _FIRST_OF_OTHERS))
            )
            factors = (np.log(of_matches) - np.log(of_others)) * share[:, None]
            total = (weights_of(factors, observed) + rarity[pairs]).sum(axis=1)
            level, slope = _regression(total, says, log_odds(float(np.clip(matched.mean(), 1e-4, 1 - 1e-4))))
            trust = round(max(0.0, 2 * _told_apart(total, says) - 1) ** 2, 6)
            matched = special.expit(trees + trust * (level + slope * total))
            matched = np.where(known == 0, matched, known > 0)
        said = np.round(weights_of(factors, self._levels), 9) + rarity
        self._agreed = _Agreed(said, level, slope, trust)


@dataclass(frozen=True, slots=True)
class _Agreed:
    """What agreement says, (pairs, attributes); its log-odds by the trees' answers, and how far it is trusted, 0…1."""

    said: Floats
    level: float
    slope: float
    trust: float

    def alone(self, pairs: Ints) -> Floats:
        """Log-odds of a match by agreement alone, (pairs,)."""
        return np.asarray(self.level + self.slope * self.said[pairs].sum(axis=1))


def _said_together(strangers_levels: Ints) -> Ints:
    """The first of the attributes that agree together among strangers as good as always, for each, (attributes,)."""
    equal = strangers_levels == 0
    counts = equal.sum(axis=0)
    both = equal.T.astype(np.int64) @ equal.astype(np.int64)
    groups = np.arange(len(counts))
    for attribute in range(len(counts)):
        for earlier in range(attribute):
            common = min(counts[attribute], counts[earlier]) >= max(1, _COMMON * len(equal))
            if common and both[attribute, earlier] >= _TOGETHER * max(counts[attribute], counts[earlier]):
                groups[attribute] = groups[earlier]
    return groups


def _regression(total: Floats, says: Floats, level: float) -> tuple[float, float]:
    """Level and slope, between 0 and 1, of the log-odds that are nearest to what the trees say."""
    from scipy.optimize import minimize

    def loss(x: Floats) -> tuple[float, Floats]:
        logits = x[0] + x[1] * total
        missed = special.expit(logits) - says
        return float((np.logaddexp(0, logits) - says * logits).sum()), np.array([missed.sum(), missed @ total])

    found = minimize(loss, np.array([level, 0.5]), jac=True, method="L-BFGS-B", bounds=[(-20, 20), (0, 1)]).x
    return round(float(found[0]), 6), round(float(found[1]), 6)


def _told_apart(total: Floats, says: Floats) -> float:
    """How often a pair that the trees call a match has more agreement than one that they do not (area under ROC)."""
    levels_of, place = np.unique(np.round(total, 6), return_inverse=True)
    matches = np.bincount(place, says, len(levels_of))
    others = np.bincount(place, 1 - says, len(levels_of))
    below = np.cumsum(others) - others
    return float((matches * (below + others / 2)).sum() / max(1e-9, matches.sum() * others.sum()))
