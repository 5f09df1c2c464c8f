"""Flagged cells where nothing is wrong: on the clean benchmark tables, and on tables of the corpus as they are.

What a person pays for with their time. Corpus tables carry some real errors of their publishers, so there the rate
is an upper bound. Cells that hold a value, cells that hold none and cells that spell that there is none are counted
apart: whether `N/A` is an error is a matter of the table's own habit.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.checkpoint import Checkpoint
from model.evaluation.baselines import CLEANING_BASELINES, CleaningBaseline
from model.evaluation.benchmark import read_relation
from model.evaluation.cleaning import CLEANING_SETS
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Floats, Resampling, ratio
from model.evaluation.held_out import sample_tables, unseen_tables, window
from model.inference.batching import Progress, run_tasks
from model.inference.cleaning import clean
from model.inference.columns import is_missing_spelling
from model.tuples import Cell, CleaningOptions, Relation, Value

TABLES = 50
MIN_ROWS = 20
CORPUS_ROWS = 80
CORPUS_ATTRIBUTES = 12
BENCH_ROWS = 1000

CELL_CLASSES = ("present", "missing", "spelled missing")
_NAMES = (*(f"{name} cells" for name in CELL_CLASSES), *(f"{name} flagged" for name in CELL_CLASSES))

Flagger = Callable[[Sequence[Relation]], list[Collection[Cell]]]
"""The flagged cells of each relation."""


@dataclass(frozen=True, slots=True)
class CleanTables:
    """Relations in which nothing is held to be wrong.

    Attributes:
        parts: names of the parts that are counted apart, each with the places of its relations.
        unit: what intervals resample: `row` or `table`.
    """

    title: str
    relations: tuple[Relation, ...]
    unit: str
    parts: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()


def read_clean_bench(bench: Path, sets: Sequence[str] = CLEANING_SETS, rows: int = BENCH_ROWS) -> CleanTables:
    """The first `rows` tuples of each set's clean table.

    Raises:
        InputError: a set is not in the folder.
    """
    read = [read_relation(bench / "cleaning" / name / "clean.csv") for name in sets]
    relations = tuple(Relation.of(one.attributes, one.tuples[:rows], one.name) for one in read)
    cells = sum(len(one) * len(one.attributes) for one in relations)
    title = f"clean tables of the benchmark ({len(relations)} tables, {cells:,} cells)"
    parts = {name: (place,) for place, name in enumerate(sets)}
    return CleanTables(title, relations, "row", parts, (f"The first {rows:,} rows of each clean table.",))


def sample_clean_corpus(corpus: Path, checkpoint: Checkpoint, tables: int, seed: int) -> CleanTables:
    """Windows of unseen corpus tables, as their publishers left them; at most one window a table.

    Raises:
        InputError: as `unseen_tables`.
    """
    held_out = unseen_tables(corpus, checkpoint, MIN_ROWS)
    chosen = sample_tables(held_out.tables, tables, seed)
    relations = tuple(
        window(table.relation, random.Random(f"{seed}:{table.table_id}"), CORPUS_ROWS, CORPUS_ATTRIBUTES)
        for table in chosen
    )
    cells = sum(len(one) * len(one.attributes) for one in relations)
    repositories = len({table.repository for table in chosen})
    title = f"unseen tables as they are ({len(relations)} tables of {repositories} repositories, {cells:,} cells)"
    notes = (
        f"Up to {CORPUS_ROWS} consecutive rows and {CORPUS_ATTRIBUTES} columns of a table; repositories take turns.",
        "These tables carry some real errors, so the rates are upper bounds.",
        held_out.note,
    )
    return CleanTables(title, relations, "table", {}, notes)


def clean_sources(
    bench: Path, corpus: Path | None, checkpoint: Checkpoint, tables: int, seed: int, rows: int = BENCH_ROWS
) -> list[CleanTables]:
    """The clean benchmark sets, `rows` of each, and, where the corpus is at hand, unseen tables of it.

    Raises:
        InputError: data are missing, or the checkpoint was trained on them.
    """
    sources = [read_clean_bench(bench, rows=rows)]
    if corpus is not None:
        sources.append(sample_clean_corpus(corpus, checkpoint, tables, seed))
    return sources


def evaluate_false_alarms(
    bench: Path,
    corpus: Path | None,
    checkpoint: Checkpoint,
    tables: int = TABLES,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """One table on the clean benchmark sets and, where the corpus is at hand, one on unseen corpus tables.

    Raises:
        InputError: data are missing, or the checkpoint was trained on them.
    """
    chosen = resampling or Resampling()
    sources = clean_sources(bench, corpus, checkpoint, tables, chosen.seed)
    flaggers: dict[str, Flagger] = {
        "model": _model(checkpoint, progress),
        **{label: _baseline(baseline) for label, baseline in CLEANING_BASELINES.items()},
    }
    return [measure_false_alarms(one, flaggers, chosen) for one in sources]


def measure_false_alarms(
    tables: CleanTables, flaggers: Mapping[str, Flagger], resampling: Resampling
) -> EvaluationTable:
    """Flagged cells per 1,000 cells: all, by class of cell, and by part."""
    rows = []
    for label, flagger in flaggers.items():
        began = time.monotonic()
        flagged = flagger(tables.relations)
        seconds = time.monotonic() - began
        counted = [count_alarms(*one) for one in zip(tables.relations, flagged, strict=True)]
        if tables.unit == "table":
            counted = [one.sum(axis=0, keepdims=True) for one in counted]
        figures = _rates(np.concatenate(counted), resampling)
        for part, places in tables.parts.items():
            of_part = Counts(_NAMES, np.concatenate([counted[place] for place in places]), resampling)
            figures[part] = of_part.figure(partial(_per_thousand, classes=CELL_CLASSES), 2)
        tuples = sum(map(len, tables.relations))
        figures["rows/s"] = Figure(tuples / max(seconds, 1e-9), digits=1)
        rows.append(EvaluationRow(label, figures))
    sizes = np.concatenate([count_alarms(one, ()) for one in tables.relations]).sum(axis=0)
    cells = ", ".join(f"{name} {size:,}" for name, size in zip(CELL_CLASSES, sizes.tolist(), strict=False))
    how = f"Flagged cells per 1,000 cells, by class of cell: {cells}. Intervals resample {tables.unit}s."
    return EvaluationTable("false-alarms", tables.title, tuple(rows), (how, *tables.notes))


def cell_class(value: Value) -> int:
    """Place in `CELL_CLASSES`."""
    return 1 if not value else 2 if is_missing_spelling(value) else 0


def count_alarms(relation: Relation, flagged: Collection[Cell]) -> npt.NDArray[np.int64]:
    """Cells by class, then flagged ones by class, int64 (tuples, 6)."""
    counts = np.zeros((len(relation), len(_NAMES)), dtype=np.int64)
    for tuple_id, values in enumerate(relation.tuples):
        for value in values:
            counts[tuple_id, cell_class(value)] += 1
    for cell in flagged:
        counts[cell.tuple_id, len(CELL_CLASSES) + cell_class(relation.value(cell))] += 1
    return counts


def _rates(values: npt.NDArray[np.int64], resampling: Resampling) -> dict[str, Figure]:
    counts = Counts(_NAMES, values, resampling)
    sizes = dict(zip(_NAMES, values.sum(axis=0).tolist(), strict=True))
    figures = {"all": counts.figure(partial(_per_thousand, classes=CELL_CLASSES), 2)}
    for name in CELL_CLASSES:
        if sizes[f"{name} cells"]:
            figures[name] = counts.figure(partial(_per_thousand, classes=(name,)), 2)
    return figures


def _per_thousand(sums: Mapping[str, Floats], classes: Sequence[str]) -> Floats:
    flagged = np.sum([sums[f"{name} flagged"] for name in classes], axis=0)
    return 1000.0 * ratio(flagged, np.sum([sums[f"{name} cells"] for name in classes], axis=0))


def _model(checkpoint: Checkpoint, progress: Progress | None) -> Flagger:
    options = CleaningOptions(detect_only=True)

    def flagger(relations: Sequence[Relation]) -> list[Collection[Cell]]:
        tasks = (clean(checkpoint, one, options) for one in relations)
        flagged: list[Collection[Cell]] = []
        for result in run_tasks(checkpoint, tasks):
            flagged.append([repair.cell for repair in result.repairs])
            if progress is not None:
                progress("false alarms", len(flagged), len(relations))
        return flagged

    return flagger


def _baseline(baseline: CleaningBaseline) -> Flagger:
    return lambda relations: [baseline(relation).keys() for relation in relations]
