"""Errors put into tables that nothing has seen: detection, repair and filling by kind of error, and what they promise.

Windows of unseen corpus tables are corrupted as in training, so the truth of every cell and the kind of every error
are known, and go through the same calls as a user's table. This is where a probability has to mean what it says, and
where `min_confidence` has to be the precision that it names.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.config import CorruptionConfig
from model.corruption import CorruptedRelation, corrupt_relation
from model.evaluation.baselines import CLEANING_BASELINES, IMPUTATION_BASELINES
from model.evaluation.cleaning import (
    CleaningSet,
    Judgement,
    Verdict,
    baseline_system,
    cleaning_figures,
    flagged_by,
    judge,
    kind_row,
)
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, accuracy
from model.evaluation.held_out import sample_tables, unseen_tables, window
from model.evaluation.imputation import Imputer, ModelImputer, answer_all, fill_reliability
from model.evaluation.judging import best_choice, choice_reliability, clean_and_keep, detection_reliability
from model.evaluation.reliability import Reliability
from model.inference.batching import Progress, run_tasks
from model.tuples import Cell, Relation

TASK = "unseen-errors"
WINDOWS = 40
MIN_ROWS = 20
ROWS = (40, 80, 120)
ATTRIBUTES = 12
FILLS_PER_WINDOW = 10


@dataclass(frozen=True, slots=True)
class Episode:
    """A corrupted window with its truth, and cells of it to be filled."""

    corrupted: CorruptedRelation
    hidden: tuple[Cell, ...]

    @property
    def cleaning_set(self) -> CleaningSet:
        """The window as cleaning is measured on it."""
        return CleaningSet("window", self.corrupted.dirty, self.corrupted.clean)

    @property
    def with_hidden_cells(self) -> Relation:
        """The dirty relation without what stands in the hidden cells."""
        rows = [list(values) for values in self.corrupted.dirty.tuples]
        for cell in self.hidden:
            rows[cell.tuple_id][cell.attribute] = None
        return Relation.of(self.corrupted.dirty.attributes, rows, self.corrupted.dirty.name)

    @property
    def hidden_truth(self) -> tuple[str, ...]:
        """The true values of the hidden cells."""
        return tuple(self.corrupted.clean.value(cell) or "" for cell in self.hidden)


def make_episode(relation: Relation, rng: random.Random) -> Episode:
    """Corrupt a window of a relation, and choose cells with a true value to hide."""
    part = window(relation, rng, rng.choice(ROWS), ATTRIBUTES)
    corrupted = corrupt_relation(part, rng, CorruptionConfig())
    present = [
        Cell(tuple_id, attribute)
        for tuple_id, values in enumerate(corrupted.clean.tuples)
        for attribute, value in enumerate(values)
        if value
    ]
    return Episode(corrupted, tuple(rng.sample(present, min(FILLS_PER_WINDOW, len(present)))))


def evaluate_unseen_errors(
    corpus: Path,
    checkpoint: Checkpoint,
    windows: int = WINDOWS,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """Three tables: cleaning as a whole, cleaning by kind of error, and filling.

    Raises:
        InputError: the corpus has no unseen tables.
    """
    chosen = resampling or Resampling()
    held_out = unseen_tables(corpus, checkpoint, MIN_ROWS)
    tables = sample_tables(held_out.tables, windows, chosen.seed)
    episodes = [make_episode(table.relation, random.Random(f"{chosen.seed}:{table.table_id}")) for table in tables]
    repositories = len({table.repository for table in tables})
    where = f"{len(episodes)} corrupted windows of tables of {repositories} repositories"
    cleaning, judgements = _clean(checkpoint, episodes, chosen, progress)
    fitting = (f"Windows of up to {max(ROWS)} rows and {ATTRIBUTES} columns; intervals resample them.", held_out.note)
    return [
        measure_unseen_cleaning(episodes, judgements, where, cleaning, chosen, fitting),
        measure_unseen_kinds(episodes, judgements, where, chosen),
        measure_unseen_filling(episodes, _imputers(checkpoint, progress), where, chosen),
    ]


def _imputers(checkpoint: Checkpoint, progress: Progress | None) -> dict[str, Imputer]:
    return {"model": ModelImputer(checkpoint, f"{TASK}, filling", progress), **IMPUTATION_BASELINES}


def _clean(
    checkpoint: Checkpoint, episodes: Sequence[Episode], resampling: Resampling, progress: Progress | None
) -> tuple[tuple[Reliability, ...], dict[str, list[Judgement]]]:
    """What every system says about every window, and what the model's probabilities are worth."""
    began = time.monotonic()
    judged = []
    for one in run_tasks(checkpoint, (clean_and_keep(checkpoint, episode.corrupted.dirty) for episode in episodes)):
        judged.append(one)
        if progress is not None:
            progress(f"{TASK}, cleaning", len(judged), len(episodes))
    seconds = (time.monotonic() - began) / max(1, len(judged))
    judgements = {"model": [Judgement(flagged_by(one.result), seconds, one) for one in judged]}
    for label, baseline in CLEANING_BASELINES.items():
        system = baseline_system(baseline)
        judgements[label] = [system(episode.corrupted.dirty) for episode in episodes]
    wrong = [np.array([[bool(kind) for kind in kinds] for kinds in one.corrupted.kinds]) for one in episodes]
    units = [np.full(len(one.corrupted.dirty), place, dtype=np.int64) for place, one in enumerate(episodes)]
    choices = [
        best_choice(repair, episode.corrupted.clean.value(repair.cell) or "", place)
        for place, (episode, one) in enumerate(zip(episodes, judged, strict=True))
        for repair in one.result.repairs
    ]
    probabilities = [one.probabilities for one in judged]
    reliabilities = (
        detection_reliability("detection, unseen tables", probabilities, wrong, units, resampling),
        choice_reliability("repair, unseen tables", choices, resampling),
    )
    return reliabilities, judgements


def measure_unseen_cleaning(
    episodes: Sequence[Episode],
    judgements: dict[str, list[Judgement]],
    where: str,
    reliabilities: tuple[Reliability, ...],
    resampling: Resampling,
    notes: Sequence[str] = (),
) -> EvaluationTable:
    """Detection and end-to-end repair over all windows."""
    sets = [episode.cleaning_set for episode in episodes]
    wrong = [one.wrong for one in sets]
    rows = []
    for label, of_system in judgements.items():
        counted = [
            judge(one, its, judgement.flagged, resampling)
            for one, its, judgement in zip(sets, wrong, of_system, strict=True)
        ]
        values = np.stack([one.values.sum(axis=0) for one in counted])
        tuples = sum(len(one.dirty) for one in sets)
        speed = Figure(tuples / max(sum(judgement.seconds for judgement in of_system), 1e-9), digits=1)
        counts = Counts(counted[0].names, values, resampling)
        rows.append(EvaluationRow(label, {**cleaning_figures(counts), "rows/s": speed}))
    title = f"cleaning, {where} ({sum(map(len, wrong)):,} wrong cells)"
    return EvaluationTable(TASK, title, tuple(rows), tuple(notes), reliabilities)


def measure_unseen_kinds(
    episodes: Sequence[Episode], judgements: dict[str, list[Judgement]], where: str, resampling: Resampling
) -> EvaluationTable:
    """Of the wrong cells of each kind of corruption: the share that is flagged, repaired, and repaired rightly."""
    rows = []
    kinds = sorted({kind for one in episodes for kinds in one.corrupted.kinds for kind in kinds if kind})
    for kind in kinds:
        verdicts = {
            label: [
                Verdict.of(cell, judgement, episode.corrupted.clean)
                for episode, judgement in zip(episodes, of_system, strict=True)
                for cell in _cells_of(episode.corrupted, kind)
            ]
            for label, of_system in judgements.items()
        }
        rows.append(kind_row(kind, verdicts, resampling))
    note = "Kinds as the corruption catalogue names them. Intervals resample cells. Of detection there is recall only."
    return EvaluationTable(TASK, f"cleaning by kind of error, {next(iter(judgements))}, {where}", tuple(rows), (note,))


def _cells_of(corrupted: CorruptedRelation, kind: str) -> list[Cell]:
    return [
        Cell(tuple_id, attribute)
        for tuple_id, kinds in enumerate(corrupted.kinds)
        for attribute, one in enumerate(kinds)
        if one == kind
    ]


def measure_unseen_filling(
    episodes: Sequence[Episode], imputers: dict[str, Imputer], where: str, resampling: Resampling
) -> EvaluationTable:
    """Exact match over the hidden cells of all windows."""
    asked = [(episode.with_hidden_cells, episode.hidden) for episode in episodes]
    truth = [true for episode in episodes for true in episode.hidden_truth]
    units = [place for place, episode in enumerate(episodes) for _ in episode.hidden]
    rows, reliabilities = [], []
    for label, imputer in imputers.items():
        answers = answer_all(imputer, asked)
        right = [answer == true for answer, true in zip(answers.values, truth, strict=True)]
        speed = Figure(len(truth) / max(answers.seconds, 1e-9), digits=1)
        rows.append(EvaluationRow(label, {"exact match %": accuracy(right, resampling), "cells/s": speed}))
        if answers.confidences is not None:
            name = "filling, unseen tables"
            reliabilities.append(fill_reliability(name, answers.confidences, right, units, resampling))
    note = "The hidden cells' own windows are corrupted as well. Intervals resample cells, those of the ECE windows."
    title = f"filling, {where} ({len(truth):,} hidden cells)"
    return EvaluationTable(TASK, title, tuple(rows), (note,), tuple(reliabilities))
