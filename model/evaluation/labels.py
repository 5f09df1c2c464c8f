"""Cleaning with a few labelled tuples, which the system chooses, as Raha and Baran are measured.

The system is asked which tuples it wants to know; their true values come from the clean table and go back as examples.
Beside what is then learned stand the same labels without learning: only the labelled cells are corrected, and serve as
values of the table. Labelled tuples count, as they do for Baran; figures over the other tuples say what is generalized.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from model.checkpoint import Checkpoint
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, f1
from model.inference.batching import Progress, run_task
from model.inference.cleaning import clean
from model.tuples import Cell, CellExample, CleaningOptions, CleaningResult, Relation

LABELLED_TUPLES = 20
"""As many as Raha and Baran are given."""

Count = Callable[[CleaningResult], Counts]
"""Counts of each tuple, by the names of `model.evaluation.cleaning`."""


def measure_labels(
    name: str,
    dirty: Relation,
    truth: Relation,
    checkpoint: Checkpoint,
    unlabelled: CleaningResult,
    count: Count,
    figures: Callable[[Counts], dict[str, Figure]],
    progress: Progress | None = None,
) -> EvaluationTable:
    """What the labels of the tuples that `unlabelled` suggests are worth.

    Args:
        unlabelled: the result without labels, with suggestions.
        figures: the figures of counts.
    """
    chosen = [one.tuple_id for one in unlabelled.suggestions]
    examples = tuple(
        CellExample(Cell(row, attribute), value) for row in chosen for attribute, value in enumerate(truth.tuples[row])
    )
    options = CleaningOptions(examples=examples)
    results = {
        "no labels": unlabelled,
        "labels, nothing learned": run_task(checkpoint, clean(checkpoint, dirty, options, progress, learn=False)),
        "labels": run_task(checkpoint, clean(checkpoint, dirty, options, progress)),
    }
    counts = {label: count(result) for label, result in results.items()}
    rows = [EvaluationRow(label, _figures(its, chosen, figures)) for label, its in counts.items()]
    seed = counts["labels"].resampling.seed
    wrong = sum((dirty.value(one.cell) or "") != (one.value or "") for one in examples)
    notes = (
        f"{len(chosen)} rows, {len(examples)} cells, {wrong} of them wrong; chosen by the system at once and without "
        f"chance: {', '.join(str(row) for row in sorted(chosen))}. Seed of the intervals: {seed}.",
        "Labelled rows count; “other rows” leaves them out. Nothing learned: the labelled cells are corrected and are "
        "values of the table.",
    )
    return EvaluationTable("cleaning", f"{name} with {len(chosen)} labelled rows", tuple(rows), notes)


def _figures(
    counts: Counts, chosen: Sequence[int], figures: Callable[[Counts], dict[str, Figure]]
) -> Mapping[str, Figure]:
    others = Counts(counts.names, np.delete(counts.values, chosen, axis=0), counts.resampling)
    return {
        **figures(counts),
        "detection F1, other rows": others.figure(
            lambda sums: f1(sums["flagged_wrong"], sums["flagged"], sums["wrong"])
        ),
        "repair F1, other rows": others.figure(
            lambda sums: f1(sums["repaired_right"], sums["repaired"], sums["wrong"])
        ),
    }
