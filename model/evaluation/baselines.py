"""Cleaning and imputation without learning and without labels: what a model has to beat.

Each baseline is a few lines over the same statistics that the calibrators see. Their constants are round
numbers, the same for all sets; they were chosen with these sets in view, which flatters the baselines.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from model.inference.columns import MISSING, Column, folded
from model.inference.statistics import CELL_FEATURES, RelationStatistics
from model.tuples import Cell, Relation

Repairs = dict[Cell, str]
"""Proposed values of the cells that are held to be wrong, each different from the observed value."""

CleaningBaseline = Callable[[Relation], Repairs]
ImputationBaseline = Callable[[Relation, Sequence[Cell]], list[str | None]]

RARE_COUNT = 2
FREQUENT_COUNT = 5
SIMILARITY = 0.7
MIN_STRENGTH = 0.3
CONSTANT_SHARE = 0.9
NEIGHBOURS = 5


def rare_to_frequent(relation: Relation) -> Repairs:
    """Replace a value that at most two tuples hold by the most similar one that at least five hold."""
    repairs: Repairs = {}
    statistics = RelationStatistics(relation)
    for attribute, column in enumerate(statistics.columns):
        better = [_frequent_spelling(column, code) for code in range(len(column.distinct))]
        for tuple_id, code in enumerate(column.codes.tolist()):
            value = None if code == MISSING else better[code]
            if value is not None:
                repairs[Cell(tuple_id, attribute)] = value
    return repairs


def _frequent_spelling(column: Column, code: int) -> str | None:
    if column.counts[code] > RARE_COUNT:
        return None
    similar = (one for one in column.similar[code] if one.count >= FREQUENT_COUNT and one.similarity >= SIMILARITY)
    return next((one.value for one in similar), None)


def dependency_vote(relation: Relation) -> Repairs:
    """Replace a value by the one that most agreeing tuples hold, by dependencies of strength 0.3 or more.

    An attribute that nothing determines but that nearly always holds one value is set to that value.
    """
    repairs: Repairs = {}
    statistics = RelationStatistics(relation)
    strengths = statistics.cell_features()[:, :, CELL_FEATURES.index("vote_strength")]
    for attribute, column in enumerate(statistics.columns):
        voted = statistics.poll(attribute).values[:, 0]
        chosen = np.where(strengths[:, attribute] >= MIN_STRENGTH, voted, MISSING)
        if (chosen == MISSING).all() and column.present and column.top_share > CONSTANT_SHARE:
            chosen = np.full(len(column), int(np.argmax(column.meaning_counts)))
        for tuple_id in np.nonzero((chosen != MISSING) & (chosen != column.meanings))[0].tolist():
            repairs[Cell(tuple_id, attribute)] = column.usual.representatives[chosen[tuple_id]]
    return repairs


CLEANING_BASELINES: dict[str, CleaningBaseline] = {
    "rare to frequent": rare_to_frequent,
    "dependency vote": dependency_vote,
}


def column_mode(relation: Relation, cells: Sequence[Cell]) -> list[str | None]:
    """The most frequent value of the attribute, the first by text among equals."""
    modes = {attribute: _mode(relation, attribute) for attribute in {cell.attribute for cell in cells}}
    return [modes[cell.attribute] for cell in cells]


def _mode(relation: Relation, attribute: int) -> str | None:
    counts = Counter(value for value in relation.column(attribute) if value)
    return min(counts, key=lambda value: (-counts[value], value), default=None)


def nearest_row(relation: Relation, cells: Sequence[Cell]) -> list[str | None]:
    """The value that the most similar tuple holds, by character TF-IDF over the other attributes."""
    return _nearest(relation, cells, 1)


def nearest_rows(relation: Relation, cells: Sequence[Cell]) -> list[str | None]:
    """The value with the largest sum of similarities among the five most similar tuples."""
    return _nearest(relation, cells, NEIGHBOURS)


def _nearest(relation: Relation, cells: Sequence[Cell], neighbours: int) -> list[str | None]:
    answers: dict[Cell, str | None] = {}
    for attribute in sorted({cell.attribute for cell in cells}):
        asked = [cell for cell in cells if cell.attribute == attribute]
        answers.update(zip(asked, _nearest_values(relation, attribute, asked, neighbours), strict=True))
    return [answers[cell] for cell in cells]


def _nearest_values(relation: Relation, attribute: int, cells: Sequence[Cell], neighbours: int) -> list[str | None]:
    known = [row for row, values in enumerate(relation.tuples) if values[attribute]]
    vectors = _vectors(relation, attribute)
    if not known or vectors is None:
        return [_mode(relation, attribute)] * len(cells)
    # Rounded, so that equal texts tie exactly and the earlier tuple wins.
    scores = np.round((vectors[[cell.tuple_id for cell in cells]] @ vectors[known].T).toarray(), 9)
    answers: list[str | None] = []
    for score in scores:
        votes: dict[str, float] = defaultdict(float)
        for place in np.argsort(-score, kind="stable")[:neighbours].tolist():
            votes[relation.tuples[known[place]][attribute] or ""] += float(score[place])
        answers.append(min(votes, key=lambda value: (-votes[value], value)))
    return answers


def _vectors(relation: Relation, hidden: int) -> sparse.csr_matrix | None:
    """TF-IDF of each tuple's text without one attribute; None where there is no text at all."""
    texts = [_text(values, hidden) for values in relation.tuples]
    if not any(text.strip() for text in texts):
        return None
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit_transform(texts)


def _text(values: Sequence[str | None], hidden: int) -> str:
    return " \n ".join(value or "" for place, value in enumerate(values) if place != hidden).casefold()


def known_value_in_text(relation: Relation, cells: Sequence[Cell]) -> list[str | None]:
    """The longest value of the attribute whose words stand in the tuple's other attributes; else the nearest's."""
    answers: list[str | None] = []
    vocabulary = {attribute: _by_length(relation, attribute) for attribute in {cell.attribute for cell in cells}}
    fallback = nearest_row(relation, cells)
    for cell, otherwise in zip(cells, fallback, strict=True):
        text = f" {folded(_text(relation.tuples[cell.tuple_id], cell.attribute))} "
        found = (value for key, value in vocabulary[cell.attribute] if f" {key} " in text)
        answers.append(next(found, otherwise))
    return answers


def _by_length(relation: Relation, attribute: int) -> list[tuple[str, str]]:
    """Folded values of at least two characters with their most frequent spelling, longest first."""
    counts = Counter(value for value in relation.column(attribute) if value)
    spelling: dict[str, str] = {}
    for value in sorted(counts, key=lambda value: (-counts[value], value)):
        spelling.setdefault(folded(value), value)
    return sorted((one for one in spelling.items() if len(one[0]) >= 2), key=lambda one: (-len(one[0]), one[0]))


IMPUTATION_BASELINES: dict[str, ImputationBaseline] = {
    "column mode": column_mode,
    "nearest row": nearest_row,
    "nearest five rows": nearest_rows,
    "known value in the row's text": known_value_in_text,
}
