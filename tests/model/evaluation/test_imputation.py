from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.figures import Resampling
from model.evaluation.imputation import (
    ModelImputer,
    answer_all,
    evaluate_imputation,
    fill_reliability,
    matches,
    measure_imputation,
    read_imputation_set,
)
from model.inference.batching import run_task
from model.tuples import Cell


def test_test_rows_follow_the_known_ones_with_their_target_missing(small_bench: Path) -> None:
    one = read_imputation_set(small_bench, "Buy")
    assert len(one.relation) == 18
    assert one.cells == tuple(Cell(row, 2) for row in range(13, 18))
    assert [one.relation.value(cell) for cell in one.cells] == [None] * 5
    assert one.relation.tuples[12] == ("r12", "35233", "Birmingham")
    assert one.truth == ("Oakland", "New York", "Birmingham", "Oakland", "New York")


def test_matches_ignore_case_and_outer_blanks_only() -> None:
    assert matches(" sony ", "Sony")
    assert not matches("sony inc", "Sony")
    assert not matches(None, "")


def test_an_absent_answer_is_a_wrong_one(small_bench: Path) -> None:
    one = read_imputation_set(small_bench, "Buy")
    table = measure_imputation(
        one, {"it": lambda relation, cells: ["oakland", None, "Birmingham", "x", None]}, Resampling()
    )
    assert table.rows[0].figures["accuracy %"].value == 40.0
    assert table.rows[0].figures["answered"].value == 3
    assert table.title == "Buy (city, 5 of 18 rows)"


def test_the_model_answers_every_cell_however_unsure_it_is(small_bench: Path, checkpoint: Checkpoint) -> None:
    one = read_imputation_set(small_bench, "Buy")
    answers = ModelImputer(checkpoint, "Buy")(one.relation, one.cells)
    assert len(answers) == 5 and all(answers)


def test_answers_of_many_relations_are_those_of_each_with_a_confidence(
    small_bench: Path, checkpoint: Checkpoint
) -> None:
    one = read_imputation_set(small_bench, "Buy")
    imputer = ModelImputer(checkpoint, "")
    told: list[tuple[int, int]] = []
    parts = [(one.relation, one.cells[:2]), (one.relation, one.cells[2:])]
    answers = answer_all(imputer, parts, progress=lambda done, total: told.append((done, total)))
    assert answers.values == [value for relation, cells in parts for value in imputer(relation, cells)]
    result = run_task(checkpoint, imputer.task(*parts[0]))
    assert answers.confidences is not None and len(answers.confidences) == 5
    assert answers.confidences[:2] == [one.confidence for one in result.completions]
    assert told == [(1, 2), (2, 2)]
    assert answer_all(lambda relation, cells: ["a"] * len(cells), parts).confidences is None


def test_confidences_of_the_models_answers_are_measured(small_bench: Path, checkpoint: Checkpoint) -> None:
    one = read_imputation_set(small_bench, "Buy")
    table = measure_imputation(one, {"model": ModelImputer(checkpoint, "")}, Resampling())
    (reliability,) = table.reliabilities
    answers = answer_all(ModelImputer(checkpoint, ""), [(one.relation, one.cells)])
    assert reliability.probabilities.tolist() == answers.confidences
    assert reliability.true.mean() * 100 == table.rows[0].figures["accuracy %"].value
    assert fill_reliability("n", [0.5], [True], [3], Resampling(2)).units.tolist() == [3]


def test_model_and_baselines_stand_in_one_table(small_bench: Path, checkpoint: Checkpoint) -> None:
    stages: list[tuple[str, int, int]] = []
    tables = evaluate_imputation(small_bench, checkpoint, progress=lambda *stage: stages.append(stage))
    assert [table.title.split()[0] for table in tables] == ["Buy", "Restaurant"]
    figures = {row.system: row.figures["accuracy %"].value for row in tables[0].rows}
    assert list(figures)[:3] == ["model", "model, no practice", "model alone"]
    # The zip code of each test row stands in known rows with its city; the rest of the row is an unknown id.
    assert figures["nearest row"] == figures["nearest five rows"] == 100.0
    assert figures["column mode"] == 20.0
    together = tables[1].reliabilities[-1]
    assert (together.name, len(together)) == ("filling, all sets, model", len(tables[0].reliabilities[0]) * 2)
    assert any(stage.startswith("Restaurant, model alone: ") for stage, _, _ in stages)


def test_a_target_that_is_no_column_is_refused(small_bench: Path, tmp_path: Path) -> None:
    folder = tmp_path / "imputation" / "Buy"
    folder.mkdir(parents=True)
    for part in ("train", "valid", "test"):
        (folder / f"{part}.csv").write_bytes((small_bench / "imputation" / "Buy" / f"{part}.csv").read_bytes())
    (folder / "target.txt").write_text("country", encoding="utf-8")
    with pytest.raises(InputError, match=r"Buy/target\.txt"):
        read_imputation_set(tmp_path, "Buy")
