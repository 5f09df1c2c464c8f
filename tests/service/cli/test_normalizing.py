"""`rpt normalize`: what is asked of the model, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.cli import main
from service.cli.judging import NamedRows, Normalized, WantedFormat
from service.table_run import Progress
from tests.service.cli.conftest import UseJudges


class FakeJudges:
    """Rewrites the second row of the second column, and is not certain of the first."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def normalization(
        self,
        table: NamedRows,
        columns: Sequence[int] | None,
        wanted: Sequence[WantedFormat],
        min_confidence: float,
        progress: Progress,
    ) -> list[Normalized]:
        """Two cells."""
        self.asked.append((table, columns, wanted, min_confidence))
        return [
            Normalized(0, 1, "3/4/20", "abstained", None, None, "program", "two ways"),
            Normalized(1, 1, "May 6, 2020", "rewritten", "2020-05-06", 0.9, "program", "by date"),
        ]


@pytest.fixture
def judges(use_judges: UseJudges) -> FakeJudges:
    fake = FakeJudges()
    use_judges(fake)
    return fake


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes("id;däy\r\n007;3/4/20\r\nbad\r\n008;May 6, 2020\r\n".encode())
    return path


def run(*arguments: object) -> int:
    return main(["normalize", *(str(one) for one in arguments)])


def test_the_table_is_written_with_the_rewritten_cells(
    judges: FakeJudges, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, details = tmp_path / "out.csv", tmp_path / "details.jsonl"
    assert run(table, "-c", "däy", "-e", "2020-01-02", "-e", "1/2/20=>2020-01-02", "-o", output,
               "--details", details, "--min-confidence", "0.7") == 0  # fmt: skip
    wanted = [WantedFormat(1, "2020-01-02", None), WantedFormat(1, "2020-01-02", "1/2/20")]
    assert judges.asked == [((("id", "däy"), [("007", "3/4/20"), ("008", "May 6, 2020")]), [1], wanted, 0.7)]
    with output.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["id", "däy"], ["007", "3/4/20"], ["008", "2020-05-06"]]
    lines = [json.loads(line) for line in details.read_text(encoding="utf-8").splitlines()]
    assert lines[1] == {"row": 2, "column": "däy", "value": "May 6, 2020", "outcome": "rewritten",
                        "normalized": "2020-05-06", "confidence": 0.9, "evidence": "program",
                        "detail": "by date"}  # fmt: skip
    words = capsys.readouterr().err
    assert "däy: 1 rewritten, 1 not certain" in words and "1: by date" in words and "1 damaged rows" in words


def test_without_an_output_the_summary_is_all(
    judges: FakeJudges, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    assert run(table, "--json") == 0
    assert judges.asked[0][1:] == (None, [], 0.5)
    assert json.loads(capsys.readouterr().out) == {
        "rows": 2, "rewritten": 1, "abstained": 1, "errors": 0, "damaged_rows": 1, "output": None,
    }  # fmt: skip
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-c", "nothing"], "has no column 'nothing'"),
        (["-e", "a"], "--example needs exactly one --column"),
        (["-c", "id", "-c", "däy", "-e", "a"], "--example needs exactly one --column"),
        (["-c", "id", "-e", "a=>"], "it needs a value in the wanted format"),
    ],
)
def test_what_cannot_be_asked_is_said_plainly(
    judges: FakeJudges, table: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run(table, *options) == 1
    assert message in capsys.readouterr().err and judges.asked == []


def test_an_input_is_never_written(judges: FakeJudges, table: Path) -> None:
    before = table.read_bytes()
    assert run(table, "-o", table) == 1 and run(table, "--details", table) == 1
    assert table.read_bytes() == before
