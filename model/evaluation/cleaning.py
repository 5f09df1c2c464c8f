"""Detection and end-to-end repair on the dirty benchmark tables, beside two baselines.

A cell is wrong where the dirty and the clean table differ. Detection counts flagged cells; repair counts
written values: precision is right repairs over repairs made, recall is right repairs over wrong cells. The
interval is a bootstrap over tuples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.baselines import CLEANING_BASELINES
from model.evaluation.benchmark import read_relation
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, f1, ratio
from model.inference.batching import Progress, run_task
from model.inference.cleaning import clean
from model.tuples import Cell, CleaningResult, Outcome, Relation

CLEANING_SETS = ("hospital", "flights", "beers")

_NAMES = ("wrong", "flagged", "flagged_wrong", "repaired", "repaired_right")


@dataclass(frozen=True, slots=True)
class CleaningSet:
    """A dirty relation and the truth about it, cell by cell."""

    name: str
    dirty: Relation
    clean: Relation

    @property
    def wrong(self) -> set[Cell]:
        """Cells where the two differ; None and the empty string are the same."""
        return {
            Cell(tuple_id, attribute)
            for tuple_id, (values, truth) in enumerate(zip(self.dirty.tuples, self.clean.tuples, strict=True))
            for attribute, (value, true) in enumerate(zip(values, truth, strict=True))
            if (value or "") != (true or "")
        }


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a system said about a relation: flagged cells, and the value that it wrote where it wrote one."""

    flagged: Mapping[Cell, str | None]
    seconds: float


System = Callable[[Relation], Judgement]


def read_cleaning_set(bench: Path, name: str) -> CleaningSet:
    """Read `cleaning/<name>` of the benchmark folder.

    Raises:
        InputError: a file is missing, or dirty and clean tables differ in shape.
    """
    folder = bench / "cleaning" / name
    dirty, truth = read_relation(folder / "dirty.csv"), read_relation(folder / "clean.csv")
    if (len(dirty), len(dirty.attributes)) != (len(truth), len(truth.attributes)):
        raise InputError(f"dirty and clean table of {name} differ in shape", field="bench")
    return CleaningSet(name, dirty, truth)


def evaluate_cleaning(
    bench: Path,
    checkpoint: Checkpoint,
    sets: Sequence[str] = CLEANING_SETS,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """One table a set: the model with statistics, the model alone, and both baselines.

    Raises:
        InputError: a set is not in the folder.
    """
    read = [read_cleaning_set(bench, name) for name in sets]
    return [measure_cleaning(one, systems(checkpoint, one.name, progress), resampling or Resampling()) for one in read]


def systems(checkpoint: Checkpoint, name: str, progress: Progress | None) -> dict[str, System]:
    """Everything that is measured on a set, by the name it has in the table."""

    def model(relation: Relation, use_statistics: bool) -> Judgement:
        def report(stage: str, done: int, total: int) -> None:
            if progress is not None:
                progress(f"{name}{'' if use_statistics else ', model alone'}: {stage}", done, total)

        began = time.monotonic()
        result = run_task(checkpoint, clean(checkpoint, relation, progress=report, use_statistics=use_statistics))
        return Judgement(_flagged(result), time.monotonic() - began)

    made: dict[str, System] = {
        "model": lambda relation: model(relation, True),
        "model alone": lambda relation: model(relation, False),
    }
    for label, baseline in CLEANING_BASELINES.items():
        made[label] = _timed(baseline)
    return made


def measure_cleaning(one: CleaningSet, measured: Mapping[str, System], resampling: Resampling) -> EvaluationTable:
    """The table of one set."""
    wrong = one.wrong
    rows = []
    for label, system in measured.items():
        judgement = system(one.dirty)
        rows.append(EvaluationRow(label, _figures(judge(one, wrong, judgement.flagged, resampling), judgement.seconds)))
    return EvaluationTable(
        "cleaning",
        f"{one.name} ({len(one.dirty)} rows × {len(one.dirty.attributes)} columns, {len(wrong)} wrong cells)",
        tuple(rows),
        ("No labels, no rules. Repair is end to end. The model alone decides without any column statistic.",),
    )


def judge(one: CleaningSet, wrong: set[Cell], flagged: Mapping[Cell, str | None], resampling: Resampling) -> Counts:
    """Counts of each tuple: wrong, flagged, flagged and wrong, repaired, repaired with the true value."""
    values = np.zeros((len(one.dirty), len(_NAMES)), dtype=np.int64)
    for cell in wrong:
        values[cell.tuple_id, 0] += 1
    for cell, repair in flagged.items():
        right = repair is not None and repair == (one.clean.value(cell) or "")
        values[cell.tuple_id, 1:] += (1, cell in wrong, repair is not None, right)
    return Counts(_NAMES, values, resampling)


def _flagged(result: CleaningResult) -> dict[Cell, str | None]:
    return {one.cell: (one.repair or "") if one.outcome is Outcome.REPAIRED else None for one in result.repairs}


def _timed(baseline: Callable[[Relation], dict[Cell, str]]) -> System:
    def system(relation: Relation) -> Judgement:
        began = time.monotonic()
        repairs = baseline(relation)
        return Judgement(dict(repairs), time.monotonic() - began)

    return system


def _figures(counts: Counts, seconds: float) -> dict[str, Figure]:
    return {
        "detection P": counts.figure(lambda sums: ratio(sums["flagged_wrong"], sums["flagged"])),
        "detection R": counts.figure(lambda sums: ratio(sums["flagged_wrong"], sums["wrong"])),
        "detection F1": counts.figure(lambda sums: f1(sums["flagged_wrong"], sums["flagged"], sums["wrong"])),
        "repair P": counts.figure(lambda sums: ratio(sums["repaired_right"], sums["repaired"])),
        "repair R": counts.figure(lambda sums: ratio(sums["repaired_right"], sums["wrong"])),
        "repair F1": counts.figure(lambda sums: f1(sums["repaired_right"], sums["repaired"], sums["wrong"])),
        "rows/s": Figure(len(counts.values) / max(seconds, 1e-9), digits=1),
    }
