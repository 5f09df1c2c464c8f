"""The patch log: one line of JSON for each flagged cell, enough to replay or undo every change.

The one idea: a patch names a cell, what stood there and what stands there now, and where the old field was written
in a way that its text does not tell (quotes, JSON tokens) it keeps that writing too. So applying the log to the
original gives the output byte for byte, and reverting it on the output gives the original.

    PatchError                the log itself is damaged or out of order; the message names its line
    └── PatchConflictError    a cell does not hold what the log says; the message names row and column
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.storage.table_file import CellEdit, EditProblem, EditResult, TableFile, TableFileError, unique_names

Direction = Literal["apply", "revert"]
CHANGED = frozenset({"repaired", "filled", "rewritten"})
"""The outcomes under which a cell's text was replaced."""


class PatchError(Exception):
    """The patch log is damaged or does not belong to the file."""


class PatchConflictError(PatchError):
    """A cell cannot be changed as the log says; nothing has been written."""

    def __init__(self, message: str, *, row: int, column: str) -> None:
        super().__init__(f"row {row}, column {column!r}: {message}")
        self.row, self.column = row, column


class PatchCandidate(BaseModel):
    """One value that could stand in the cell."""

    model_config = ConfigDict(frozen=True)

    value: str
    confidence: float


class PatchEvidence(BaseModel):
    """Why the cell was judged so; `rows` are row numbers of the file."""

    model_config = ConfigDict(frozen=True)

    source: str
    rows: tuple[int, ...] = ()
    detail: str | None = None


class Patch(BaseModel):
    """One flagged cell.

    Attributes:
        row: row number from 0, header and blank lines not counted, damaged rows counted.
        column, column_index: the column's name as in the file and its position from 0.
        old, new: text before and after; `new` is the suggestion even where it was not written.
        outcome: `repaired`, `filled` or `rewritten` (written), `abstained`, or `error` with `message`.
        old_raw: the old field as it was written, where that differs from `old`.
    """

    model_config = ConfigDict(frozen=True)

    row: int = Field(ge=0)
    column: str
    column_index: int = Field(ge=0)
    old: str | None
    new: str | None = None
    outcome: Literal["repaired", "filled", "rewritten", "abstained", "error"]
    confidence: float | None = None
    error_probability: float | None = None
    candidates: tuple[PatchCandidate, ...] = ()
    evidence: PatchEvidence | None = None
    old_raw: str | None = None
    message: str | None = None

    def line(self) -> bytes:
        """The patch as one line of the log; fields beyond the first seven appear only where they say something."""
        unsaid = {name for name in ("candidates", "error_probability", "old_raw", "message") if not getattr(self, name)}
        return self.model_dump_json(exclude=unsaid).encode() + b"\n"


def read_patches(path: Path) -> Iterator[Patch]:
    """Read a patch log line by line.

    Raises:
        PatchError: a line is not a patch.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parse(path, number, line)
    except OSError as error:
        raise PatchError(f"{path}: {error.strerror}") from None


def _parse(path: Path, number: int, line: bytes) -> Patch:
    try:
        return Patch.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise PatchError(f"{path}, line {number}: not a patch: {place or 'the line'}: {problem['msg']}") from None


def patch_table(table: TableFile, patches: Iterable[Patch], sink: BinaryIO, direction: Direction) -> int:
    """Replay (`apply`) or undo (`revert`) all patches that changed a cell; returns how many cells changed.

    Raises:
        PatchConflictError: a cell is not there, is damaged, or does not hold what the patch says.
        PatchError: the patches are out of order or do not fit the table.
    """
    taken: deque[Patch] = deque()
    count = 0
    try:
        for result in table.rewrite(_edits(table, patches, direction, taken), sink):
            _check(result, taken.popleft())
            count += 1
    except TableFileError as error:
        raise PatchError(str(error)) from None
    return count


def _edits(table: TableFile, patches: Iterable[Patch], direction: Direction, taken: deque[Patch]) -> Iterator[CellEdit]:
    names = unique_names(table.columns)
    for patch in patches:
        if patch.outcome not in CHANGED:
            continue
        if patch.column_index >= len(names):
            raise PatchConflictError("the table has no such column", row=patch.row, column=patch.column)
        if patch.column not in (table.columns[patch.column_index], names[patch.column_index]):
            message = f"column {patch.column_index} is called {table.columns[patch.column_index]!r} in this file"
            raise PatchConflictError(message, row=patch.row, column=patch.column)
        taken.append(patch)
        yield _edit(patch, direction)


def _edit(patch: Patch, direction: Direction) -> CellEdit:
    if direction == "apply":
        return CellEdit(patch.row, patch.column_index, patch.old, patch.new)
    raw = patch.old_raw if patch.old_raw is not None else patch.old
    return CellEdit(patch.row, patch.column_index, patch.new, patch.old, raw=raw)


def _check(result: EditResult, patch: Patch) -> None:
    if result.problem is None:
        return
    message = result.message or result.problem.value
    if result.problem is EditProblem.MISMATCH:
        message = "the cell does not hold the value that the patch expects"
    raise PatchConflictError(message, row=patch.row, column=patch.column)
