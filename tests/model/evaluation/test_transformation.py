"""Transformation measured: reading of cases, counting, and the systems of the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.figures import Resampling
from model.evaluation.transformation import (
    Output,
    TransformCase,
    evaluate_transform,
    read_cases,
    transform_figures,
)
from model.inference.transformation import TransformExample

LINES = [
    {"name": "a", "description": "", "examples": [{"input": "Ada Lovelace", "output": "Lovelace"},
     {"input": "Alan Turing", "output": "Turing"}], "tests": [{"input": "Grace Hopper", "output": "Hopper"}]},
    {"name": "b", "description": "a \u2028 b", "examples": [{"input": ["1", "x"], "output": "1x"}, {"input": ["2", "y"],
     "output": "2y"}, {"input": ["2", "y"], "output": "other"}], "tests": [{"input": ["3", "z"], "output": "3z"}]},
]  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    (tmp_path / "transform").mkdir()
    for name in ("tde", "prose"):
        (tmp_path / "transform" / f"{name}.jsonl").write_text(
            "\n".join(json.dumps(one, ensure_ascii=False) for one in LINES), encoding="utf-8"
        )
    return tmp_path


def test_cases_are_read_with_columns_joined_and_contradictions_left_out(bench: Path) -> None:
    first, second = read_cases(bench, "tde")
    assert first.examples[1] == TransformExample("Alan Turing", "Turing")
    assert second.examples == (TransformExample("1 | x", "1x"), TransformExample("2 | y", "2y"))
    assert second.tests == (TransformExample("3 | z", "3z"),)
    with pytest.raises(InputError, match="no transform/none.jsonl"):
        read_cases(bench, "none")


def test_a_case_counts_where_all_is_right_and_sure_answers_are_counted_apart() -> None:
    tests = (TransformExample("a", "A"), TransformExample("b", ""))
    cases = [TransformCase("x", (), tests), TransformCase("y", (), tests)]
    outputs = [[Output("A", 0.95), Output(None, 0.2)], [Output("B", 0.9), Output("b", 0.3)]]
    figures = {name: one.value for name, one in transform_figures(cases, outputs, Resampling(resamples=10)).items()}
    assert figures == {"cases": 0.5, "outputs": 0.5, "answered": 0.75, "wrong of ≥ 0.9": 0.5}
    untold = [[Output(test.input) for test in tests] for _ in cases]
    assert set(transform_figures(cases, untold, Resampling(resamples=10))) == {"cases", "outputs", "answered"}


def test_the_table_has_the_service_and_its_parts(bench: Path, checkpoint: Checkpoint) -> None:
    tables = evaluate_transform(bench, checkpoint, Resampling(resamples=10))
    assert [one.title for one in tables] == ["TDE (2 cases, 2 outputs)", "PROSE (2 cases, 2 outputs)"]
    rows = {row.system: row.figures["cases"].value for row in tables[0].rows}
    assert rows["programs alone, the cheapest"] == rows["the same, never abstaining"] == 1.0
    assert rows["a copy of the input"] == 0.0
    assert set(rows) >= {"programs and network", "the network alone"}
    assert len(tables[0].reliabilities[0]) == 2
