"""How pairs stand becomes numbers of known order and range, and none where tables are too small."""

from __future__ import annotations

import random

import numpy as np

from model.inference.blocking import Blocking
from model.inference.matching import RIVAL_FEATURES, Standings, stand
from model.inference.records import Records
from model.inference.similarity import Similarity
from model.tuples import Relation
from tests.conftest import MakeCalibrator


def standings(count: int) -> tuple[Standings | None, np.ndarray]:
    """Of two tables with `count` records each, all of which match, and which candidates do."""
    rng = random.Random(0)
    names = [" ".join("".join(rng.choices("abcdefghijklm", k=5)) for _ in range(3)) for _ in range(count)]
    records = Records.of([Relation.of(["name"], [[name + end] for name in names]) for end in ("", " x")])
    blocking = Blocking(records)
    left, right = blocking.pairs()
    compared = Similarity(records, blocking.vectors).features(left, right)
    same = [
        records.values[one][0] == (records.values[other][0] or "")[:-2] for one, other in zip(left, right, strict=True)
    ]
    return stand(compared, left, right), np.array(same)


def test_matches_stand_first_with_odds_for_them(make_calibrator: MakeCalibrator) -> None:
    found, same = standings(60)
    assert found is not None and found.evidence.shape == (len(same), len(RIVAL_FEATURES))
    named = dict(zip(RIVAL_FEATURES, found.evidence.T, strict=True))
    assert set(named["is_mutual"].tolist()) == {0.0, 1.0} and named["is_mutual"][same].all()
    assert np.abs(named["odds_of_left"]).max() < 7.0
    assert (named["odds_of_left_if_mutual"] == named["odds_of_left"] * named["is_mutual"]).all()
    assert named["odds_of_right"][same].min() > 0
    assert min(found.shares_matched) > 0.9
    calibrator = make_calibrator(RIVAL_FEATURES, {"is_mutual": 8.0}, -4.0)
    probabilities = found.probabilities(calibrator)
    assert probabilities[same].min() > 0.9 > 0.1 > probabilities[named["is_mutual"] == 0].max()


def test_tables_that_are_too_small_teach_nothing() -> None:
    assert standings(5)[0] is None
