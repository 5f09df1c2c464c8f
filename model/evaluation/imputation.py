"""Filling a hidden attribute of test tuples, with the training tuples as the table around them.

The table is the training and validation rows, complete, followed by the test rows with the target missing.
The metric is the one of the published figures: exact match after lower-casing and trimming.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.baselines import IMPUTATION_BASELINES
from model.evaluation.benchmark import read_relation
from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure, Resampling, accuracy
from model.inference.batching import Progress, run_task
from model.inference.completion import complete
from model.inference.reading import CONTEXT_SIZE
from model.tuples import Cell, CompletionOptions, CompletionTarget, Relation

IMPUTATION_SETS = ("Buy", "Restaurant")

Imputer = Callable[[Relation, Sequence[Cell]], list[str | None]]
"""Values for missing cells of a relation, in the order of the cells; None is no answer."""


@dataclass(frozen=True, slots=True)
class ImputationSet:
    """A relation whose `cells` are missing, and what they hold in truth."""

    name: str
    relation: Relation
    cells: tuple[Cell, ...]
    truth: tuple[str, ...]


def read_imputation_set(bench: Path, name: str) -> ImputationSet:
    """Read `imputation/<name>` of the benchmark folder.

    Raises:
        InputError: a file is missing or names no attribute of the tables.
    """
    folder = bench / "imputation" / name
    parts = [read_relation(folder / f"{part}.csv") for part in ("train", "valid", "test")]
    try:
        target = (folder / "target.txt").read_text(encoding="utf-8").strip()
        attribute = parts[0].attributes.index(target)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}/target.txt does not name a column", field="bench") from error
    known = [*parts[0].tuples, *parts[1].tuples]
    hidden = [(*row[:attribute], None, *row[attribute + 1 :]) for row in parts[2].tuples]
    cells = tuple(Cell(len(known) + place, attribute) for place in range(len(hidden)))
    relation = Relation.of(parts[0].attributes, [*known, *hidden], name)
    return ImputationSet(name, relation, cells, tuple(row[attribute] or "" for row in parts[2].tuples))


def evaluate_imputation(
    bench: Path,
    checkpoint: Checkpoint,
    sets: Sequence[str] = IMPUTATION_SETS,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """One table a set: the model with statistics, the model alone, and the baselines.

    Raises:
        InputError: a set is not in the folder.
    """
    tables = []
    for one in [read_imputation_set(bench, name) for name in sets]:
        imputers = {
            "model": model_imputer(checkpoint, one.name, progress),
            "model alone": model_imputer(checkpoint, f"{one.name}, model alone", progress, use_statistics=False),
            **IMPUTATION_BASELINES,
        }
        tables.append(measure_imputation(one, imputers, resampling or Resampling()))
    return tables


def measure_imputation(one: ImputationSet, imputers: Mapping[str, Imputer], resampling: Resampling) -> EvaluationTable:
    """The table of one set."""
    rows = []
    for label, imputer in imputers.items():
        began = time.monotonic()
        answers = imputer(one.relation, one.cells)
        seconds = time.monotonic() - began
        right = [matches(answer, true) for answer, true in zip(answers, one.truth, strict=True)]
        figures = {
            "accuracy %": accuracy(right, resampling),
            "answered": Figure(sum(answer is not None for answer in answers), digits=0),
            "cells/s": Figure(len(right) / max(seconds, 1e-9), digits=1),
        }
        rows.append(EvaluationRow(label, figures))
    name = one.relation.attributes[one.cells[0].attribute] if one.cells else ""
    known = len(one.relation) - len(one.cells)
    note = "The training and validation rows are the table; nothing was trained on them. Match after lower-casing."
    return EvaluationTable(
        "imputation", f"{one.name} ({name}, {len(one.cells)} of {known + len(one.cells)} rows)", tuple(rows), (note,)
    )


def model_imputer(
    checkpoint: Checkpoint,
    label: str,
    progress: Progress | None = None,
    *,
    use_statistics: bool = True,
    context_size: int = CONTEXT_SIZE,
) -> Imputer:
    """The model's best candidate for each cell, however unsure it is of it.

    Args:
        label: what progress is reported under.
        context_size: context tuples read with each target; 0 is plain RPT.
    """

    def report(stage: str, done: int, total: int) -> None:
        if progress is not None:
            progress(f"{label}: {stage}", done, total)

    def imputer(relation: Relation, cells: Sequence[Cell]) -> list[str | None]:
        options = CompletionOptions(tuple(CompletionTarget(cell) for cell in cells), min_confidence=0.0)
        task = complete(checkpoint, relation, options, report, use_statistics=use_statistics, context_size=context_size)
        return [completion.value for completion in run_task(checkpoint, task).completions]

    return imputer


def matches(answer: str | None, true: str) -> bool:
    """Whether an answer is the true value but for case and outer blanks; no answer never is."""
    return answer is not None and answer.strip().lower() == true.strip().lower()
