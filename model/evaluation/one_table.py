"""Two tables put into one: duplicates among many records that have none, found without a label of the set.

The trees of pairs are fitted to the other labelled sets, and to pairs made of corpus tables where there is a corpus.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from model.checkpoint import Checkpoint
from model.evaluation.figures import EvaluationRow, EvaluationTable
from model.evaluation.matching import entity_row, equal_column_row
from model.evaluation.matching_sets import LABELLED_SETS, LINKED_SETS, MatchingSet, read_matching_set
from model.evaluation.people import COLUMNS, invent_people
from model.finetuning.pairs import CORPUS_ROWS, LEARNED_PARTS, corpus_pairs, fit_pairs, labelled_pairs
from model.inference.batching import Progress, run_task
from model.inference.pairs import JUDGE
from model.inference.resolution import ResolutionOptions, resolve
from model.packing import read_training_tables
from model.tuples import RecordPlace, Relation

TASK = "cluster"
PEOPLE = 2000
"""Invented people in each of two tables, half of whom are in both, and in households."""


def evaluate_one_table(
    bench: Path, corpus: Path | None, checkpoint: Checkpoint, progress: Progress | None = None
) -> list[EvaluationTable]:
    """One table; none for a checkpoint that has counted no words, for it has no trees of pairs."""
    if checkpoint.rarity is None:
        return []
    learned = [
        labelled_pairs(read_matching_set(bench, name), LEARNED_PARTS, checkpoint.rarity) for name in LABELLED_SETS
    ]
    if corpus is not None:
        tables = read_training_tables(corpus, CORPUS_ROWS)
        learned.append(corpus_pairs(tables, checkpoint.serializer, checkpoint.rarity, 0))
    together = {name: put_together(read_matching_set(bench, name)) for name in LINKED_SETS}
    together[f"{PEOPLE:,} + {PEOPLE:,} invented people"] = people()
    rows = []
    for number, (name, (relation, truth)) in enumerate(together.items()):
        trees = {**checkpoint.judges, JUDGE: fit_pairs(learned, name)}
        rows += [
            _row(name, replace(checkpoint, judges=trees), relation, truth),
            _row(f"{name}: agreement alone", replace(checkpoint, judges={}), relation, truth),
            equal_column_row(name, relation, truth),
        ]
        if progress is not None:
            progress(f"{TASK}: two tables in one", number + 1, len(together))
    note = (
        "Both tables of a set are resolved as one, in which most records have no duplicate. Duplicates within one of "
        "them, which the sets do not know, count as wrong. “agreement alone”: without the trees, by expectation "
        "maximization (Fellegi and Sunter)."
    )
    return [EvaluationTable(TASK, "two tables put into one", tuple(rows), (note,))]


def put_together(matching: MatchingSet) -> tuple[Relation, dict[RecordPlace, str]]:
    """The tuples of both relations under the attributes of the first, and the entity of each.

    Attributes are matched by name; what only the second has is left out.
    """
    first, second = matching.relations
    places = [second.attributes.index(name) if name in second.attributes else None for name in first.attributes]
    added = [[None if place is None else row[place] for place in places] for row in second.tuples]
    entity = {
        len(first) + right: f"0:{left}"
        for part in matching.parts.values()
        for left, right, is_match in part
        if is_match
    }
    truth = {RecordPlace(0, row): entity.get(row, f"0:{row}") for row in range(len(first) + len(second))}
    return Relation.of(first.attributes, [*first.tuples, *added], matching.name), truth


def people() -> tuple[Relation, dict[RecordPlace, str]]:
    """Invented people of two tables in one, and who is who."""
    made = invent_people(PEOPLE)
    first, second = made.tables
    entity = {len(first) + right: left for left, right in made.truth}
    truth = {RecordPlace(0, row): str(entity.get(row, row)) for row in range(len(first) + len(second))}
    return Relation.of(COLUMNS, [*first, *second], "people"), truth


def _row(name: str, checkpoint: Checkpoint, relation: Relation, truth: Mapping[RecordPlace, str]) -> EvaluationRow:
    began = time.monotonic()
    result = run_task(checkpoint, resolve(checkpoint, [relation], ResolutionOptions(consolidate=False)))
    return entity_row(name, [entity.members for entity in result.entities], truth, time.monotonic() - began)
