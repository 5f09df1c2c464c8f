"""XLSX, read only: the first sheet becomes a table of text, and its cleaned copy is a CSV file.

The one idea: a workbook holds formulas, formats and further sheets that a rewrite would lose, so none is written.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import fastexcel

from service.storage.table_file import (
    ROWS_PER_CHUNK,
    CellEdit,
    EditProblem,
    EditQueue,
    EditResult,
    FileFormat,
    FormatError,
    RowChunk,
    TableFile,
    Text,
    Unchanged,
)


class WorkbookFile(TableFile):
    """The first sheet of an XLSX file; see `TableFile`. The sheet is held in memory as Arrow text.

    Raises:
        FormatError: not a workbook, or one without sheets.
    """

    format = FileFormat.XLSX

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = {}
        self.output_suffix = ".csv"
        self._unchanged = Unchanged(path)
        try:
            reader = fastexcel.read_excel(path)
            sheet = reader.load_sheet(0, header_row=None, dtypes="string")
        except (fastexcel.FastExcelError, OSError) as error:
            raise FormatError(f"not a readable workbook: {error}", path=path) from None
        table = sheet.to_arrow()
        header = table.slice(0, 1).to_pylist()
        self.columns = tuple(text or "" for text in header[0].values()) if header else ()
        self._rows = table.slice(1)
        self.details = {"format": "XLSX", "sheet": sheet.name, "written as": "CSV, utf-8"}

    def close(self) -> None:
        """Nothing stays open."""

    def chunks(self, size: int = ROWS_PER_CHUNK) -> Iterator[RowChunk]:
        """Read all rows in order, at most `size` at a time."""
        total = max(1, self._rows.num_rows)
        for first in range(0, self._rows.num_rows, size):
            part = self._rows.slice(first, size)
            rows = _as_rows(part.to_pydict().values())
            yield RowChunk(rows, list(range(first, first + len(rows))), fraction=(first + len(rows)) / total)

    def rewrite(self, edits: Iterable[CellEdit], sink: BinaryIO) -> Iterator[EditResult]:
        """Write the sheet as CSV (UTF-8, line feeds) to `sink` with the edits made; see `TableFile.rewrite`."""
        queue = EditQueue(edits)
        sink.write(_csv_line(self.columns))
        for chunk in self.chunks():
            for row, values in zip(chunk.row_numbers, chunk.rows, strict=True):
                written = list(values)
                for edit in queue.before(row + 1):
                    yield self._edit(written, edit)
                sink.write(_csv_line(written))
        yield from queue.missing()
        self._unchanged.check()

    def _edit(self, values: list[Text], edit: CellEdit) -> EditResult:
        if edit.row < 0 or not 0 <= edit.column < len(self.columns):
            return EditResult(edit, problem=EditProblem.MISSING, message="the table has no such cell")
        if (values[edit.column] or "") != (edit.old or ""):
            message = "the cell does not hold the expected old value"
            return EditResult(edit, problem=EditProblem.MISMATCH, message=message)
        if edit.replace:
            values[edit.column] = edit.new
        return EditResult(edit)


def _as_rows(columns: Iterable[list[Text]]) -> list[tuple[Text, ...]]:
    return list(zip(*columns, strict=True))


def _csv_line(values: Iterable[Text]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(["" if value is None else value for value in values])
    return line.getvalue().encode()
