"""`rpt finetune`: what is asked, what is printed, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure
from model.finetuning.finetune import FinetuneReport
from service.cli import finetuning, main
from service.cli.judging import JudgingError

TABLE = EvaluationTable("finetune", "held-out labels", (EvaluationRow("before", {"F1": Figure(0.4)}),))


class Fake:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.path: Path | None = Path("models/shoes")

    def __call__(
        self,
        task: str,
        labels: Sequence[Mapping[str, str | None]],
        folder: Path,
        name: str,
        base: Path | None,
        options: Mapping[str, object],
        progress: object,
    ) -> FinetuneReport:
        self.asked.append((task, labels, folder, name, base, dict(options)))
        return FinetuneReport(self.path, TABLE, Figure(0.1, 0.02, 0.2), (60, 20, 20), 7, 3.0, False)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    monkeypatch.delenv("RPT_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    one = Fake()
    monkeypatch.setattr(finetuning, "finetune_model", one)
    return one


LABELS = '{"text": "a red mug", "attribute": "color", "value": "red", "group": "mugs"}\n\n' + json.dumps(
    {"text": "a lamp", "attribute": "color", "value": None}
)


def test_labels_and_options_are_asked_and_the_figures_are_printed(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "l.jsonl").write_text(LABELS)
    assert main(["finetune", "--data", "l.jsonl", "--name", "shoes", "--steps", "7", "--seed", "3"]) == 0
    options = {"steps": 7, "minutes": 5.0, "seed": 3, "force": False, "replace": False}
    labels = [
        {"text": "a red mug", "attribute": "color", "value": "red", "group": "mugs"},
        {"text": "a lamp", "attribute": "color", "value": None, "group": ""},
    ]
    assert fake.asked == [("extract", labels, Path("models"), "shoes", None, options)]
    told = capsys.readouterr()
    assert "| before | 0.400 |" in told.out
    assert "0.100 [0.020, 0.200]" in told.err and "too few to calibrate" in told.err and "Published" in told.err
    monkeypatch.setenv("RPT_MODELS", "elsewhere")
    assert main(["finetune", "--data", "l.jsonl", "--name", "shoes", "--json", "--quiet"]) == 0
    assert fake.asked[1][2] == Path("elsewhere")
    assert json.loads(capsys.readouterr().out)["gain"] == {"value": 0.1, "low": 0.02, "high": 0.2}


def test_labels_of_transformation_are_read_from_a_table_too(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "l.csv").write_text("output,input\n1-a,a 1\n")
    (tmp_path / "l.jsonl").write_text(json.dumps({"input": "a 1", "output": "1-a", "group": "g"}) + "\n")
    for name in ("l.csv", "l.jsonl"):
        assert main(["finetune", "--task", "transform", "--data", name, "--name", "codes"]) == 0
    asked = [(one[0], one[1]) for one in fake.asked]
    assert asked == [("transform", [{"input": "a 1", "output": "1-a", "group": group}]) for group in ("", "g")]
    assert "The share of right outputs rises by 0.100" in capsys.readouterr().err


def test_an_empty_cell_of_a_table_is_no_value(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("text,attribute,value,group\na red mug,color,,mugs\n")
    assert main(["finetune", "--data", "l.csv", "--name", "shoes"]) == 0
    assert fake.asked[0][1] == [{"text": "a red mug", "attribute": "color", "value": None, "group": "mugs"}]


def test_a_table_that_lacks_a_column_is_refused(fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "l.csv").write_text("input,other\nsecret,b\n")
    assert main(["finetune", "--task", "transform", "--data", "l.csv", "--name", "codes"]) == 1
    told = capsys.readouterr().err
    assert "l.csv, row 0: it needs the fields input, output" in told and "secret" not in told and fake.asked == []


def test_a_worse_model_ends_with_a_problem(fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "l.jsonl").write_text(LABELS)
    fake.path = None
    assert main(["finetune", "--data", "l.jsonl", "--name", "shoes"]) == 1
    assert "not published" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ["no json", "[]", '{"text": "secret"}', '{"text": 5, "attribute": "a", "value": null}']
)
def test_a_line_that_is_no_label_is_named_without_its_text(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "l.jsonl").write_text(f"{LABELS}\n{line}\n")
    assert main(["finetune", "--data", "l.jsonl", "--name", "shoes"]) == 1
    told = capsys.readouterr().err
    assert "l.jsonl, line 4: " in told and "secret" not in told and fake.asked == []


def test_a_name_that_is_none_is_refused_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "l.jsonl").write_text(LABELS)
    arguments = ["finetune", "--data", str(tmp_path / "l.jsonl"), "--models", str(tmp_path), "--name", "../x"]
    assert main(arguments) == 1
    assert "1 to 64 of the characters" in capsys.readouterr().err
    assert issubclass(JudgingError, Exception) and [one.name for one in tmp_path.iterdir()] == ["l.jsonl"]
