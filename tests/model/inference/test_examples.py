"""Labelled cells move what is said of the others: by column, shape, vote and edit, and only as far as they speak."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from model.calibration import Calibration, Calibrator
from model.inference.candidates import FILL_FEATURES, AskedCell, CandidateSet
from model.inference.columns import Column
from model.inference.examples import (
    DetectionLessons,
    KnownCell,
    LabelledCandidates,
    RepairLessons,
    combined,
    learn_programs,
)
from model.inference.filling import CellEvidence
from model.inference.programs import Program, Proposal
from model.tuples import Cell

AMOUNTS = [f"{n}.0 oz" for n in range(1, 9)] + [str(n) for n in range(10, 18)]


@pytest.fixture
def calibration(make_calibration: Callable[..., Calibration]) -> Calibration:
    return make_calibration({}, -4, {}, 0)


@pytest.fixture
def detector(calibration: Calibration) -> Calibrator:
    return calibration["detection"]


def features(detector: Calibrator, count: int, **named: float | list[float]) -> np.ndarray:
    made = np.zeros((count, len(detector.features)), dtype=np.float32)
    for name, values in named.items():
        made[:, detector.features.index(name)] = values
    return made


def known(
    detector: Calibrator, places: list[int], true: Callable[[str], str], *, contradicted: bool = False
) -> list[KnownCell]:
    its = features(detector, 1, vote_contradicts=float(contradicted), vote_strength=1.0)[0]
    return [KnownCell(Cell(place, 0), AMOUNTS[place], true(AMOUNTS[place]), 0.02, its) for place in places]


def judged(lessons: DetectionLessons, detector: Calibrator, attribute: int = 0, **named: list[float]) -> np.ndarray:
    its = features(detector, len(AMOUNTS), vote_strength=1.0, **named)
    return lessons.error_probabilities(attribute, Column(AMOUNTS), its, np.full(len(AMOUNTS), 0.02))


def test_a_shape_that_is_wrong_where_it_is_known_is_wrong_throughout(detector: Calibrator) -> None:
    labels = known(detector, [0, 3, 5, 10, 13], lambda value: value.removesuffix(".0 oz"))
    lessons = DetectionLessons(labels, detector)
    probabilities = judged(lessons, detector)
    assert probabilities[[1, 2, 4, 6, 7]].min() > 0.5
    assert probabilities[8:].max() < 0.3
    assert [one.wrong for one in labels] == [True, True, True, False, False]


def test_what_is_confirmed_stays_as_it_was_or_becomes_surer(detector: Calibrator) -> None:
    lessons = DetectionLessons(known(detector, [0, 3, 5, 10, 13], lambda value: value), detector)
    assert judged(lessons, detector).max() <= 0.02


def test_another_attribute_hears_of_it_by_shared_features_only(detector: Calibrator) -> None:
    lessons = DetectionLessons(known(detector, [0, 3], lambda value: value.removesuffix(".0 oz")), detector)
    here, there = judged(lessons, detector), judged(lessons, detector, attribute=1)
    assert there.max() < 0.1 < here[1]


def test_contradicted_cells_are_told_from_others(detector: Calibrator) -> None:
    right = known(detector, [10, 11, 12, 13], lambda value: value)
    wrong = known(detector, [14, 15, 0, 1], lambda value: "99", contradicted=True)
    lessons = DetectionLessons([*right, *wrong], detector)
    probabilities = judged(lessons, detector, vote_contradicts=[0.0, 1.0] * 8)
    assert probabilities[9] > probabilities[8]
    assert probabilities[[9, 3, 5, 7]].min() > probabilities[[8, 2, 4, 6]].max()


def test_400_labels_take_a_moment(detector: Calibrator) -> None:
    rng = np.random.default_rng(0)
    labels = [
        KnownCell(
            Cell(row, attribute),
            f"{row}.{attribute} oz",
            f"{row}" if attribute % 3 else f"{row}.{attribute} oz",
            0.1,
            rng.normal(size=len(detector.features)).astype(np.float32),
        )
        for row in range(20)
        for attribute in range(20)
    ]
    began = time.monotonic()
    lessons = DetectionLessons(labels, detector)
    assert lessons.known_logits.shape == (400,)
    assert time.monotonic() - began < 2


# ---------------------------------------------------------------------------------------------- repair


def candidates(row: int, observed: str, respelled: str, written: str) -> CandidateSet:
    """Two candidates that the calibrator cannot tell apart: one in the usual spelling, one that the model wrote."""
    return CandidateSet(
        AskedCell(Cell(row, 0)),
        (observed, respelled, written),
        (False, False, True),
        np.zeros((3, len(FILL_FEATURES)), dtype=np.float32),
        (),
        frozenset(),
        (),
        CellEvidence(),
        {},
        respelled=respelled,
    )


def corrected(row: int) -> LabelledCandidates:
    return LabelledCandidates(Cell(row, 0), f"o{row}", f"r{row}", candidates(row, f"o{row}", f"r{row}", f"w{row}"))


def test_the_source_that_was_right_on_corrected_cells_is_believed(calibration: Calibration) -> None:
    repair = calibration["repair"]
    lessons = RepairLessons([corrected(row) for row in range(5)], repair, {})
    found = candidates(9, "o9", "r9", "w9")
    before = repair.predict(found.features[:, : len(repair.features)])
    after = lessons.confidences(found, before)
    assert before[1] == before[2] == 0.5
    assert after[1] > 0.75 and after[2] < 0.25


def test_without_corrected_cells_confidences_are_as_before(calibration: Calibration) -> None:
    found = candidates(9, "o9", "r9", "w9")
    before = np.array([0.1, 0.5, 0.4])
    assert RepairLessons([], calibration["repair"], {}).confidences(found, before) is before


def test_edits_are_kept_by_attribute(calibration: Calibration, detector: Calibrator) -> None:
    labels = known(detector, [0, 3, 5], lambda value: value.removesuffix(".0 oz"))
    lessons = RepairLessons([], calibration["repair"], learn_programs(labels))
    proposal = lessons.proposal(0, "77.0 oz")
    assert proposal is not None and proposal.value == "77"
    assert lessons.proposal(1, "77.0 oz") is None


def test_two_sources_that_agree_are_surer_and_the_surer_one_wins() -> None:
    edit = Proposal("12", 0.8, Program("number", (0, 1.0, -1)), (1,))
    agreed = combined({"12": 0.6, "16": 0.2}, edit)
    assert agreed["12"] > 0.85 and agreed["16"] < 0.1
    assert combined({"16": 0.97}, edit)["16"] > 0.8
    assert combined({"16": 0.3}, edit)["12"] > 0.7
    assert combined({}, edit) == {"12": pytest.approx(0.8)}
    for confidences in ({"12": 1.0}, {"16": 1.0}, {"16": 0.5, "12": 0.5}):
        assert 0 < sum(combined(confidences, edit).values()) <= 1
