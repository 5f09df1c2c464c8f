"""JSON Lines: one object a line, edited without touching any other byte.

The one idea: the standard decoder already says where each value of an object begins and ends, so a value is a span of
its line. The column names are the union of all keys in order of first appearance; a key that a line lacks reads as
None and is appended to that line when it is filled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import BinaryIO

from service.storage.table_file import (
    ROWS_PER_CHUNK,
    CellEdit,
    EditProblem,
    EditQueue,
    EditResult,
    FileFormat,
    FormatError,
    RowChunk,
    RowIssue,
    TableFile,
    Unchanged,
)

MAX_LINE_BYTES = 1 << 26
MAX_COLUMNS = 10_000
_MARK = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SPACE = re.compile(r"[ \t\r\n]*")
_scan_value = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).scan_once  # type: ignore[attr-defined]


class _Kind(StrEnum):
    """The JSON type of one value."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "true or false"
    NULL = "null"
    NESTED = "object or array"


@dataclass(frozen=True, slots=True)
class _Member:
    """One value of a line's object, in characters of the line; `joint` is where the text in front of its key begins."""

    text: str | None
    kind: _Kind
    joint: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that holds an object: its members by key, and where a further member would go."""

    text: str
    members: dict[str, _Member]
    tail: int


class _BrokenLineError(Exception):
    """The line is not one object with distinct keys."""


def _parse_line(text: str) -> _Line:
    position = _skip(text, 0)
    if text[position : position + 1] != "{":
        raise _BrokenLineError("the line is not a JSON object")
    members: dict[str, _Member] = {}
    joint = position + 1
    position = _skip(text, joint)
    while text[position : position + 1] != "}":
        if members:
            if text[position : position + 1] != ",":
                raise _BrokenLineError("the line is not valid JSON")
            position = _skip(text, position + 1)
        key, member = _parse_member(text, position, joint)
        if key in members:
            raise _BrokenLineError(f"the key {key!r} appears twice")
        members[key] = member
        joint = member.end
        position = _skip(text, joint)
    if _skip(text, position + 1) != len(text):
        raise _BrokenLineError("the line holds more than one JSON object")
    return _Line(text, members, joint)


def _parse_member(text: str, position: int, joint: int) -> tuple[str, _Member]:
    try:
        if text[position : position + 1] != '"':
            raise _BrokenLineError("the line is not valid JSON")
        key, position = scanstring(text, position + 1, True)
        position = _skip(text, position)
        if text[position : position + 1] != ":":
            raise _BrokenLineError("the line is not valid JSON")
        start = _skip(text, position + 1)
        value, end = _scan_value(text, start)
        key.encode()
        if isinstance(value, str):
            value.encode()
    except (ValueError, StopIteration, RecursionError):
        # UnicodeEncodeError, a lone surrogate escape, is a ValueError too.
        raise _BrokenLineError("the line is not valid JSON") from None
    raw = text[start:end]
    kind = _kind_of(raw)
    shown = None if kind is _Kind.NULL else value if kind is _Kind.STRING else raw
    return key, _Member(shown, kind, joint, start, end)


def _kind_of(raw: str) -> _Kind:
    if raw[0] == '"':
        return _Kind.STRING
    if raw[0] in "{[":
        return _Kind.NESTED
    if raw in ("true", "false"):
        return _Kind.BOOLEAN
    if raw == "null":
        return _Kind.NULL
    if not _NUMBER.fullmatch(raw):  # NaN and Infinity are not JSON
        raise _BrokenLineError("the line is not valid JSON")
    return _Kind.NUMBER


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


class JsonLinesFile(TableFile):
    """A JSON Lines file in UTF-8; see `TableFile`. A line that is not one object with distinct keys is an issue.

    Raises:
        FormatError: more distinct keys than a table can have columns, or an overlong line.
    """

    format = FileFormat.JSON_LINES

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = {}
        self.output_suffix = path.suffix
        self._unchanged = Unchanged(path)
        self._size = path.stat().st_size
        self._kinds: dict[str, set[_Kind]] = {}
        self._index_columns()
        self.columns = tuple(self._kinds)
        self.details = {"format": "JSON Lines", "encoding": "utf-8"}

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _index_columns(self) -> None:
        """One pass over the file for the keys, in order of first appearance, and the types of their values."""
        for _, _, content in self._records():
            try:
                line = _parse_line(content.decode())
            except (_BrokenLineError, UnicodeDecodeError):
                continue
            for key, member in line.members.items():
                self._kinds.setdefault(key, set()).add(member.kind)
            if len(self._kinds) > MAX_COLUMNS:
                raise FormatError(f"more than {MAX_COLUMNS} distinct keys", path=self.path)

    def _lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    message = f"the line is longer than {MAX_LINE_BYTES >> 20} MiB"
                    raise FormatError(message, path=self.path, line=number)
                yield line

    def _records(self) -> Iterator[tuple[int, int, bytes]]:
        """Row number, line number and content (no byte order mark) of every line that is not blank."""
        row = 0
        for number, line in enumerate(self._lines(), start=1):
            content = line.removeprefix(_MARK) if number == 1 else line
            if content.strip():
                yield row, number, content
                row += 1

    def chunks(self, size: int = ROWS_PER_CHUNK) -> Iterator[RowChunk]:
        """Read all rows in order, at most `size` readable rows at a time."""
        chunk = RowChunk([], [])
        position = 0
        for row, number, content in self._records():
            if len(chunk.rows) == size:
                yield RowChunk(chunk.rows, chunk.row_numbers, chunk.lines, chunk.issues, position / self._size)
                chunk = RowChunk([], [])
            position += len(content)
            try:
                members = _parse_line(content.decode()).members
            except UnicodeDecodeError:
                chunk.issues.append(RowIssue(row, number, "the line is not valid utf-8"))
                continue
            except _BrokenLineError as error:
                chunk.issues.append(RowIssue(row, number, str(error)))
                continue
            chunk.rows.append(tuple(members[key].text if key in members else None for key in self.columns))
            chunk.row_numbers.append(row)
            chunk.lines.append(number)
        if chunk.rows or chunk.issues:
            yield chunk

    def rewrite(self, edits: Iterable[CellEdit], sink: BinaryIO) -> Iterator[EditResult]:
        """Copy the file to `sink` with the edits made; see `TableFile.rewrite`."""
        queue = EditQueue(edits)
        row = 0
        for number, line in enumerate(self._lines(), start=1):
            content = line
            if number == 1 and line.startswith(_MARK):
                sink.write(_MARK)
                content = line[len(_MARK) :]
            if content.strip():
                wanted = list(queue.before(row + 1))
                row += 1
                if wanted:
                    results, content = self._edit_line(content, wanted)
                    yield from results
            sink.write(content)
        yield from queue.missing()
        self._unchanged.check()

    def _edit_line(self, content: bytes, edits: list[CellEdit]) -> tuple[list[EditResult], bytes]:
        try:
            line = _parse_line(content.decode())
        except (_BrokenLineError, UnicodeDecodeError):
            message = "the row is damaged and was left alone"
            return [EditResult(edit, problem=EditProblem.DAMAGED, message=message) for edit in edits], content
        pieces: list[str] = []
        appended: list[str] = []
        cursor = 0
        # Members stand in the line's own order, which need not be the order of the columns.
        plans = [self._plan(line, edit) for edit in edits]
        results = [result for result, _, _ in plans]
        for start, end, raw in sorted((span[0], span[1], raw) for _, span, raw in plans if span and raw is not None):
            pieces += [line.text[cursor:start], raw]
            cursor = end
        for result, place, written in plans:
            if place is None and written is not None:
                comma = ", " if line.members or appended else ""
                appended.append(f"{comma}{json.dumps(self.columns[result.edit.column], ensure_ascii=False)}: {written}")
        tail = max(line.tail, cursor)
        text = "".join([*pieces, line.text[cursor:tail], *appended, line.text[tail:]])
        try:
            _parse_line(text)
            return results, text.encode()
        except (_BrokenLineError, UnicodeEncodeError):
            message = "the changed line would not be valid JSON"
            return [EditResult(edit, problem=EditProblem.NOT_ENCODABLE, message=message) for edit in edits], content

    def _plan(self, line: _Line, edit: CellEdit) -> tuple[EditResult, tuple[int, int] | None, str | None]:
        """The fate of one edit, the span it replaces (None: append a member), the text to write (None: leave it)."""
        if not 0 <= edit.column < len(self.columns):
            return EditResult(edit, problem=EditProblem.MISSING, message="the table has no such cell"), None, None
        member = line.members.get(self.columns[edit.column])
        if (member.text if member else None) != edit.old:
            message = "the cell does not hold the expected old value"
            return EditResult(edit, problem=EditProblem.MISMATCH, message=message), None, None
        old_raw = line.text[member.start : member.end] if member else ""
        result = EditResult(edit, old_raw=old_raw)
        if not edit.replace:
            return result, None, None
        if edit.raw == "":  # undo an appended member: its comma and key go with it
            return (result, (member.joint, member.end), "") if member else (result, None, None)
        raw = edit.raw if edit.raw is not None else self._render(edit, member)
        if raw is None:
            message = f"the new value does not fit a cell that holds {self._expected(edit, member)}"
            return EditResult(edit, problem=EditProblem.WRONG_TYPE, message=message), None, None
        return result, (member.start, member.end) if member else None, raw

    def _expected(self, edit: CellEdit, member: _Member | None) -> _Kind:
        """The type that a cell should have: its own, or for a null the one its column has."""
        if member is not None and member.kind is not _Kind.NULL:
            return member.kind
        kinds = self._kinds[self.columns[edit.column]] - {_Kind.NULL}
        return next(iter(kinds)) if len(kinds) == 1 else _Kind.STRING

    def _render(self, edit: CellEdit, member: _Member | None) -> str | None:
        """The JSON text of a new value in the type that the cell should have; None when it does not fit."""
        if edit.new is None:
            return "null"
        kind = self._expected(edit, member)
        if kind is _Kind.STRING:
            return json.dumps(edit.new, ensure_ascii=False)
        if kind is _Kind.NUMBER:
            return edit.new if _NUMBER.fullmatch(edit.new) else None
        if kind is _Kind.BOOLEAN:
            return edit.new if edit.new in ("true", "false") else None
        return None
