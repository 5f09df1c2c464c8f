"""Practice before filling: cells of the asked columns whose value is known are hidden and filled like the others.

The calibrated answers come from tables that are not this one. How well this table's known values can be found, and by
which source (the rows that resemble, the text of the row, what the other cells predict, the decoder), cells that are
hidden for practice tell, and the answers are refitted to them as to a caller's labels (`model.inference.examples`).
Only a table that holds the asked column often enough is practised on, and in proportion to what is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.checkpoint import Checkpoint
from model.inference.batching import ModelTask, Progress
from model.inference.candidates import AskedCell, CandidateFinder
from model.inference.canonical import Canonical
from model.inference.columns import spread
from model.inference.examples import CandidateLessons, LabelledCandidates
from model.inference.reading import Reader
from model.inference.statistics import RelationStatistics
from model.tuples import Cell, Relation

MOST_CELLS = 96
"""Cells of one column that are filled for practice, at most."""

LEAST_CELLS = 16
"""With fewer nothing is learned of a column."""

KNOWN_PER_CELL = 5
"""Known values of a column for each that is hidden: what is left must show nearly as much as the whole."""

CELLS_PER_TARGET = 2
"""Cells that are filled for practice for each that is asked, at most: a call takes up to three times as long."""

MAX_TUPLES = 3000
"""Tuples of the table that is practised on, evenly spread; more would teach little more."""


@dataclass(frozen=True, slots=True)
class Practice:
    """What practice taught, and what it cost."""

    lessons: CandidateLessons
    cells: int = 0
    encoder_tokens: int = 0
    decoder_tokens: int = 0


def practise(
    checkpoint: Checkpoint,
    relation: Relation,
    targets: Sequence[Cell],
    context_size: int,
    progress: Progress | None = None,
) -> ModelTask[Practice]:
    """Fill known cells of the columns that `targets` stand in.

    Args:
        relation: in canonical order, its targets missing: so what is practised does not depend on the order it came in.
    """
    assert checkpoint.calibration is not None
    calibrator = checkpoint.calibration["fill"]
    hidden = practice_cells(relation, targets)
    if not hidden:
        return Practice(CandidateLessons((), calibrator))
    kept = _kept_tuples(relation, hidden)
    place = {tuple_id: number for number, tuple_id in enumerate(kept)}
    rows = [list(relation.tuples[tuple_id]) for tuple_id in kept]
    for cell in hidden:
        rows[place[cell.tuple_id]][cell.attribute] = None
    canonical = Canonical.of(Relation.of(relation.attributes, rows, relation.name))
    finder = CandidateFinder(
        checkpoint, Reader(checkpoint, canonical.relation, context_size), RelationStatistics(canonical.relation)
    )
    asked = [AskedCell(canonical.place(Cell(place[cell.tuple_id], cell.attribute)), "fill") for cell in hidden]
    found = yield from finder.find(asked, progress, "practice")
    labelled = [
        LabelledCandidates(cell, "", relation.value(cell) or "", one) for cell, one in zip(hidden, found, strict=True)
    ]
    return Practice(CandidateLessons(labelled, calibrator), len(hidden), finder.encoder_tokens, finder.decoder_tokens)


def practice_cells(relation: Relation, targets: Sequence[Cell]) -> list[Cell]:
    """Known cells to hide: evenly spread over each column that is asked about often enough and known often enough."""
    chosen: list[Cell] = []
    for attribute, count in sorted(Counter(cell.attribute for cell in targets).items()):
        known = np.nonzero([bool(values[attribute]) for values in relation.tuples])[0]
        cells = min(MOST_CELLS, len(known) // KNOWN_PER_CELL, CELLS_PER_TARGET * count)
        if cells >= LEAST_CELLS:
            chosen += [Cell(tuple_id, attribute) for tuple_id in spread(known, cells).tolist()]
    return chosen


def _kept_tuples(relation: Relation, hidden: Sequence[Cell]) -> list[int]:
    """The tuples to practise on, in order: those of hidden cells, and others up to `MAX_TUPLES`."""
    needed = np.unique([cell.tuple_id for cell in hidden])
    others = np.setdiff1d(np.arange(len(relation)), needed)
    return sorted([*needed.tolist(), *spread(others, max(0, MAX_TUPLES - len(needed))).tolist()])
