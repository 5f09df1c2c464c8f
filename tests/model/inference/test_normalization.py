"""Normalization as a task: which cells are told of, what examples do, and that the order of rows changes nothing."""

from __future__ import annotations

import random

import pytest

from model.checkpoint import Checkpoint
from model.errors import OptionError
from model.inference.batching import run_task
from model.inference.normalization import (
    NormalizationExample,
    NormalizationOptions,
    NormalizationResult,
    normalize,
)
from model.inference.normalization import NormalizationOutcome as Outcome
from model.tuples import Cell, Relation, Value

DAYS: list[Value] = ["2020-03-05", "2019-12-25", "2018-01-09", "2021-11-30", "5 Mar 2020", "03/04/2020", None, "N/A"]
ROWS = [(day, f"no {number}") for number, day in enumerate(DAYS)]

CONTRADICTING = (NormalizationExample(0, "a", "x"), NormalizationExample(0, "b", "x"))


def run(checkpoint: Checkpoint, options: NormalizationOptions | None = None) -> NormalizationResult:
    return run_task(checkpoint, normalize(checkpoint, Relation.of(("day", "what"), ROWS), options))


def test_only_cells_of_another_format_are_told_of(checkpoint: Checkpoint) -> None:
    result = run(checkpoint)
    assert [(one.cell, one.outcome, one.output) for one in result.cells] == [
        (Cell(4, 0), Outcome.REWRITTEN, "2020-03-05"),
        (Cell(5, 0), Outcome.ABSTAINED, None),
    ]
    assert result.cells[0].confidence == round(5 / 6, 6) and result.cells[0].evidence.source == "program"
    assert [(one.attribute, one.format is None) for one in result.attributes] == [(0, False), (1, True)]
    assert result.usage.tuples == 8 and result.usage.encoder_tokens == 0


def test_below_the_asked_confidence_it_abstains(checkpoint: Checkpoint) -> None:
    one = run(checkpoint, NormalizationOptions(min_confidence=0.9)).cells[0]
    assert (one.outcome, one.output, one.confidence) == (Outcome.ABSTAINED, None, round(5 / 6, 6))


def test_shown_values_are_another_format(checkpoint: Checkpoint) -> None:
    shown = (NormalizationExample(0, "14 Jun 2019"), NormalizationExample(0, "3 May 2021"))
    result = run(checkpoint, NormalizationOptions((0,), shown))
    assert [one.output for one in result.cells if one.outcome is Outcome.REWRITTEN] == [
        "5 Mar 2020", "25 Dec 2019", "9 Jan 2018", "30 Nov 2021",
    ]  # fmt: skip


def test_an_example_with_an_input_is_taken_as_given(checkpoint: Checkpoint) -> None:
    shown = (NormalizationExample(0, "2020-04-03", "03/04/2020"),)
    result = run(checkpoint, NormalizationOptions((0,), shown))
    given = next(one for one in result.cells if one.cell == Cell(5, 0))
    assert (given.output, given.confidence, given.evidence.source) == ("2020-04-03", 1.0, "example")


def test_the_order_of_rows_changes_nothing(checkpoint: Checkpoint) -> None:
    order = list(range(len(ROWS)))
    random.Random(1).shuffle(order)
    shuffled = run_task(checkpoint, normalize(checkpoint, Relation.of(("day", "what"), [ROWS[n] for n in order])))
    found = {order[one.cell.tuple_id]: (one.output, one.confidence) for one in shuffled.cells}
    assert found == {one.cell.tuple_id: (one.output, one.confidence) for one in run(checkpoint).cells}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (NormalizationOptions((2,)), "columns"),
        (NormalizationOptions(examples=(NormalizationExample(-1, "a"),)), "columns"),
        (NormalizationOptions(min_confidence=1.5), "min_confidence"),
        (NormalizationOptions(examples=CONTRADICTING), "examples"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(checkpoint: Checkpoint, options: NormalizationOptions, field: str) -> None:
    with pytest.raises(OptionError) as caught:
        run(checkpoint, options)
    assert caught.value.field == field
