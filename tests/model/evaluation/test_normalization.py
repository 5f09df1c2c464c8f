"""What is counted where formats drift, and on columns as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.evaluation.false_alarms import CleanTables
from model.evaluation.figures import Resampling
from model.evaluation.normalization import (
    DriftedColumn,
    clean_columns,
    drifted_columns,
    evaluate_normalize,
    measure_clean,
    measure_drift,
    reprinted,
)
from model.tuples import Relation

DAYS = tuple(f"2020-01-{day:02d}" for day in range(1, 21))
TABLES = CleanTables("days", (Relation.of(("day", "few"), [(day, None) for day in DAYS]),), "row", {})


def test_columns_with_enough_values_are_taken() -> None:
    assert clean_columns(TABLES) == [list(DAYS)]


def test_a_drift_writes_some_values_another_way_and_keeps_the_truth() -> None:
    columns = [list(DAYS)]
    (days,) = [one for one in drifted_columns(columns, 0) if one.kind == "date_format"]
    assert len(days.truth) == 3
    assert all(days.values[place] != DAYS[place] == true for place, true in days.truth.items())
    assert sum(value != day for value, day in zip(days.values, DAYS, strict=True)) == 3
    assert drifted_columns(columns, 0) == drifted_columns(columns, 0)


def test_right_and_wrong_are_shares_of_the_drifted_values() -> None:
    column = DriftedColumn("date_format", ("a", "b", "c", "d"), {0: "A", 1: "B", 2: "C", 3: "D"})
    answers = [{0: ("A", 0.9), 1: ("x", 0.8)}]
    table = measure_drift(TABLES, [column], {"service": lambda _: answers}, Resampling())
    figures = table.rows[0].figures
    assert (figures["all"].value, figures["date_format"].value, figures["rewritten wrongly"].value) == (
        0.25,
        0.25,
        0.25,
    )
    assert "case_changed" not in figures and len(table.reliabilities) == 1


def test_every_change_of_a_clean_column_counts() -> None:
    table = measure_clean(TABLES, [list(DAYS), list(DAYS)], {"one": lambda _: [{3: ("x", 1.0)}, {}]}, Resampling())
    figures = table.rows[0].figures
    assert (figures["changed cells per 1,000"].value, figures["columns touched"].value) == (25.0, 0.5)


def test_the_baseline_fills_the_commonest_pattern() -> None:
    assert reprinted([["205-555-0101", "334-555-0199", "(251) 555-7777", "12", None]]) == [{2: ("251-555-7777", 1.0)}]
    assert reprinted([[None, None]]) == [{}]


@pytest.mark.slow
def test_all_is_measured(small_bench: Path, checkpoint: Checkpoint) -> None:
    drift, clean = evaluate_normalize(small_bench, None, checkpoint)
    assert [row.system for row in drift.rows] == [row.system for row in clean.rows]
    assert clean.rows[0].figures["changed cells per 1,000"].value == 0.0
