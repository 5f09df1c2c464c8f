"""Two tables teach what a match is, and how many records have one, before anybody labels a pair."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pytest

from model.inference import rivals
from model.inference.blocking import Blocking
from model.inference.columns import Floats, Ints
from model.inference.records import Records
from model.inference.rivals import FEWEST_SEEDS, standing, strangers, taught_by_rivals
from model.inference.similarity import PairFeatures, Similarity
from model.tuples import Relation


class TruePairs(Protocol):
    @property
    def relations(self) -> Sequence[Relation]: ...
    @property
    def pairs(self) -> frozenset[tuple[int, int]]: ...


class Observed(NamedTuple):
    """Candidate pairs, and which are true."""

    features: PairFeatures
    left: Ints
    right: Ints
    truth: np.ndarray

    def taught(self, told: Ints | None = None) -> Floats | None:
        values = self.features.values.astype(np.float64)
        return taught_by_rivals(self.features.values, self.left, self.right, values[:, 0], values[:, 1], told)


@pytest.fixture(scope="module")
def observed(linked: TruePairs) -> Observed:
    records = Records.of(linked.relations)
    blocking = Blocking(records)
    left, right = blocking.pairs()
    places = [(records.places[a].tuple_id, records.places[b].tuple_id) for a, b in zip(left, right, strict=True)]
    truth = np.array([place in linked.pairs for place in places])
    return Observed(Similarity(records, blocking.vectors).features(left, right), left, right, truth)


def numbers(*some: int) -> Ints:
    return np.array(some, dtype=np.int64)


# Standing ---------------------------------------------------------------------------------------------


def test_ranks_and_leads_by_hand() -> None:
    """Record 0 has pairs of .9 and .5, record 1 of .7 and .6; on the right 5 has .9 and .7, 6 has .5 and .6."""
    found = standing(numbers(0, 0, 1, 1), numbers(5, 6, 5, 6), np.array([0.9, 0.5, 0.7, 0.6]))
    assert found.rank_left.tolist() == [0, 1, 0, 1]
    assert found.rank_right.tolist() == [0, 1, 1, 0]
    assert found.lead_left.tolist() == pytest.approx([0.4, -0.4, 0.1, -0.1])
    assert found.lead_right.tolist() == pytest.approx([0.2, -0.1, -0.2, 0.1])
    assert found.is_mutual.tolist() == [True, False, False, False]
    assert found.lead.tolist() == pytest.approx([0.2, -0.4, -0.2, -0.1])


def test_a_pair_without_rivals_leads_the_least_of_all() -> None:
    found = standing(numbers(0, 1, 1), numbers(5, 6, 7), np.array([0.9, 0.5, 0.2]))
    assert found.lead_left.tolist() == pytest.approx([0.7, 0.3, -0.3])
    assert found.lead_right.tolist() == pytest.approx([0.7, 0.3, 0.0])


def test_equal_scores_share_a_rank_whatever_their_order() -> None:
    scores = np.array([0.5, 0.9, 0.9, 0.2])
    found = standing(numbers(0, 0, 0, 0), numbers(1, 2, 3, 4), scores)
    assert found.rank_left.tolist() == [2, 0, 0, 3]
    assert found.is_mutual.tolist() == [False, True, True, False]
    assert found.lead_left.tolist() == pytest.approx([-0.4, 0.0, 0.0, -0.7])


def test_permuted_pairs_stand_as_before(observed: Observed) -> None:
    scores: Floats = np.asarray(np.round(observed.features.values[:, 0], 1), dtype=np.float64)  # many ties
    plain = standing(observed.left, observed.right, scores)
    new = np.random.default_rng(0).permutation(len(scores))
    moved = standing(observed.left[new], observed.right[new], scores[new])
    for name in ("rank_left", "rank_right", "lead_left", "lead_right", "is_mutual", "lead"):
        assert np.array_equal(getattr(moved, name), getattr(plain, name)[new])


def test_no_pairs_stand_nowhere() -> None:
    none = numbers()
    found = standing(none, none, np.zeros(0))
    assert len(found.rank_left) == len(found.lead) == len(found.is_mutual) == 0
    assert strangers(none, found, found.rank_left).share_matched == 0


# Teaching ---------------------------------------------------------------------------------------------


def test_what_the_tables_teach_puts_nearly_all_true_pairs_first(observed: Observed) -> None:
    logits = observed.taught()
    assert logits is not None
    assert observed.truth.sum() == 200
    first = np.argsort(-logits, kind="stable")[:200]
    assert observed.truth[first].sum() >= 196
    assert (logits[observed.truth] > 0).mean() > 0.93
    assert (logits[~observed.truth] > 0).mean() < 0.03
    by_characters = np.argsort(-observed.features.values[:, 0], kind="stable")[:200]
    assert observed.truth[by_characters].sum() < observed.truth[first].sum()


def test_few_clear_pairs_teach_nothing(observed: Observed) -> None:
    for least, expected in ((FEWEST_SEEDS - 1, True), (3 * FEWEST_SEEDS, False)):
        kept = np.isin(observed.left, np.unique(observed.left[observed.truth])[:least])
        few = Observed(
            PairFeatures(observed.features.names, observed.features.values[kept], observed.features.similarities[kept]),
            observed.left[kept],
            observed.right[kept],
            observed.truth[kept],
        )
        assert (few.taught() is None) is expected


def test_pairs_without_rivals_teach_nothing() -> None:
    """With one candidate each, and all of them each other's, there is nothing to tell matches from."""
    count = 2 * FEWEST_SEEDS
    scores = np.linspace(0.5, 1, count)
    left = np.arange(count)
    assert taught_by_rivals(scores[:, None].astype(np.float32), left, left + count, scores, scores) is None


def test_what_is_the_same_everywhere_or_unknown_changes_nothing(observed: Observed) -> None:
    plain, values = observed.taught(), observed.features.values
    constants = np.full((len(values), 2), (3.0, np.nan), dtype=np.float32)
    first, second = values[:, 0].astype(np.float64), values[:, 1].astype(np.float64)
    wider = np.concatenate((constants, values), axis=1)
    taught = taught_by_rivals(wider, observed.left, observed.right, first, second)
    assert plain is not None and taught is not None
    assert np.array_equal(taught, plain)


def test_permuted_pairs_are_taught_the_same(observed: Observed) -> None:
    plain = observed.taught()
    new = np.random.default_rng(1).permutation(len(observed.left))
    values = observed.features.values[new]
    moved = Observed(
        PairFeatures(observed.features.names, values, values), *(one[new] for one in observed[1:])
    ).taught()
    assert plain is not None and moved is not None
    assert np.allclose(moved, plain[new], atol=0.05)


def series(count: int = 60) -> tuple[np.ndarray, Ints, Ints, Floats]:
    """Each record with its own partner (.9) and two rivals (.4); the second feature is 1 or 0 by lot, for all alike."""
    rng = random.Random(3)
    pairs = [(one, (one + step) % count, 0.9 if not step else 0.4) for one in range(count) for step in (0, 1, 2)]
    scores = np.array([score + rng.random() / 10 for _, _, score in pairs])
    features = np.array([(score, rng.random() < 0.5) for score in scores], dtype=np.float32)
    left, right, _ = (np.array(side) for side in zip(*pairs, strict=True))
    return features, left.astype(np.int64), right.astype(np.int64) + count, scores


def test_known_answers_change_what_is_taught() -> None:
    """Nothing in the tables tells that a pair with the second feature is none; thirty answers do."""
    features, left, right, scores = series()
    own, odd = scores > 0.8, features[:, 1] == 1
    plain = taught_by_rivals(features, left, right, scores, scores)
    told = np.where(own & (left < 30), np.where(odd, -1, 1), 0)
    taught = taught_by_rivals(features, left, right, scores, scores, told)
    assert plain is not None and taught is not None
    others = own & (left >= 30)
    assert (plain[others] > 0).all()
    assert (taught[others & ~odd] > 0).all()
    assert (taught[others & odd] < 0).all()
    assert (others & odd).sum() > 5


def test_known_answers_are_never_thinned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    features, left, right, scores = series(400)
    own, odd = scores > 0.8, features[:, 1] == 1
    told = np.where(own & (left < 30), np.where(odd, -1, 1), 0)
    monkeypatch.setattr(rivals, "_LEARNED_PAIRS", 100)
    taught = taught_by_rivals(features, left, right, scores, scores, told)
    assert taught is not None
    assert taught[own & odd].mean() < taught[own & ~odd].mean() - 2


# Strangers --------------------------------------------------------------------------------------------


def test_the_share_of_matched_records_is_near_the_truth_on_both_sides(observed: Observed) -> None:
    logits = observed.taught()
    assert logits is not None
    ranked = standing(observed.left, observed.right, logits)
    for owner, rank in ((observed.left, ranked.rank_left), (observed.right, ranked.rank_right)):
        found = strangers(owner, ranked, rank)
        assert found.share_matched == pytest.approx(200 / 300, abs=0.08)
        assert found.probability[observed.truth].mean() > 0.95
        assert found.probability[~observed.truth].mean() < 0.1
        order = np.argsort(logits)
        assert (np.diff(found.probability[order]) >= 0).all()


def test_fewer_matches_are_estimated_where_there_are_fewer(linked: TruePairs) -> None:
    """Of the first table only the records without a match, and 60 of those with one."""
    relation = linked.relations[0]
    fewer = Relation.of(relation.attributes, relation.tuples[:160])
    records = Records.of([fewer, linked.relations[1]])
    blocking = Blocking(records)
    left, right = blocking.pairs()
    values = Similarity(records, blocking.vectors).features(left, right).values
    logits = taught_by_rivals(values, left, right, values[:, 0].astype(np.float64), values[:, 1].astype(np.float64))
    assert logits is not None
    ranked = standing(left, right, logits)
    shares = [
        strangers(owner, ranked, rank).share_matched
        for owner, rank in ((left, ranked.rank_left), (right, ranked.rank_right))
    ]
    assert shares == pytest.approx([60 / 160, 60 / 300], abs=0.15)
    assert shares[0] > shares[1] + 0.1


def test_too_few_strangers_leave_it_open() -> None:
    for seconds in (0, 5):
        left, right = np.r_[np.arange(30), np.arange(30 - seconds, 30)], np.arange(30, 60 + seconds)
        ranked = standing(left, right, np.r_[np.linspace(0.5, 1, 30), np.zeros(seconds)])
        found = strangers(left, ranked, ranked.rank_left)
        assert found.share_matched == 0.5
        assert found.probability.tolist() == [0.5] * (30 + seconds)
