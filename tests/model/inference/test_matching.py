"""How pairs of two tables stand, as features that a calibrator turns into a probability."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pytest

from model.calibration import Calibrator
from model.inference.blocking import Blocking
from model.inference.columns import Ints
from model.inference.matching import RIVAL_FEATURES, Standings, stand
from model.inference.records import Records
from model.inference.similarity import PairFeatures, Similarity
from model.tuples import Relation

MakeCalibrator = Callable[[Sequence[str], Mapping[str, float], float], Calibrator]


class TruePairs(Protocol):
    @property
    def relations(self) -> Sequence[Relation]: ...
    @property
    def pairs(self) -> frozenset[tuple[int, int]]: ...


class Stood(NamedTuple):
    records: Records
    compared: PairFeatures
    left: Ints
    right: Ints
    truth: np.ndarray
    standings: Standings


def compare(relations: Sequence[Relation]) -> tuple[Records, PairFeatures, Ints, Ints]:
    records = Records.of(relations)
    blocking = Blocking(records)
    left, right = blocking.pairs()
    return records, Similarity(records, blocking.vectors).features(left, right), left, right


@pytest.fixture(scope="module")
def stood(linked: TruePairs) -> Stood:
    records, compared, left, right = compare(linked.relations)
    places = [(records.places[a].tuple_id, records.places[b].tuple_id) for a, b in zip(left, right, strict=True)]
    standings = stand(compared, left, right, records.contents)
    assert standings is not None
    return Stood(records, compared, left, right, np.array([place in linked.pairs for place in places]), standings)


def test_evidence_tells_true_pairs_from_others(stood: Stood) -> None:
    evidence, truth = stood.standings.evidence, stood.truth
    assert evidence.shape == (len(stood.left), len(RIVAL_FEATURES))
    assert evidence.dtype == np.float32
    by_name = dict(zip(RIVAL_FEATURES, evidence.T, strict=True))
    assert np.median(by_name["odds_of_left"][truth]) > 4 > -2 > np.median(by_name["odds_of_left"][~truth])
    assert np.median(by_name["odds_of_right"][truth]) > 4 > -2 > np.median(by_name["odds_of_right"][~truth])
    assert by_name["is_mutual"][truth].mean() > 0.97
    assert by_name["is_mutual"][~truth].mean() < 0.02
    assert np.abs(evidence[:, :4]).max() <= np.log(999) + 1e-4


def test_odds_of_mutual_pairs_stand_beside_those_of_all(stood: Stood) -> None:
    left, right, left_if, right_if, mutual = stood.standings.evidence.T
    assert np.array_equal(left_if, np.where(mutual == 1, left, 0))
    assert np.array_equal(right_if, np.where(mutual == 1, right, 0))
    assert 190 < mutual.sum() < 260


def test_shares_of_matched_records_are_those_of_either_side(stood: Stood, linked: TruePairs) -> None:
    assert stood.standings.shares_matched == pytest.approx((2 / 3, 2 / 3), abs=0.08)
    first, second = linked.relations
    fewer = Relation.of(second.attributes, [row for number, row in enumerate(second.tuples) if number % 2])
    records, compared, left, right = compare([first, fewer])
    standings = stand(compared, left, right, records.contents)
    matched = sum(1 for pair in linked.pairs if pair[1] % 2)
    assert standings is not None
    assert standings.shares_matched[0] == pytest.approx(matched / 300, abs=0.1)
    assert standings.shares_matched[1] == pytest.approx(matched / 150, abs=0.1)
    assert standings.shares_matched[1] > standings.shares_matched[0] + 0.15


def test_probabilities_are_the_calibrators(stood: Stood, make_calibrator: MakeCalibrator) -> None:
    calibrator = make_calibrator(RIVAL_FEATURES, {"odds_of_left": 0.5, "is_mutual": 1.0}, -0.5)
    found = stood.standings.probabilities(calibrator)
    raw = 1 / (1 + np.exp(-(0.5 * stood.standings.evidence[:, 0] + stood.standings.evidence[:, 4] - 0.5)))
    assert found == pytest.approx(0.0001 + raw * 0.9998, abs=1e-5)


def test_small_tables_do_not_stand(linked: TruePairs) -> None:
    few = [Relation.of(one.attributes, one.tuples[:12]) for one in linked.relations]
    records, compared, left, right = compare(few)
    assert stand(compared, left, right, records.contents) is None
    records, nothing, left, right = compare([Relation.of(("a",), []), few[0]])
    assert stand(nothing, left, right, records.contents) is None


def test_known_answers_are_taken_into_account(stood: Stood) -> None:
    """Told that forty of the clearest pairs are none, the tables teach something else."""
    told = np.where(stood.truth & (np.cumsum(stood.truth) <= 40), -1, 0)
    taught = stand(stood.compared, stood.left, stood.right, stood.records.contents, told)
    assert taught is not None
    assert not np.array_equal(taught.evidence, stood.standings.evidence)
    again = stand(stood.compared, stood.left, stood.right, stood.records.contents, np.zeros(len(told), np.int64))
    assert again is not None
    assert np.array_equal(again.evidence, stood.standings.evidence)
