"""Where every field of a delimited file begins and ends.

The one idea: work on code units (bytes, or the 16-bit units of UTF-16), never on decoded text, so that a field is a
span of the very file. Delimiter, quote and line ends are ASCII, and no supported encoding uses those units for
anything else. numpy finds them all at once; while quotes are regular (they open at a field's start and close at its
end) their parity says which separators are inside quotes. A window where that does not hold is scanned field by
field by a regular expression. Both paths read as Python's `csv` module reads.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Units = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]
Positions = NDArray[np.int64]
Flags = NDArray[np.bool_]

LINE_FEED, CARRIAGE_RETURN = 10, 13


@dataclass(frozen=True, slots=True)
class Marks:
    """The two characters that a dialect chooses, both ASCII."""

    delimiter: str
    quote: str = '"'


@dataclass(frozen=True, slots=True)
class Scan:
    """The complete rows of one window, in code units from the window's start.

    Attributes:
        starts, ends: span of each field, its quotes included, (fields,).
        quoted: the field begins with a quote, (fields,).
        offsets: index of the first field of each row, and the number of fields last, (rows + 1,).
        consumed: where the last complete row ends, its line end included.
    """

    starts: Positions
    ends: Positions
    quoted: Flags
    offsets: Positions
    consumed: int

    def __len__(self) -> int:
        return len(self.offsets) - 1


def scan(units: Units, marks: Marks, *, final: bool) -> Scan:
    """Find the fields of all complete rows of a window that starts where a row starts.

    With `final` the window reaches the end of the file, and its last row needs no line end.
    """
    quotes = np.flatnonzero(units == ord(marks.quote))
    separators = np.flatnonzero(_is_separator(units, marks))
    if quotes.size:
        separators = separators[(np.searchsorted(quotes, separators) & 1) == 0]
    found = _rows(units, separators, ord(marks.delimiter), ord(marks.quote), final)
    if quotes.size and not _regular(units, quotes, marks):
        return scan_by_field(units, marks, final=final)
    return found


def _is_separator(units: Units, marks: Marks) -> Flags:
    flags: Flags = (units == ord(marks.delimiter)) | (units == LINE_FEED) | (units == CARRIAGE_RETURN)
    return flags


def _regular(units: Units, quotes: Positions, marks: Marks) -> bool:
    """Whether every quote of the window opens a field, closes one, or is half of a doubled quote."""
    border = _is_separator(units, marks) | (units == ord(marks.quote))
    opening, closing = quotes[0::2], quotes[1::2]
    opens_well = border[opening[opening > 0] - 1]
    after = closing[closing + 1 < len(units)] + 1
    return bool(opens_well.all()) and bool(border[after].all())


def _rows(units: Units, separators: Positions, delimiter: int, quote: int, final: bool) -> Scan:
    """Turn the unquoted separators of a window into fields and rows."""
    size = len(units)
    kinds = units[separators]
    # The line feed of a CRLF belongs to its carriage return.
    second_half = np.zeros(len(separators), dtype=np.bool_)
    second_half[1:] = (kinds[1:] == LINE_FEED) & (kinds[:-1] == CARRIAGE_RETURN) & (np.diff(separators) == 1)
    lengths = np.ones(len(separators), dtype=np.int64)
    lengths[:-1] += second_half[1:]
    ends, lengths, kinds = separators[~second_half], lengths[~second_half], kinds[~second_half]

    ends_row = kinds != delimiter
    if not final and len(ends) and kinds[-1] == CARRIAGE_RETURN and ends[-1] + 1 == size:
        ends_row[-1] = False  # a line feed may follow in the next window
    last = np.flatnonzero(ends_row)
    consumed = int(ends[last[-1]] + lengths[last[-1]]) if len(last) else 0
    if final and consumed < size:
        ends, lengths = np.append(ends, size), np.append(lengths, 0)
        ends_row, consumed = np.append(ends_row, True), size
    else:
        kept = int(last[-1]) + 1 if len(last) else 0
        ends, lengths, ends_row = ends[:kept], lengths[:kept], ends_row[:kept]
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends + lengths])[: len(ends)]
    return _finish(units, starts, ends, np.flatnonzero(ends_row) + 1, quote, consumed)


def _finish(units: Units, starts: Positions, ends: Positions, row_ends: Positions, quote: int, consumed: int) -> Scan:
    quoted = starts < ends
    quoted[quoted] = units[starts[quoted]] == quote
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), row_ends])
    return Scan(starts, ends, quoted, offsets, consumed)


def scan_by_field(units: Units, marks: Marks, *, final: bool) -> Scan:
    """The plain path: one field after the other, any quoting. Same answer as `scan`."""
    classes = units if units.dtype == np.uint8 else np.where(units < 128, units, ord("x")).astype(np.uint8)
    size = len(units)
    starts: list[int] = []
    ends: list[int] = []
    row_ends: list[int] = []
    consumed = position = 0
    after_delimiter = False
    for match in _field_pattern(marks).finditer(classes.tobytes()):
        if match.start() == size and not after_delimiter:
            break
        starts.append(match.start())
        ends.append(match.end(1))
        position = match.end()
        separator = match.group(2)
        after_delimiter = separator == marks.delimiter.encode()
        if not after_delimiter:
            open_end = not separator or (separator == b"\r" and position == size)
            if open_end and not final:
                break
            row_ends.append(len(starts))
            consumed = position
    kept = row_ends[-1] if row_ends else 0
    spans = np.array([starts[:kept], ends[:kept]], dtype=np.int64)
    return _finish(units, spans[0], spans[1], np.array(row_ends, dtype=np.int64), ord(marks.quote), consumed)


@functools.cache
def _field_pattern(marks: Marks) -> re.Pattern[bytes]:
    delimiter, quote = re.escape(marks.delimiter), re.escape(marks.quote)
    plain = rf"[^{delimiter}\r\n]*+"
    inner = rf"[^{quote}]*+"
    quoted = rf"{quote}{inner}(?:{quote}{quote}{inner})*+(?:{quote}{plain}|\Z)"
    return re.compile(rf"({quoted}|{plain})({delimiter}|\r\n|\n|\r|\Z)".encode())


def line_breaks(units: Units) -> Positions:
    """Where physical lines end, quoted or not: CRLF once, at its line feed."""
    feed = units == LINE_FEED
    lone_return = units == CARRIAGE_RETURN
    lone_return[:-1] &= ~feed[1:]
    return np.flatnonzero(feed | lone_return)
