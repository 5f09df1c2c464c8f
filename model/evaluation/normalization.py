"""Normalization: formats that drift are to be undone, and columns as they are are to be left alone.

Some values of a clean column are written another way by the operators that training corrupts with; what they were is
the truth. On the same columns without drift every changed cell is counted as wrong, although publishers' own columns
carry some real drift.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.corruption import OPERATORS, ColumnView
from model.evaluation.false_alarms import CleanTables, clean_sources
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, ratio
from model.evaluation.reliability import Reliability
from model.inference.batching import Progress, run_tasks
from model.inference.columns import is_missing_spelling, pattern_of
from model.inference.normalization import NormalizationOptions, NormalizationResult, normalize
from model.tuples import Relation, Value

DRIFTS = ("date_format", "time_format", "number_format", "phone_format", "case_changed", "blanks_changed")
"""Operators of `model.corruption` that write a value another way."""

TABLES = 60
BENCH_ROWS = 300
DRIFTED_SHARE = 0.15
_FEWEST_VALUES = 12
_FITTING_SHARE = 0.8
_NAMES = ("right", "wrong", "drifted")

Column = Sequence[Value]
Normalizer = Callable[[Sequence[Column]], list[dict[int, tuple[str, float]]]]
"""For each column, the values that are rewritten with their confidence, by place."""


@dataclass(frozen=True, slots=True)
class DriftedColumn:
    """A column of which some values were written another way; `truth` is what they were, by place."""

    kind: str
    values: tuple[Value, ...]
    truth: dict[int, str]


def evaluate_normalize(
    bench: Path,
    corpus: Path | None,
    checkpoint: Checkpoint,
    tables: int = TABLES,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """Two tables for the clean benchmark sets and, where the corpus is at hand, two for unseen corpus tables.

    Raises:
        InputError: data are missing, or the checkpoint was trained on them.
    """
    chosen = resampling or Resampling()
    sources = clean_sources(bench, corpus, checkpoint, tables, chosen.seed, BENCH_ROWS)
    systems = {"service": _service(checkpoint, progress), "reprint into the commonest pattern": reprinted}
    made = []
    for source in sources:
        columns = clean_columns(source)
        made += [
            measure_drift(source, drifted_columns(columns, chosen.seed), systems, chosen),
            measure_clean(source, columns, systems, chosen),
        ]
    return made


def clean_columns(tables: CleanTables) -> list[Column]:
    """Every column with enough values to tell a format."""
    columns = [
        [values[attribute] for values in relation.tuples]
        for relation in tables.relations
        for attribute in range(len(relation.attributes))
    ]
    return [column for column in columns if sum(map(bool, column)) >= _FEWEST_VALUES]


def drifted_columns(columns: Sequence[Column], seed: int) -> list[DriftedColumn]:
    """Each column with each drift that fits most of its values."""
    found = []
    for number, column in enumerate(columns):
        present = [place for place, value in enumerate(column) if value and not is_missing_spelling(value)]
        for kind in DRIFTS:
            rng = random.Random(f"{seed}:{kind}:{number}")
            view = ColumnView.of("", column, rng.randrange(1 << 16))
            written = {place: OPERATORS[kind](column[place] or "", view, rng) for place in present}
            fitting = [place for place, other in written.items() if other is not None]
            if len(fitting) < max(_FEWEST_VALUES, _FITTING_SHARE * len(present)):
                continue
            chosen = rng.sample(fitting, max(1, round(DRIFTED_SHARE * len(fitting))))
            truth = {place: column[place] or "" for place in chosen}
            values = tuple(written[place] if place in truth else value for place, value in enumerate(column))
            found.append(DriftedColumn(kind, values, truth))
    return found


def measure_drift(
    tables: CleanTables, columns: Sequence[DriftedColumn], systems: dict[str, Normalizer], resampling: Resampling
) -> EvaluationTable:
    """Share of drifted values that are rewritten rightly and wrongly, by kind of drift; columns are resampled."""
    rows, reliabilities = [], []
    for name, normalizer in systems.items():
        answers = normalizer([one.values for one in columns])
        counted = [_counted(one, answer) for one, answer in zip(columns, answers, strict=True)]
        figures = {}
        for kind in ("all", *DRIFTS):
            of_kind = [count for one, count in zip(columns, counted, strict=True) if kind in ("all", one.kind)]
            if of_kind:
                counts = Counts(_NAMES, np.array(of_kind, dtype=np.int64), resampling)
                figures[kind] = counts.figure(lambda sums: ratio(sums["right"], sums["drifted"]))
        counts = Counts(_NAMES, np.array(counted, dtype=np.int64).reshape(-1, 3), resampling)
        figures["rewritten wrongly"] = counts.figure(lambda sums: ratio(sums["wrong"], sums["drifted"]))
        rows.append(EvaluationRow(name, figures))
        if name == "service":
            reliabilities.append(_reliability(columns, answers, resampling))
    cells = sum(len(one.truth) for one in columns)
    sizes = Counter(one.kind for one in columns)
    title = f"formats that drift, {tables.title} ({len(columns)} columns, {cells:,} drifted values)"
    note = "Share of drifted values that become what they were. Columns by drift: " + ", ".join(
        f"{kind} {sizes[kind]}" for kind in DRIFTS if sizes[kind]
    )
    return EvaluationTable(
        "normalize", title, tuple(rows), (f"{note}. Intervals resample columns.",), tuple(reliabilities)
    )


def measure_clean(
    tables: CleanTables, columns: Sequence[Column], systems: dict[str, Normalizer], resampling: Resampling
) -> EvaluationTable:
    """Cells that are changed per 1,000 cells of columns as they are, and the share of columns that are touched."""
    rows = []
    for name, normalizer in systems.items():
        changed = [len(answer) for answer in normalizer(columns)]
        sizes = [sum(map(bool, column)) for column in columns]
        values = np.array([[count, size, count > 0, 1] for count, size in zip(changed, sizes, strict=True)], np.int64)
        counts = Counts(("changed", "cells", "touched", "columns"), values.reshape(-1, 4), resampling)
        figures: dict[str, Figure] = {
            "changed cells per 1,000": counts.figure(lambda sums: 1000.0 * ratio(sums["changed"], sums["cells"]), 2),
            "columns touched": counts.figure(lambda sums: ratio(sums["touched"], sums["columns"])),
        }
        rows.append(EvaluationRow(name, figures))
    title = f"columns as they are, {tables.title} ({len(columns)} columns)"
    return EvaluationTable(
        "normalize", title, tuple(rows), ("Every change counts as wrong. Intervals resample columns.",)
    )


def reprinted(columns: Sequence[Column]) -> list[dict[int, tuple[str, float]]]:
    """The letters and digits of a value put into the commonest pattern, where they fit it one by one."""
    return [_reprinted(column) for column in columns]


def _reprinted(column: Column) -> dict[int, tuple[str, float]]:
    patterns = Counter(pattern_of(value) for value in column if value)
    if not patterns:
        return {}
    commonest = min(patterns, key=lambda one: (-patterns[one], one))
    slots = [character for character in commonest if character in "9aA"]
    found = {}
    for place, value in enumerate(column):
        plain = [character for character in value or "" if character.isalnum()]
        fits = len(plain) == len(slots) and all(
            one.isdigit() == (slot == "9") for one, slot in zip(plain, slots, strict=True)
        )
        if value and plain and fits:
            filled = iter(plain)
            cased: dict[str, Callable[[str], str]] = {"9": str, "a": str.lower, "A": str.upper}
            made = "".join(cased[one](next(filled)) if one in cased else one for one in commonest)
            if made != value:
                found[place] = made, 1.0
    return found


def _counted(column: DriftedColumn, answer: dict[int, tuple[str, float]]) -> tuple[int, int, int]:
    made = [(answer[place][0], true) for place, true in column.truth.items() if place in answer]
    right = sum(output == true for output, true in made)
    return right, len(made) - right, len(column.truth)


def _service(checkpoint: Checkpoint, progress: Progress | None) -> Normalizer:
    def normalizer(columns: Sequence[Column]) -> list[dict[int, tuple[str, float]]]:
        options = NormalizationOptions()
        tasks = (normalize(checkpoint, Relation.of(("",), [[value] for value in one]), options) for one in columns)
        found = []
        for result in run_tasks(checkpoint, tasks):
            found.append(_by_place(result))
            if progress is not None:
                progress("normalize", len(found), len(columns))
        return found

    return normalizer


def _by_place(result: NormalizationResult) -> dict[int, tuple[str, float]]:
    return {one.cell.tuple_id: (one.output, one.confidence or 0.0) for one in result.cells if one.output is not None}


def _reliability(
    columns: Sequence[DriftedColumn], answers: Sequence[dict[int, tuple[str, float]]], resampling: Resampling
) -> Reliability:
    """Confidences of rewritten drifted values against whether they are what they were; a column's err together."""
    made = [
        (confidence, output == column.truth[place], number)
        for number, (column, answer) in enumerate(zip(columns, answers, strict=True))
        for place, (output, confidence) in answer.items()
        if place in column.truth
    ]
    confidences = np.array([one[0] for one in made], dtype=np.float64)
    right = np.array([one[1] for one in made], dtype=bool)
    units = np.array([one[2] for one in made], dtype=np.int64)
    return Reliability("normalize, rewritten values", confidences, right, units, resampling=resampling)
