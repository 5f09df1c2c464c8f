"""One pass over one table file: read a part, have it judged, rewrite and log it, read the next.

The one idea: a file is walked once as a reader and once, a part behind, as a writer, and only flagged cells travel
between the two. So a file of any size needs the memory of one part. A table that does not fit into one part is judged
part by part, with evidence from the same part only; the summary says so.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import BinaryIO, Literal

from service.patches import CHANGED, Patch, PatchCandidate, PatchEvidence
from service.storage.table_file import (
    ROWS_PER_CHUNK,
    CellEdit,
    EditResult,
    RowChunk,
    RowIssue,
    TableFile,
    Text,
    unique_names,
)

KEPT_ISSUES = 100
HISTOGRAM_BINS = 20
Progress = Callable[[str, int, int], None]
"""Called with a stage, what is done and the total, any number of times."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model says about one cell of a part; `row` and `evidence_rows` index the part's rows."""

    row: int
    column: int
    outcome: Literal["repaired", "filled", "rewritten", "abstained", "error"]
    new: str | None = None
    confidence: float | None = None
    error_probability: float | None = None
    candidates: tuple[tuple[str, float], ...] = ()
    evidence_source: str | None = None
    evidence_rows: tuple[int, ...] = ()
    detail: str | None = None


Judge = Callable[[Sequence[str], list[tuple[Text, ...]], Progress], list[Judgement]]
"""Judges the rows of one part, given the (unique) column names; only cells worth a word come back."""


@dataclass(slots=True)
class ColumnCounts:
    """Flagged cells of one column by outcome."""

    flagged: int = 0
    repaired: int = 0
    abstained: int = 0
    errors: int = 0

    def count(self, outcome: str) -> None:
        """Add one flagged cell."""
        self.flagged += 1
        if outcome in CHANGED:
            self.repaired += 1
        elif outcome == "abstained":
            self.abstained += 1
        else:
            self.errors += 1


@dataclass(slots=True)
class AdaptationCounts:
    """What it took to adapt the model to the table; `parts` says to how many of its parts."""

    parts: int = 0
    steps: int = 0
    encoder_tokens: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class RunSummary:
    """What a run did.

    Attributes:
        rows: rows judged; `damaged_rows` could not be and passed through.
        repaired: cells written anew, `filled` and `rewritten` ones included.
        parts: how many parts were judged on their own; above one, evidence is limited to the part.
        issues: the first damaged rows.
        histogram: confidences of changed cells in equal bins from 0 to 1.
        adaptation: None where the model was not to be adapted.
    """

    rows: int = 0
    damaged_rows: int = 0
    cells: int = 0
    parts: int = 0
    seconds: float = 0.0
    total: ColumnCounts = field(default_factory=ColumnCounts)
    by_column: dict[str, ColumnCounts] = field(default_factory=dict)
    issues: list[RowIssue] = field(default_factory=list)
    histogram: list[int] = field(default_factory=lambda: [0] * HISTOGRAM_BINS)
    adaptation: AdaptationCounts | None = None

    @property
    def approximate(self) -> bool:
        """Whether the table was judged in parts."""
        return self.parts > 1

    def to_dict(self) -> dict[str, object]:
        """The summary as plain values, for JSON."""
        return {**asdict(self), "approximate": self.approximate}

    def count_patch(self, patch: Patch, column: str) -> None:
        """Add one flagged cell."""
        self.total.count(patch.outcome)
        self.by_column.setdefault(column, ColumnCounts()).count(patch.outcome)
        if patch.outcome in CHANGED and patch.confidence is not None:
            bin_index = min(int(patch.confidence * HISTOGRAM_BINS), HISTOGRAM_BINS - 1)
            self.histogram[max(bin_index, 0)] += 1

    def count_part(self, chunk: RowChunk, columns: int) -> None:
        """Add one part that was read."""
        self.parts += bool(chunk.rows)
        self.rows += len(chunk.rows)
        self.cells += len(chunk.rows) * columns
        self.damaged_rows += len(chunk.issues)
        self.issues += chunk.issues[: KEPT_ISSUES - len(self.issues)]


def run_table(
    table: TableFile,
    judge: Judge,
    sink: BinaryIO,
    log: BinaryIO,
    *,
    rows_per_part: int = ROWS_PER_CHUNK,
    progress: Progress = lambda stage, done, total: None,
    on_part: Callable[[RowChunk], None] = lambda chunk: None,
) -> RunSummary:
    """Judge a table, write its changed copy to `sink` and a line for each flagged cell to `log`.

    Raises:
        TableFileError: the file cannot be read to its end, or changed meanwhile.
    """
    summary = RunSummary()
    started = time.perf_counter()
    names = unique_names(table.columns)
    pending: deque[Patch] = deque()

    def edits() -> Iterator[CellEdit]:
        for chunk in table.chunks(rows_per_part):
            on_part(chunk)
            summary.count_part(chunk, len(names))
            judgements = judge(names, chunk.rows, progress) if chunk.rows else []
            for judgement in sorted(judgements, key=lambda judgement: (judgement.row, judgement.column)):
                patch = _patch(table, chunk, judgement)
                pending.append(patch)
                replace = patch.outcome in CHANGED
                yield CellEdit(patch.row, patch.column_index, patch.old, patch.new, replace=replace)

    for result in table.rewrite(edits(), sink):
        patch = _settled(pending.popleft(), result)
        summary.count_patch(patch, names[patch.column_index])
        log.write(patch.line())
    summary.seconds = time.perf_counter() - started
    return summary


def _patch(table: TableFile, chunk: RowChunk, judgement: Judgement) -> Patch:
    evidence = None
    if judgement.evidence_source is not None:
        rows = tuple(chunk.row_numbers[row] for row in judgement.evidence_rows)
        evidence = PatchEvidence(source=judgement.evidence_source, rows=rows, detail=judgement.detail)
    return Patch(
        row=chunk.row_numbers[judgement.row],
        column=table.columns[judgement.column],
        column_index=judgement.column,
        old=chunk.rows[judgement.row][judgement.column],
        new=judgement.new,
        outcome=judgement.outcome,
        confidence=judgement.confidence,
        error_probability=judgement.error_probability,
        candidates=tuple(PatchCandidate(value=value, confidence=score) for value, score in judgement.candidates),
        evidence=evidence,
    )


def _settled(patch: Patch, result: EditResult) -> Patch:
    """The patch as the log keeps it, once the cell was written or refused."""
    if result.problem is not None:
        return patch.model_copy(update={"outcome": "error", "message": result.message})
    return patch.model_copy(update={"old_raw": result.old_raw})
