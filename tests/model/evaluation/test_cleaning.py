from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.cleaning import (
    CleaningSet,
    Judgement,
    evaluate_cleaning,
    judge,
    measure_cleaning,
    read_cleaning_set,
)
from model.evaluation.figures import Resampling
from model.inference.batching import run_task
from model.inference.cleaning import clean
from model.tuples import Cell, Relation


def small_set() -> CleaningSet:
    dirty: list[list[str | None]] = [["a", "x"], ["b", None], ["c", "y"], ["d", "z"]]
    truth = [["a", "1"], ["b", ""], ["c", "2"], ["D", "z"]]
    return CleaningSet("small", Relation.of(("l", "r"), dirty), Relation.of(("l", "r"), truth))


def test_a_cell_is_wrong_where_dirty_and_clean_differ_and_missing_is_missing() -> None:
    assert small_set().wrong == {Cell(0, 1), Cell(2, 1), Cell(3, 0)}


def test_flags_and_repairs_are_counted_apart() -> None:
    one = small_set()
    flagged = {
        Cell(0, 1): "1",  # right repair
        Cell(3, 0): None,  # wrong cell, abstained
        Cell(1, 0): "q",  # right cell, repaired
        Cell(3, 1): None,  # right cell, abstained
    }
    counts = judge(one, one.wrong, flagged, Resampling())
    assert counts.names == ("wrong", "flagged", "flagged_wrong", "repaired", "repaired_right")
    assert counts.values.tolist() == [[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [1, 0, 0, 0, 0], [1, 2, 1, 0, 0]]
    table, _ = measure_cleaning(one, {"it": lambda relation: Judgement(flagged, 2.0)}, Resampling())
    figures = {name: round(figure.value, 3) for name, figure in table.rows[0].figures.items()}
    assert figures == {
        "detection P": 0.5,
        "detection R": 0.667,
        "detection F1": 0.571,
        "repair P": 0.5,
        "repair R": 0.333,
        "repair F1": 0.4,
        "rows/s": 2.0,
    }
    assert table.title == "small (4 rows × 2 columns, 3 wrong cells)"


def test_a_system_that_flags_nothing_scores_zero() -> None:
    table, _ = measure_cleaning(small_set(), {"it": lambda relation: Judgement({}, 1.0)}, Resampling())
    assert {figure.value for name, figure in table.rows[0].figures.items() if name != "rows/s"} == {0.0}


def test_an_emptied_value_is_a_repair_to_nothing() -> None:
    dirty, truth = Relation.of(("a",), [["N/A"]]), Relation.of(("a",), [[""]])
    one = CleaningSet("one", dirty, truth)
    assert judge(one, one.wrong, {Cell(0, 0): ""}, Resampling()).values.tolist() == [[1, 1, 1, 1, 1]]


def test_model_and_baselines_stand_in_one_table(small_bench: Path, checkpoint: Checkpoint) -> None:
    stages: list[tuple[str, int, int]] = []
    table, _, _ = evaluate_cleaning(
        small_bench, checkpoint, ("hospital",), progress=lambda *stage: stages.append(stage)
    )
    assert [row.system for row in table.rows] == ["model", "model alone", "rare to frequent", "dependency vote"]
    assert table.rows[2].figures["repair F1"].value == pytest.approx(2 / 3)
    assert table.rows[3].figures["repair F1"].value == 1.0
    assert {stage for stage, _, _ in stages} >= {"hospital: detect", "hospital, model alone: detect"}


def test_the_models_own_answers_are_what_is_scored(
    small_bench: Path, checkpoint: Checkpoint, make_calibration: Callable[..., Calibration]
) -> None:
    # Calibrators that go by the votes of agreeing tuples: right with statistics, and blind without them.
    calibration = make_calibration(
        {"vote_contradicts": 6.0, "vote_strength": 8.0},
        -9.0,
        {"candidate_vote_share": 6.0},
        -3.0,
    )
    voting = replace(checkpoint, calibration=calibration)
    one = read_cleaning_set(small_bench, "hospital")
    repairs = run_task(voting, clean(voting, one.dirty)).repairs
    assert {repair.cell: repair.repair for repair in repairs} == {Cell(4, 2): "Oakland", Cell(7, 2): "Oakland"}
    table, _, _ = evaluate_cleaning(small_bench, voting, ("hospital",))
    figures = [{name: figure.value for name, figure in row.figures.items()} for row in table.rows[:2]]
    assert (figures[0]["detection F1"], figures[0]["repair F1"]) == (1.0, 1.0)
    assert (figures[1]["detection F1"], figures[1]["repair F1"]) == (0.0, 0.0)
    detection, repair = table.reliabilities
    assert (detection.name, len(detection)) == ("detection, hospital, model", 24 * 3)
    assert np.flatnonzero(detection.true).tolist() == [4 * 3 + 2, 7 * 3 + 2]
    assert np.flatnonzero(detection.probabilities >= 0.5).tolist() == [4 * 3 + 2, 7 * 3 + 2]
    assert (repair.name, repair.true.tolist()) == ("repair, hospital, model", [True, True])
    assert repair.probabilities.tolist() == [one.confidence for one in repairs]


def test_kinds_of_error_are_counted_apart() -> None:
    one = small_set()
    flagged = {Cell(0, 1): "1", Cell(3, 0): None, Cell(1, 0): "q"}
    other = {Cell(2, 1): "2", Cell(0, 1): "9"}
    systems = {"it": lambda _: Judgement(flagged, 2.0), "vote": lambda _: Judgement(other, 1.0)}
    _, table = measure_cleaning(one, systems, Resampling())
    assert table.title == "small by kind of error, it"
    figures = {row.system: {name: figure.value for name, figure in row.figures.items()} for row in table.rows}
    vote = "vote: repair F1"
    assert figures == {
        "value emptied (1)": {
            "detection R": 1.0,
            "repair P": 1.0,
            "repair R": 1.0,
            "repair F1": 1.0,
            vote: 0.0,
        },
        "format changed (1)": {"detection R": 1.0, "repair R": 0.0, "repair F1": 0.0, vote: 0.0},  # not repaired
        "other (1)": {"detection R": 0.0, "repair R": 0.0, "repair F1": 0.0, vote: 1.0},
    }


def test_an_absent_set_is_named(tmp_path: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match=r"hospital/dirty\.csv"):
        evaluate_cleaning(tmp_path, checkpoint)
