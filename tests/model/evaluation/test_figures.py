import numpy as np
import pytest

from model.evaluation.figures import (
    Counts,
    EvaluationRow,
    EvaluationTable,
    Figure,
    Resampling,
    accuracy,
    align,
    f1,
    mean,
    ratio,
)


def test_a_figure_is_the_ratio_of_summed_counts() -> None:
    counts = Counts(("right", "all"), np.array([[1, 2], [3, 3], [0, 5]]))
    figure = counts.figure(lambda sums: ratio(sums["right"], sums["all"]))
    assert figure.value == pytest.approx(0.4)
    assert figure.low is not None and figure.high is not None
    assert 0.0 <= figure.low < 0.4 < figure.high <= 1.0


def test_intervals_are_those_of_a_binomial_share_and_repeat_with_their_seed() -> None:
    right = [number % 4 != 0 for number in range(400)]
    figure = accuracy(right, Resampling(seed=3))
    half_width = 1.96 * 100 * np.sqrt(0.75 * 0.25 / 400)
    assert figure.value == 75.0
    assert figure.low == pytest.approx(75.0 - half_width, abs=0.6)
    assert figure.high == pytest.approx(75.0 + half_width, abs=0.6)
    assert figure == accuracy(right, Resampling(seed=3)) != accuracy(right, Resampling(seed=4))


def test_a_mean_of_scores_has_the_interval_of_its_spread() -> None:
    scores = [0.2, 0.8] * 200
    figure = mean(scores, Resampling())
    assert figure.value == pytest.approx(0.5)
    assert figure.low == pytest.approx(0.5 - 1.96 * 0.3 / 20, abs=0.005)
    assert mean([1 / 3] * 3, Resampling()).value == pytest.approx(1 / 3, abs=1e-6)


def test_one_unit_has_no_interval() -> None:
    assert accuracy([True], Resampling()) == Figure(100.0, digits=1)


def test_nothing_flagged_and_nothing_wrong_give_zero() -> None:
    zero, one = np.zeros(1), np.ones(1)
    assert f1(zero, zero, zero).tolist() == [0.0]
    assert f1(zero, zero, one).tolist() == [0.0]
    assert f1(one, one, one * 3).tolist() == [0.5]


def test_columns_of_a_markdown_table_are_aligned() -> None:
    assert align(["system", "F1"], [["a", "0.500"], ["longer name", "–"]]) == [
        "| system      |    F1 |",
        "| ----------- | ----: |",
        "| a           | 0.500 |",
        "| longer name |     – |",
    ]


def test_a_figure_that_a_system_lacks_is_a_dash_and_absent_from_json() -> None:
    rows = (
        EvaluationRow("a", {"F1": Figure(0.5, 0.4, 0.6)}),
        EvaluationRow("b", {"F1": Figure(0.25), "rows/s": Figure(12.0, digits=1)}),
    )
    table = EvaluationTable("cleaning", "tiny (2 rows)", rows, ("A note.",))
    assert table.to_markdown() == "\n".join(
        [
            "## cleaning: tiny (2 rows)",
            "",
            "| system |                   F1 | rows/s |",
            "| ------ | -------------------: | -----: |",
            "| a      | 0.500 [0.400, 0.600] |      – |",
            "| b      |                0.250 |   12.0 |",
            "",
            "A note.",
        ]
    )
    assert table.to_json() == {
        "task": "cleaning",
        "title": "tiny (2 rows)",
        "rows": [
            {"system": "a", "figures": {"F1": {"value": 0.5, "low": 0.4, "high": 0.6}}},
            {"system": "b", "figures": {"F1": {"value": 0.25}, "rows/s": {"value": 12.0}}},
        ],
        "notes": ["A note."],
        "reliability": [],
    }
