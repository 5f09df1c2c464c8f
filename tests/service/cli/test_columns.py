"""`rpt match-schema`: what is asked of the model, what is printed and what is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from service.cli import main
from service.cli.judging import (
    ColumnEvidence,
    ColumnExample,
    MatchedColumn,
    MatchedColumns,
    MatchingColumnsOptions,
    NamedRows,
    RankedColumn,
)
from service.table_run import Progress
from tests.service.cli.conftest import UseJudges

ANSWER = MatchedColumns(
    (MatchedColumn("first name", "[FirstName]", 0.91234, (ColumnEvidence("names", 2.25, "the same name"),)),),
    {"first name": (RankedColumn("[FirstName]", 0.91234),), "zip": ()},
    ("zip",),
    0.1,
)


class FakeJudges:
    """Answers with `ANSWER`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[NamedRows, NamedRows, MatchingColumnsOptions]] = []

    def columns(
        self, source: NamedRows, target: NamedRows, options: MatchingColumnsOptions, progress: Progress
    ) -> MatchedColumns:
        """The same match for everybody."""
        self.asked.append((source, target, options))
        return ANSWER


@pytest.fixture
def judges(use_judges: UseJudges) -> FakeJudges:
    fake = FakeJudges()
    use_judges(fake)
    return fake


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("first name,zip\nAnna,02116\nOtto,80202\n", encoding="utf-8")
    second.write_text("[FirstName],zip,zip\nEve,1,2\n", encoding="utf-8")
    return first, second


def run(*arguments: object) -> int:
    return main(["match-schema", *(str(one) for one in arguments)])


def test_matches_are_printed_as_a_table(
    judges: FakeJudges, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*files) == 0
    ((source, target, options),) = judges.asked
    assert source == (("first name", "zip"), [("Anna", "02116"), ("Otto", "80202")])
    assert target[0] == ("[FirstName]", "zip", "zip_2")
    assert options == MatchingColumnsOptions()
    printed = capsys.readouterr()
    assert [line.rstrip() for line in printed.out.splitlines()] == [
        "source      target       confidence  evidence",
        "first name  [FirstName]  0.91        names +2.2",
    ]
    assert "1 matched of 2 and 3 columns" in printed.err and "without a match: zip" in printed.err


def test_options_and_examples_reach_the_model(judges: FakeJudges, files: tuple[Path, Path]) -> None:
    examples = ["--same", "zip=zip_2", "--different", "first name=zip"]
    assert run(*files, "--many", "--min-confidence", "0.2", *examples, "--quiet") == 0
    told = (ColumnExample(1, 2, True), ColumnExample(0, 1, False))
    assert judges.asked[0][2] == MatchingColumnsOptions(0.2, False, told)


def test_only_the_first_rows_are_read_and_that_is_said(
    judges: FakeJudges, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*files, "--rows", "1") == 0
    assert judges.asked[0][0][1] == [("Anna", "02116")]
    words = capsys.readouterr().err
    assert "a.csv: only the first 1 rows were read" in words and "b.csv" not in words


def test_json_goes_to_stdout_and_to_files(
    judges: FakeJudges, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.json"
    assert run(*files, "--json", "-o", output, "--quiet") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["matches"][0]["target"] == "[FirstName]" and printed["abstained"] == ["zip"]
    assert json.loads(output.read_text("utf-8")) == printed


def test_a_csv_has_one_match_a_line(
    judges: FakeJudges, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.csv"
    assert run(*files, "-o", output) == 0
    with output.open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    assert header == ["source", "target", "confidence", "evidence"]
    assert row == ["first name", "[FirstName]", "0.9123", "names +2.2: the same name"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["-o", "a.csv"], "inputs are never written"), (["-o", "out.txt"], ".csv or .json"),
     (["--same", "zip"], "write SOURCE=TARGET"), (["--different", "zip=street"], "has no column street")],
)  # fmt: skip
def test_what_cannot_be_done_is_said(
    judges: FakeJudges,
    files: tuple[Path, Path],
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files[0].parent)
    assert run(*files, *arguments) == 1
    assert message in capsys.readouterr().err
    assert judges.asked == []


def test_real_files_are_matched(
    checkpoint: Checkpoint, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*files, "--model", checkpoint.path, "--json", "--quiet") == 0
    found = json.loads(capsys.readouterr().out)
    matched = {(one["source"], one["target"]) for one in found["matches"]}
    assert ("first name", "[FirstName]") in matched
    assert set(found["ranked"]) == {"first name", "zip"}
