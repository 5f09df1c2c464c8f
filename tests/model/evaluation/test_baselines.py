"""The constants of the baselines in small, and their figures on the benchmark sets where these are at hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import InputError
from model.evaluation.baselines import (
    IMPUTATION_BASELINES,
    column_mode,
    dependency_vote,
    known_value_in_text,
    nearest_row,
    nearest_rows,
    rare_to_frequent,
)
from model.evaluation.benchmark import benchmark_folder
from model.evaluation.cleaning import judge, read_cleaning_set
from model.evaluation.figures import Resampling, f1
from model.evaluation.imputation import matches, read_imputation_set
from model.tuples import Cell, Relation

PLACES = (("35233", "birmingham"),) * 6 + (("94107", "oakland"),) * 6


@pytest.fixture(scope="module")
def bench() -> Path:
    try:
        return benchmark_folder()
    except InputError as error:
        pytest.skip(str(error))


def test_a_rare_value_becomes_the_similar_frequent_one() -> None:
    rows = [*PLACES, ("35233", "birmxngham"), ("94107", "oaklanb"), ("94107", "tulsa")]
    assert rare_to_frequent(Relation.of(("zip", "city"), rows)) == {Cell(12, 1): "birmingham", Cell(13, 1): "oakland"}


def test_a_value_that_three_tuples_hold_is_not_rare() -> None:
    rows = [*PLACES, *(("35233", "birmxngham"),) * 3]
    assert rare_to_frequent(Relation.of(("zip", "city"), rows)) == {}


def test_the_value_that_agreeing_tuples_hold_replaces_another_and_fills_a_missing_one() -> None:
    rows: list[tuple[str | None, ...]] = [*PLACES, ("35233", "oakland"), ("94107", None), (None, None)]
    repairs = dependency_vote(Relation.of(("zip", "city"), rows))
    assert repairs[Cell(12, 1)] == "birmingham"
    assert repairs[Cell(13, 1)] == "oakland"
    # Seen from the city, it is the zip that is wrong: without labels both are proposed.
    assert repairs[Cell(12, 0)] == "94107"
    assert set(repairs) == {Cell(12, 0), Cell(12, 1), Cell(13, 1)}


def test_an_attribute_that_is_nearly_constant_is_set_to_its_value() -> None:
    rows = [[str(number), "yes"] for number in range(30)] + [["30", "yxs"]]
    assert dependency_vote(Relation.of(("id", "emergency"), rows)) == {Cell(30, 1): "yes"}


def products() -> tuple[Relation, list[Cell]]:
    rows: list[list[str | None]] = [
        ["Sony Cyber-shot DSC-W120 digital camera", "Sony"],
        ["Sony Bravia KDL-40 television", "Sony"],
        ["Canon PowerShot SD1100 digital camera", "Canon Inc"],
        ["Canon PIXMA MP610 printer", "Canon Inc"],
        ["LG washing machine", "LG"],
        ["Sony PowerShot SD1100 digital camera case", None],
        ["Canon PIXMA MP620 printer", ""],
    ]
    return Relation.of(("name", "maker"), rows), [Cell(6, 1), Cell(5, 1)]


def test_imputation_answers_come_in_the_order_of_the_cells() -> None:
    relation, cells = products()
    assert column_mode(relation, cells) == ["Canon Inc", "Canon Inc"]
    assert nearest_row(relation, cells) == ["Canon Inc", "Canon Inc"]
    assert known_value_in_text(relation, cells) == ["Canon Inc", "Sony"]


def test_five_neighbours_can_outvote_the_nearest() -> None:
    rows: list[list[str | None]] = [["alpha beta", "x"], ["alpha beta", None]]
    rows += [["alpha beta gamma", "y"], ["alpha beta gamma", "y"], ["alpha beta gamma", "y"]]
    relation = Relation.of(("text", "label"), rows)
    assert nearest_row(relation, [Cell(1, 1)]) == ["x"]
    assert nearest_rows(relation, [Cell(1, 1)]) == ["y"]


@pytest.mark.parametrize("name", IMPUTATION_BASELINES)
def test_a_column_without_values_gets_no_answer(name: str) -> None:
    relation = Relation.of(("a", "b"), [["1", None], ["", ""]])
    assert IMPUTATION_BASELINES[name](relation, [Cell(0, 1), Cell(1, 1)]) == [None, None]


@pytest.mark.parametrize(
    ("baseline", "name", "expected"),
    [
        (rare_to_frequent, "hospital", 0.566),
        (dependency_vote, "hospital", 0.904),
        (dependency_vote, "flights", 0.796),
        (dependency_vote, "beers", 0.091),
    ],
)
def test_repair_on_the_benchmark_is_as_published_in_the_project(
    bench: Path, baseline: Callable[[Relation], dict[Cell, str]], name: str, expected: float
) -> None:
    one = read_cleaning_set(bench, name)
    counts = judge(one, one.wrong, dict(baseline(one.dirty)), Resampling(resamples=1))
    figure = counts.figure(lambda sums: f1(sums["repaired_right"], sums["repaired"], sums["wrong"]))
    assert figure.value == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize(
    ("name", "baseline", "right"),
    [
        ("Buy", "column mode", 11),
        ("Buy", "nearest row", 55),
        ("Buy", "known value in the row's text", 60),
        ("Restaurant", "column mode", 23),
        ("Restaurant", "nearest five rows", 64),
    ],
)
def test_imputation_on_the_benchmark_is_as_published_in_the_project(
    bench: Path, name: str, baseline: str, right: int
) -> None:
    one = read_imputation_set(bench, name)
    answers = IMPUTATION_BASELINES[baseline](one.relation, one.cells)
    assert sum(matches(answer, true) for answer, true in zip(answers, one.truth, strict=True)) == right
