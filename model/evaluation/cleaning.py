"""Detection and end-to-end repair on the dirty benchmark tables, beside two baselines.

A cell is wrong where the dirty and the clean table differ. Detection counts flagged cells; repair counts
written values: precision is right repairs over repairs made, recall is right repairs over wrong cells. The
interval is a bootstrap over tuples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.baselines import CLEANING_BASELINES
from model.evaluation.benchmark import read_relation
from model.evaluation.error_kinds import ErrorKind, error_kind
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, f1, ratio
from model.evaluation.judging import Judged, best_choice, choice_reliability, clean_and_keep, detection_reliability
from model.evaluation.labels import LABELLED_TUPLES, measure_labels
from model.evaluation.reliability import Reliability, together
from model.inference.batching import Progress, run_task
from model.inference.cleaning import clean
from model.tuples import Cell, CleaningOptions, CleaningResult, Outcome, Relation

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
    """What a system said about a relation.

    Attributes:
        flagged: flagged cells, and the value that it wrote where it wrote one.
        judged: its probabilities, where it has any.
    """

    flagged: Mapping[Cell, str | None]
    seconds: float
    judged: Judged | None = None


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
    """Three tables a set: whole and by kind of error, the model with statistics, the model alone, and both baselines;
    and the model with a few labels.

    Raises:
        InputError: a set is not in the folder.
    """
    resampling = resampling or Resampling()
    tables: list[EvaluationTable] = []
    judged: list[tuple[Reliability, ...]] = []
    for one in [read_cleaning_set(bench, name) for name in sets]:
        measured = systems(checkpoint, one.name, progress)
        measured["model"] = cache(measured["model"])  # the labels go on from its answer
        tables += measure_cleaning(one, measured, resampling)
        judged.append(tables[-2].reliabilities)
        tables.append(_with_labels(one, checkpoint, measured["model"], resampling, progress))
    if len(judged) > 1:
        kinds = ("detection, all sets, model", "repair, all sets, model")
        of_all = [together(name, parts) for name, parts in zip(kinds, zip(*judged, strict=True), strict=True)]
        tables[-1] = tables[-1].with_reliabilities(*of_all)
    return tables


def _with_labels(
    one: CleaningSet, checkpoint: Checkpoint, model: System, resampling: Resampling, progress: Progress | None
) -> EvaluationTable:
    judged = model(one.dirty).judged
    assert judged is not None
    wrong = one.wrong

    def count(result: CleaningResult) -> Counts:
        return judge(one, wrong, flagged_by(result), resampling)

    report = _reporting(progress, f"{one.name}, labels")
    return measure_labels(one.name, one.dirty, one.clean, checkpoint, judged.result, count, cleaning_figures, report)


def _reporting(progress: Progress | None, label: str) -> Progress:
    """Progress whose stages name what is measured."""

    def report(stage: str, done: int, total: int) -> None:
        if progress is not None:
            progress(f"{label}: {stage}", done, total)

    return report


def systems(checkpoint: Checkpoint, name: str, progress: Progress | None) -> dict[str, System]:
    """Everything that is measured on a set, by the name it has in the table."""

    def model(relation: Relation) -> Judgement:
        began = time.monotonic()
        options = CleaningOptions(suggest_labels=LABELLED_TUPLES)
        judged = run_task(checkpoint, clean_and_keep(checkpoint, relation, options, _reporting(progress, name)))
        return Judgement(flagged_by(judged.result), time.monotonic() - began, judged)

    def alone(relation: Relation) -> Judgement:
        began = time.monotonic()
        task = clean(checkpoint, relation, progress=_reporting(progress, f"{name}, model alone"), use_statistics=False)
        return Judgement(flagged_by(run_task(checkpoint, task)), time.monotonic() - began)

    made: dict[str, System] = {
        "model": model,
        "model alone": alone,
    }
    for label, baseline in CLEANING_BASELINES.items():
        made[label] = baseline_system(baseline)
    return made


def measure_cleaning(one: CleaningSet, measured: Mapping[str, System], resampling: Resampling) -> list[EvaluationTable]:
    """The tables of one set: the whole, and by kind of error."""
    wrong = one.wrong
    judgements = {label: system(one.dirty) for label, system in measured.items()}
    rows = [
        EvaluationRow(
            label,
            {
                **cleaning_figures(judge(one, wrong, judgement.flagged, resampling)),
                "rows/s": Figure(len(one.dirty) / max(judgement.seconds, 1e-9), digits=1),
            },
        )
        for label, judgement in judgements.items()
    ]
    size = f"{len(one.dirty)} rows × {len(one.dirty.attributes)} columns"
    whole = EvaluationTable(
        "cleaning",
        f"{one.name} ({size}, {len(wrong)} wrong cells)",
        tuple(rows),
        (
            "No labels, no rules. Repair is end to end. The model alone decides without any column statistic. "
            "Intervals resample rows.",
        ),
        tuple(
            reliability
            for label, judgement in judgements.items()
            if judgement.judged is not None
            for reliability in _reliabilities(f"{one.name}, {label}", one, judgement.judged, resampling)
        ),
    )
    return [whole, by_kind(one, judgements, resampling)]


def _reliabilities(name: str, one: CleaningSet, judged: Judged, resampling: Resampling) -> list[Reliability]:
    wrong = np.zeros(judged.probabilities.shape, dtype=bool)
    for cell in one.wrong:
        wrong[cell.tuple_id, cell.attribute] = True
    rows = np.arange(len(one.dirty), dtype=np.int64)
    choices = [
        best_choice(repair, one.clean.value(repair.cell) or "", repair.cell.tuple_id)
        for repair in judged.result.repairs
    ]
    return [
        detection_reliability(f"detection, {name}", [judged.probabilities], [wrong], [rows], resampling),
        choice_reliability(f"repair, {name}", choices, resampling),
    ]


def by_kind(one: CleaningSet, judgements: Mapping[str, Judgement], resampling: Resampling) -> EvaluationTable:
    """Of the wrong cells of each kind: the share that is flagged, repaired, and repaired rightly."""
    kinds = {cell: error_kind(one.dirty.value(cell), one.clean.value(cell)) for cell in one.wrong}
    rows = []
    for kind in ErrorKind:
        cells = sorted((cell for cell, its in kinds.items() if its is kind), key=lambda cell: astuple(cell))
        if cells:
            verdicts = {
                label: [Verdict.of(cell, judgement, one.clean) for cell in cells]
                for label, judgement in judgements.items()
            }
            rows.append(kind_row(kind, verdicts, resampling))
    note = (
        "By what is wrong, as dirty and clean value show it. A flag on a right cell belongs to no kind, so of "
        "detection there is recall only; repair precision is over the repairs of wrong cells."
    )
    title = f"{one.name} by kind of error, {next(iter(judgements))}"
    return EvaluationTable("cleaning", title, tuple(rows), (note,))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one wrong cell."""

    flagged: bool
    repaired: bool
    right: bool

    @classmethod
    def of(cls, cell: Cell, judgement: Judgement, truth: Relation) -> Verdict:
        """What a system made of `cell`."""
        repair = judgement.flagged.get(cell)
        right = repair is not None and repair == (truth.value(cell) or "")
        return cls(cell in judgement.flagged, repair is not None, right)


def kind_row(kind: str, verdicts: Mapping[str, Sequence[Verdict]], resampling: Resampling) -> EvaluationRow:
    """All figures of the first system on the wrong cells of one kind, and the repair F1 of every other."""
    first, *others = verdicts
    figures = kind_figures(verdicts[first], resampling)
    for label in others:
        figures[f"{label}: repair F1"] = kind_figures(verdicts[label], resampling)["repair F1"]
    return EvaluationRow(f"{kind} ({len(verdicts[first])})", figures)


def kind_figures(verdicts: Sequence[Verdict], resampling: Resampling) -> dict[str, Figure]:
    """Recall of detection, and repair, over wrong cells of one kind; no precision where nothing was repaired."""
    names = ("wrong", "flagged", "repaired", "right")
    values = [(1, one.flagged, one.repaired, one.right) for one in verdicts]
    counts = Counts(names, np.array(values, dtype=np.int64), resampling)
    figures = {"detection R": counts.figure(lambda sums: ratio(sums["flagged"], sums["wrong"]))}
    if counts.values[:, names.index("repaired")].any():
        figures["repair P"] = counts.figure(lambda sums: ratio(sums["right"], sums["repaired"]))
    figures["repair R"] = counts.figure(lambda sums: ratio(sums["right"], sums["wrong"]))
    figures["repair F1"] = counts.figure(lambda sums: f1(sums["right"], sums["repaired"], sums["wrong"]))
    return figures


def judge(one: CleaningSet, wrong: set[Cell], flagged: Mapping[Cell, str | None], resampling: Resampling) -> Counts:
    """Counts of each tuple: wrong, flagged, flagged and wrong, repaired, repaired with the true value."""
    values = np.zeros((len(one.dirty), len(_NAMES)), dtype=np.int64)
    for cell in wrong:
        values[cell.tuple_id, 0] += 1
    for cell, repair in flagged.items():
        right = repair is not None and repair == (one.clean.value(cell) or "")
        values[cell.tuple_id, 1:] += (1, cell in wrong, repair is not None, right)
    return Counts(_NAMES, values, resampling)


def flagged_by(result: CleaningResult) -> dict[Cell, str | None]:
    """Every flagged cell, with the value that was written where one was."""
    return {one.cell: (one.repair or "") if one.outcome is Outcome.REPAIRED else None for one in result.repairs}


def baseline_system(baseline: Callable[[Relation], dict[Cell, str]]) -> System:
    """A baseline as a system, with the time it takes."""

    def system(relation: Relation) -> Judgement:
        began = time.monotonic()
        repairs = baseline(relation)
        return Judgement(dict(repairs), time.monotonic() - began)

    return system


def cleaning_figures(counts: Counts) -> dict[str, Figure]:
    """Precision, recall and F1 of detection and of end-to-end repair."""
    return {
        "detection P": counts.figure(lambda sums: ratio(sums["flagged_wrong"], sums["flagged"])),
        "detection R": counts.figure(lambda sums: ratio(sums["flagged_wrong"], sums["wrong"])),
        "detection F1": counts.figure(lambda sums: f1(sums["flagged_wrong"], sums["flagged"], sums["wrong"])),
        "repair P": counts.figure(lambda sums: ratio(sums["repaired_right"], sums["repaired"])),
        "repair R": counts.figure(lambda sums: ratio(sums["repaired_right"], sums["wrong"])),
        "repair F1": counts.figure(lambda sums: f1(sums["repaired_right"], sums["repaired"], sums["wrong"])),
    }
