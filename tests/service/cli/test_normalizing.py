"""`rpt normalize`: what is asked of the model, and what is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.cli import main
from service.cli.judging import JudgingOptions, WantedFormat
from service.storage.table_file import Text
from service.table_run import Judge, Judgement, Progress
from tests.service.cli.conftest import UseJudges


class FakeJudges:
    """Rewrites every `b` of the chosen columns as `B`, and abstains at `?`."""

    model = {"name": "fake", "version": "1", "sha256": "ab"}

    def __init__(self) -> None:
        self.asked: list[tuple[JudgingOptions, Sequence[WantedFormat]]] = []

    def normalization(self, options: JudgingOptions, examples: Sequence[WantedFormat]) -> Judge:
        """A judge of parts."""
        self.asked.append((options, examples))

        def judge(names: Sequence[str], rows: list[tuple[Text, ...]], progress: Progress) -> list[Judgement]:
            return [
                Judgement(row, column, "rewritten", "B", 0.9, evidence_source="program", detail="in upper case")
                if values[column] == "b"
                else Judgement(row, column, "abstained", evidence_source="program", detail="two ways to read it")
                for row, values in enumerate(rows)
                for column in sorted(options.columns or ())
                if values[column] in ("b", "?")
            ]

        return judge


@pytest.fixture
def judges(use_judges: UseJudges) -> FakeJudges:
    fake = FakeJudges()
    use_judges(fake)
    return fake


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(b'id;name\r\n"007";A\r\n008;b\r\n009;?\r\n010;"b"\r\n')
    return path


def run(*arguments: object) -> int:
    return main(["normalize", *(str(one) for one in arguments)])


def test_only_rewritten_cells_differ_and_every_other_one_keeps_its_bytes(judges: FakeJudges, table: Path) -> None:
    assert run(table, "-c", "name", "--min-confidence", "0.8", "-q") == 0
    output = table.with_name("t.normalized.csv")
    assert output.read_bytes() == b'id;name\r\n"007";A\r\n008;B\r\n009;?\r\n010;"B"\r\n'
    assert judges.asked == [(JudgingOptions(frozenset({1}), 0.8), [])]
    log = output.with_name(f"{output.name}.patches.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [(one["row"], one["outcome"], one["new"]) for one in lines] == [
        (1, "rewritten", "B"), (2, "abstained", None), (3, "rewritten", "B"),
    ]  # fmt: skip
    assert lines[0]["evidence"] == {"source": "program", "rows": [], "detail": "in upper case"}
    back = table.with_name("back.csv")
    assert main(["patch", "revert", str(output), str(log), "-o", str(back)]) == 0
    assert back.read_bytes() == table.read_bytes()


def test_an_example_is_an_output_or_an_input_with_its_output(judges: FakeJudges, table: Path) -> None:
    assert run(table, "-c", "name", "-e", "B", "-e", "x => y=>B", "-q") == 0
    assert judges.asked[0][1] == [WantedFormat(1, "B", None), WantedFormat(1, "B", "x => y")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-c", "id,name", "-e", "B"], "--example needs exactly one --column"),
        (["-e", "B"], "--example needs exactly one --column"),
        (["-c", "name", "-e", "b=>"], "it needs a value in the wanted format"),
    ],
)
def test_what_cannot_be_asked_is_said_plainly(
    judges: FakeJudges, table: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run(table, *options) == 1
    assert message in capsys.readouterr().err
    assert not table.with_name("t.normalized.csv").exists()


def test_a_column_that_is_not_there_is_wrong_usage(judges: FakeJudges, table: Path) -> None:
    assert run(table, "-c", "nothing") == 2


def test_rows_that_cannot_be_read_stay_where_they_are(judges: FakeJudges, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("id;name\n1;b\nbad\n2;é\n".encode())
    assert run(path, "-c", "name", "-q", "-o", tmp_path / "o.csv") == 0
    assert (tmp_path / "o.csv").read_bytes() == "id;name\n1;B\nbad\n2;é\n".encode()


def test_an_input_is_never_written(judges: FakeJudges, table: Path) -> None:
    before = table.read_bytes()
    assert run(table, "-o", table) == 2
    assert table.read_bytes() == before
