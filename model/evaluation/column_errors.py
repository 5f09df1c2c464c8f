"""Wrong values in single columns of real spreadsheets: what is flagged where there is no other column to look at.

ST-Bench holds the distinct values of columns, with the few wrong ones found by hand, so it mostly measures false
alarms. Values that its makers call debatable count neither way. All values of all columns are ranked together, as a
person would go through them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Floats, Resampling, f1, ratio
from model.evaluation.judging import clean_and_keep
from model.evaluation.reliability import Bools, Ints, Reliability
from model.inference.batching import Progress, run_tasks
from model.inference.cleaning import FLAG_PROBABILITY
from model.inference.columns import Column
from model.tuples import CleaningOptions, Relation

FILE = "st_bench.jsonl"
RANKS = (10, 20, 50)

_RARE_SHARE = 0.05
_USUAL_SHARE = 0.8
_UNUSUAL_DEVIATIONS = 4.0
_MIN_VALUES = 10
_SPREAD = 0.25

_QUANTILES = (0.025, 0.975)
_RANKED = 20


@dataclass(frozen=True, slots=True)
class LabelledColumn:
    """The values of a column, each one once, and which of them are wrong; debatable ones count neither way."""

    header: str
    values: tuple[str, ...]
    errors: frozenset[str]
    debatable: frozenset[str]

    @property
    def relation(self) -> Relation:
        """The column as a table of its own."""
        return Relation.of((self.header,), [[value] for value in self.values])


Scorer = Callable[[Sequence[LabelledColumn]], list[Floats]]
"""Suspicion of each value of each column in 0…1, float64 (values,); from one half on a value is flagged."""


def read_columns(bench: Path) -> list[LabelledColumn]:
    """Read `column-errors/st_bench.jsonl` of the benchmark folder.

    Raises:
        InputError: the file is not there, or a line of it is not as expected.
    """
    try:
        lines = (bench / "column-errors" / FILE).read_text(encoding="utf-8").split("\n")
        records = [json.loads(line) for line in lines if line]
        return [
            LabelledColumn(
                record["header"],
                tuple(value for value in record["values"] if value),
                frozenset(record["errors"]),
                frozenset(record["debatable"]),
            )
            for record in records
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read column-errors/{FILE} of the benchmark folder", field="bench") from error


def evaluate_column_errors(
    bench: Path, checkpoint: Checkpoint, resampling: Resampling | None = None, progress: Progress | None = None
) -> list[EvaluationTable]:
    """One table: the model and two baselines on all columns.

    Raises:
        InputError: the set is not in the folder.
    """
    columns = read_columns(bench)
    return [measure_column_errors(columns, {"model": _model(checkpoint, progress), **BASELINES}, resampling)]


def measure_column_errors(
    columns: Sequence[LabelledColumn], scorers: Mapping[str, Scorer], resampling: Resampling | None = None
) -> EvaluationTable:
    """Precision among the first of the ranking, and what is flagged; intervals resample columns."""
    chosen = resampling or Resampling()
    wrong = [np.array([value in one.errors for value in one.values], dtype=bool) for one in columns]
    counted = [np.array([value not in one.debatable for value in one.values], dtype=bool) for one in columns]
    keep = np.concatenate(counted)
    labels = np.concatenate(wrong)[keep]
    owner = np.repeat(np.arange(len(columns)), [len(one.values) for one in columns])[keep]
    rows, reliabilities = [], []
    for label, scorer in scorers.items():
        began = time.monotonic()
        scores = np.concatenate(scorer(columns))[keep]
        seconds = time.monotonic() - began
        figures = {f"P at {rank}": precision_at(rank, scores, labels, owner, chosen) for rank in RANKS}
        figures |= _flag_figures(scores >= FLAG_PROBABILITY, labels, owner, len(columns), chosen)
        figures["values/s"] = Figure(len(keep) / max(seconds, 1e-9), digits=1)
        rows.append(EvaluationRow(label, figures))
        if label == "model":
            reliabilities.append(Reliability("detection, ST-Bench", scores, labels, owner, True, chosen))
    title = f"ST-Bench ({len(columns)} columns, {len(labels):,} values, {int(labels.sum())} of them wrong)"
    notes = (
        "P at k: share of wrong values among the k most suspicious of all columns together; of equally suspicious ones "
        "those come first that a seeded draw puts first. Intervals resample columns.",
        f"{int((~keep).sum())} debatable values count neither way. False alarms are per 1,000 right values.",
    )
    return EvaluationTable("column-errors", title, tuple(rows), notes, tuple(reliabilities))


def precision_at(rank: int, scores: Floats, wrong: Bools, owner: Ints, resampling: Resampling) -> Figure:
    """Share of wrong values among the `rank` most suspicious ones.

    Args:
        owner: the column of each value; columns are what is resampled.
    """
    rng = np.random.default_rng(resampling.seed)
    shuffled = rng.permutation(len(scores))
    ranking = shuffled[np.argsort(-scores[shuffled], kind="stable")][: rank * _RANKED]
    value = float(wrong[ranking[:rank]].mean()) if len(ranking) else 0.0
    columns = int(owner.max()) + 1 if len(owner) else 0
    if columns < 2:
        return Figure(value)
    drawn = rng.multinomial(columns, np.full(columns, 1.0 / columns), size=resampling.resamples)
    weights = drawn[:, owner[ranking]].astype(np.float64)
    before = np.cumsum(weights, axis=1) - weights
    taken = np.clip(rank - before, 0.0, weights)
    low, high = np.quantile(ratio(taken @ wrong[ranking], taken.sum(axis=1)), _QUANTILES)
    return Figure(value, float(low), float(high))


def _flag_figures(flagged: Bools, wrong: Bools, owner: Ints, columns: int, resampling: Resampling) -> dict[str, Figure]:
    names = ("values", "wrong", "flagged", "right")
    parts = (np.ones(len(owner)), wrong, flagged, flagged & wrong)
    values = np.stack([np.bincount(owner, weights=part, minlength=columns) for part in parts], axis=1)
    counts = Counts(names, values.astype(np.int64), resampling)
    return {
        "flagged": Figure(float(flagged.sum()), digits=0),
        "P": counts.figure(lambda sums: ratio(sums["right"], sums["flagged"])),
        "R": counts.figure(lambda sums: ratio(sums["right"], sums["wrong"])),
        "F1": counts.figure(lambda sums: f1(sums["right"], sums["flagged"], sums["wrong"])),
        "false alarms / 1,000": counts.figure(
            lambda sums: 1000.0 * ratio(sums["flagged"] - sums["right"], sums["values"] - sums["wrong"]), 2
        ),
    }


def _model(checkpoint: Checkpoint, progress: Progress | None) -> Scorer:
    options = CleaningOptions(detect_only=True)

    def scorer(columns: Sequence[LabelledColumn]) -> list[Floats]:
        scores: list[Floats] = []
        for judged in run_tasks(checkpoint, (clean_and_keep(checkpoint, one.relation, options) for one in columns)):
            scores.append(judged.probabilities[:, 0])
            if progress is not None:
                progress("column errors", len(scores), len(columns))
        return scores

    return scorer


def pattern_outliers(columns: Sequence[LabelledColumn]) -> list[Floats]:
    """Values of a rare shape (letters, digits, marks) in a column where one shape is usual."""

    def score(column: Column) -> Floats:
        shapes = column.shapes
        rarity = np.clip(1.0 - shapes.shares / (2.0 * _RARE_SHARE), 0.0, 1.0)
        return np.where(shapes.top_share >= _USUAL_SHARE, rarity, 0.49 * rarity)

    return [_of_values(one, score) for one in columns]


def unusual_letters(columns: Sequence[LabelledColumn]) -> list[Floats]:
    """Values whose pairs of characters are much rarer in the column than is usual there."""

    def score(column: Column) -> Floats:
        mean = column.bigrams[1]
        if len(mean) < _MIN_VALUES:
            return np.zeros(len(mean))
        center = float(np.median(mean))
        spread = max(_SPREAD, 1.4826 * float(np.median(np.abs(mean - center))))
        return np.clip((center - mean) / spread / (2.0 * _UNUSUAL_DEVIATIONS), 0.0, 1.0)

    return [_of_values(one, score) for one in columns]


def _of_values(one: LabelledColumn, score: Callable[[Column], Floats]) -> Floats:
    """Scores of distinct values, in the order of the column."""
    column = Column(one.values)
    return score(column)[column.codes] if len(column.distinct) else np.zeros(0)


BASELINES: dict[str, Scorer] = {"pattern outlier": pattern_outliers, "unusual letters": unusual_letters}
