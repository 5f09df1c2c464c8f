"""The second look sees each cell beside what the first look says of the others."""

from __future__ import annotations

import numpy as np
import pytest

from model.inference.statistics import CELL_FEATURES
from model.inference.suspicion import (
    AROUND_FEATURES,
    FEWEST_TUPLES,
    FIRST_LOOK,
    SECOND_FEATURES,
    SECOND_LOOK,
    around,
    judge_cells,
    second_look,
)
from model.judge import Judge

COLUMN, TABLE, TUPLE, ALIKE = range(4)


def judge_of(features: tuple[str, ...], name: str, low: float, high: float) -> Judge:
    """One stump: `low` where the feature is at most a half, else `high`."""
    place = features.index(name)
    return Judge(
        features,
        0.0,
        1,
        np.array([place, 0, 0], dtype=np.int32),
        np.array([0.5, np.inf, np.inf], dtype=np.float32),
        np.array([1, 1, 2], dtype=np.int32),
        np.array([2, 1, 2], dtype=np.int32),
        np.array([0.0, low, high], dtype=np.float32),
        np.array([0], dtype=np.int32),
    )


def test_a_cell_is_left_out_of_every_mean() -> None:
    suspicion = np.array([[0.5, 0.25], [1.0, 0.0], [0.0, 0.0]])
    means = around(suspicion, np.zeros((3, 2), dtype=bool))
    assert means.shape == (3, 2, len(AROUND_FEATURES))
    assert means[0, 0].tolist() == pytest.approx([0.5, 1.25 / 5, 0.25, 0.5])
    assert means[1, 0].tolist() == pytest.approx([0.25, 0.75 / 5, 0.0, 0.25])


def test_missing_cells_are_alike_to_missing_cells_only() -> None:
    suspicion = np.array([[0.5], [0.25], [0.75], [1.0]])
    means = around(suspicion, np.array([[True], [True], [False], [False]]))
    assert means[:, 0, ALIKE].tolist() == [0.25, 0.5, 1.0, 0.75]


def test_nothing_is_around_the_only_cell() -> None:
    assert around(np.array([[0.75]]), np.array([[True]])).tolist() == [[[0.0] * 4]]


def test_no_order_of_rows_and_columns_changes_a_bit() -> None:
    rng = np.random.default_rng(0)
    suspicion, missing = rng.random((200, 7)), rng.random((200, 7)) < 0.2
    rows, columns = rng.permutation(200), rng.permutation(7)
    moved = around(suspicion[rows][:, columns], missing[rows][:, columns])
    assert np.array_equal(moved, around(suspicion, missing)[rows][:, columns])


def test_a_suspicious_column_speaks_through_the_second_judge() -> None:
    cells = np.zeros((30, 2, len(CELL_FEATURES)), dtype=np.float32)
    cells[:28, 0, CELL_FEATURES.index("vote_contradicts")] = 1.0
    judges = {
        FIRST_LOOK: judge_of(CELL_FEATURES, "vote_contradicts", -5.0, 5.0),
        SECOND_LOOK: judge_of(SECOND_FEATURES, "suspicion_of_column", -1.0, 2.0),
    }
    seen = second_look(judges, cells)
    assert seen.shape == (30, 2, len(SECOND_FEATURES))
    assert np.array_equal(seen[..., : len(CELL_FEATURES)], cells)
    logits = judge_cells(judges, seen)
    assert logits[29, 0] == 2.0  # it is not contradicted itself, its column is
    assert (logits[:, 1] == -1.0).all()


def test_in_a_very_short_table_the_first_look_stands() -> None:
    judges = {
        FIRST_LOOK: judge_of(CELL_FEATURES, "vote_contradicts", -5.0, 5.0),
        SECOND_LOOK: judge_of(SECOND_FEATURES, "suspicion_of_column", -1.0, 2.0),
    }
    for tuples, expected in ((FEWEST_TUPLES - 1, 5.0), (FEWEST_TUPLES, -1.0)):
        cells = np.zeros((tuples, 1, len(CELL_FEATURES)), dtype=np.float32)
        cells[3, 0, CELL_FEATURES.index("vote_contradicts")] = 1.0
        assert judge_cells(judges, second_look(judges, cells))[3, 0] == expected


def test_without_judges_nothing_is_suspicious() -> None:
    cells = np.ones((3, 2, len(CELL_FEATURES)), dtype=np.float32)
    seen = second_look({}, cells)
    assert (seen[..., len(CELL_FEATURES) :] == 0).all()
    assert (judge_cells({}, seen) == 0).all()
