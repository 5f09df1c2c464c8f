from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.evaluation.false_alarms import (
    CleanTables,
    count_alarms,
    evaluate_false_alarms,
    measure_false_alarms,
    read_clean_bench,
    sample_clean_corpus,
)
from model.evaluation.figures import Resampling
from model.tuples import Cell, Relation


def small_tables() -> CleanTables:
    first = Relation.of(("a", "b"), [["p1", None], ["p2", "N/A"], ["p3", ""], ["p4", "v"]])
    second = Relation.of(("a",), [["p"], ["q"]])
    return CleanTables("two tables", (first, second), "row", {"first": (0,), "second": (1,)})


def flagger(relations: Sequence[Relation]) -> list[Collection[Cell]]:
    return [{Cell(0, 0), Cell(1, 1), Cell(2, 1)}, set()]


def test_alarms_are_counted_by_what_the_cell_holds() -> None:
    first = small_tables().relations[0]
    assert count_alarms(first, flagger(())[0]).tolist() == [
        [1, 1, 0, 1, 0, 0],
        [1, 0, 1, 0, 0, 1],
        [1, 1, 0, 0, 1, 0],
        [2, 0, 0, 0, 0, 0],
    ]


def test_rates_are_per_thousand_cells_of_their_class_and_part() -> None:
    table = measure_false_alarms(small_tables(), {"it": flagger}, Resampling())
    figures = {name: round(one.value, 2) for name, one in table.rows[0].figures.items() if name != "rows/s"}
    assert figures == {
        "all": 300.0,
        "present": 142.86,
        "missing": 500.0,
        "spelled missing": 1000.0,
        "first": 375.0,
        "second": 0.0,
    }
    assert "present 7, missing 2, spelled missing 1. Intervals resample rows." in table.notes[0]


def test_intervals_over_tables_are_wider_than_over_rows() -> None:
    relations = tuple(Relation.of(("a",), [["x"]] * 50) for _ in range(6))
    flagged: list[Collection[Cell]] = [
        {Cell(row, 0) for row in range(50)} if place == 0 else set() for place in range(6)
    ]
    widths = []
    for unit in ("row", "table"):
        tables = CleanTables("t", relations, unit, {})
        figure = measure_false_alarms(tables, {"it": lambda _: flagged}, Resampling()).rows[0].figures["all"]
        assert figure.value == pytest.approx(1000 / 6)
        assert figure.low is not None and figure.high is not None
        widths.append(figure.high - figure.low)
    assert widths[1] > 3 * widths[0]


def test_clean_tables_of_bench_and_corpus_are_judged_by_the_model(
    small_bench: Path,
    small_corpus: Path,
    checkpoint: Checkpoint,
    make_calibration: Callable[..., Calibration],
) -> None:
    everything = replace(checkpoint, calibration=make_calibration({}, 5.0, {}, 0.0))
    bench, corpus = evaluate_false_alarms(small_bench, small_corpus, everything, 3)
    assert bench.title == "clean tables of the benchmark (3 tables, 216 cells)"
    assert corpus.title == "unseen tables as they are (1 tables of 1 repositories, 200 cells)"
    for table in (bench, corpus):
        assert [row.system for row in table.rows] == ["model", "rare to frequent", "dependency vote"]
        assert table.rows[0].figures["all"].value == 1000.0
    assert {row.figures["beers"].value for row in bench.rows[1:]} == {0.0}  # nothing is wrong in the clean tables
    nothing = replace(checkpoint, calibration=make_calibration({}, -5.0, {}, 0.0))
    (alone,) = evaluate_false_alarms(small_bench, None, nothing)
    assert alone.rows[0].figures["all"].value == 0.0


def test_clean_tables_are_read_and_cut(small_bench: Path, small_corpus: Path, checkpoint: Checkpoint) -> None:
    bench = read_clean_bench(small_bench, ("flights",), rows=7)
    assert [len(one) for one in bench.relations] == [7]
    assert bench.relations[0].value(Cell(4, 2)) == "Oakland"  # the clean spelling
    sampled = sample_clean_corpus(small_corpus, checkpoint, 3, 0)
    assert sampled.unit == "table" and len(sampled.relations) == 1
