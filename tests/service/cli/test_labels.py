"""Rows go out to be labelled and come back: what a person wrote over a value is known, and so is what was left."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from service.cli.labels import Labels, read_labels
from service.cli.terminal import CommandError
from service.storage.files import open_table
from service.storage.table_file import RowChunk

NAMES = ("id", "city")
FIRST = RowChunk([("1", "Bostn"), ("2", None)], [0, 2])
SECOND = RowChunk([("3", 'the "Hub"')], [3])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "hotels.csv"
    path.write_text("id,city\n1,Bostn\n2,\n3,Rome\n", encoding="utf-8")
    return path


def read(path: Path, text: str, table: Path) -> Labels:
    path.write_text(text, encoding="utf-8")
    with open_table(table) as opened:
        return read_labels(path, opened, wanted=2)


def test_rows_keep_their_numbers_over_parts_and_damaged_rows(table: Path) -> None:
    labels = Labels()
    labels.begin_part(FIRST)
    labels.suggest(1, "stands for 9 cells of 'city' that are missing")
    labels.begin_part(SECOND)
    labels.suggest(0, "odd")
    file = io.BytesIO()
    labels.write(NAMES, file)
    assert file.getvalue().decode().splitlines() == [
        "row,reason,id,city",
        "2,stands for 9 cells of 'city' that are missing,2,",
        '3,odd,3,"the ""Hub"""',
    ]


def test_what_was_written_can_be_corrected_and_read(tmp_path: Path, table: Path) -> None:
    labels = read(tmp_path / "labels.csv", "row;reason;id;city\n2;odd;2;Rome\n0;odd;1;Boston\n", table)
    assert labels.known == {2: ("2", "Rome"), 0: ("1", "Boston")}
    assert labels.wanted == 2
    labels.begin_part(FIRST)
    assert labels.examples() == [(0, 0, "1"), (0, 1, "Boston"), (1, 0, "2"), (1, 1, "Rome")]
    labels.begin_part(SECOND)
    assert labels.examples() == []


def test_the_next_labels_file_holds_the_known_rows_too(tmp_path: Path, table: Path) -> None:
    labels = read(tmp_path / "labels.csv", "row,reason,id,city\n0,odd,1,Boston\n9,odd,9,Oslo\n", table)
    labels.begin_part(FIRST)
    labels.suggest(1, "next")
    file = io.BytesIO()
    labels.write(NAMES, file)
    assert file.getvalue().decode().splitlines() == ["row,reason,id,city", "0,labelled,1,Boston", "2,next,2,"]
    assert labels.unused == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("row,reason,id,town\n0,,1,Boston\n", "the columns of a labels file of this table are: row, reason, id, city"),
        ("row,reason,id,city\nx,,1,Boston\n", "row 0 does not begin with a row number of its own"),
        ("row,reason,id,city\n0,,1,Boston\n0,,1,Boston\n", "row 1 does not begin with a row number of its own"),
    ],
)
def test_a_file_that_holds_no_labels_of_the_table_is_refused(tmp_path: Path, table: Path, text: str, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        read(tmp_path / "labels.csv", text, table)
