"""How much it says that two records agree, or do not, on each attribute: weights that a table gives by itself.

Fellegi and Sunter (1969): for every attribute the share of matches that agree so well, over the share of other pairs
that do. The latter is read off random pairs, the former is estimated from candidate pairs by expectation maximization,
beside the share of all pairs that match (Winkler 1988). A value that few records hold says more than one that many do.
The weights are log-odds and add up, so that it can be shown what each attribute said about one pair.

Records that hold the same in all attributes are copies, and copies count once: they say neither that a value is
frequent nor that strangers agree on it, nor that matches never differ. So copies are one entity however many they are,
even where a table holds nothing else: nothing tells them apart.

The probability of a pair depends on its own two records and on what all records teach: how often random pairs agree on
each attribute, how often candidate pairs that seem to match do, how frequent the values are, and what share of all
pairs matches. Records that have nothing in common with a pair change it through these shares alone: there are more
pairs that do not match, and agreement is rarer among them, which nearly cancel out.
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

FIRST = (0.6, 0.15, 0.1, 0.08, 0.07)
"""Shares of the levels among matches, before any pair is looked at."""

SMOOTHING = (0.005, 0.005, 0.01, 0.05, 0.1)
"""Pairs of each level that are added to those of strangers."""

_RARITY_WEIGHT = 0.5
_MOST_RARITY = 3.0
_LEAST_SHARE, _MOST_SHARE = 1e-7, 0.5
_LIMIT = 40.0
_SEEMING = 2.5
"""Matches that are taken to agree as `FIRST` says."""

_TAUGHT_SCALE, _TAUGHT_PRIOR = 0.5, 2.0
"""How far known answers may easily move the weights of an attribute, as a factor, and the log-odds of all pairs."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the attributes say of candidate pairs.

    Attributes:
        weights: natural log of the Bayes factor of each attribute, 0 where a value is missing, (pairs, attributes); a
            last column more is what trees say of both records as a whole.
        share_matched: estimate of the share of all pairs that match, copies counted once.
        prior: log-odds of a match where nothing is known: of that share, and of what known answers add.
    """

    weights: Floats
    share_matched: float
    prior: float

    @property
    def probabilities(self) -> Floats:
        """Probability of each pair to match, were the attributes independent, (pairs,)."""
        return _sigmoid(self.weights.sum(axis=1) + self.prior)


def agreement(
    records: Records,
    similarity: Similarity,
    left: Ints,
    right: Ints,
    similarities: npt.NDArray[np.float32],
    told: Ints | None = None,
) -> Agreement:
    """Estimate what agreement says in these records.

    Args:
        left, right: candidate pairs, (pairs,).
        similarities: of each attribute in each pair, (pairs, attributes), NaN where a value is missing.
        told: 1 for pairs that are known to match, -1 for pairs that do not, 0 for all others, (pairs,).
    """
    width = len(records.attributes)
    if not len(left) or not width:
        return Agreement(np.zeros((len(left), width)), _LEAST_SHARE, log_odds(_LEAST_SHARE))
    known = np.zeros(len(left), np.int64) if told is None else told
    observed = levels(similarities)
    rarity = rarity_of(records, left, observed)
    sides = _distinct_records(records)
    random = levels(similarity.of_attributes(*_random_pairs(records, sides)))
    once, _ = distinct_pairs(records, left, right, known)
    copied = 0 if records.is_link else int((records.contents[left] == records.contents[right])[once].sum())
    possible = _possible_pairs(records, sides) + copied
    factors, share = _maximized(observed[once], random, rarity[once], possible, known[once])
    found = Agreement(weights_of(factors, observed) + rarity, share, log_odds(share))
    return taught(found, known) if known.any() else found


def taught(found: Agreement, known: Ints) -> Agreement:
    """The weights of each attribute scaled and the prior moved as known answers ask, and no further than they do."""
    from scipy.optimize import minimize

    told = np.nonzero(known)[0]
    said = np.concatenate((found.weights[told], np.ones((len(told), 1))), axis=1)
    before = found.weights[told].sum(axis=1) + found.prior
    answers = known[told].astype(np.float64)
    spread = np.array([_TAUGHT_SCALE] * found.weights.shape[1] + [_TAUGHT_PRIOR])

    def loss(moved: Floats) -> tuple[float, Floats]:
        margin = answers * (before + said @ moved)
        pull = moved / spread**2
        gradient = pull - said.T @ (answers * _sigmoid(-margin))
        return float(np.logaddexp(0, -margin).sum() + 0.5 * moved @ pull), gradient

    moved = np.round(minimize(loss, np.zeros(len(spread)), jac=True, method="L-BFGS-B").x, 6)
    return Agreement(found.weights * np.maximum(0, 1 + moved[:-1]), found.share_matched, found.prior + float(moved[-1]))


def _maximized(observed: Ints, random: Ints, rarity: Floats, possible: int, known: Ints) -> tuple[Floats, float]:
    """Expectation maximization over the levels of candidate pairs, with those of random pairs as what others agree on.

    The share of matches is counted among random pairs as well: of a large entity most pairs are no candidates.

    Returns:
        What each level of each attribute says, (attributes, levels), and the share of pairs that match.
    """
    attributes = range(observed.shape[1])
    of_others = np.stack([shares_of(random[:, a], np.ones(len(random)), np.array(SMOOTHING)) for a in attributes])
    of_matches = np.tile(np.array(FIRST), (len(attributes), 1))
    share = float(np.clip(len(observed) / 4 / max(1, possible), _LEAST_SHARE, _MOST_SHARE))
    for _ in range(_ROUNDS):
        factors, prior = np.log(of_matches) - np.log(of_others), log_odds(share)
        matched = _sigmoid((weights_of(factors, observed) + rarity).sum(axis=1) + prior)
        matched = np.where(known == 0, matched, known > 0)
        by_chance = float(_sigmoid(weights_of(factors, random).sum(axis=1) + prior).mean()) if len(random) else 0.0
        share = float(np.clip(max(matched.sum() / max(1, possible), by_chance), _LEAST_SHARE, _MOST_SHARE))
        of_matches = np.stack([shares_of(observed[:, a], matched, _SEEMING * np.array(FIRST)) for a in attributes])
    return np.log(of_matches) - np.log(of_others), share


def weights_of(factors: Floats, levels: Ints) -> Floats:
    """What is said of each pair by each attribute, 0 where a value is missing, (pairs, attributes)."""
    return np.take_along_axis(np.pad(factors, ((0, 0), (0, 1))).T, levels, axis=0)


def shares_of(levels: Ints, counted: Floats, smoothing: Floats) -> Floats:
    """The share of each level but the missing one, (levels,)."""
    counts = np.bincount(levels, weights=counted, minlength=_MISSING + 1)[:_MISSING] + smoothing
    return np.asarray(counts / counts.sum())


def levels(similarities: npt.NDArray[np.float32]) -> Ints:
    """0 where an attribute agrees exactly, up to len(LEVELS) where it does not, one more where a value is missing."""
    found = (similarities[..., None] < np.array(LEVELS)).sum(axis=-1)
    return np.where(np.isnan(similarities), _MISSING, found).astype(np.int64)


def rarity_of(records: Records, left: Ints, observed: Ints) -> Floats:
    """What it adds that the value on which both agree exactly is rarer than such values are, (pairs, attributes)."""
    added = np.zeros(observed.shape)
    once = np.concatenate(_distinct_records(records))
    for attribute, column in enumerate(records.columns):
        equal = observed[:, attribute] == 0
        if not column.present or not equal.any():
            continue
        held = column.codes[once]
        counts = np.bincount(held[held >= 0], minlength=len(column.distinct))
        shares = counts / counts.sum()
        usual = float((shares * shares).sum())
        added[equal, attribute] = np.log(usual) - np.log(np.append(shares, usual)[column.codes[left[equal]]])
    return np.clip(added, -_MOST_RARITY, _MOST_RARITY) * _RARITY_WEIGHT


def strangers(records: Records) -> tuple[Ints, Ints]:
    """Pairs of distinct records, drawn evenly, nearly all of which do not match; the same for the same records."""
    return _random_pairs(records, _distinct_records(records))


def possible_pairs(records: Records) -> int:
    """Pairs of distinct records."""
    return _possible_pairs(records, _distinct_records(records))


def _distinct_records(records: Records) -> tuple[Ints, ...]:
    """The first record of each content on each side."""
    sides = [np.nonzero(records.sides == side)[0] for side in ((0, 1) if records.is_link else (0,))]
    return tuple(side[np.sort(np.unique(records.contents[side], return_index=True)[1])] for side in sides)


def distinct_pairs(records: Records, left: Ints, right: Ints, known: Ints) -> tuple[Ints, Ints]:
    """The first pair of each two contents and answer, in order, and which of these each pair is like, (pairs,)."""
    contents = records.contents[left], records.contents[right]
    pair = np.minimum(*contents) * len(records) + np.maximum(*contents)
    _, first, like = np.unique(pair * 3 + known + 1, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[like]


def _random_pairs(records: Records, sides: tuple[Ints, ...]) -> tuple[Ints, Ints]:
    """Pairs of distinct records: all, or as many as are enough, drawn evenly; the same for the same records."""
    first, second = sides[0], sides[-1]
    if _possible_pairs(records, sides) > RANDOM_PAIRS:
        rng = np.random.default_rng(0)
        left, right = rng.choice(first, RANDOM_PAIRS), rng.choice(second, RANDOM_PAIRS)
        return left[left != right], right[left != right]
    if records.is_link:
        return np.repeat(first, len(second)), np.tile(second, len(first))
    left, right = np.triu_indices(len(first), 1)
    return first[left], first[right]


def _possible_pairs(records: Records, sides: tuple[Ints, ...]) -> int:
    first = len(sides[0])
    return first * len(sides[1]) if records.is_link else first * (first - 1) // 2


def log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -_LIMIT, _LIMIT))))
