"""Labels of columns of web tables without headers against what people chose (T2Dv2)."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, f1, ratio
from model.evaluation.reliability import Reliability
from model.inference.annotation import Annotation, AnnotationOptions, LabelledColumn, annotate
from model.inference.batching import Progress, run_tasks
from model.inference.formats import KINDS, accepted_kinds, kind_shares
from model.naming import chosen_values, name_words
from model.tuples import Relation

FOLDER = Path("column_type") / "t2dv2"
TRAIN, TEST = "train", "test"


@dataclass(frozen=True, slots=True)
class LabelledTable:
    """A table without header, and the accepted labels of some of its columns."""

    name: str
    relation: Relation
    labels: dict[int, tuple[str, ...]]


def read_labelled(bench: Path, part: str) -> list[LabelledTable]:
    """The tables of one part.

    Raises:
        InputError: the files are not there.
    """
    folder = bench / FOLDER
    try:
        records = [json.loads(line) for line in (folder / "tables.jsonl").read_text(encoding="utf-8").splitlines()]
        with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
            labels = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"the benchmark folder has no {FOLDER}", field="bench") from error
    found = []
    for record in sorted((one for one in records if one["split"] == part), key=lambda one: str(one["table"])):
        own = [one for one in labels if one["table"] == record["table"] and one["split"] == part]
        names = [f"column {number}" for number in range(1, len(record["rows"][0]) + 1)]
        known = {int(one["column_index"]): tuple(one["label"].split(";")) for one in own}
        found.append(LabelledTable(record["table"], Relation.of(names, record["rows"]), known))
    return found


def evaluate_annotate(
    bench: Path, checkpoint: Checkpoint, resampling: Resampling | None = None, progress: Progress | None = None
) -> list[EvaluationTable]:
    """One table: without any label, with the training part as examples, and baselines."""
    train, test = read_labelled(bench, TRAIN), read_labelled(bench, TEST)
    resampling = resampling or Resampling()
    labels = tuple(sorted({label for table in (*train, *test) for own in table.labels.values() for label in own}))
    examples = tuple(
        LabelledColumn(tuple(table.relation.column(attribute)), own[0])
        for table in train
        for attribute, own in table.labels.items()
    )
    asked = {
        "list of labels alone": AnnotationOptions(labels),
        "the training part as examples": AnnotationOptions(labels, examples=examples),
    }
    rows, reliabilities = [], []
    for name, options in asked.items():
        judged = labelled(checkpoint, test, options, progress)
        said = [annotation.candidates[0].label for _, annotation in judged]
        sure = [annotation.label for _, annotation in judged]
        truth = [own for own, _ in judged]
        figures = {**label_figures(truth, said, resampling), **_abstaining(truth, sure, resampling)}
        rows.append(EvaluationRow(name, figures))
        confidences = np.array([annotation.candidates[0].confidence for _, annotation in judged])
        right = np.array([one in own for one, own in zip(said, truth, strict=True)])
        units = np.arange(len(judged))
        reliabilities.append(Reliability(f"annotate, {name}", confidences, right, units, resampling=resampling))
    truth = [own for table in test for own in table.labels.values()]
    columns = [table.relation.column(attribute) for table in test for attribute in table.labels]
    usual = Counter(own[0] for table in train for own in table.labels.values()).most_common(1)[0][0]
    by_kind = [_by_kind(chosen_values(column), labels) for column in columns]
    rows.append(EvaluationRow("kinds of the values, no label", label_figures(truth, by_kind, resampling)))
    nearest = [_nearest(chosen_values(column), examples) for column in columns]
    rows.append(EvaluationRow("nearest labelled column by its words", label_figures(truth, nearest, resampling)))
    rows.append(
        EvaluationRow(
            "most frequent label of the training part", label_figures(truth, [usual] * len(truth), resampling)
        )
    )
    note = (
        "Micro-F1: every column gets its best label. “sure”: only columns whose best label is at least 0.5 likely, as "
        "the service answers; the others count as missed. No header is known; tables are cut to five rows by the set."
    )
    title = f"T2Dv2 ({len(truth)} columns of the test part, {len(labels)} labels)"
    return [EvaluationTable("annotate", title, tuple(rows), (note,), tuple(reliabilities))]


def labelled(
    checkpoint: Checkpoint,
    tables: Sequence[LabelledTable],
    options: AnnotationOptions,
    progress: Progress | None = None,
) -> list[tuple[tuple[str, ...], Annotation]]:
    """The accepted labels of each labelled column, and what the model says."""
    results = run_tasks(checkpoint, (annotate(checkpoint, table.relation, options) for table in tables))
    judged = []
    for number, (table, result) in enumerate(zip(tables, results, strict=True)):
        judged += [(own, result.annotations[attribute]) for attribute, own in table.labels.items()]
        if progress is not None:
            progress("annotate", number + 1, len(tables))
    return judged


def label_figures(
    truth: Sequence[tuple[str, ...]], said: Sequence[str | None], resampling: Resampling
) -> dict[str, Figure]:
    """Micro-F1 over columns; no label is a miss."""
    return {
        "micro-F1": _counts(truth, said, resampling).figure(lambda sums: f1(sums["right"], sums["given"], sums["all"]))
    }


def _abstaining(
    truth: Sequence[tuple[str, ...]], sure: Sequence[str | None], resampling: Resampling
) -> dict[str, Figure]:
    counts = _counts(truth, sure, resampling)
    return {
        "precision, sure": counts.figure(lambda sums: ratio(sums["right"], sums["given"])),
        "share, sure": counts.figure(lambda sums: ratio(sums["given"], sums["all"])),
        "micro-F1, sure": counts.figure(lambda sums: f1(sums["right"], sums["given"], sums["all"])),
    }


def _counts(truth: Sequence[tuple[str, ...]], said: Sequence[str | None], resampling: Resampling) -> Counts:
    rows = [[one in own, one is not None, True] for one, own in zip(said, truth, strict=True)]
    return Counts(("right", "given", "all"), np.array(rows, dtype=np.int64).reshape(-1, 3), resampling)


def _by_kind(values: Sequence[str], labels: Sequence[str]) -> str | None:
    """The label that speaks of the kinds that the values are written as."""
    shares = kind_shares(values) if values else {}
    fits = []
    for label in labels:
        accepted = accepted_kinds(name_words(label))
        fits.append(sum(shares.get(kind, 0.0) * accepted.get(kind, 0.0) for kind in KINDS))
    best = int(np.argmax(fits))
    return labels[best] if fits[best] > 0.0 else None


def _nearest(values: Sequence[str], examples: Sequence[LabelledColumn]) -> str:
    """The label of the column that has the most words in common; of equal ones the first."""
    words = {word for value in values for word in value.lower().split()}

    def likeness(example: LabelledColumn) -> float:
        own = {word for value in example.values if value for word in value.lower().split()}
        return len(words & own) / max(1, len(words | own))

    return max(examples, key=likeness).label
