"""`rpt transform`: what is asked of the model, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.cli import main
from service.cli.judging import Transformed
from service.table_run import Progress
from tests.service.cli.conftest import UseJudges


class FakeJudges:
    """Writes every text in upper case; abstains where it has none."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[tuple[str, str]], Sequence[str], float]] = []

    def transformation(
        self, examples: Sequence[tuple[str, str]], texts: Sequence[str], min_confidence: float, progress: Progress
    ) -> list[Transformed]:
        """One answer for each text."""
        self.asked.append((examples, texts, min_confidence))
        return [
            Transformed("value", text.upper(), 0.9, "program", "in upper case")
            if text
            else Transformed("abstained", None, None, "model", None)
            for text in texts
        ]


@pytest.fixture
def judges(use_judges: UseJudges) -> FakeJudges:
    fake = FakeJudges()
    use_judges(fake)
    return fake


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes("id;name\r\n007;ada é\r\nbad\r\n008;\r\n".encode())
    return path


def run(*arguments: object) -> int:
    return main(["transform", *(str(one) for one in arguments)])


def test_a_new_column_is_written(
    judges: FakeJudges, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, details = tmp_path / "out.csv", tmp_path / "details.jsonl"
    assert run(table, "-c", "name", "-e", "bo=>BO", "-o", output, "--details", details) == 0
    assert judges.asked == [([("bo", "BO")], ["ada é", ""], 0.5)]
    with output.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["id", "name", "name (new)"], ["007", "ada é", "ADA É"], ["008", "", ""]]
    lines = [json.loads(line) for line in details.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {"row": 0, "input": "ada é", "outcome": "value", "output": "ADA É", "confidence": 0.9,
                        "evidence": "program", "detail": "in upper case"}  # fmt: skip
    assert (lines[1]["row"], lines[1]["outcome"], lines[1]["output"]) == (2, "abstained", None)
    words = capsys.readouterr().err
    assert "name (new): 1 of 2 texts" in words and "1 by: in upper case" in words and "1 damaged rows" in words


def test_examples_come_from_a_file_too_and_the_summary_is_json(
    judges: FakeJudges, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples, output = tmp_path / "e.csv", tmp_path / "out.csv"
    examples.write_text("output,input\nBO,bo\n", encoding="utf-8")
    arguments = ("-e", "x=>X", "--examples", examples, "--into", "loud", "--min-confidence", "0.9", "--json")
    assert run(table, "-c", "name", "-o", output, *arguments) == 0
    assert judges.asked[0][::2] == ([("x", "X"), ("bo", "BO")], 0.9)
    assert json.loads(capsys.readouterr().out) == {
        "rows": 2, "transformed": 1, "abstained": 1, "errors": 0, "damaged_rows": 1, "output": str(output),
    }  # fmt: skip
    assert output.read_text(encoding="utf-8").startswith("id,name,loud\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-c", "nothing", "-e", "a=>b"], "has no column 'nothing'"),
        (["-c", "name", "-e", "a=>b", "--into", "id"], "has a column 'id' already"),
        (["-c", "name", "-e", "a"], "it needs => between input and output"),
        (["-c", "name"], "at least one example is needed"),
        (["-c", "name", "--examples", "t.csv"], "needs the columns input, output"),
    ],
)
def test_what_cannot_be_asked_is_said_plainly(
    judges: FakeJudges,
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(table, *options, "-o", tmp_path / "o.csv") == 1
    assert message in capsys.readouterr().err
    assert judges.asked == [] and not (tmp_path / "o.csv").exists()


def test_an_input_is_never_written(judges: FakeJudges, table: Path) -> None:
    before = table.read_bytes()
    assert run(table, "-c", "name", "-e", "a=>b", "-o", table) == 1
    assert table.read_bytes() == before
