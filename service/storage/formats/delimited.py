"""Delimited text (CSV, TSV, semicolons, pipes), read and edited byte for byte.

The one idea: a field is a span of the file, so an edited copy is the original with some spans replaced. The file is
walked in windows that end where a row ends; a window is scanned, decoded once and sliced, and let go. Quoting,
line ends, byte order mark and damaged rows need no care at all: nobody touches them.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from service.storage.formats.detection import (
    SAMPLE_BYTES,
    check_delimiter,
    code_units,
    describe_line_ends,
    detect_delimiter,
    detect_encoding,
)
from service.storage.formats.scanner import Marks, Positions, Scan, Units, line_breaks, scan
from service.storage.table_file import (
    ROWS_PER_CHUNK,
    CellEdit,
    EditProblem,
    EditQueue,
    EditResult,
    EncodingError,
    FileFormat,
    FormatError,
    RowChunk,
    RowIssue,
    TableFile,
    Unchanged,
)

WINDOW_BYTES = 1 << 20
MAX_ROW_BYTES = 1 << 26
_DELIMITER_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}


@dataclass(frozen=True, slots=True)
class _Window:
    """Some complete records and where they stand.

    Attributes:
        start: offset of the window in the file; `data` are its bytes.
        records: index of each record that is not blank, within the scan's rows.
        first_row: row number of the first of `records`; the header has number -1.
        first_line: physical line on which the window starts.
    """

    start: int
    data: bytes
    units: Units
    found: Scan
    records: Positions
    first_row: int
    first_line: int
    final: bool

    def lines(self) -> list[int]:
        """The physical line on which each record starts."""
        record_starts = self.found.starts[self.found.offsets[self.records]]
        breaks = line_breaks(self.units)
        return [int(line) for line in self.first_line + np.searchsorted(breaks, record_starts)]


class DelimitedFile(TableFile):
    """A CSV-like file; see `TableFile`. An empty file has no columns and no rows.

    Args:
        encoding: a Python codec name instead of the detected one.
        delimiter: one ASCII character (or `tab`) instead of the detected one.
        quote: the quote character, doubled inside quoted fields.
        window_bytes: how much is read at a time.

    Raises:
        FormatError: a row is longer than any row should be.
        EncodingError, DialectError: what is asked for does not fit.
    """

    format = FileFormat.CSV

    def __init__(
        self,
        path: Path,
        *,
        encoding: str | None = None,
        delimiter: str | None = None,
        quote: str = '"',
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self.path = path
        self.skipped = {}
        self._window_bytes = window_bytes
        self._unchanged = Unchanged(path)
        self._file = path.open("rb")
        self._bytes: bytes | mmap.mmap = b""
        try:
            self._size = path.stat().st_size
            # An empty file cannot be mapped; it has nothing to read either.
            self._bytes = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if self._size else b""
            self.encoding = detect_encoding(self._file, encoding)
            self.marks = Marks(self._delimiter(delimiter, quote), quote)
            self._header = self._read_header()
        except BaseException:
            self.close()
            raise
        self.columns = self._header
        self.output_suffix = path.suffix or ".csv"
        self.details = self._describe()

    def _sample(self) -> tuple[bytes, bool]:
        start = len(self.encoding.mark)
        return bytes(self._bytes[start : start + SAMPLE_BYTES]), self._size <= start + SAMPLE_BYTES

    def _delimiter(self, wanted: str | None, quote: str) -> str:
        if wanted is not None:
            return check_delimiter(wanted, self.encoding, quote)
        sample, final = self._sample()
        return detect_delimiter(sample, self.encoding, final=final, quote=quote)

    def _describe(self) -> dict[str, str]:
        sample, _ = self._sample()
        narrow = np.where(code_units(sample, self.encoding) < 128, code_units(sample, self.encoding), ord("x"))
        return {
            "format": "delimited text",
            "encoding": str(self.encoding),
            "delimiter": _DELIMITER_NAMES.get(self.marks.delimiter, repr(self.marks.delimiter)),
            "line ends": describe_line_ends([narrow.astype(np.uint8).tobytes()]),
        }

    def close(self) -> None:
        """Let go of the file."""
        if isinstance(self._bytes, mmap.mmap):
            self._bytes.close()
        self._file.close()

    # --- reading -----------------------------------------------------------------------------------------------

    def _read_header(self) -> tuple[str, ...]:
        for window in self._windows():
            if len(window.records):
                record = int(window.records[0])
                first, last = int(window.found.offsets[record]), int(window.found.offsets[record + 1])
                try:
                    return tuple(self._decode_field(window, index) for index in range(first, last))
                except UnicodeDecodeError:
                    raise EncodingError(
                        f"the header is not valid {self.encoding.codec}; name the encoding", path=self.path, line=1
                    ) from None
        return ()

    def _windows(self) -> Iterator[_Window]:
        """Walk the file in windows of complete records. The header is record -1."""
        position, row, line, size = len(self.encoding.mark), -1, 1, self._window_bytes
        while position < self._size:
            data = bytes(self._bytes[position : position + size])
            final = position + len(data) >= self._size
            units = code_units(data, self.encoding)
            found = scan(units, self.marks, final=final)
            if not len(found) and not final:
                size *= 2
                if size > MAX_ROW_BYTES:
                    raise FormatError(
                        f"a row is longer than {MAX_ROW_BYTES >> 20} MiB: is a quote never closed?",
                        path=self.path,
                        line=line,
                    )
                continue
            consumed = found.consumed * self.encoding.width
            units = units[: found.consumed]
            firsts = found.offsets[:-1]
            blank = (np.diff(found.offsets) == 1) & (found.starts[firsts] == found.ends[firsts])
            records = np.flatnonzero(~blank)
            yield _Window(position, data[:consumed], units, found, records, row, line, final)
            row += len(records)
            line += len(line_breaks(units))
            position += consumed
            size = self._window_bytes
            if final:
                return

    def chunks(self, size: int = ROWS_PER_CHUNK) -> Iterator[RowChunk]:
        """Read all rows in order, at most `size` readable rows at a time."""
        rows: list[tuple[str | None, ...]] = []
        numbers: list[int] = []
        lines: list[int] = []
        issues: list[RowIssue] = []
        for window in self._windows():
            window_issues, window_rows = self._read_window(window)
            fraction = (window.start + len(window.data)) / self._size
            issues += window_issues
            for number, line, row in window_rows:
                if len(rows) == size:
                    early = [issue for issue in issues if issue.row < number]
                    issues = issues[len(early) :]
                    yield RowChunk(rows, numbers, lines, early, fraction)
                    rows, numbers, lines = [], [], []
                rows.append(row)
                numbers.append(number)
                lines.append(line)
        if rows or issues:
            yield RowChunk(rows, numbers, lines, issues)

    def _read_window(self, window: _Window) -> tuple[list[RowIssue], list[tuple[int, int, tuple[str, ...]]]]:
        """The records of a window as (row number, line, values), and those that cannot be read as issues."""
        cells = self._decode_window(window)
        offsets = window.found.offsets.tolist()
        width = len(self._header)
        issues: list[RowIssue] = []
        rows: list[tuple[int, int, tuple[str, ...]]] = []
        unclosed = self._unclosed_record(window)
        for number, (record, line) in enumerate(
            zip(window.records.tolist(), window.lines(), strict=True), start=window.first_row
        ):
            if number < 0:
                continue
            first, last = offsets[record], offsets[record + 1]
            problem = None
            if record == unclosed:
                problem = "a quote is opened and never closed"
            elif last - first != width:
                problem = f"the row has {last - first} fields, the header has {width}"
            else:
                values = cells[first:last]
                if None in values:
                    broken = self._header[values.index(None)]
                    problem = f"column {broken!r} is not valid {self.encoding.codec}"
                else:
                    rows.append((number, line, tuple(values)))  # type: ignore[arg-type]
            if problem is not None:
                issues.append(RowIssue(number, line, problem))
        return issues, rows

    def _unclosed_record(self, window: _Window) -> int | None:
        """The last record, when the file ends inside its last field's quotes."""
        found, quote = window.found, ord(self.marks.quote)
        if not window.final or not len(found) or not found.quoted[-1] or found.ends[-1] < len(window.units):
            return None
        inner = window.units[int(found.starts[-1]) + 1 : int(found.ends[-1])]
        return len(found) - 1 if _stays_open(inner, quote) else None

    def _decode_window(self, window: _Window) -> list[str | None]:
        """The text of every field of a window; None for a field that is not valid in the encoding."""
        found = window.found
        text = self._sliceable_text(window)
        if text is None:
            return [self._try_field(window, index) for index in range(len(found.starts))]
        characters, starts, ends = text
        cells: list[str | None] = [
            characters[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        for index in np.flatnonzero(found.quoted).tolist():
            cells[index] = unquote(cells[index] or "", self.marks.quote)
        return cells

    def _sliceable_text(self, window: _Window) -> tuple[str, Positions, Positions] | None:
        """The window decoded at once, with field spans in characters; None when that cannot be had."""
        codec, found = self.encoding.codec, window.found
        try:
            text = window.data.decode(codec)
        except UnicodeDecodeError:
            return None
        if len(text) == len(window.units):
            return text, found.starts, found.ends
        if codec == "utf-8":
            leads = (window.units & 0xC0) != 0x80
        elif codec.startswith("utf-16"):
            leads = (window.units & 0xFC00) != 0xDC00
        else:
            return None
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(leads)])
        return text, before[found.starts], before[found.ends]

    def _span(self, window: _Window, index: int) -> tuple[int, int]:
        """Where a field's bytes lie within the window."""
        width = self.encoding.width
        return int(window.found.starts[index]) * width, int(window.found.ends[index]) * width

    def _decode_raw(self, window: _Window, index: int) -> str:
        start, end = self._span(window, index)
        return window.data[start:end].decode(self.encoding.codec)

    def _decode_field(self, window: _Window, index: int) -> str:
        raw = self._decode_raw(window, index)
        return unquote(raw, self.marks.quote) if window.found.quoted[index] else raw

    def _try_field(self, window: _Window, index: int) -> str | None:
        try:
            return self._decode_field(window, index)
        except UnicodeDecodeError:
            return None

    # --- writing -----------------------------------------------------------------------------------------------

    def rewrite(self, edits: Iterable[CellEdit], sink: BinaryIO) -> Iterator[EditResult]:
        """Copy the file to `sink` with the edits made; see `TableFile.rewrite`."""
        queue = EditQueue(edits)
        position = len(self.encoding.mark)
        sink.write(self._bytes[:position])
        for window in self._windows():
            cursor = 0
            for edit in queue.before(window.first_row + len(window.records)):
                result, span, raw = self._edit(window, edit)
                if raw is not None:
                    sink.write(window.data[cursor : span[0]])
                    sink.write(raw)
                    cursor = span[1]
                yield result
            sink.write(window.data[cursor:])
            position = window.start + len(window.data)
        sink.write(self._bytes[position:])  # half a UTF-16 unit at the very end
        yield from queue.missing()
        self._unchanged.check()

    def _edit(self, window: _Window, edit: CellEdit) -> tuple[EditResult, tuple[int, int], bytes | None]:
        """The fate of one edit, the field's span in the window, and the bytes to put there (None: leave it)."""
        record = int(window.records[edit.row - window.first_row]) if edit.row >= 0 else -1
        if record < 0 or not 0 <= edit.column < len(self.columns):
            return _refused(edit, EditProblem.MISSING, "the table has no such cell"), (0, 0), None
        first, last = window.found.offsets[record : record + 2].tolist()
        index = first + edit.column
        if last - first != len(self.columns) or record == self._unclosed_record(window):
            return _refused(edit, EditProblem.DAMAGED, "the row is damaged and was left alone"), (0, 0), None
        try:
            raw = self._decode_raw(window, index)
        except UnicodeDecodeError:
            message = f"the cell is not valid {self.encoding.codec}"
            return _refused(edit, EditProblem.DAMAGED, message), (0, 0), None
        quoted = bool(window.found.quoted[index])
        value = unquote(raw, self.marks.quote) if quoted else raw
        if value != (edit.old or ""):
            message = "the cell does not hold the expected old value"
            return _refused(edit, EditProblem.MISMATCH, message), (0, 0), None
        result = EditResult(edit, old_raw=raw if raw != value else None)
        if not edit.replace:
            return result, (0, 0), None
        written = edit.raw if edit.raw is not None else self._render(edit.new or "", quoted)
        encoded = self._encode(written)
        if encoded is None:
            message = f"the new value cannot be written in {self.encoding.codec}"
            return _refused(edit, EditProblem.NOT_ENCODABLE, message), (0, 0), None
        return result, self._span(window, index), encoded

    def _render(self, value: str, quoted: bool) -> str:
        """The field text of a new value: quoted when it was, or when it must be."""
        quote = self.marks.quote
        special = (self.marks.delimiter, quote, "\r", "\n")
        # An empty field alone on its line would be a blank line, which is no row.
        blank = not value and len(self.columns) == 1
        if quoted or blank or any(mark in value for mark in special):
            return quote + value.replace(quote, quote * 2) + quote
        return value

    def _encode(self, text: str) -> bytes | None:
        try:
            encoded = text.encode(self.encoding.codec)
            # Some legacy codecs encode a character to bytes that they read back as another.
            return encoded if encoded.decode(self.encoding.codec) == text else None
        except UnicodeError:
            return None


def _refused(edit: CellEdit, problem: EditProblem, message: str) -> EditResult:
    return EditResult(edit, problem=problem, message=message)


def unquote(raw: str, quote: str) -> str:
    """The value of a field that begins with a quote, as Python's csv module reads it."""
    if raw.count(quote) == 2 and raw.endswith(quote):
        return raw[1:-1]
    pieces: list[str] = []
    position = 1
    while (end := raw.find(quote, position)) >= 0:
        pieces.append(raw[position:end])
        if not raw.startswith(quote, end + 1):
            return "".join(pieces) + raw[end + 1 :]  # text behind the closing quote belongs to the field
        pieces.append(quote)
        position = end + 2
    return "".join(pieces) + raw[position:]


def _stays_open(inner: Units, quote: int) -> bool:
    """Whether a quoted field, from behind its opening quote, never closes: every later quote is doubled."""
    quotes = np.flatnonzero(inner == quote)
    return len(quotes) % 2 == 0 and bool((quotes[1::2] - quotes[0::2] == 1).all())
