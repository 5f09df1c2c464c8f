"""`rpt extract`: what is asked of the model, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.cli import main
from service.cli.judging import Extracted, Wanted
from service.storage.table_file import Text
from service.table_run import Progress
from tests.service.cli.conftest import UseJudges


class FakeJudges:
    """Finds the first word of every text for the first attribute, and nothing for the others."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[Text], Sequence[Wanted]]] = []

    def extraction(self, texts: Sequence[Text], wanted: Sequence[Wanted], progress: Progress) -> list[Extracted]:
        """One answer for each text and attribute."""
        self.asked.append((texts, wanted))
        found = []
        for text, content in enumerate(texts):
            word = (content or "").split(" ")[0] or None
            outcome = "value" if word else "none"
            place = (0, len(word)) if word else (None, None)
            found.append(Extracted(text, 0, outcome, word, place[0], place[1], 0.9 if text else 0.4, "model"))
            found += [Extracted(text, a, "none", None, None, None, 0.5, "model") for a in range(1, len(wanted))]
        return found


@pytest.fixture
def judges(use_judges: UseJudges) -> FakeJudges:
    fake = FakeJudges()
    use_judges(fake)
    return fake


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes('id;title\r\n007;"Acme; mug é"\r\nbad\r\n008;\r\n009;Globex pan\r\n'.encode())
    return path


def run(*arguments: object) -> int:
    return main(["extract", *(str(one) for one in arguments)])


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_column_for_each_attribute_is_written(
    judges: FakeJudges, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, details = tmp_path / "out.csv", tmp_path / "details.jsonl"
    assert run(table, "-c", "title", "-a", "brand", "-a", "size", "-o", output, "--details", details) == 0
    assert judges.asked == [(["Acme; mug é", "", "Globex pan"], [Wanted("brand"), Wanted("size")])]
    assert rows_of(output) == [
        ["id", "title", "brand", "size"],
        ["007", "Acme; mug é", "Acme;", ""],
        ["008", "", "", ""],
        ["009", "Globex pan", "Globex", ""],
    ]
    lines = [json.loads(line) for line in details.read_text(encoding="utf-8").splitlines()]
    assert [(line["row"], line["attribute"], line["value"]) for line in lines[::2]] == [
        (0, "brand", "Acme;"),
        (2, "brand", None),
        (3, "brand", "Globex"),
    ]
    assert (lines[4]["start"], lines[4]["end"], lines[4]["confidence"], lines[4]["outcome"]) == (0, 6, 0.9, "value")
    words = capsys.readouterr().err
    assert "brand: 2 of 3 texts" in words and "size: 0 of 3" in words and "1 damaged rows" in words


def test_values_below_the_confidence_are_left_out_and_the_summary_is_json(
    judges: FakeJudges, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.csv"
    assert run(table, "-c", "title", "-a", "brand", "-o", output, "--min-confidence", "0.5", "--json") == 0
    assert [row[2] for row in rows_of(output)] == ["brand", "", "", "Globex"]
    summary = json.loads(capsys.readouterr().out)
    assert summary == {"rows": 3, "values": {"brand": 1}, "errors": 0, "damaged_rows": 1, "output": str(output)}


def test_answered_texts_go_with_their_attribute(judges: FakeJudges, table: Path, tmp_path: Path) -> None:
    examples = tmp_path / "examples.csv"
    examples.write_text("text,attribute,value\nred mug,color,red\nmug,color,\n")
    assert run(table, "-c", "title", "-a", "color", "-o", tmp_path / "o.csv", "--examples", examples) == 0
    assert judges.asked[0][1] == [Wanted("color", (("red mug", "red"), ("mug", None)))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-c", "nothing", "-a", "x"], "has no column 'nothing'"),
        (["-c", "title", "-a", "id"], "has a column of that name"),
        (["-c", "title", "-a", "x", "-a", "x"], "asked twice"),
    ],
)
def test_what_cannot_be_asked_is_said_plainly(
    judges: FakeJudges,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    assert run(table, *options, "-o", tmp_path / "o.csv") == 1
    assert message in capsys.readouterr().err
    assert judges.asked == [] and not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,value\na,b\n", "needs the columns text, attribute, value"),
        ("text,attribute,value\na mug,size,a\n", "row 0: it needs a text, and an attribute that is asked for"),
        ("text,attribute,value\na mug,color,red\n", "row 0: the value does not stand in the text"),
    ],
)
def test_examples_that_do_not_fit_name_their_row(
    judges: FakeJudges, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    examples = tmp_path / "examples.csv"
    examples.write_text(content)
    assert run(table, "-c", "title", "-a", "color", "-o", tmp_path / "o.csv", "--examples", examples) == 1
    assert message in capsys.readouterr().err


def test_an_input_is_never_written(judges: FakeJudges, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = table.read_bytes()
    assert run(table, "-c", "title", "-a", "x", "-o", table) == 1
    assert "inputs are never written" in capsys.readouterr().err
    assert table.read_bytes() == before
