"""The right reader for each file, and copies that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.storage.files import copy_name, detect_format, open_table, same_file, written_whole
from service.storage.table_file import FileFormat, FormatError, TableFileError


def test_the_format_is_found_by_content_then_by_name(tmp_path: Path) -> None:
    named = {"a.csv": b"a\n", "a.TSV": b"a\tb\n", "a": b"a\n", "a.jsonl": b"{}\n", "a.dat": b"PAR1....PAR1"}
    for name, content in named.items():
        (tmp_path / name).write_bytes(content)
    found = {name: detect_format(tmp_path / name) for name in named}
    assert found == {
        "a.csv": FileFormat.CSV,
        "a.TSV": FileFormat.CSV,
        "a": FileFormat.CSV,
        "a.jsonl": FileFormat.JSON_LINES,
        "a.dat": FileFormat.PARQUET,
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv.gz", b"\x1f\x8b\x08", "compressed"),
        ("a.csv", b"PK\x03\x04", "zip archive"),
        ("a.parquet", b"a,b\n", "the name says parquet"),
        ("a.xlsx", b"a,b\n", "the name says xlsx"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        open_table(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableFileError, match=r"nowhere\.csv: No such file or directory"):
        open_table(tmp_path / "nowhere.csv")


def test_every_format_opens_and_names_its_copy(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(b"a\tb\n1\t2\n")
    (tmp_path / "t.ndjson").write_bytes(b'{"a": 1, "b": 2}\n')
    pq.write_table(pa.table({"a": ["1"], "b": ["2"]}), tmp_path / "t.parquet")
    for name, copy in {
        "t.tsv": "t.cleaned.tsv",
        "t.ndjson": "t.cleaned.ndjson",
        "t.parquet": "t.cleaned.parquet",
    }.items():
        with open_table(tmp_path / name) as table:
            assert table.columns == ("a", "b")
            assert [row for chunk in table.chunks() for row in chunk.rows] == [("1", "2")]
            assert copy_name(table, "cleaned") == tmp_path / copy


def test_dialect_options_are_for_delimited_text_only(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"{}\n")
    with pytest.raises(FormatError, match="encoding and delimiter are for delimited text"):
        open_table(tmp_path / "t.jsonl", delimiter=";")
    (tmp_path / "t.csv").write_bytes(b"a;b,c\n1;2,3\n")
    with open_table(tmp_path / "t.csv", delimiter=";", encoding="latin-1") as table:
        assert table.columns == ("a", "b,c")
        assert table.details["encoding"] == "iso8859-1"


def test_a_copy_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_bytes(b"before")
    with pytest.raises(RuntimeError), written_whole(target) as file:
        file.write(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"before"
    with written_whole(target) as file:
        file.write(b"whole")
    assert target.read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableFileError, match=r"out\.csv: No such file or directory"):
        with written_whole(tmp_path / "no" / "out.csv"):
            pass


def test_links_are_the_file_they_point_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert same_file(tmp_path / "a", tmp_path / "b")
    assert same_file(tmp_path / "new", tmp_path / "." / "new")
    assert not same_file(tmp_path / "a", tmp_path / "new")
