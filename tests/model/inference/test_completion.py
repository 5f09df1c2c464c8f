"""Missing cells are filled and half-typed ones continued, in the order asked, the same for every order and company."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from model.calibration import Calibration, Calibrator
from model.checkpoint import Checkpoint
from model.errors import CheckpointError, OptionError
from model.inference.batching import TaskPool, run_task
from model.inference.candidates import FILL_FEATURES, MODEL_FEATURES
from model.inference.cleaning import clean
from model.inference.completion import MAX_PREFIX_CHARACTERS, complete
from model.tuples import (
    Cell,
    Completion,
    CompletionOptions,
    CompletionResult,
    CompletionTarget,
    Outcome,
    Relation,
    Value,
)

ID, NAME, ZIP, CITY, STATE, PHONE = range(6)
MakeCalibration = Callable[..., Calibration]
MakeCalibrator = Callable[..., Calibrator]


@pytest.fixture(scope="module")
def gaps(people: Relation) -> Relation:
    """Many cells missing, up to all six of a tuple."""
    rng = random.Random(2)
    rows = [[None if rng.random() < 0.2 else value for value in values] for values in people.tuples[:30]]
    rows[7] = [None] * 6
    return Relation.of(people.attributes, rows, "gaps")


@pytest.fixture(scope="module")
def voting(checkpoint: Checkpoint, make_calibration: MakeCalibration) -> Checkpoint:
    """Believes the vote of agreeing tuples."""
    return replace(checkpoint, calibration=make_calibration({}, -9, {"candidate_vote_is_top": 8}, -4))


@pytest.fixture(scope="module")
def believing(checkpoint: Checkpoint, make_calibration: MakeCalibration) -> Checkpoint:
    """Believes what the decoder writes, the more the likelier it is."""
    return replace(checkpoint, calibration=make_calibration({}, -9, {"written": 8, "rank": -4}, -4))


def run(checkpoint: Checkpoint, relation: Relation, **options: Any) -> CompletionResult:
    return run_task(checkpoint, complete(checkpoint, relation, CompletionOptions(**options)))


def permuted(relation: Relation, rows: Sequence[int], columns: Sequence[int]) -> Relation:
    return Relation.of(
        [relation.attributes[column] for column in columns],
        [[relation.tuples[row][column] for column in columns] for row in rows],
        relation.name,
    )


def moved_back(result: CompletionResult, rows: Sequence[int], columns: Sequence[int]) -> dict[Cell, Completion]:
    """Completions of a permuted relation by the cells of the relation before."""
    found = {}
    for one in result.completions:
        cell = Cell(rows[one.cell.tuple_id], columns[one.cell.attribute])
        evidence = replace(one.evidence, tuple_ids=tuple(rows[place] for place in one.evidence.tuple_ids))
        found[cell] = replace(one, cell=cell, evidence=evidence)
    return found


def by_cell(result: CompletionResult) -> dict[Cell, Completion]:
    return {one.cell: one for one in result.completions}


# ------------------------------------------------------------------------------------------ invariance


def test_a_permutation_of_rows_and_columns_changes_no_bit(
    checkpoint: Checkpoint, voting: Checkpoint, gaps: Relation
) -> None:
    rng = random.Random(8)
    rows, columns = rng.sample(range(30), 30), rng.sample(range(6), 6)
    for one in (checkpoint, voting):
        result = run(one, gaps)
        assert len(result.completions) > 40
        assert moved_back(run(one, permuted(gaps, rows, columns)), rows, columns) == by_cell(result)


def test_company_in_the_pool_changes_no_bit_over_500_rows(checkpoint: Checkpoint, gaps: Relation) -> None:
    rng = random.Random(4)
    rows = [[f"P{number:04d}", *rng.choice(gaps.tuples)[1:]] for number in range(500)]
    large = Relation.of(gaps.attributes, rows)
    targets = tuple(
        CompletionTarget(Cell(number, CITY), "B" if number % 3 == 0 else None) for number in range(0, 500, 5)
    )
    alone = run(checkpoint, large, targets=targets)
    pool = TaskPool(checkpoint)
    pool.add(clean(checkpoint, gaps))
    shared = pool.add(complete(checkpoint, large, CompletionOptions(targets=targets)))
    pool.add(complete(checkpoint, gaps))
    finished = {one.task_id: one for _ in iter(lambda: len(pool), 0) for one in pool.step()}
    result = finished[shared].result
    assert isinstance(result, CompletionResult)
    assert result.completions == alone.completions
    assert all(one.error is None for one in finished.values())


def test_the_order_of_targets_is_kept_and_changes_nothing_else(checkpoint: Checkpoint, gaps: Relation) -> None:
    targets = [CompletionTarget(Cell(tuple_id, attribute)) for tuple_id in (7, 3) for attribute in range(6)]
    mixed = random.Random(1).sample(targets, len(targets))
    forward, other = run(checkpoint, gaps, targets=tuple(targets)), run(checkpoint, gaps, targets=tuple(mixed))
    assert [one.cell for one in forward.completions] == [target.cell for target in targets]
    assert [one.cell for one in other.completions] == [target.cell for target in mixed]
    assert by_cell(forward) == by_cell(other)


def test_what_stands_in_a_target_is_never_seen(checkpoint: Checkpoint, people: Relation) -> None:
    target = (CompletionTarget(Cell(3, CITY)),)
    results = []
    for text in ("Birmingham", "something else", None, ""):
        rows = [list(values) for values in people.tuples]
        rows[3][CITY] = text
        results.append(run(checkpoint, Relation.of(people.attributes, rows), targets=target).completions)
    assert results[0] == results[1] == results[2] == results[3]


# --------------------------------------------------------------------------------------------- answers


def test_every_missing_cell_is_a_target_by_default(checkpoint: Checkpoint, gaps: Relation) -> None:
    missing = [Cell(t, a) for t, values in enumerate(gaps.tuples) for a, value in enumerate(values) if not value]
    assert [one.cell for one in run(checkpoint, gaps).completions] == missing


def test_a_vote_fills_what_a_dependency_tells(voting: Checkpoint) -> None:
    rows: list[list[Value]] = [["35233", "Birmingham"] if n % 2 == 0 else ["94107", "San Francisco"] for n in range(12)]
    rows[4][1] = None
    rows[5][1] = ""
    one, two = run(voting, Relation.of(["zip", "city"], rows)).completions
    assert (one.cell, one.outcome, one.value) == (Cell(4, 1), Outcome.FILLED, "Birmingham")
    assert (two.cell, two.outcome, two.value) == (Cell(5, 1), Outcome.FILLED, "San Francisco")
    assert one.confidence == one.candidates[0].confidence > 0.9
    assert one.evidence.source == "dependency"
    assert set(one.evidence.tuple_ids) == {0, 2, 6, 8, 10}


def test_answers_hold_together(checkpoint: Checkpoint, gaps: Relation) -> None:
    for one in run(checkpoint, gaps, min_confidence=0.3).completions:
        confidences = [candidate.confidence for candidate in one.candidates]
        assert confidences == sorted(confidences, reverse=True)
        assert "" not in [candidate.value for candidate in one.candidates]
        if one.outcome is Outcome.FILLED:
            assert (one.value, one.confidence) == (one.candidates[0].value, one.candidates[0].confidence)
            assert one.confidence is not None
            assert one.confidence >= 0.3
        else:
            assert one.outcome is Outcome.ABSTAINED
            assert (one.value, one.confidence) == (None, None)


@pytest.mark.parametrize("prefix", ["B", "San F", "Chloé", "zzz", "é", "😀", "\x00", "\ud800", " "])
def test_every_candidate_begins_with_the_prefix(believing: Checkpoint, people: Relation, prefix: str) -> None:
    targets = tuple(CompletionTarget(Cell(tuple_id, CITY), prefix) for tuple_id in range(20))
    result = run(believing, people, targets=targets, min_confidence=0.1, max_candidates=9)
    answers = [one.value for one in result.completions if one.outcome is Outcome.FILLED]
    assert answers  # an untrained decoder does not always come to an end
    assert all(value is not None and value.startswith(prefix) for value in answers)
    assert all(candidate.value.startswith(prefix) for one in result.completions for candidate in one.candidates)


def test_two_prefixes_of_one_cell_are_two_answers(believing: Checkpoint, people: Relation) -> None:
    cell = Cell(2, CITY)
    targets = (
        CompletionTarget(cell, "B"),
        CompletionTarget(cell, "D"),
        CompletionTarget(cell, ""),
        CompletionTarget(cell),
    )
    found = run(believing, people, targets=targets, min_confidence=0.0).completions
    assert [one.cell for one in found] == [cell] * 4
    assert [(one.value or "")[:1] for one in found[:2]] == ["B", "D"]
    assert found[2] == found[3]


def test_a_prefix_that_no_answer_can_hold_is_an_abstention(believing: Checkpoint, people: Relation) -> None:
    (one,) = run(
        believing, people, targets=(CompletionTarget(Cell(2, CITY), "7" * 40),), min_confidence=0.0
    ).completions
    assert (one.outcome, one.candidates) == (Outcome.ABSTAINED, ())


# --------------------------------------------------------------------------------------------- options


def test_a_present_cell_can_be_a_target(checkpoint: Checkpoint, people: Relation) -> None:
    (one,) = run(checkpoint, people, targets=(CompletionTarget(Cell(0, NAME)),)).completions
    assert one.cell == Cell(0, NAME)


def test_no_targets_is_no_work(checkpoint: Checkpoint, people: Relation) -> None:
    result = run(checkpoint, people, targets=())
    assert result.completions == ()
    assert (result.usage.tuples, result.usage.encoder_tokens) == (40, 0)


def test_certainty_is_never_reached(checkpoint: Checkpoint, gaps: Relation) -> None:
    assert {one.outcome for one in run(checkpoint, gaps, min_confidence=1.0).completions} == {Outcome.ABSTAINED}


@pytest.mark.parametrize("most", [1, 4])
def test_no_more_candidates_come_back_than_asked_for(checkpoint: Checkpoint, gaps: Relation, most: int) -> None:
    counts = [len(one.candidates) for one in run(checkpoint, gaps, max_candidates=most).completions]
    assert max(counts) == most


def test_usage_and_progress_are_counted(checkpoint: Checkpoint, gaps: Relation) -> None:
    seen: list[tuple[str, int, int]] = []
    result = run_task(checkpoint, complete(checkpoint, gaps, progress=lambda *one: seen.append(one)))
    assert seen[-1] == ("complete", len(result.completions), len(result.completions))
    assert result.usage.tuples == 30
    assert result.usage.encoder_tokens > 0
    assert result.usage.decoder_tokens > 0


def test_the_model_alone_and_without_context_can_be_asked(checkpoint: Checkpoint, gaps: Relation) -> None:
    alone = run_task(checkpoint, complete(checkpoint, gaps, use_statistics=False))
    without = run_task(checkpoint, complete(checkpoint, gaps, context_size=0))
    assert {one.evidence.source for one in alone.completions} <= {"model", "context"}
    assert without.usage.encoder_tokens < alone.usage.encoder_tokens


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"targets": (CompletionTarget(Cell(40, 0)),)}, "targets"),
        ({"targets": (CompletionTarget(Cell(0, 6)),)}, "targets"),
        ({"targets": (CompletionTarget(Cell(0, -1)),)}, "targets"),
        ({"targets": (CompletionTarget(Cell(0, 0), "x" * (MAX_PREFIX_CHARACTERS + 1)),)}, "targets"),
        ({"min_confidence": -0.1}, "min_confidence"),
        ({"min_confidence": float("nan")}, "min_confidence"),
        ({"max_candidates": 0}, "max_candidates"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_before_anything_runs(
    checkpoint: Checkpoint, people: Relation, options: dict[str, Any], field: str
) -> None:
    task = complete(checkpoint, people, CompletionOptions(**options))
    with pytest.raises(OptionError) as caught:
        next(task)
    assert caught.value.field == field
    if field == "targets":
        cell = options["targets"][0].cell
        assert (caught.value.tuple_id, caught.value.attribute) == (cell.tuple_id, cell.attribute)


def test_a_checkpoint_without_calibrators_is_refused(bare_checkpoint: Checkpoint, gaps: Relation) -> None:
    with pytest.raises(CheckpointError, match="calibrated"):
        run(bare_checkpoint, gaps)


def test_what_the_table_teaches_is_the_evidence_where_no_single_row_is(
    bare_checkpoint: Checkpoint, make_calibrator: MakeCalibrator
) -> None:
    """Phones tell the city, but none is held twice, and makers stand in the name of what they made."""
    calibrator = make_calibrator(FILL_FEATURES, {"support": 20.0}, -10.0)
    never = make_calibrator(MODEL_FEATURES, {}, -10.0)
    by_table = replace(bare_checkpoint, calibration=Calibration({"fill": calibrator, "fill_alone": never}))
    areas = {"310/": "los angeles", "212-": "new york", "404/": "atlanta"}
    phones: list[tuple[str, str | None]] = [
        (f"{area}{number * 7919 % 9000 + 1000}", city) for number in range(20) for area, city in areas.items()
    ]
    (one,) = run(by_table, Relation.of(["phone", "city"], [*phones, ("212-9999", None)])).completions
    assert (one.value, one.evidence.source) == ("new york", "prediction")
    names = [(f"{maker} item {number}", maker) for number in range(20) for maker in (f"Ab{number}", "Canon", "Sony")]
    rows: list[tuple[str, str | None]] = [*names, ("Zenith item 77", None)]
    (one,) = run(by_table, Relation.of(["name", "maker"], rows)).completions
    assert (one.value, one.evidence.source) == ("Zenith", "row_text")


# ------------------------------------------------------------------------------------------- odd input


def test_an_empty_relation_has_nothing_to_fill(checkpoint: Checkpoint) -> None:
    assert run(checkpoint, Relation.of(["a"], [])).completions == ()


ODD: dict[str, Relation] = {
    "one cell": Relation.of(["a"], [[None]]),
    "one column": Relation.of(["a"], [["x"], [None], ["x"], [""]]),
    "every cell missing": Relation.of(["a", "b"], [[None, ""]] * 5),
    "duplicate names": Relation.of(["a", "a"], [["1", None], ["1", "2"], [None, "2"]]),
    "long cells": Relation.of(["a", "b"], [["word " * 400, None], ["7" * 2000, "y"], [None, "y"]]),
    "odd characters": Relation.of(["a\x00", "\ud800"], [["\x00", None], [None, "\ud83d"], ["[M]", "[NULL]"]]),
    "wide": Relation.of([f"c{number}" for number in range(60)], [[None if n % 9 else "x" for n in range(60)]] * 3),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_relations_are_completed(checkpoint: Checkpoint, name: str) -> None:
    relation = ODD[name]
    missing = [Cell(t, a) for t, values in enumerate(relation.tuples) for a, value in enumerate(values) if not value]
    found = run(checkpoint, relation, min_confidence=0.0)
    assert [one.cell for one in found.completions] == missing
    assert all((one.outcome is Outcome.FILLED) == bool(one.candidates) for one in found.completions)
