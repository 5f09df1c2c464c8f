"""Tables that a command reads whole, and CSV files that appear whole; what may go wrong with them."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.cli.cleaning import opened
from service.cli.judging import JudgingError
from service.cli.terminal import say
from service.storage.files import written_whole
from service.storage.table_file import TableFile, TableFileError, Text, unique_names

PROBLEMS = (TableFileError, JudgingError, OSError)
"""What a command on whole tables tells plainly."""


@dataclass(frozen=True, slots=True)
class WholeTable:
    """A table that was read whole; `rows[i]` is row `numbers[i]` of the file, `damaged` rows could not be read."""

    path: str
    names: tuple[str, ...]
    rows: list[tuple[Text, ...]]
    numbers: list[int]
    damaged: int


def read_whole(file: str, encoding: str | None, delimiter: str | None) -> WholeTable:
    """All rows of a table file that can be read."""
    with opened(file, encoding, delimiter) as table:
        return _whole(file, table)


def _whole(file: str, table: TableFile) -> WholeTable:
    rows: list[tuple[Text, ...]] = []
    numbers: list[int] = []
    damaged = 0
    for chunk in table.chunks():
        rows += chunk.rows
        numbers += chunk.row_numbers
        damaged += len(chunk.issues)
    return WholeTable(file, unique_names(table.columns), rows, numbers, damaged)


@contextlib.contextmanager
def written_csv(path: Path) -> Iterator[Any]:
    """A CSV writer of a file that appears only whole."""
    with written_whole(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        yield csv.writer(text, lineterminator="\n")
        text.flush()
        text.detach()


def say_damaged(table: WholeTable) -> None:
    """Tell that rows which cannot be read are not in what was written."""
    if table.damaged:
        say(f"Left out: {table.path}: {table.damaged} damaged rows", style="yellow")
