"""Known cells are filled for practice, and what that shows changes what is believed of the cells that are asked."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.inference import practice
from model.inference.batching import run_task
from model.inference.completion import complete
from model.inference.practice import LEAST_CELLS, MOST_CELLS, practice_cells, practise
from model.inference.statistics import RelationStatistics
from model.tuples import Cell, CompletionOptions, CompletionResult, CompletionTarget, Relation

MakeCalibration = Callable[..., Calibration]
CITIES = (("02116", "Boston"), ("80202", "Denver"), ("73301", "Austin"), ("97201", "Portland"))


def towns(count: int, missing: int) -> Relation:
    """A zip code always tells the city; the last `missing` cities are missing."""
    rng = random.Random(3)
    rows = [[f"R{number:04d}", *rng.choice(CITIES)] for number in range(count)]
    for row in rows[count - missing :]:
        row[2] = None  # type: ignore[call-overload]
    return Relation.of(("id", "zip", "city"), rows)


def fill(checkpoint: Checkpoint, relation: Relation, **options: object) -> CompletionResult:
    chosen = CompletionOptions(min_confidence=0.0, **options)  # type: ignore[arg-type]
    return run_task(checkpoint, complete(checkpoint, relation, chosen))


@pytest.fixture(scope="module")
def unsure(checkpoint: Checkpoint, make_calibration: MakeCalibration) -> Checkpoint:
    """Gives every candidate the same small chance."""
    return replace(checkpoint, calibration=make_calibration({}, -9, {}, -1.5))


def test_the_source_that_finds_known_values_is_believed(unsure: Checkpoint) -> None:
    relation = towns(200, 12)
    truth = dict(CITIES)
    before, after = fill(unsure, relation, practice=False), fill(unsure, relation)
    for unpractised, one in zip(before.completions, after.completions, strict=True):
        zip_code = relation.value(Cell(one.cell.tuple_id, 1)) or ""
        assert unpractised.confidence is not None and unpractised.confidence < 0.3
        assert one.value == truth[zip_code]
        assert one.confidence is not None and one.confidence > 0.8
    assert after.usage.encoder_tokens > before.usage.encoder_tokens
    assert after.usage.decoder_tokens > before.usage.decoder_tokens


def test_what_cannot_be_found_lowers_confidence(checkpoint: Checkpoint, make_calibration: MakeCalibration) -> None:
    """Cities drawn by lot are not told by anything, however sure the calibrator is of the first candidate."""
    rng = random.Random(5)
    rows = [[f"R{number:04d}", rng.choice(CITIES)[0], rng.choice(CITIES)[1]] for number in range(200)]
    for row in rows[180:]:
        row[2] = None  # type: ignore[call-overload]
    relation = Relation.of(("id", "zip", "city"), rows)
    rash = replace(checkpoint, calibration=make_calibration({}, -9, {"rank": -6.0}, 3.0))
    before, after = fill(rash, relation, practice=False), fill(rash, relation)
    mean = [float(np.mean([one.confidence or 0.0 for one in result.completions])) for result in (before, after)]
    assert mean[0] > 0.6
    assert mean[1] < mean[0] - 0.2


def test_order_changes_no_bit(unsure: Checkpoint) -> None:
    relation = towns(200, 12)
    rows = random.Random(8).sample(range(200), 200)
    moved = Relation.of(("city", "id", "zip"), [[relation.tuples[row][place] for place in (2, 0, 1)] for row in rows])
    there = {
        one.cell.tuple_id: (one.value, one.confidence, one.candidates) for one in fill(unsure, relation).completions
    }
    here = {
        rows[one.cell.tuple_id]: (one.value, one.confidence, one.candidates) for one in fill(unsure, moved).completions
    }
    assert there == here and len(there) == 12


def test_half_typed_values_are_as_before(unsure: Checkpoint) -> None:
    relation = towns(200, 12)
    targets = tuple(CompletionTarget(Cell(row, 2), "B") for row in range(188, 200))
    with_practice = fill(unsure, relation, targets=targets)
    assert with_practice.completions == fill(unsure, relation, targets=targets, practice=False).completions


@pytest.mark.parametrize(
    ("known", "targets", "cells"),
    [(79, 20, 0), (80, 20, 16), (80, 7, 0), (80, 8, 16), (400, 20, 40), (2000, 200, MOST_CELLS), (0, 50, 0)],
)
def test_practice_is_in_proportion(known: int, targets: int, cells: int) -> None:
    relation = Relation.of(("a", "b"), [[str(row), "x"] for row in range(known)] + [[None, "x"]] * targets)
    chosen = practice_cells(relation, [Cell(known + row, 0) for row in range(targets)])
    assert len(chosen) == len(set(chosen)) == cells
    assert all(relation.value(cell) for cell in chosen)
    if cells:
        gaps = np.diff([cell.tuple_id for cell in chosen])
        assert chosen[0].tuple_id == 0 and chosen[-1].tuple_id == known - 1
        assert gaps.max() - gaps.min() <= 1


def test_every_asked_column_is_practised_on_by_itself() -> None:
    rows = [[str(row), "x" if row % 2 else None, "y"] for row in range(300)]
    targets = [Cell(row, 1) for row in range(0, 300, 2)] + [Cell(row, 2) for row in range(3)]
    chosen = practice_cells(Relation.of(("a", "b", "c"), rows), targets)
    assert {cell.attribute for cell in chosen} == {1}
    assert len(chosen) == 150 // practice.KNOWN_PER_CELL >= LEAST_CELLS


def test_a_long_table_is_practised_on_in_part(unsure: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(practice, "MAX_TUPLES", 60)
    relation = towns(300, 20)
    seen: list[int] = []

    def counting(part: Relation) -> RelationStatistics:
        seen.append(len(part))
        return RelationStatistics(part)

    monkeypatch.setattr(practice, "RelationStatistics", counting)
    targets = [Cell(row, 2) for row in range(280, 300)]
    practised = run_task(unsure, practise(unsure, relation, targets, 4))
    assert seen == [60]
    assert practised.cells == 40


def test_without_practice_nothing_is_asked_and_nothing_changes(unsure: Checkpoint) -> None:
    relation = towns(30, 5)
    practised = run_task(unsure, practise(unsure, relation, [Cell(row, 2) for row in range(25, 30)], 4))
    assert (practised.cells, practised.encoder_tokens, practised.decoder_tokens) == (0, 0, 0)
    assert fill(unsure, relation).completions == fill(unsure, relation, practice=False).completions
