import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.column_errors import (
    LabelledColumn,
    evaluate_column_errors,
    measure_column_errors,
    pattern_outliers,
    precision_at,
    read_columns,
    unusual_letters,
)
from model.evaluation.figures import Floats, Resampling
from model.inference.cleaning import FLAG_PROBABILITY


def columns() -> list[LabelledColumn]:
    return [
        LabelledColumn("a", ("w", "v", "q"), frozenset({"q"}), frozenset()),
        LabelledColumn("b", ("s", "t", "u"), frozenset({"t"}), frozenset({"u"})),
    ]


def scorer(_: Sequence[LabelledColumn]) -> list[Floats]:
    return [np.array([0.7, 0.1, 0.9]), np.array([0.3, 0.2, 0.99])]


def test_debatable_values_count_neither_way_and_right_ones_are_false_alarms() -> None:
    table = measure_column_errors(columns(), {"model": scorer})
    figures = {name: figure.value for name, figure in table.rows[0].figures.items() if name != "values/s"}
    assert figures == {
        "P at 10": 0.4,
        "P at 20": 0.4,
        "P at 50": 0.4,
        "flagged": 2,
        "P": 0.5,
        "R": 0.5,
        "F1": 0.5,
        "false alarms / 1,000": pytest.approx(1000 / 3),
    }
    assert table.title == "ST-Bench (2 columns, 5 values, 2 of them wrong)"
    assert table.reliabilities[0].probabilities.tolist() == [0.7, 0.1, 0.9, 0.3, 0.2]


def test_precision_goes_down_the_ranking_and_its_interval_resamples_columns() -> None:
    scores = np.linspace(1.0, 0.0, 100)
    wrong = np.arange(100) % 2 == 0
    owner = np.arange(100) // 2  # every column has one wrong and one right value
    figure = precision_at(10, scores, wrong, owner, Resampling())
    assert figure.low is not None and figure.high is not None
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.5, 0.5, 0.5), abs=0.1)
    alone = precision_at(10, scores, wrong, np.arange(100), Resampling())
    assert None not in (alone.low, alone.high) and (alone.high or 0) - (alone.low or 0) > 0.3
    assert precision_at(1, scores, wrong, owner, Resampling()).value == 1.0


def test_equally_suspicious_values_come_in_an_order_that_labels_do_not_decide() -> None:
    wrong = np.arange(1000) < 500
    figure = precision_at(50, np.zeros(1000), wrong, np.arange(1000), Resampling())
    assert 0.3 < figure.value < 0.7


def test_a_rare_shape_is_an_outlier_only_where_one_shape_is_usual() -> None:
    numbers = tuple(str(1000 + number) for number in range(40))
    usual = LabelledColumn("n", (*numbers, "12a"), frozenset({"12a"}), frozenset())
    (scores,) = pattern_outliers([usual])
    assert scores.tolist() == [0.0] * 40 + [pytest.approx(1 - (1 / 41) / 0.1)]
    mixed = LabelledColumn("m", ("1", "a", "A", "1a", "a1"), frozenset(), frozenset())
    assert (pattern_outliers([mixed])[0] < 0.5).all()


def test_a_value_of_other_letters_is_unusual() -> None:
    words = tuple(f"station {letter}" for letter in "abcdefghijklmnopqrst")
    (scores,) = unusual_letters([LabelledColumn("w", (*words, "xqzkjw"), frozenset(), frozenset())])
    assert scores[-1] >= 0.5 > scores[:-1].max()
    assert unusual_letters([LabelledColumn("few", ("a", "zz"), frozenset(), frozenset())])[0].tolist() == [0.0, 0.0]


def test_the_file_is_read_and_judged_by_the_model(tmp_path: Path, checkpoint: Checkpoint) -> None:
    folder = tmp_path / "column-errors"
    folder.mkdir()
    records = [
        {"id": 1, "header": "city", "values": ["oslo", "bonn", "", "osol"], "errors": ["osol"], "debatable": []},
        {"id": 2, "header": "", "values": [f"{number}" for number in range(20)], "errors": [], "debatable": ["3"]},
    ]
    (folder / "st_bench.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    assert read_columns(tmp_path)[0].values == ("oslo", "bonn", "osol")
    stages: list[tuple[str, int, int]] = []
    (table,) = evaluate_column_errors(tmp_path, checkpoint, progress=lambda *one: stages.append(one))
    assert [row.system for row in table.rows] == ["model", "pattern outlier", "unusual letters"]
    assert stages == [("column errors", 1, 2), ("column errors", 2, 2)]
    (reliability,) = table.reliabilities
    assert len(reliability) == 22 and reliability.true.sum() == 1
    assert table.rows[0].figures["flagged"].value == (reliability.probabilities >= FLAG_PROBABILITY).sum() > 0
    with pytest.raises(InputError, match=r"column-errors/st_bench\.jsonl"):
        read_columns(tmp_path / "nowhere")
