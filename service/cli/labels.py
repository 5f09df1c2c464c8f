"""Labelled rows of a table file: read from a file that a person has corrected, and written for the next person.

The one idea: a labels file is a CSV that one opens beside the table: the row's number, why it was chosen, and the row
as it stands. Whoever knows better writes the true values over it; what is left as it was is confirmed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from service.cli.terminal import CommandError
from service.storage.files import open_table
from service.storage.table_file import RowChunk, TableFile, Text

_LEADING = ("row", "reason")
_LABELLED = "labelled"


@dataclass(slots=True)
class Labels:
    """Rows of one table that are known, and those that are worth knowing.

    Attributes:
        known: true values of whole rows by the table's row number.
        columns: columns that a label speaks of.
        wanted: rows to suggest in each part of the table; 0 suggests none.
    """

    known: dict[int, tuple[Text, ...]] = field(default_factory=dict)
    columns: frozenset[int] = frozenset()
    wanted: int = 0
    _chunk: RowChunk = field(default_factory=lambda: RowChunk([], []))
    _lines: list[tuple[int, str, tuple[Text, ...]]] = field(default_factory=list)

    def begin_part(self, chunk: RowChunk) -> None:
        """Speak of this part of the table from now on."""
        self._chunk = chunk
        mine = [number for number in chunk.row_numbers if number in self.known]
        self._lines += [(number, _LABELLED, self.known[number]) for number in mine]

    def examples(self) -> list[tuple[int, int, Text]]:
        """What is known of the part: row and column within it, and the true value."""
        return [
            (row, column, value)
            for row, number in enumerate(self._chunk.row_numbers)
            if number in self.known
            for column, value in enumerate(self.known[number])
            if column in self.columns
        ]

    def suggest(self, row: int, reason: str) -> None:
        """Ask for a row of the part."""
        self._lines.append((self._chunk.row_numbers[row], reason, self._chunk.rows[row]))

    @property
    def unused(self) -> int:
        """How many known rows the table does not have, once all its parts have been seen."""
        return len(self.known) - sum(reason == _LABELLED for _, reason, _ in self._lines)

    def write(self, names: Sequence[str], file: BinaryIO) -> None:
        """Write what is known and what is asked for, most worth a label first."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow((*_LEADING, *names))
        writer.writerows((number, reason, *(value or "" for value in values)) for number, reason, values in self._lines)
        file.write(text.getvalue().encode())


def read_labels(path: Path | None, table: TableFile, wanted: int = 0) -> Labels:
    """Labels of `table` from the file at `path`, whatever its format; none where there is no path.

    Raises:
        CommandError: it is not a labels file of this table.
        TableFileError: it cannot be read.
    """
    labels = Labels({}, frozenset(range(len(table.columns))) - frozenset(table.skipped), wanted)
    if path is None:
        return labels
    expected = (*_LEADING, *table.columns)
    with open_table(path) as file:
        if tuple(file.columns) != expected:
            raise CommandError(f"{path}: the columns of a labels file of this table are: {', '.join(expected)[:200]}")
        for chunk in file.chunks():
            if chunk.issues:
                raise CommandError(f"{path}: row {chunk.issues[0].row}: {chunk.issues[0].message}")
            for number, (row, _, *values) in zip(chunk.row_numbers, chunk.rows, strict=True):
                if row is None or not row.strip().isdecimal() or int(row) in labels.known:
                    raise CommandError(f"{path}: row {number} does not begin with a row number of its own")
                labels.known[int(row)] = tuple(values)
    return labels
