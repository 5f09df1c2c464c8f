"""A table file, whatever its format: columns, rows of text, and edits of single cells.

The one idea: nobody but the format knows how a cell is written. A caller reads rows as text, chunk by chunk, and
hands back edits ("row 3, column 1: this text instead"); the format copies every byte it was not asked to change.
Row numbers count the table's rows from 0, the header and blank lines apart, damaged rows included, so that a number
means the same row whether or not the row could be read.

    TableFileError
    ├── FormatError       not a table that we read, or damaged beyond single rows
    ├── EncodingError     the bytes are not text in the encoding found or asked for
    └── DialectError      the delimiter or quote does not fit the file
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

Text = str | None
"""The text of one cell; None is a null of formats that have one (an empty CSV field is an empty string)."""

ROWS_PER_CHUNK = 10_000


class TableFileError(Exception):
    """A table file cannot be read or written; the message names file, line, row and column where known."""

    def __init__(
        self,
        message: str,
        *,
        path: Path | None = None,
        line: int | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        place = [str(path)] if path is not None else []
        place += [f"line {line}"] if line is not None else []
        place += [f"row {row}"] if row is not None else []
        place += [f"column {column!r}"] if column is not None else []
        super().__init__(f"{', '.join(place)}: {message}" if place else message)
        self.path, self.line, self.row, self.column = path, line, row, column


class FormatError(TableFileError):
    """Not a table that we read, or damaged beyond single rows."""


class EncodingError(TableFileError):
    """The bytes are not text in the encoding that was found or asked for."""


class DialectError(TableFileError):
    """The delimiter or quote does not fit the file."""


class FileFormat(StrEnum):
    """The formats that can be read; XLSX is written as CSV."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"
    XLSX = "xlsx"


@dataclass(frozen=True, slots=True)
class RowIssue:
    """A row that cannot take part (ragged, undecodable, …); its bytes pass through untouched."""

    row: int
    line: int | None
    message: str


@dataclass(frozen=True, slots=True)
class RowChunk:
    """Some consecutive rows of a table.

    Attributes:
        rows: the readable rows, every one as long as the table has columns.
        row_numbers: the table's own row number for each entry of `rows`.
        lines: the physical line (from 1) on which each entry of `rows` starts, empty where a format has none.
        issues: the rows of this stretch that could not be read.
        fraction: how much of the file has been read when this chunk ends, 0 to 1.
    """

    rows: list[tuple[Text, ...]]
    row_numbers: list[int]
    lines: list[int] = field(default_factory=list)
    issues: list[RowIssue] = field(default_factory=list)
    fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class CellEdit:
    """One cell to look at and, with `replace`, to change.

    Attributes:
        old: the text that must stand there now.
        new: the text to stand there afterwards; None writes a null where the format has one.
        replace: False only looks: the result carries the raw field and nothing changes.
        raw: write exactly this field text (see `EditResult.old_raw`) instead of writing `new` afresh.
    """

    row: int
    column: int
    old: Text
    new: Text = None
    replace: bool = True
    raw: str | None = None


class EditProblem(StrEnum):
    """Why an edit was not made; the cell keeps its bytes."""

    MISSING = "missing"
    DAMAGED = "damaged"
    MISMATCH = "mismatch"
    NOT_ENCODABLE = "not_encodable"
    WRONG_TYPE = "wrong_type"


@dataclass(frozen=True, slots=True)
class EditResult:
    """What became of one edit.

    Attributes:
        old_raw: the field as it was written in the file where that differs from its text (quotes, JSON tokens),
            so that the change can be undone byte for byte; None when the text itself stood there.
        problem: why the cell was left alone; None when the edit was made (or only looked).
        message: `problem` in words, without any cell's text.
    """

    edit: CellEdit
    old_raw: str | None = None
    problem: EditProblem | None = None
    message: str | None = None


class TableFile(ABC):
    """An open table file; use it as a context manager.

    Attributes:
        path: where it lies.
        format: one of `FileFormat`.
        columns: the names exactly as in the file: duplicates and empty names are allowed.
        skipped: columns (by index) that hold no text, with the reason; their cells read as None.
        details: what was detected, for people: encoding, delimiter, line ends …
        output_suffix: the file name suffix of a rewritten copy.
    """

    path: Path
    format: FileFormat
    columns: tuple[str, ...]
    skipped: Mapping[int, str]
    details: Mapping[str, str]
    output_suffix: str

    @abstractmethod
    def chunks(self, size: int = ROWS_PER_CHUNK) -> Iterator[RowChunk]:
        """Read all rows in order, at most `size` readable rows at a time."""

    @abstractmethod
    def rewrite(self, edits: Iterable[CellEdit], sink: BinaryIO) -> Iterator[EditResult]:
        """Copy the file to `sink` with the edits made, and tell the fate of each edit, in order.

        `edits` is consumed lazily and must be in order of row, then column, no cell twice. Nothing is complete
        before the returned iterator is exhausted.

        Raises:
            TableFileError: the edits are out of order, or the file changed while it was read.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EditQueue:
    """Edits in file order, handed out up to a row; refuses edits that come out of order."""

    def __init__(self, edits: Iterable[CellEdit]) -> None:
        self._edits = iter(edits)
        self._last = (-1, -1)
        self._next = self._pull()

    def _pull(self) -> CellEdit | None:
        edit = next(self._edits, None)
        if edit is not None:
            if (edit.row, edit.column) <= self._last:
                raise TableFileError("edits must be in order of row, then column, no cell twice", row=edit.row)
            self._last = (edit.row, edit.column)
        return edit

    def before(self, row: int) -> Iterator[CellEdit]:
        """Take every edit whose row is less than `row`."""
        while self._next is not None and self._next.row < row:
            edit = self._next
            self._next = self._pull()
            yield edit

    def missing(self) -> Iterator[EditResult]:
        """The remaining edits, as results that say the row does not exist."""
        while self._next is not None:
            edit = self._next
            self._next = self._pull()
            yield EditResult(edit, problem=EditProblem.MISSING, message="the table has no such row")


class Unchanged:
    """Notices when a file is replaced or written to while we read it twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()

    def _look(self) -> tuple[int, int]:
        status = os.stat(self._path)
        return status.st_size, status.st_mtime_ns

    def check(self) -> None:
        """Raise when the file is no longer the one that was opened."""
        if self._look() != self._stamp:
            raise TableFileError("the file changed while it was read", path=self._path)


def unique_names(columns: Sequence[str]) -> tuple[str, ...]:
    """Names by which every column can be told apart: `a, a, ""` becomes `a, a_2, column_3`."""
    taken = set(columns)
    seen: set[str] = set()
    names: list[str] = []
    for index, column in enumerate(columns):
        name = column
        if not column.strip():
            name = _free_name(f"column_{index + 1}", taken, start=0)
        elif column in seen:
            name = _free_name(column, taken, start=2)
        taken.add(name)
        seen.add(name)
        names.append(name)
    return tuple(names)


def _free_name(stem: str, taken: set[str], start: int) -> str:
    number = start
    while True:
        name = f"{stem}_{number}" if number else stem
        if name not in taken:
            return name
        number = max(number + 1, 2)
