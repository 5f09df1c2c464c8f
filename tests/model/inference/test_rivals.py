"""Two tables teach what a match is, and how many records have one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from model.inference.blocking import Blocking
from model.inference.records import Records
from model.inference.rivals import FEWEST_SEEDS, standing, strangers, taught_by_rivals
from model.inference.similarity import PairFeatures, Similarity
from model.tuples import Relation


def words(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(count)]


@pytest.fixture(scope="module")
def linked() -> tuple[np.ndarray, np.ndarray, PairFeatures, np.ndarray]:
    """Candidates of 300 and 300 records of which 200 are the same, and which candidates match."""
    rng = random.Random(0)
    common = words(rng, 30)
    things = [[*words(rng, 2), *rng.sample(common, 3), f"m{rng.randint(1000, 9999)}"] for _ in range(400)]
    left = [[" ".join(thing), str(number)] for number, thing in enumerate(things[:300])]
    right = []
    for number, thing in enumerate(things[100:], start=100):
        kept = [word for word in thing if rng.random() < 0.8]
        rng.shuffle(kept)
        right.append([" ".join(kept + rng.sample(common, 1)), str(number)])
    hidden = [Relation.of(["text"], [row[:1] for row in rows]) for rows in (left, right)]
    records = Records.of(hidden)
    blocking = Blocking(records, 10)
    one, other = blocking.pairs()
    truth = np.array([(left, right)[place.relation][place.tuple_id][1] for place in records.places])
    return one, other, Similarity(records, blocking.vectors).features(one, other), truth[one] == truth[other]


def taught(
    linked: tuple[np.ndarray, np.ndarray, PairFeatures, np.ndarray], told: np.ndarray | None = None
) -> np.ndarray:
    one, other, features, _ = linked
    first, second = (features.values[:, place].astype(np.float64) for place in (0, 1))
    logits = taught_by_rivals(features.values, one, other, first, second, told)
    assert logits is not None
    return logits


def test_ranks_and_leads_are_those_among_the_pairs_of_a_record() -> None:
    ranked = standing(np.array([0, 0, 1, 1, 2]), np.array([5, 6, 5, 6, 7]), np.array([0.9, 0.4, 0.7, 0.8, 0.1]))
    assert ranked.rank_left.tolist() == [0, 1, 1, 0, 0]
    assert ranked.rank_right.tolist() == [0, 1, 1, 0, 0]
    assert ranked.is_mutual.tolist() == [True, False, False, True, True]
    assert ranked.lead_left.tolist() == pytest.approx([0.5, -0.5, -0.1, 0.1, 0.0])
    assert ranked.lead_right.tolist() == pytest.approx([0.2, -0.4, -0.2, 0.4, 0.0])
    assert ranked.lead.tolist() == pytest.approx([0.2, -0.5, -0.2, 0.1, 0.0])
    assert standing(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)).is_mutual.shape == (0,)


def test_pairs_of_equal_scores_share_their_rank_and_neither_leads() -> None:
    ranked = standing(np.array([0, 0]), np.array([1, 2]), np.array([0.5, 0.5]))
    assert ranked.rank_left.tolist() == [0, 0] and ranked.lead_left.tolist() == [0.0, 0.0]


def test_the_tables_put_matches_before_others(
    linked: tuple[np.ndarray, np.ndarray, PairFeatures, np.ndarray],
) -> None:
    logits, truth = taught(linked), linked[3]
    mutual = standing(linked[0], linked[1], logits).is_mutual
    assert truth.sum() == 200
    assert (mutual & truth).sum() >= 190
    assert np.median(logits[truth]) > 2 > -2 > np.median(logits[~truth])


def test_the_share_of_records_with_a_match_is_estimated_without_a_label(
    linked: tuple[np.ndarray, np.ndarray, PairFeatures, np.ndarray],
) -> None:
    ranked = standing(linked[0], linked[1], taught(linked))
    for owner, rank in ((linked[0], ranked.rank_left), (linked[1], ranked.rank_right)):
        found = strangers(owner, ranked, rank)
        assert found.share_matched == pytest.approx(200 / 300, abs=0.1)
        best = ranked.is_mutual
        assert found.probability[best & linked[3]].mean() > 0.9
        assert found.probability[best & ~linked[3]].mean() < 0.5
        order = np.argsort(ranked.scores)
        assert (np.diff(found.probability[order]) >= -1e-9).all()


def test_what_is_told_changes_what_is_taught(
    linked: tuple[np.ndarray, np.ndarray, PairFeatures, np.ndarray],
) -> None:
    plain = taught(linked)
    doubtful = np.argsort(np.abs(plain))[:40]
    told = np.zeros(len(plain), np.int64)
    told[doubtful] = np.where(linked[3][doubtful], 1, -1)
    again = taught(linked, told)
    right = [(logits[doubtful] > 0) == linked[3][doubtful] for logits in (plain, again)]
    assert right[1].sum() > right[0].sum()


def test_too_few_clear_pairs_teach_nothing() -> None:
    count = FEWEST_SEEDS - 1
    one, other = np.arange(count), np.arange(count, 2 * count)
    scores = np.linspace(0.1, 0.9, count)
    assert taught_by_rivals(np.zeros((count, 3), np.float32), one, other, scores, scores) is None


def test_without_a_clear_match_nobody_is_known_to_be_a_stranger() -> None:
    one, other = np.array([0, 1]), np.array([2, 3])
    ranked = standing(one, other, np.array([0.4, 0.6]))
    assert strangers(one, ranked, ranked.rank_left).probability.tolist() == [0.5, 0.5]
