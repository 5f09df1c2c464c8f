"""How much it says that two records agree, or do not, on each attribute: weights that a table gives by itself.

Fellegi and Sunter (1969): for every attribute the share of matches that agree so well, over the share of other pairs
that do. The latter is read off random pairs, the former is estimated from candidate pairs by expectation maximization,
beside the share of all pairs that match (Winkler 1988). A value that few records hold says more than one that many do.
The weights are log-odds and add up, so that it can be shown what each attribute said about one pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.inference.columns import Floats, Ints
from model.inference.records import Records
from model.inference.similarity import Similarity

LEVELS = (0.999, 0.92, 0.8, 0.6)
"""Similarities from which on an attribute agrees exactly, closely, well, or a little; below, it does not."""

RANDOM_PAIRS = 40_000
_ROUNDS = 60
_MISSING = len(LEVELS) + 1
_FIRST = (0.6, 0.15, 0.1, 0.08, 0.07)
_SMOOTHING = (0.005, 0.005, 0.01, 0.05, 0.1)
_RARITY_WEIGHT = 0.5
_MOST_RARITY = 3.0
_LEAST_SHARE, _MOST_SHARE = 1e-7, 0.5
_LIMIT = 40.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the attributes say of candidate pairs.

    Attributes:
        weights: natural log of the Bayes factor of each attribute, 0 where a value is missing, (pairs, attributes).
        share_matched: estimate of the share of all pairs that match.
    """

    weights: Floats
    share_matched: float

    @property
    def probabilities(self) -> Floats:
        """Probability of each pair to match, were the attributes independent, (pairs,)."""
        prior = np.log(self.share_matched / (1 - self.share_matched))
        return np.asarray(_sigmoid(self.weights.sum(axis=1) + prior))


def agreement(
    records: Records, similarity: Similarity, left: Ints, right: Ints, similarities: npt.NDArray[np.float32]
) -> Agreement:
    """Estimate what agreement says in these records.

    Args:
        left, right: candidate pairs, (pairs,).
        similarities: of each attribute in each pair, (pairs, attributes), NaN where a value is missing.
    """
    width = len(records.attributes)
    if not len(left) or not width:
        return Agreement(np.zeros((len(left), width)), _LEAST_SHARE)
    strangers = similarity.features(*_random_pairs(records)).similarities
    observed, random = _levels(similarities), _levels(strangers)
    rarity = _rarity(records, left, observed)
    return _maximized(observed, random, rarity, _possible_pairs(records))


def _maximized(observed: Ints, random: Ints, rarity: Floats, possible: int) -> Agreement:
    """Expectation maximization over the levels of candidate pairs, with those of random pairs as what others agree on.

    The share of matches is counted among random pairs as well: of a large entity most pairs are no candidates.
    """
    attributes = range(observed.shape[1])
    of_others = np.stack([_shares(random[:, a], np.ones(len(random)), np.array(_SMOOTHING)) for a in attributes])
    of_matches = np.tile(np.array(_FIRST), (len(attributes), 1))
    share = float(np.clip(len(observed) / 4 / max(1, possible), _LEAST_SHARE, _MOST_SHARE))
    weights = np.zeros(observed.shape)
    for _ in range(_ROUNDS):
        factors = np.concatenate((np.log(of_matches) - np.log(of_others), np.zeros((len(attributes), 1))), axis=1)
        weights = np.take_along_axis(factors.T, observed, axis=0) + rarity
        prior = np.log(share / (1 - share))
        matched = _sigmoid(weights.sum(axis=1) + prior)
        random_matched = _sigmoid(np.take_along_axis(factors.T, random, axis=0).sum(axis=1) + prior)
        share = float(np.clip(max(matched.sum() / max(1, possible), random_matched.mean()), _LEAST_SHARE, _MOST_SHARE))
        of_matches = np.stack([_shares(observed[:, a], matched, np.full(len(_FIRST), 0.5)) for a in attributes])
    return Agreement(weights, share)


def _shares(levels: Ints, counted: Floats, smoothing: Floats) -> Floats:
    """The share of each level but the missing one, (levels,)."""
    counts = np.bincount(levels, weights=counted, minlength=_MISSING + 1)[:_MISSING] + smoothing
    return np.asarray(counts / counts.sum())


def _levels(similarities: npt.NDArray[np.float32]) -> Ints:
    """0 where an attribute agrees exactly, up to len(LEVELS) where it does not, one more where a value is missing."""
    found = (similarities[..., None] < np.array(LEVELS)).sum(axis=-1)
    return np.where(np.isnan(similarities), _MISSING, found).astype(np.int64)


def _rarity(records: Records, left: Ints, observed: Ints) -> Floats:
    """What it adds that the value on which both agree exactly is rarer than such values are, (pairs, attributes)."""
    added = np.zeros(observed.shape)
    for attribute, column in enumerate(records.columns):
        equal = observed[:, attribute] == 0
        if not column.present or not equal.any():
            continue
        shares = column.counts / column.present
        usual = float((shares * shares).sum())
        added[equal, attribute] = np.log(usual) - np.log(np.append(shares, usual)[column.codes[left[equal]]])
    return np.clip(added, -_MOST_RARITY, _MOST_RARITY) * _RARITY_WEIGHT


def _random_pairs(records: Records) -> tuple[Ints, Ints]:
    """Pairs that could match, drawn evenly; the same for the same records."""
    rng = np.random.default_rng(0)
    sides = [np.nonzero(records.sides == side)[0] for side in ((0, 1) if records.is_link else (0, 0))]
    left, right = (rng.choice(side, RANDOM_PAIRS).astype(np.int64) for side in sides)
    return left[left != right], right[left != right]


def _possible_pairs(records: Records) -> int:
    first = int((records.sides == 0).sum())
    return first * (len(records) - first) if records.is_link else first * (first - 1) // 2


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -_LIMIT, _LIMIT))))
