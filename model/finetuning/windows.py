"""Corrupted windows of corpus tables with their truth: what judges and calibrators learn from.

A window is some consecutive tuples and some attributes of one table, made dirty as a whole. Nearly half of the
windows are left clean, as most columns of most tables are: what learns from them must know what no error looks like.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.config import CorruptionConfig
from model.corpus import CorpusTable
from model.corruption import corrupt_relation
from model.inference.canonical import Canonical
from model.inference.columns import Column, is_missing_spelling
from model.inference.statistics import RelationStatistics
from model.inference.suspicion import FEWEST_TUPLES
from model.tuples import Cell, Relation

MIN_TUPLES = FEWEST_TUPLES
"""Shorter tables are left out: statistics say little there, and the second look is not for them."""

CORRUPTION = CorruptionConfig(
    clean_table_rate=0.45,
    placeholder_rate=0.2,
    drift_rate=0.4,
    conflict_rate=0.6,
    named_source_rate=0.7,
    max_conflict=1.0,
)
"""More of the errors that only a whole column or several sources show, and more windows without any error."""

TYPED_SHARES = (0.25, 0.5)
"""How much of a value is typed when the rest is asked for."""

TYPED_CHARACTERS = 4
"""Only values of so many characters or more are asked for like that."""

_NUMERIC_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Window:
    """A corrupted window in canonical order.

    Attributes:
        statistics: of the dirty relation.
        truth: the true values, (tuples, attributes).
        judged: the tuples that are looked at.
    """

    statistics: RelationStatistics
    truth: list[tuple[str, ...]]
    judged: list[int]

    @property
    def relation(self) -> Relation:
        """The dirty relation."""
        return self.statistics.relation

    def wrong(self, cell: Cell) -> bool:
        """Whether a cell does not hold its true value."""
        return (self.relation.value(cell) or "") != self.truth[cell.tuple_id][cell.attribute]

    def true(self, cell: Cell) -> str | None:
        """The true value of a cell; None where it cannot be told."""
        value = self.truth[cell.tuple_id][cell.attribute]
        return value if has_known_truth(self.statistics.columns[cell.attribute], value) else None

    def known_cells(self) -> list[Cell]:
        """The cells of the judged tuples whose truth can be told."""
        cells = (Cell(row, attribute) for row in self.judged for attribute in range(len(self.relation.attributes)))
        return [cell for cell in cells if self.true(cell) is not None]


def has_known_truth(column: Column, value: str) -> bool:
    """Whether a published value can be taken for the truth: not `N/A` among numbers, where nothing is known."""
    if not value or not is_missing_spelling(value):
        return True
    spelled = [is_missing_spelling(value) for value in column.distinct]
    rest = column.present - int(column.counts[spelled].sum())
    numeric = int(column.counts[~np.isnan(column.numbers) & ~np.array(spelled, dtype=bool)].sum())
    return numeric < _NUMERIC_SHARE * max(1, rest)


def by_repository(tables: Sequence[CorpusTable]) -> list[list[CorpusTable]]:
    """The tables that are long enough, grouped by repository, in the order of the repositories' names."""
    usable: dict[str, list[CorpusTable]] = {}
    for table in tables:
        if len(table.relation) >= MIN_TUPLES:
            usable.setdefault(table.repository, []).append(table)
    return [usable[name] for name in sorted(usable)]


def corrupted_window(relation: Relation, rng: random.Random, judged: int) -> Window:
    """A window of `relation`, corrupted, of which up to `judged` tuples are looked at."""
    episode = corrupt_relation(_sample(relation, rng), rng, CORRUPTION)
    canonical = Canonical.of(episode.dirty)
    truth = [
        tuple(episode.clean.tuples[row][attribute] or "" for attribute in canonical.attributes)
        for row in canonical.tuple_ids
    ]
    chosen = sorted(rng.sample(range(len(truth)), min(len(truth), judged)))
    return Window(RelationStatistics(canonical.relation), truth, chosen)


def with_hidden_cells(window: Window, rng: random.Random, attributes: int, tuples: int) -> tuple[Window, list[Cell]]:
    """The window without the values of some judged cells, and those cells: up to `tuples` of each of some attributes.

    Only cells whose truth is a value are hidden; what the window shows of them is then as of any missing cell.
    """
    width = len(window.relation.attributes)
    hidden = []
    for attribute in sorted(rng.sample(range(width), min(width, attributes))):
        known = [cell for cell in (Cell(row, attribute) for row in window.judged) if window.true(cell)]
        hidden += rng.sample(known, min(len(known), tuples))
    rows = [list(values) for values in window.relation.tuples]
    for cell in hidden:
        rows[cell.tuple_id][cell.attribute] = None
    relation = Relation.of(window.relation.attributes, rows)
    return Window(RelationStatistics(relation), window.truth, window.judged), hidden


def typed_prefix(value: str, rng: random.Random) -> str:
    """The first characters of a value, as many as somebody may have typed."""
    return value[: max(1, round(len(value) * rng.choice(TYPED_SHARES)))]


def _sample(relation: Relation, rng: random.Random) -> Relation:
    """Some consecutive tuples and some attributes."""
    count = min(len(relation), rng.choice((40, 80, 150, 300, 600, 1200)))
    start = rng.randint(0, len(relation) - count)
    width = len(relation.attributes)
    attributes = sorted(rng.sample(range(width), min(width, rng.randint(4, 20))))
    rows = [[values[a] for a in attributes] for values in relation.tuples[start : start + count]]
    return Relation.of([relation.attributes[a] for a in attributes], rows)
