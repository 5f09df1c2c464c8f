"""What the rivals of a pair say: how it stands among them, what the tables teach, and how like strangers are.

Two tables say much about what a match is before anybody labels one. Pairs that are each other's clear best, by words
and by characters, are nearly all matches, and the further candidates of the same records are nearly all not: a
regression that is fitted to them learns which attributes and which differences count in these tables. And the second
best of a record whose match is clear is as like it as a stranger can be: how the best scores compare with such scores
tells how many records have a match at all, and how likely each best one is to be a stranger (local false discovery
rate, Efron 2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.inference.columns import Floats, Ints, spread

FEWEST_SEEDS = 20
"""With fewer clear pairs, or fewer rivals of them, the tables teach nothing."""

TOLD_WEIGHT = 3.0
"""Weight of a pair whose answer is known, beside one that the tables taught."""

_ROUNDS = 2
_CLEAR_SHARES = (0.5, 0.7)
"""The share of mutual best pairs that each round takes for matches, the clearest first."""

_STRENGTH = 0.3
_LEARNED_PAIRS = 60_000
_DEVIATIONS = 5.0
_TESTED_AT = 0.2
_LEAST_SHARE = 1e-4
_LEAST_SPREAD = 1e-6
_FEWEST_STRANGERS = 10
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Standing:
    """How each pair stands among all pairs of its left and of its right record, by one score; arrays (pairs,).

    Attributes:
        rank_left, rank_right: how many other pairs of the record have a greater score, int64.
        lead_left, lead_right: the score less the greatest of the record's other pairs; less the least of all scores
            where there is no other.
    """

    scores: Floats
    rank_left: Ints
    rank_right: Ints
    lead_left: Floats
    lead_right: Floats

    @property
    def is_mutual(self) -> npt.NDArray[np.bool_]:
        """Whether both records have no better pair."""
        return np.asarray((self.rank_left == 0) & (self.rank_right == 0))

    @property
    def lead(self) -> Floats:
        """The lesser of both leads."""
        return np.minimum(self.lead_left, self.lead_right)


def standing(left: Ints, right: Ints, scores: Floats) -> Standing:
    """Rank pairs by `scores` among those of the same left and of the same right record; equal scores share a rank."""
    sides = [_among(owner, scores) for owner in (left, right)]
    return Standing(scores, sides[0][0], sides[1][0], sides[0][1], sides[1][1])


def _among(owner: Ints, scores: Floats) -> tuple[Ints, Floats]:
    """Rank and lead of each pair among those of one owner."""
    count = len(owner)
    if not count:
        return np.zeros(0, np.int64), np.zeros(0)
    order = np.lexsort((np.arange(count), -scores, owner))
    owners, ordered = owner[order], scores[order]
    place = np.arange(count)
    begins = np.r_[True, owners[1:] != owners[:-1]]
    first = np.maximum.accumulate(np.where(begins, place, 0))
    second = np.minimum(first + 1, count - 1)
    has_second = (first + 1 < count) & (owners[second] == owners)
    runner_up = np.where(has_second, ordered[second], scores.min())
    rises = begins | np.r_[True, ordered[1:] != ordered[:-1]]
    rank, lead = np.empty(count, np.int64), np.empty(count)
    rank[order] = np.maximum.accumulate(np.where(rises, place, 0)) - first
    lead[order] = ordered - np.where(place == first, runner_up, ordered[first])
    return rank, lead


def taught_by_rivals(
    features: npt.NDArray[np.float32], left: Ints, right: Ints, first: Floats, second: Floats, told: Ints | None = None
) -> Floats | None:
    """Logits of a match that the candidate pairs of two tables teach, (pairs,); None where too few pairs are clear.

    Records of equal features are interchangeable: pairs of equal scores share their rank. What is the same in all pairs
    teaches nothing.


    Args:
        features: of each pair, (pairs, features), NaN where something is missing.
        first, second: two similarities, (pairs,): what is best by both begins as a match.
        told: 1 for pairs that are known to match, -1 for pairs that do not, 0 for all others, (pairs,).
    """
    known = np.zeros(len(left), np.int64) if told is None else told
    seeds = standing(left, right, first).is_mutual & standing(left, right, second).is_mutual
    if seeds.sum() < FEWEST_SEEDS:
        return None
    standard = _standardized(features)
    ranked, logits = standing(left, right, (first + second) / 2), None
    for number in range(_ROUNDS):
        clear = seeds & (ranked.lead >= np.quantile(ranked.lead[seeds], 1 - _CLEAR_SHARES[number]))
        matches = (clear if logits is None else clear & (logits > 0)) & (known >= 0) | (known > 0)
        if matches.sum() < FEWEST_SEEDS:
            break
        others = (rivals_of(left, right, matches) | (known < 0)) & (known <= 0)
        if others.sum() < FEWEST_SEEDS:
            break
        logits = _fitted(standard, matches, others, np.where(known == 0, 1.0, TOLD_WEIGHT))
        ranked = standing(left, right, logits)
        seeds = ranked.is_mutual
    return logits


def rivals_of(left: Ints, right: Ints, matches: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The other pairs of records that have a match."""
    matched = np.zeros(int(max(left.max(), right.max())) + 1, dtype=bool)
    matched[left[matches]] = matched[right[matches]] = True
    return np.asarray((matched[left] | matched[right]) & ~matches)


def _fitted(
    standard: npt.NDArray[np.float32], matches: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_], weights: Floats
) -> Floats:
    """Logits of a regression that tells `matches` from `others`, for all pairs."""
    from sklearn.linear_model import LogisticRegression  # a second to import, and only matching needs it

    learned = np.nonzero(matches | others)[0]
    if len(learned) > _LEARNED_PAIRS:
        is_told = weights[learned] > 1
        learned = np.sort(np.concatenate((learned[is_told], spread(learned[~is_told], _LEARNED_PAIRS))))
    model = LogisticRegression(C=_STRENGTH, max_iter=300)
    model.fit(standard[learned].astype(np.float64), matches[learned], sample_weight=weights[learned])
    # Summed row by row, so that a pair's figure does not depend on the others' in its last bits.
    parts = [
        (standard[start : start + _CHUNK] * model.coef_[0]).sum(axis=1) for start in range(0, len(standard), _CHUNK)
    ]
    return np.asarray(np.round(np.concatenate(parts) + model.intercept_[0], 6))


def _standardized(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Features that differ, without their mean and spread; what is missing counts as the mean."""
    columns = []
    for column in features.T:
        values = column.astype(np.float64)
        known = ~np.isnan(values)
        mean = np.where(known, values, 0).sum() / max(1, known.sum())
        centered = np.where(known, values - mean, 0)
        spread = centered.std()
        if spread > _LEAST_SPREAD:
            columns.append(np.clip(centered / spread, -_DEVIATIONS, _DEVIATIONS).astype(np.float32))
    return np.stack(columns, axis=1) if columns else np.zeros((len(features), 1), np.float32)


@dataclass(frozen=True, slots=True)
class Strangers:
    """How like strangers are to the records of one side, and what follows.

    Attributes:
        share_matched: estimate of the share of records that have a match.
        probability: of each pair to be a match, were it the best of its record, (pairs,).
    """

    share_matched: float
    probability: Floats


def strangers(owner: Ints, ranked: Standing, rank: Ints) -> Strangers:
    """Compare the best scores of all records of one side with the second best of those whose match is clear.

    Args:
        owner: the record of that side in each pair, (pairs,).
        ranked: how pairs stand, and their scores.
        rank: their rank among the pairs of `owner`.
    """
    scores, mutual = ranked.scores, ranked.is_mutual
    if not mutual.any():
        return Strangers(0.0, np.zeros(len(scores)))
    clear = mutual & (ranked.lead >= np.quantile(ranked.lead[mutual], 1 - _CLEAR_SHARES[1]))
    seconds = np.sort(scores[(rank == 1) & np.isin(owner, owner[clear])])
    best = scores[rank == 0]
    if len(seconds) < _FEWEST_STRANGERS:  # too few to tell
        return Strangers(0.5, np.full(len(scores), 0.5))
    as_high = (len(seconds) - np.searchsorted(seconds, best) + 0.5) / (len(seconds) + 1)
    unmatched = float(min(1.0, (as_high > _TESTED_AT).mean() / (1 - _TESTED_AT)))
    return Strangers(1 - unmatched, np.clip(1 - unmatched * _density_ratio(seconds, best, scores), 0.0, 1.0))


def _density_ratio(strange: Floats, best: Floats, scores: Floats) -> Floats:
    """Density of strangers' scores over that of the best scores, never rising, at `scores`."""
    from sklearn.isotonic import IsotonicRegression

    values = np.concatenate((best, strange))
    is_best = np.concatenate((np.ones(len(best)), np.zeros(len(strange))))
    weights = np.concatenate((np.full(len(best), 1 / len(best)), np.full(len(strange), 1 / len(strange))))
    isotonic = IsotonicRegression(out_of_bounds="clip", y_min=_LEAST_SHARE, y_max=1 - _LEAST_SHARE)
    share = isotonic.fit(values, is_best, sample_weight=weights).predict(scores)
    return np.asarray((1 - share) / share)
