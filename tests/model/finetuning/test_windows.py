"""Windows carry the truth of every cell, and say where it cannot be told."""

from __future__ import annotations

import random

from model.corpus import CorpusTable
from model.finetuning.windows import (
    MIN_TUPLES,
    by_repository,
    corrupted_window,
    has_known_truth,
    typed_prefix,
    with_hidden_cells,
)
from model.inference.columns import Column
from model.tuples import Cell, Relation


def test_a_window_is_drawn_again_from_the_same_randomness(tables: list[CorpusTable]) -> None:
    window, again = (corrupted_window(tables[0].relation, random.Random("seed"), 16) for _ in range(2))
    assert (window.truth, window.judged, window.relation) == (again.truth, again.judged, again.relation)
    assert len(window.truth) == len(window.relation)
    assert len(window.judged) == min(16, len(window.relation))


def test_some_windows_are_clean_and_some_are_not(tables: list[CorpusTable]) -> None:
    windows = [corrupted_window(tables[0].relation, random.Random(seed), 48) for seed in range(40)]
    wrong = [sum(window.wrong(cell) for cell in window.known_cells()) for window in windows]
    assert 8 <= sum(count == 0 for count in wrong) <= 30
    assert max(wrong) > 5


def test_wrong_is_what_differs_from_the_truth(tables: list[CorpusTable]) -> None:
    window = corrupted_window(tables[0].relation, random.Random(1), 1000)
    for cell in window.known_cells():
        differs = (window.relation.value(cell) or "") != window.truth[cell.tuple_id][cell.attribute]
        assert window.wrong(cell) == differs
        assert window.true(cell) == window.truth[cell.tuple_id][cell.attribute]


def test_a_placeholder_among_numbers_has_no_known_truth() -> None:
    numbers = Column(["1", "2", "3", "4", "N/A"])
    assert not has_known_truth(numbers, "N/A")
    assert has_known_truth(numbers, "3") and has_known_truth(numbers, "")
    assert has_known_truth(Column(["red", "blue", "N/A", "1"]), "N/A")


def test_short_tables_are_left_out(tables: list[CorpusTable]) -> None:
    short = CorpusTable("zz/short:t", "other", "MIT", Relation.of(["a"], [["1"]] * (MIN_TUPLES - 1)))
    grouped = by_repository([*tables, short])
    assert all(len(table.relation) >= MIN_TUPLES for group in grouped for table in group)
    repositories = [group[0].repository for group in grouped]
    assert repositories == sorted({table.repository for table in tables if len(table.relation) >= MIN_TUPLES})


def test_the_cell_of_a_window_is_a_cell_of_its_relation(tables: list[CorpusTable]) -> None:
    window = corrupted_window(tables[0].relation, random.Random(2), 4)
    assert {cell.tuple_id for cell in window.known_cells()} <= set(window.judged)
    assert window.true(Cell(0, 0)) in {*(values[0] for values in window.truth), None}


def test_hidden_cells_are_missing_and_nothing_else_changes(tables: list[CorpusTable]) -> None:
    window = corrupted_window(tables[0].relation, random.Random(3), 12)
    masked, cells = with_hidden_cells(window, random.Random(4), 2, 5)
    assert len({cell.attribute for cell in cells}) == 2 and 2 < len(cells) == len(set(cells)) <= 10
    assert {cell.tuple_id for cell in cells} <= set(window.judged)
    for tuple_id, values in enumerate(window.relation.tuples):
        for attribute, value in enumerate(values):
            hidden = Cell(tuple_id, attribute) in cells
            assert masked.relation.tuples[tuple_id][attribute] == (None if hidden else value)
    assert all(window.true(cell) and masked.truth[cell.tuple_id][cell.attribute] for cell in cells)
    known = masked.statistics.columns[cells[0].attribute].present
    assert known < window.statistics.columns[cells[0].attribute].present  # what the window shows no longer counts them


def test_a_prefix_is_a_quarter_or_a_half_and_never_nothing() -> None:
    rng = random.Random(0)
    assert {typed_prefix("Birmingham!!", rng) for _ in range(20)} == {"Bir", "Birmin"}
    assert {typed_prefix("a", rng) for _ in range(20)} == {"a"}
