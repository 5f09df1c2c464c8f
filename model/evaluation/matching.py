"""Entity resolution on sets with truth: candidates, pairs, and whole entities.

A pair is judged with both tables at hand, as the service does, and never by labels of its own set: the calibrator is
fitted to the training pairs of the other sets (leave one set out). Pairs that blocking left out count as no match.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from model.calibration import Calibration, Calibrator
from model.checkpoint import Checkpoint
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, f1, ratio
from model.evaluation.matching_sets import ENTITY_SETS, LINKED_SETS, PARTS, read_entity_set, read_matching_set
from model.evaluation.reliability import Reliability, together
from model.finetuning.matching import Observed, fit, observe
from model.inference.batching import Progress, run_task
from model.inference.columns import Ints
from model.inference.resolution import CALIBRATOR, ResolutionOptions, resolve
from model.tuples import RecordPlace, Relation

TEST = "test"
FLAG = 0.5
_LINKED_ENTITIES = "Fodors-Zagats"

Pair = tuple[RecordPlace, RecordPlace]


def observe_all(bench: Path, task: str, progress: Progress | None) -> list[Observed]:
    """All linked sets, blocked and compared."""
    observed = []
    for number, name in enumerate(LINKED_SETS):
        observed.append(_observed(bench, name))
        if progress is not None:
            progress(f"{task}: compare", number + 1, len(LINKED_SETS))
    return observed


@cache
def _observed(bench: Path, name: str) -> Observed:
    """One set, compared once for all that is measured of it."""
    return observe(read_matching_set(bench, name))


def evaluate_block(bench: Path, progress: Progress | None = None) -> list[EvaluationTable]:
    """One table: how many of the known matches are candidates, and how many candidates there are."""
    rows = []
    for one in observe_all(bench, "block", progress):
        known = [
            (RecordPlace(0, left), RecordPlace(1, right))
            for part in PARTS
            for left, right, label in one.matching.parts[part]
            if label
        ]
        sizes = [len(relation) for relation in one.matching.relations]
        pairs = len(one.places)
        figures = {
            "pair completeness": Figure(sum(pair in one.places for pair in known) / max(1, len(known)), digits=4),
            "candidates per record": Figure(pairs / max(1, sum(sizes)), digits=1),
            "candidate pairs": Figure(pairs, digits=0),
            "reduction ratio": Figure(1 - pairs / max(1, sizes[0] * sizes[1]), digits=4),
            "records/s": Figure(sum(sizes) / max(one.seconds, 1e-9), digits=0),
        }
        rows.append(EvaluationRow(one.matching.name, figures))
    note = "Records/s: blocking, comparing and what the tables teach together. No label is used."
    return [EvaluationTable("block", "candidate pairs of two tables", tuple(rows), (note,))]


def evaluate_match(
    bench: Path, resampling: Resampling | None = None, progress: Progress | None = None
) -> list[EvaluationTable]:
    """One table a set: the test pairs, judged by the two tables and the labels of the other sets."""
    observed = observe_all(bench, "match", progress)
    tables = [measure_match(one, observed, resampling or Resampling()) for one in observed]
    of_all = together("match, all sets", [table.reliabilities[0] for table in tables])
    return [*tables[:-1], tables[-1].with_reliabilities(of_all)]


def measure_match(one: Observed, observed: Sequence[Observed], resampling: Resampling) -> EvaluationTable:
    """The table of one set of several."""
    calibrator = fit([other for other in observed if other is not one])
    numbers, labels = one.labelled(TEST)
    probabilities = one.probabilities(calibrator, TEST)
    systems = {
        "both tables, calibrated on the other sets": probabilities >= FLAG,
        "mutual best by what the tables teach": np.append(one.is_mutual, False)[numbers],
        "mutual best by characters": np.append(one.is_nearest, False)[numbers],
    }
    rows = tuple(
        EvaluationRow(name, pair_figures(said.astype(np.int64), labels, resampling)) for name, said in systems.items()
    )
    shares = " and ".join(f"{share:.2f}" for share in one.shares_matched)
    note = f"Estimated from the tables alone: {shares} of the first and second table's records have a match."
    reliability = Reliability(
        f"match, {one.matching.name}", probabilities, labels > 0, np.arange(len(labels)), True, resampling
    )
    title = f"{one.matching.name} ({len(labels)} test pairs, {int(labels.sum())} matches)"
    return EvaluationTable("match", title, rows, (note,), (reliability,))


def pair_figures(said: Ints, labels: Ints, resampling: Resampling) -> Mapping[str, Figure]:
    """Precision, recall and F1 of pairs that are said to match."""
    counts = Counts(("said", "match", "right"), np.stack((said, labels, said * labels), axis=1), resampling)
    return {
        "precision": counts.figure(lambda sums: ratio(sums["right"], sums["said"])),
        "recall": counts.figure(lambda sums: ratio(sums["right"], sums["match"])),
        "F1": counts.figure(lambda sums: f1(sums["right"], sums["said"], sums["match"])),
    }


def evaluate_cluster(bench: Path, checkpoint: Checkpoint, progress: Progress | None = None) -> list[EvaluationTable]:
    """One table: entities end to end, without labels, by pairs of records that are put together."""
    rows = []
    for name in ENTITY_SETS:
        entity_set = read_entity_set(bench, name)
        truth = {RecordPlace(0, tuple_id): entity for tuple_id, entity in enumerate(entity_set.entities)}
        began = time.monotonic()
        result = run_task(checkpoint, resolve(checkpoint, [entity_set.relation], ResolutionOptions(consolidate=False)))
        said = [entity.members for entity in result.entities]
        rows.append(entity_row(name, said, truth, time.monotonic() - began))
        rows.append(equal_column_row(name, entity_set.relation, truth))
        if progress is not None:
            progress("cluster", len(rows) // 2, len(ENTITY_SETS) + 1)
    rows.append(_linked_row(bench, checkpoint, _LINKED_ENTITIES))
    note = (
        "Pairs of records in one entity against pairs that belong together. Fodors-Zagats links two tables; its "
        "calibrator was fitted to the other sets. Cora and patstat are one table each and nothing is fitted to labels. "
        "“one column equal”: records with the same value are one entity, by the column that the truth likes best."
    )
    return [EvaluationTable("cluster", "entities end to end", tuple(rows), (note,))]


def equal_column_row(name: str, relation: Relation, truth: Mapping[RecordPlace, str]) -> EvaluationRow:
    """The baseline without learning: records that hold the same in one column, of the columns the best."""
    found = {}
    for attribute, column in enumerate(relation.attributes):
        began = time.monotonic()
        groups: dict[str, list[RecordPlace]] = defaultdict(list)
        for tuple_id, value in enumerate(relation.column(attribute)):
            groups[f"={value}" if value else f"?{tuple_id}"].append(RecordPlace(0, tuple_id))
        label = f"{name}: one column equal, {column}"
        found[column] = entity_row(label, list(groups.values()), truth, time.monotonic() - began)
    return max(found.values(), key=lambda row: row.figures["pairwise F1"].value)


def _linked_row(bench: Path, checkpoint: Checkpoint, name: str) -> EvaluationRow:
    matching = read_matching_set(bench, name)
    others = [_observed(bench, other) for other in LINKED_SETS if other != name]
    left_out = with_calibrator(checkpoint, fit(others))
    truth = {RecordPlace(side, row): f"{side}:{row}" for side in (0, 1) for row in range(len(matching.relations[side]))}
    for part in PARTS:
        truth |= {RecordPlace(1, right): f"0:{left}" for left, right, label in matching.parts[part] if label}
    began = time.monotonic()
    result = run_task(left_out, resolve(left_out, matching.relations, ResolutionOptions(consolidate=False)))
    return entity_row(name, [entity.members for entity in result.entities], truth, time.monotonic() - began)


def with_calibrator(checkpoint: Checkpoint, calibrator: Calibrator) -> Checkpoint:
    """The checkpoint with another calibrator of pairs."""
    known = {} if checkpoint.calibration is None else dict(checkpoint.calibration.calibrators)
    return replace(checkpoint, calibration=Calibration({**known, CALIBRATOR: calibrator}))


def entity_row(
    name: str, said: Sequence[Sequence[RecordPlace]], truth: Mapping[RecordPlace, str], seconds: float
) -> EvaluationRow:
    """Pairwise precision, recall and F1 of entities."""
    given = sum(_pairs(len(members)) for members in said)
    wanted = sum(_pairs(count) for count in Counter(truth.values()).values())
    right = sum(_pairs(count) for members in said for count in Counter(truth[one] for one in members).values())
    figures = {
        "precision": Figure(right / max(1, given)),
        "recall": Figure(right / max(1, wanted)),
        "pairwise F1": Figure(2 * right / max(1, given + wanted)),
        "entities": Figure(len(said), digits=0),
        "true entities": Figure(len(set(truth.values())), digits=0),
        "records/s": Figure(len(truth) / max(seconds, 1e-9), digits=0),
    }
    return EvaluationRow(name, figures)


def _pairs(records: int) -> int:
    return records * (records - 1) // 2
