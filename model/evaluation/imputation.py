"""Filling a hidden attribute of test tuples, with the training tuples as the table around them.

The table is the training and validation rows, complete, followed by the test rows with the target missing.
The metric is the one of the published figures: exact match after lower-casing and trimming.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.baselines import IMPUTATION_BASELINES
from model.evaluation.benchmark import read_relation
from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure, Resampling, accuracy
from model.evaluation.reliability import Reliability, together
from model.inference.batching import ModelTask, Progress, run_task, run_tasks
from model.inference.completion import complete
from model.inference.reading import CONTEXT_SIZE
from model.tuples import Cell, Completion, CompletionOptions, CompletionResult, CompletionTarget, Relation

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
    """One table a set: the model with statistics, the same without practice, the model alone, and the baselines.

    Raises:
        InputError: a set is not in the folder.
    """
    tables = []
    for one in [read_imputation_set(bench, name) for name in sets]:
        imputers: dict[str, Imputer] = {
            "model": ModelImputer(checkpoint, one.name, progress),
            "model, no practice": ModelImputer(checkpoint, f"{one.name}, no practice", progress, practice=False),
            "model alone": ModelImputer(checkpoint, f"{one.name}, model alone", progress, use_statistics=False),
            **IMPUTATION_BASELINES,
        }
        tables.append(measure_imputation(one, imputers, resampling or Resampling()))
    if len(tables) > 1:
        first = [table.reliabilities[0] for table in tables]
        tables[-1] = tables[-1].with_reliabilities(together("filling, all sets, model", first))
    return tables


def measure_imputation(one: ImputationSet, imputers: Mapping[str, Imputer], resampling: Resampling) -> EvaluationTable:
    """The table of one set."""
    rows, reliabilities = [], []
    for label, imputer in imputers.items():
        answers = answer_all(imputer, [(one.relation, one.cells)])
        right = [matches(answer, true) for answer, true in zip(answers.values, one.truth, strict=True)]
        figures = {
            "accuracy %": accuracy(right, resampling),
            "answered": Figure(sum(answer is not None for answer in answers.values), digits=0),
            "cells/s": Figure(len(right) / max(answers.seconds, 1e-9), digits=1),
        }
        rows.append(EvaluationRow(label, figures))
        if answers.confidences is not None:
            name = f"filling, {one.name}, {label}"
            reliabilities.append(fill_reliability(name, answers.confidences, right, range(len(right)), resampling))
    name = one.relation.attributes[one.cells[0].attribute] if one.cells else ""
    known = len(one.relation) - len(one.cells)
    note = "The training and validation rows are the table; nothing was trained on them. Match after lower-casing."
    title = f"{one.name} ({name}, {len(one.cells)} of {known + len(one.cells)} rows)"
    return EvaluationTable("imputation", title, tuple(rows), (note,), tuple(reliabilities))


@dataclass(frozen=True, slots=True)
class ModelImputer:
    """The model's best candidate for each cell, however unsure it is of it.

    Attributes:
        label: what progress is reported under; the empty string reports none.
        context_size: context tuples read with each target; 0 is plain RPT.
        practice: whether known cells are filled first, to learn what to believe.
    """

    checkpoint: Checkpoint
    label: str
    progress: Progress | None = None
    use_statistics: bool = True
    context_size: int = CONTEXT_SIZE
    practice: bool = True

    def __call__(self, relation: Relation, cells: Sequence[Cell]) -> list[str | None]:
        return [one.value for one in run_task(self.checkpoint, self.task(relation, cells)).completions]

    def task(
        self, relation: Relation, cells: Sequence[Cell], prefixes: Sequence[str] | None = None
    ) -> ModelTask[CompletionResult]:
        """The call that completes `cells`, each from its prefix where there are any."""
        typed = prefixes if prefixes is not None else [None] * len(cells)
        targets = tuple(CompletionTarget(cell, prefix) for cell, prefix in zip(cells, typed, strict=True))
        return complete(
            self.checkpoint,
            relation,
            CompletionOptions(targets, min_confidence=0.0, practice=self.practice),
            self._report,
            use_statistics=self.use_statistics,
            context_size=self.context_size,
        )

    def _report(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None and self.label:
            self.progress(f"{self.label}: {stage}", done, total)


@dataclass(frozen=True, slots=True)
class Answers:
    """Values for all cells that were asked for, in order, and how sure the model is of each; baselines do not say."""

    values: list[str | None]
    confidences: list[float] | None
    seconds: float


def answer_all(
    imputer: Imputer,
    asked: Sequence[tuple[Relation, Sequence[Cell]]],
    prefixes: Sequence[Sequence[str]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Fill the cells of many relations; the model's calls share batches.

    Args:
        progress: told how many of how many relations are done.
        prefixes: what is typed already, for the cells of each relation; only a `ModelImputer` reads them.
    """
    began = time.monotonic()
    if not isinstance(imputer, ModelImputer):
        answers = [value for relation, cells in asked for value in imputer(relation, cells)]
        return Answers(answers, None, time.monotonic() - began)
    typed = prefixes if prefixes is not None else [None] * len(asked)
    tasks = (imputer.task(relation, cells, its) for (relation, cells), its in zip(asked, typed, strict=True))
    found: list[Completion] = []
    for number, result in enumerate(run_tasks(imputer.checkpoint, tasks)):
        found += result.completions
        if progress is not None:
            progress(number + 1, len(asked))
    confidences = [one.confidence or 0.0 for one in found]
    return Answers([one.value for one in found], confidences, time.monotonic() - began)


def fill_reliability(
    name: str, confidences: Sequence[float], right: Sequence[bool], units: Sequence[int], resampling: Resampling
) -> Reliability:
    """Confidences of the values filled in against whether they are right."""
    return Reliability(
        name,
        np.array(confidences, dtype=np.float64),
        np.array(right, dtype=bool),
        np.array(units, dtype=np.int64),
        resampling=resampling,
    )


def matches(answer: str | None, true: str) -> bool:
    """Whether an answer is the true value but for case and outer blanks; no answer never is."""
    return answer is not None and answer.strip().lower() == true.strip().lower()
