"""Evidence that needs no learning: what a table itself says about its cells and about candidate values.

Frequencies, patterns, similar values and votes by approximate dependencies become features of a calibrator,
beside the model's scores. Nothing here decides. Missing values never vote but may receive votes. Every
figure is the same, bit for bit, for every order of tuples and attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA

from model.inference.columns import (
    MISSING,
    Column,
    Floats,
    Ints,
    SimilarValue,
    collapsed,
    folded,
    has_mojibake,
    has_odd_blanks,
    is_missing_spelling,
    number_of,
    pattern_of,
    similarities,
    similarity,
)
from model.inference.dependencies import Votes, find_dependencies, poll, supporters
from model.inference.neighbours import Neighbours
from model.tuples import Cell, FunctionalDependency, Relation

__all__ = ["CANDIDATE_FEATURES", "CELL_FEATURES", "RelationStatistics", "SimilarValue", "Vote"]

CELL_FEATURES: tuple[str, ...] = (
    "log_tuples",
    "log_count",
    "is_singleton",
    "column_distinct_ratio",
    "column_top_share",
    "column_missing_share",
    "column_is_key",
    "share_of_top",
    "vote_observed_share",
    "vote_top_share",
    "vote_margin",
    "vote_contradicts",
    "vote_second_share",
    "vote_support",
    "vote_strength",
    "voters",
    "vote_top_similarity",
    "vote_top_is_folded_equal",
    "similar_similarity",
    "similar_log_ratio",
    "similar_distance",
    "folded_log_ratio",
    "pattern_share",
    "pattern_top_share",
    "shape_share",
    "shape_top_share",
    "length_deviation",
    "log_length",
    "rarest_bigram",
    "mean_bigram",
    "is_missing",
    "is_missing_spelling",
    "is_numeric",
    "column_numeric_share",
    "numeric_deviation",
    "has_odd_blanks",
    "has_mojibake",
)
"""Names of the features of a cell, in the order of `cell_features`."""

CANDIDATE_FEATURES: tuple[str, ...] = (
    "candidate_vote_share",
    "candidate_vote_is_top",
    "candidate_vote_support",
    "candidate_vote_gain",
    "candidate_vote_strength",
    "candidate_log_count",
    "candidate_log_ratio",
    "candidate_in_column",
    "candidate_similarity",
    "candidate_distance",
    "candidate_is_most_similar",
    "candidate_has_top_pattern",
    "candidate_has_top_shape",
    "candidate_shape_gain",
    "candidate_is_folded_equal",
    "candidate_extends_observed",
    "candidate_is_numerically_equal",
    "candidate_is_numeric",
    "candidate_numeric_share",
    "candidate_stands_elsewhere",
    "candidate_is_missing",
    "candidate_is_missing_spelling",
    "observed_is_missing",
    "observed_is_missing_spelling",
    "observed_log_count",
    "observed_vote_share",
    "column_is_key",
    "column_distinct_ratio",
)
"""Names of the features of a candidate value, in the order of `candidate_features`."""

_LIMIT = 10.0
_READ_CHARACTERS = 2_000
_PHRASE_WORDS = 6
_PUNCTUATION = ".,;:!?()[]{}\"'"
_MAX_SUPPORTERS = 5


@dataclass(frozen=True, slots=True)
class Vote:
    """A value that tuples agreeing with a cell's tuple hold.

    Attributes:
        share: its share of all votes, 0…1.
        support: number of agreeing tuples, each weighted by the strength of the dependency it votes through.
        tuple_ids: at most five of the agreeing tuples.
        determinants: attributes through which they agree, strongest first.
    """

    value: str
    share: float
    support: float
    tuple_ids: tuple[int, ...]
    determinants: tuple[int, ...]


class RelationStatistics:
    """All evidence about one relation; what is costly is computed on first use and kept.

    Args:
        relation: the table, missing values None or empty.
        dependencies: rules that the caller gave; they vote with strength 1.
    """

    def __init__(self, relation: Relation, dependencies: Sequence[FunctionalDependency] = ()) -> None:
        self.relation = relation
        self.columns = [Column(relation.column(attribute)) for attribute in range(len(relation.attributes))]
        self._rank = _attribute_rank(relation, self.columns)
        self._dependencies = find_dependencies(self.columns, self._rank, dependencies)
        self._polls: dict[int, Votes] = {}
        self._context = lru_cache(maxsize=64)(self._candidate_context)

    def cell_features(self) -> npt.NDArray[np.float32]:
        """Features of every cell, float32 (tuples, attributes, len(CELL_FEATURES)), within -10…10."""
        shape = (len(self.relation), len(self.columns), len(CELL_FEATURES))
        features = np.zeros(shape, dtype=np.float32)
        for attribute in range(len(self.columns)):
            features[:, attribute] = self._attribute_features(attribute)
        return features

    def votes(self, cell: Cell, limit: int = 5) -> list[Vote]:
        """Values that agreeing tuples hold in the cell's attribute, most voted first, the observed one included."""
        polled = self.poll(cell.attribute)
        column, dependencies = self.columns[cell.attribute], self._dependencies[cell.attribute]
        votes = []
        for place, code in enumerate(polled.values[cell.tuple_id, :limit].tolist()):
            if code == MISSING:
                break
            value = column.distinct[code]
            determinants, tuple_ids = supporters(dependencies, column, cell.tuple_id, value)
            share, support = float(polled.shares[cell.tuple_id, place]), float(polled.supports[cell.tuple_id, place])
            first = sorted(tuple_ids, key=self._tuple_rank.__getitem__)[:_MAX_SUPPORTERS]
            votes.append(Vote(value, share, support, tuple(first), tuple(determinants)))
        return votes

    def similar_values(self, cell: Cell, limit: int = 5) -> list[SimilarValue]:
        """More frequent values of the column that resemble the observed one, most similar first; at most five."""
        column = self.columns[cell.attribute]
        code = int(column.codes[cell.tuple_id])
        return [] if code == MISSING else column.similar[code][:limit]

    @cached_property
    def neighbours(self) -> Neighbours:
        """Tuples that resemble each other in the text of all cells but one."""
        return Neighbours(self.columns)

    def values_in_text(self, cell: Cell, limit: int = 3) -> list[str]:
        """Known values of the cell's attribute that stand as whole words in the tuple's other cells, longest first."""
        spellings = self.columns[cell.attribute].spellings
        found: set[str] = set()
        for attribute, value in enumerate(self.relation.tuples[cell.tuple_id]):
            if attribute != cell.attribute and value:
                found |= {key for key in _phrases(value[:_READ_CHARACTERS]) if key in spellings}
        longest = sorted(found, key=lambda key: (-len(key), key))
        return [spellings[key] for key in longest[:limit]]

    def candidate_features(self, cell: Cell, value: str) -> npt.NDArray[np.float32]:
        """Features of a value that could stand in `cell`, float32 (len(CANDIDATE_FEATURES),), within -10…10."""
        context = self._context(cell)
        named = {**_candidate_votes(context, value), **self._candidate_spelling(cell, context, value)}
        features = np.array([named[name] for name in CANDIDATE_FEATURES], dtype=np.float64)
        clipped: npt.NDArray[np.float32] = np.clip(features, -_LIMIT, _LIMIT).astype(np.float32)
        return clipped

    def poll(self, attribute: int) -> Votes:
        """Votes about every tuple's value of one attribute, as codes of `columns[attribute].distinct`."""
        if attribute not in self._polls:
            self._polls[attribute] = poll(self._dependencies[attribute], self.columns[attribute])
        return self._polls[attribute]

    @cached_property
    def _tuple_rank(self) -> list[int]:
        """A place for each tuple by content, so that the same tuples are named in every order."""
        attributes = sorted(range(len(self.columns)), key=self._rank.__getitem__)
        codes = np.stack([self.columns[attribute].codes for attribute in reversed(attributes)])
        order = np.lexsort(codes)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return list(rank.tolist())

    def _attribute_features(self, attribute: int) -> Floats:
        """(tuples, len(CELL_FEATURES)) for one attribute."""
        column = self.columns[attribute]
        named = _column_features(column)
        parts = {**named.shared, **_vote_features(column, self.poll(attribute))}
        present = column.codes >= 0
        codes = column.codes[present]
        for name, per_value in named.by_value.items():
            spread = np.zeros(len(column))
            spread[present] = per_value[codes]
            parts[name] = spread
        parts["is_missing"] = (~present).astype(np.float64)
        count = len(column)
        stacked = [np.broadcast_to(np.asarray(parts[name], dtype=np.float64), (count,)) for name in CELL_FEATURES]
        return np.clip(np.stack(stacked, axis=-1), -_LIMIT, _LIMIT)

    def _candidate_context(self, cell: Cell) -> _CandidateContext:
        """What all candidates of one cell share."""
        column, votes = self.columns[cell.attribute], self.poll(cell.attribute)
        row = cell.tuple_id
        shares, supports = votes.shares[row].tolist(), votes.supports[row].tolist()
        voted = {
            column.distinct[code]: (share, support)
            for code, share, support in zip(votes.values[row].tolist(), shares, supports, strict=True)
            if code != MISSING
        }
        code = int(column.codes[row])
        observed = "" if code == MISSING else column.distinct[code]
        similar = column.similar[code] if code != MISSING else []
        others = [value or "" for place, value in enumerate(self.relation.tuples[row]) if place != cell.attribute]
        return _CandidateContext(
            observed,
            voted,
            float(votes.observed[row]),
            float(votes.strength[row]),
            similar[0].value if similar else None,
            " \n ".join(sorted(others)).casefold(),
        )

    def _candidate_spelling(self, cell: Cell, context: _CandidateContext, value: str) -> dict[str, float]:
        column, observed = self.columns[cell.attribute], context.observed
        count, observed_count = column.count(value), column.count(observed)
        pattern, number = pattern_of(value), number_of(value)
        shape = collapsed(pattern)
        return {
            "candidate_log_count": float(np.log1p(count)),
            "candidate_log_ratio": float(np.log1p(count) - np.log1p(observed_count)),
            "candidate_in_column": float(count > (value == observed)),
            "candidate_similarity": similarity(observed, value) if observed else 0.0,
            "candidate_distance": float(np.log1p(OSA.distance(observed[:256], value[:256]))),
            "candidate_is_most_similar": float(value == context.most_similar),
            "candidate_has_top_pattern": float(pattern == column.patterns.top),
            "candidate_has_top_shape": float(shape == column.shapes.top),
            "candidate_shape_gain": column.shapes.share(shape) - column.shapes.share(collapsed(pattern_of(observed))),
            "candidate_is_folded_equal": float(folded(value) == folded(observed)),
            "candidate_extends_observed": float(bool(observed) and value != observed and value.startswith(observed)),
            "candidate_is_numerically_equal": float(number == number_of(observed)),
            "candidate_is_numeric": float(not np.isnan(number)),
            "candidate_numeric_share": column.numeric_share,
            "candidate_stands_elsewhere": float(bool(value) and value.casefold() in context.elsewhere),
            "candidate_is_missing": float(not value),
            "candidate_is_missing_spelling": float(is_missing_spelling(value)),
            "observed_is_missing": float(not observed),
            "observed_is_missing_spelling": float(is_missing_spelling(observed)),
            "observed_log_count": float(np.log1p(observed_count)),
            "column_is_key": float(column.is_key),
            "column_distinct_ratio": column.distinct_ratio,
        }


@dataclass(frozen=True, slots=True)
class _CandidateContext:
    """What all candidates of one cell share: `voted` gives share and support of each value that got votes."""

    observed: str
    voted: dict[str, tuple[float, float]]
    observed_share: float
    strength: float
    most_similar: str | None
    elsewhere: str


@dataclass(frozen=True, slots=True)
class _ColumnFeatures:
    """Features that all cells of a column share, and those of each distinct value (distinct,)."""

    shared: dict[str, float | Floats]
    by_value: dict[str, Floats]


def _attribute_rank(relation: Relation, columns: Sequence[Column]) -> list[int]:
    """A place for each attribute by name and, where names repeat, by content."""
    names = relation.attributes
    repeated = len(set(names)) < len(names)

    def key(attribute: int) -> tuple[str, list[str], list[int]]:
        column = columns[attribute]
        return (names[attribute], column.distinct, column.counts.tolist()) if repeated else (names[attribute], [], [])

    rank = [0] * len(names)
    for place, attribute in enumerate(sorted(range(len(names)), key=key)):
        rank[attribute] = place
    return rank


def _column_features(column: Column) -> _ColumnFeatures:
    count = max(1, len(column))
    counts = column.counts.astype(np.float64)
    folded_total, folded_best = column.folded_counts
    best = [similar[0] if similar else None for similar in column.similar]
    rarest, mean = column.bigrams
    most = float(counts.max()) if len(counts) else 1.0
    shared: dict[str, float | Floats] = {
        "log_tuples": float(np.log10(count)),
        "column_distinct_ratio": column.distinct_ratio,
        "column_top_share": column.top_share,
        "column_missing_share": (len(column) - column.present) / count,
        "column_is_key": float(column.is_key),
        "pattern_top_share": column.patterns.top_share,
        "shape_top_share": column.shapes.top_share,
        "column_numeric_share": column.numeric_share,
    }
    by_value: dict[str, Floats] = {
        "log_count": np.log(np.maximum(counts, 1.0)),
        "is_singleton": (counts == 1).astype(np.float64),
        "share_of_top": counts / most,
        "similar_similarity": _over(best, lambda one: one.similarity),
        "similar_log_ratio": np.where(
            [one is not None for one in best], _over(best, lambda one: float(np.log(one.count))) - np.log(counts), 0.0
        ),
        "similar_distance": _similar_distance(column, best),
        "folded_log_ratio": np.log(folded_best / counts) + np.log(folded_total / counts),
        "pattern_share": column.patterns.shares,
        "shape_share": column.shapes.shares,
        "length_deviation": column.length_deviation,
        "log_length": np.log1p(np.array([len(value) for value in column.distinct], dtype=np.float64)),
        "rarest_bigram": rarest,
        "mean_bigram": mean,
        "is_missing_spelling": _flags(column, is_missing_spelling),
        "is_numeric": (~np.isnan(column.numbers)).astype(np.float64),
        "numeric_deviation": column.numeric_deviation,
        "has_odd_blanks": _flags(column, has_odd_blanks),
        "has_mojibake": _flags(column, has_mojibake),
    }
    return _ColumnFeatures(shared, by_value)


def _phrases(text: str) -> Iterator[str]:
    """Every run of up to six words, folded, with and without punctuation at its ends."""
    words = folded(text).split()
    for start in range(len(words)):
        for end in range(start + 1, min(len(words), start + _PHRASE_WORDS) + 1):
            phrase = " ".join(words[start:end])
            yield phrase
            yield phrase.strip(_PUNCTUATION)


def _over(best: Sequence[SimilarValue | None], read: Callable[[SimilarValue], float]) -> Floats:
    """One figure of each similar value, 0 where there is none."""
    return np.array([0.0 if one is None else read(one) for one in best], dtype=np.float64)


def _similar_distance(column: Column, best: Sequence[SimilarValue | None]) -> Floats:
    """log(1 + edit distance) to the best similar value, 3 where there is none."""
    pairs = zip(column.distinct, best, strict=True)
    lengths = [0 if one is None else max(len(value[:256]), len(one.value[:256])) for value, one in pairs]
    distance = np.round((1.0 - _over(best, lambda one: one.similarity)) * np.array(lengths, dtype=np.float64))
    return np.where([one is not None for one in best], np.log1p(distance), 3.0)


def _flags(column: Column, test: Callable[[str], bool]) -> Floats:
    return np.array([test(value) for value in column.distinct], dtype=np.float64)


def _vote_features(column: Column, votes: Votes) -> dict[str, Floats]:
    """Features of every cell of a column from the votes of agreeing tuples, each (tuples,)."""
    top = votes.values[:, 0]
    differs = (top != MISSING) & (top != column.codes)
    same, equal = _top_similarity(column, top, differs)
    return {
        "vote_observed_share": votes.observed,
        "vote_top_share": votes.shares[:, 0],
        "vote_margin": votes.shares[:, 0] - votes.observed,
        "vote_contradicts": differs.astype(np.float64),
        "vote_second_share": votes.shares[:, 1],
        "vote_support": np.log1p(votes.supports[:, 0]),
        "vote_strength": votes.strength,
        "voters": np.log1p(votes.voters.astype(np.float64)),
        "vote_top_similarity": same,
        "vote_top_is_folded_equal": equal,
    }


def _top_similarity(column: Column, top: Ints, differs: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Similarity of observed and most voted value, and whether only case and blanks differ; 1 and 0 where equal."""
    same, equal = np.zeros(len(column)), np.zeros(len(column))
    same[(top != MISSING) & ~differs] = 1.0
    asked = differs & (column.codes >= 0)
    if not asked.any():
        return same, equal
    width = len(column.distinct)
    keys, inverse = np.unique(column.codes[asked].astype(np.int64) * width + top[asked], return_inverse=True)
    left = [column.distinct[key // width] for key in keys.tolist()]
    right = [column.distinct[key % width] for key in keys.tolist()]
    same[asked] = similarities(left, right)[inverse]
    pairs = zip(left, right, strict=True)
    equal[asked] = np.array([folded(one) == folded(other) for one, other in pairs], dtype=np.float64)[inverse]
    return same, equal


def _candidate_votes(context: _CandidateContext, value: str) -> dict[str, float]:
    share, support = context.voted.get(value, (0.0, 0.0))
    top = max((one for one, _ in context.voted.values()), default=0.0)
    return {
        "candidate_vote_share": share,
        "candidate_vote_is_top": float(share > 0 and share == top),
        "candidate_vote_support": float(np.log1p(support)),
        "candidate_vote_gain": share - context.observed_share,
        "candidate_vote_strength": context.strength,
        "observed_vote_share": context.observed_share,
    }
