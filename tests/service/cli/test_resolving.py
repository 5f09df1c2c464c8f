"""`rpt resolve`: what is asked of the model, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from model.checkpoint import Checkpoint
from service.cli import main
from service.cli import resolving as resolving_commands
from service.cli.judging import NamedRows, Planned, Resolved, ResolvedEntity, ResolvedPair, ResolvingOptions
from service.table_run import Progress
from tests.service.cli.conftest import UseJudges

PAIR = ResolvedPair((0, 0), (1, 1), 0.55, "review", {"id": 1.25, "name": -0.5})
ANSWER = Resolved(
    (
        ResolvedEntity("ent_a", 0.91, ((0, 0), (1, 1)), {"id": "007", "name": "Anna, B."}),
        ResolvedEntity("ent_b", 1.0, ((1, 0),), {"id": None, "name": "Otto"}),
    ),
    (PAIR,),
    0,
    2,
    "agreement",
    0.1,
    (1, 0, 1, 0),
    (0.25, 0.75),
)


class FakeJudges:
    """Answers with `ANSWER`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[NamedRows], ResolvingOptions]] = []
        self.answer = ANSWER

    def resolution(self, tables: Sequence[NamedRows], options: ResolvingOptions, progress: Progress) -> Resolved:
        """The same entities for everybody."""
        self.asked.append((tables, options))
        return self.answer

    def plan(self, tables: Sequence[NamedRows], options: ResolvingOptions) -> Planned:
        """Some numbers."""
        self.asked.append((tables, options))
        return Planned(3, 2, 1, 0.5, 4, 7.0)


@pytest.fixture
def judges(use_judges: UseJudges) -> FakeJudges:
    fake = FakeJudges()
    use_judges(fake)
    return fake


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_bytes(b'id;name\r\n007;"Anna; B."\r\n')
    second.write_bytes(b"Name,name\nx,Otto\nbad\ny,Anna\n")
    return first, second


def run(*arguments: object) -> int:
    return main(["resolve", *(str(one) for one in arguments)])


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_golden_records_members_and_pairs_are_written(
    judges: FakeJudges, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, pairs = tmp_path / "gold.csv", tmp_path / "pairs.csv"
    options = ["--prefer", "name=longest", "--threshold", "0.6", "--cardinality", "one_to_one", "--candidates", "4"]
    assert run(*files, "-o", output, "--pairs", pairs, *options) == 0
    ((tables, asked),) = judges.asked
    assert asked == ResolvingOptions(0.6, "one_to_one", None, 4, True, {"name": "longest"})
    assert tables[0] == (("id", "name"), [("007", "Anna; B.")])
    assert tables[1] == (("Name", "name"), [("x", "Otto"), ("y", "Anna")])
    assert rows_of(output) == [
        ["entity_id", "entity_confidence", "records", "id", "name"],
        ["ent_a", "0.9100", "2", "007", "Anna, B."],
        ["ent_b", "1.0000", "1", "", "Otto"],
    ]
    # The damaged row keeps its number in the file.
    assert rows_of(tmp_path / "gold.members.csv") == [
        ["entity_id", "table", "row"],
        ["ent_a", "0", "0"],
        ["ent_a", "1", "2"],
        ["ent_b", "1", "0"],
    ]
    assert rows_of(pairs)[1] == ["0", "0", "1", "2", "0.5500", "review", "1.250", "-0.500"]
    words = capsys.readouterr().err
    assert "2 entities, 1 of several records" in words and "1 for review" in words and "1 damaged rows" in words


def test_a_plan_writes_nothing(
    judges: FakeJudges, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(files[0], "--plan") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]
    words = capsys.readouterr().err
    assert "2 possible pairs" in words and "50.00%" in words and "about 7 s" in words


def test_the_plan_as_json_goes_to_stdout(
    judges: FakeJudges, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(files[0], "--plan", "--json") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out) == {
        "records": 3,
        "possible_pairs": 2,
        "candidate_pairs": 1,
        "reduction_ratio": 0.5,
        "dropped_blocks": 4,
        "seconds": 7.0,
    }


def test_the_summary_as_json_goes_to_stdout(
    judges: FakeJudges, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "gold.csv"
    assert run(*files, "-o", output, "--json") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out) == {
        "records": 3,
        "entities": 2,
        "entities_of_several": 1,
        "candidate_pairs": 2,
        "review": 1,
        "conflicts": 0,
        "damaged_rows": 1,
        "method": "agreement",
        "seconds": 0.1,
        "golden": str(output),
        "members": str(tmp_path / "gold.members.csv"),
        "pairs": None,
    }


def test_without_golden_records_no_cell_looks_like_a_missing_value(
    judges: FakeJudges, files: tuple[Path, Path], tmp_path: Path
) -> None:
    judges.answer = replace(ANSWER, entities=tuple(replace(one, record=None) for one in ANSWER.entities))
    output, pairs = tmp_path / "gold.csv", tmp_path / "pairs.csv"
    assert run(*files, "-o", output, "--pairs", pairs, "--no-consolidate") == 0
    assert judges.asked[0][1].consolidate is False
    assert rows_of(output) == [
        ["entity_id", "entity_confidence", "records"],
        ["ent_a", "0.9100", "2"],
        ["ent_b", "1.0000", "1"],
    ]
    assert rows_of(pairs)[0][-2:] == ["id", "name"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["A", "B", "A", "-o", "out.csv"], "not 3"),
        (["A"], "-o OUT"),
        (["A", "-o", "A"], "inputs are never written"),
        (["A", "-o", "out.csv", "--pairs", "out.members.csv"], "one file"),
        (["A", "-o", "out.csv", "--cardinality", "one_to_one"], "needs two tables"),
        (["A", "B", "-o", "out.csv", "--cardinality", "some"], "choose from"),
        (["A", "-o", "out.csv", "--prefer", "longest"], "COLUMN=RULE"),
        (["missing.csv", "-o", "out.csv"], "missing.csv"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    judges: FakeJudges,
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {"A": files[0].name, "B": files[1].name}
    assert run(*(named.get(one, one) for one in arguments)) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not judges.asked
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_a_real_table_is_resolved(checkpoint: Checkpoint, tmp_path: Path) -> None:
    lines = ["name,street"] + [
        f"person{number * 37} {'abcdef'[number % 6] * 5},street {number}" for number in range(25)
    ]
    source, output = tmp_path / "people.csv", tmp_path / "gold.csv"
    source.write_text("\n".join([*lines, lines[3], lines[9]]) + "\n", encoding="utf-8")
    assert run(source, "-o", output, "--model", checkpoint.path, "--quiet") == 0
    members = rows_of(tmp_path / "gold.members.csv")[1:]
    assert len(members) == 27
    shared = [row[0] for row in members if row[2] in ("2", "25")]
    assert len(set(shared)) == 1
    golden = {row[0]: row for row in rows_of(output)[1:]}
    assert len(golden) == 25 and golden[shared[0]][2:] == ["2", "person74 ccccc", "street 2"]


def test_the_module_knows_every_cardinality() -> None:
    from service.engine import Cardinality

    assert tuple(Cardinality) == resolving_commands.CARDINALITIES


def resolve_text(checkpoint: Checkpoint, folder: Path, *texts: str, options: Sequence[str] = ()) -> list[list[str]]:
    """The golden records of files that hold `texts`."""
    sources = [folder / f"in{number}.csv" for number in range(len(texts))]
    for source, text in zip(sources, texts, strict=True):
        source.write_text(text, encoding="utf-8")
    output = folder / "gold.csv"
    assert run(*sources, "-o", output, "--model", checkpoint.path, "--quiet", *options) == 0
    return rows_of(output)


def test_columns_of_one_name_keep_their_values(checkpoint: Checkpoint, tmp_path: Path) -> None:
    header, *records = resolve_text(checkpoint, tmp_path, "a,a,\nleft,right,third\n")
    assert header[3:] == ["a", "a_2", "column_3"]
    assert [record[3:] for record in records] == [["left", "right", "third"]]


def test_columns_that_differ_in_case_alone_keep_their_values(checkpoint: Checkpoint, tmp_path: Path) -> None:
    header, *records = resolve_text(checkpoint, tmp_path, "name\nabc\n", "Name,name\ndef,ghi\n")
    assert header[3:] == ["name", "Name"]
    assert sorted(record[3:] for record in records) == [["abc", ""], ["ghi", "def"]]


@pytest.mark.parametrize(
    ("texts", "records"),
    [
        (["a,b\n"], []),
        (["a,b\nx,y\n"], [["1", "x", "y"]]),
        (["a,b\n,\n,\n"], [["1", "", ""]] * 2),
        (["a\nx\n", "b\n"], [["1", "x", ""]]),
        (["a\nx\n", "b\nx\n"], [["1", "x", ""], ["1", "", "x"]]),
    ],
)
def test_odd_tables_become_as_many_records(
    checkpoint: Checkpoint, tmp_path: Path, texts: list[str], records: list[list[str]]
) -> None:
    header, *found = resolve_text(checkpoint, tmp_path, *texts)
    assert header == ["entity_id", "entity_confidence", "records", "a", "b"]
    assert [record[2:] for record in found] == records


def test_a_preference_for_a_column_that_is_not_there_is_an_error(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("a\nx\n", encoding="utf-8")
    arguments = (source, "-o", tmp_path / "out.csv", "--model", checkpoint.path)
    for rule, said in (("b=longest", "no table has a column 'b'"), ("a=finest", "finest")):
        assert run(*arguments, "--prefer", rule) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_a_picture_shows_all_candidates_and_the_most_doubtful_pair(
    judges: FakeJudges, files: tuple[Path, Path], tmp_path: Path
) -> None:
    sure = replace(PAIR, probability=0.99, weights={"id": 9.0})
    judges.answer = replace(ANSWER, pairs=(sure, PAIR))
    assert run(*files, "-o", tmp_path / "out.csv", "--picture", tmp_path / "out.svg") == 0
    drawn = (tmp_path / "out.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(drawn)
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        "for review", "0.00 to 0.25: 1", "0.25 to 0.50: 0", "0.50 to 0.75: 1", "0.75 to 1.00: 0",
        "id: +1.25", "name: -0.50",
    ]  # fmt: skip
    assert "rows 0:0 and 1:2" in drawn and "together +0.75" in drawn
    assert run(*files, "-o", tmp_path / "out.csv", "--picture", files[0]) != 0
