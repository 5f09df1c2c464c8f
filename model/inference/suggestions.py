"""Which tuples are most worth labelling.

Cells of an attribute that look alike and are judged alike are one group, for a label of one tells of the others (the
clusters of Raha, Mahdavi et al., SIGMOD 2019). A group weighs what is in doubt about its cells, together; tuples are
chosen one after another by the groups that they stand for, and a group that has labels weighs less. So a large group
that the system is sure of is asked about too, but after the doubtful ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from model.inference.columns import Column, collapsed, pattern_of
from model.tuples import Cell, Relation, Suggestion

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LEAST_DOUBT = 0.3
"""Doubt, in bits, about a cell that the system is sure of: labels are also for what it is wrongly sure of."""

_SHOWN_CHARACTERS = 40


def suggest(
    relation: Relation,
    probabilities: Floats,
    contradicted: npt.NDArray[np.bool_],
    confidences: Mapping[Cell, float],
    attributes: Collection[int],
    known: Collection[Cell],
    count: int,
) -> list[Suggestion]:
    """At most `count` tuples without labels, most worth one first.

    Args:
        probabilities: of being wrong, (tuples, attributes).
        contradicted: cells whose value agreeing tuples contradict, (tuples, attributes).
        confidences: the best candidate's for each flagged cell.
        attributes: those that are judged.
    """
    doubt = _doubt(probabilities, confidences)
    doubt[:, [attribute not in attributes for attribute in range(len(relation.attributes))]] = 0.0
    groups = _groups(relation, contradicted, probabilities)
    weights = np.sqrt(np.bincount(groups.ravel(), doubt.ravel()))
    labelled = np.zeros(len(weights), dtype=np.int64)
    np.add.at(labelled, [int(groups[cell.tuple_id, cell.attribute]) for cell in known], 1)
    left = np.ones(len(groups), dtype=bool)
    left[[cell.tuple_id for cell in known]] = False
    chosen: list[Suggestion] = []
    while len(chosen) < count and left.any():
        gains = (weights / (1 + labelled))[groups] * (0.5 + 0.5 * doubt)
        # Rounded, so that nothing but their order tells tuples of equal worth apart.
        row = int(np.argmax(np.where(left, np.round(gains.sum(axis=1), 9), -1.0)))
        chosen.append(Suggestion(row, _reason(relation, groups, row, int(np.argmax(gains[row])))))
        left[row] = False
        np.add.at(labelled, groups[row], 1)
    return chosen


def _groups(relation: Relation, contradicted: npt.NDArray[np.bool_], probabilities: Floats) -> Ints:
    """The group of every cell, (tuples, attributes): attribute, shape of the value, and what is said of it."""
    groups = np.zeros(probabilities.shape, dtype=np.int64)
    used = 0
    for attribute in range(len(relation.attributes)):
        column = Column(relation.column(attribute))
        shapes = [collapsed(pattern_of(value)) for value in column.distinct]
        number = {shape: place for place, shape in enumerate(sorted(set(shapes)))}
        of_value = np.array([*(number[shape] for shape in shapes), len(number)], dtype=np.int64)
        told = 2 * (probabilities[:, attribute] >= 0.5) + contradicted[:, attribute]
        _, of_cell = np.unique(4 * of_value[column.codes] + told, return_inverse=True)
        groups[:, attribute] = used + of_cell
        used += int(of_cell.max()) + 1
    return groups


def _doubt(probabilities: Floats, confidences: Mapping[Cell, float]) -> Floats:
    """Bits that are unknown about each cell: whether it is wrong and, where it is flagged, what is right."""
    doubt = _entropy(probabilities)
    for cell, confidence in confidences.items():
        place = cell.tuple_id, cell.attribute
        doubt[place] = max(doubt[place], float(_entropy(np.array(max(0.5, confidence)))))
    return doubt + _LEAST_DOUBT


def _entropy(probabilities: Floats) -> Floats:
    clipped = np.clip(probabilities, 1e-6, 1.0 - 1e-6)
    return np.asarray(-(clipped * np.log2(clipped) + (1 - clipped) * np.log2(1 - clipped)), dtype=np.float64)


def _reason(relation: Relation, groups: Ints, row: int, attribute: int) -> str:
    """What the tuple stands for most."""
    alike = int((groups[:, attribute] == groups[row, attribute]).sum())
    value = relation.value(Cell(row, attribute))
    like = f"like {value[:_SHOWN_CHARACTERS]!r}" if value else "that are missing"
    return f"stands for {alike} cells of {relation.attributes[attribute]!r} {like}"
