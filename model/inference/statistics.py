"""Evidence that needs no learning: what a table itself says about its cells and about candidate values.

Frequencies, patterns, similar values and votes by approximate dependencies become features of a calibrator,
beside the model's scores. Nothing here decides. Missing values never vote but may receive votes. Every
figure is the same, bit for bit, for every order of tuples and attributes.
"""

from __future__ import annotations

import re
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
    exact,
    folded,
    has_mojibake,
    has_odd_blanks,
    is_missing_spelling,
    is_placeholder,
    number_of,
    pattern_of,
    similarities,
    similarity,
)
from model.inference.dependencies import Votes, find_dependencies, poll, supporters
from model.inference.neighbours import Neighbours
from model.inference.sources import source_weights
from model.inference.words import Correction
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
    "vote_breadth",
    "voters",
    "vote_top_similarity",
    "vote_top_is_folded_equal",
    "similar_similarity",
    "similar_log_ratio",
    "similar_distance",
    "similar_differs_in_digits",
    "vote_top_differs_in_digits",
    "text_support_margin",
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
    "is_usual_number",
    "column_numeric_share",
    "numeric_deviation",
    "has_odd_blanks",
    "has_mojibake",
    "is_placeholder",
    "is_respelled",
    "respelled_similarity",
    "style_share",
    "usual_style_share",
    "meaning_log_ratio",
    "corrected_similarity",
    "corrected_log_ratio",
    "corrected_log_count",
    "splits",
    "column_missing_spelling_share",
    "column_present_numeric_share",
    "in_text",
    "tuple_weight",
    "sources_spread",
    "tuple_disagreement",
    "column_disagreement",
    "column_polled_share",
)
"""Names of the features of a cell, in the order of `cell_features`."""

CANDIDATE_FEATURES: tuple[str, ...] = (
    "candidate_vote_share",
    "candidate_vote_is_top",
    "candidate_vote_support",
    "candidate_vote_gain",
    "candidate_vote_strength",
    "candidate_vote_breadth",
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
    "candidate_is_respelled",
    "candidate_is_corrected",
    "candidate_corrected_similarity",
    "candidate_corrected_log_ratio",
    "candidate_is_split",
    "candidate_differs_in_digits",
    "candidate_text_support",
    "candidate_in_text",
    "candidate_means_the_same",
    "candidate_style_share",
    "column_usual_style_share",
    "column_disagreement",
    "column_missing_spelling_share",
    "column_present_numeric_share",
    "column_missing_share",
    "tuple_disagreement",
    "tuple_weight",
    "sources_spread",
    "observed_is_missing",
    "observed_is_missing_spelling",
    "observed_is_placeholder",
    "observed_log_count",
    "observed_vote_share",
    "column_is_key",
    "column_distinct_ratio",
)
"""Names of the features of a candidate value, in the order of `candidate_features`."""

_LIMIT = 10.0
_READ_CHARACTERS = 2_000
_PHRASE_WORDS = 6
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_WORDS = re.compile(r"[^\W_]+")
_MAX_KNOWN = 2_000
_POLLED_STRENGTH = 0.3
_LEAST_RELIABLE = 0.05
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
        self._splits: dict[int, list[str | None]] = {}
        self._context = lru_cache(maxsize=64)(self._candidate_context)

    def cell_features(self) -> npt.NDArray[np.float32]:
        """Features of every cell, float32 (tuples, attributes, len(CELL_FEATURES)), within -10…10."""
        shape = (len(self.relation), len(self.columns), len(CELL_FEATURES))
        features = np.zeros(shape, dtype=np.float32)
        for attribute in range(len(self.columns)):
            features[:, attribute] = self._attribute_features(attribute)
        return features

    def votes(self, cell: Cell, limit: int = 5) -> list[Vote]:
        """Values that agreeing tuples hold in the cell's attribute, most voted first, the observed one included.

        Each meaning is named once, in its usual spelling.
        """
        polled = self.poll(cell.attribute)
        column, dependencies = self.columns[cell.attribute], self._dependencies[cell.attribute]
        votes = []
        for place, code in enumerate(polled.values[cell.tuple_id, :limit].tolist()):
            if code == MISSING:
                break
            value = column.usual.representatives[code]
            determinants, tuple_ids = supporters(dependencies, column, cell.tuple_id, code)
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

    def proposals(self, cell: Cell) -> list[str]:
        """Values that could repair a cell, from what the table shows: votes, similar values and other spellings."""
        column = self.columns[cell.attribute]
        code = int(column.codes[cell.tuple_id])
        values = [vote.value for vote in self.votes(cell, 3)]
        values += [similar.value for similar in self.similar_values(cell, 3)]
        if code == MISSING:
            values += self.values_in_text(cell)
        else:
            observed, corrected, split = column.distinct[code], column.corrections[code], self._split(cell, code)
            values.append(column.usual.respelled[code])
            values += [corrected.value] if corrected is not None else []
            values += [split] if split is not None else []
            values += ["", *self.values_in_text(cell)] if is_missing_spelling(observed) else []
        return list(dict.fromkeys(values))

    def spellings(self, cell: Cell) -> tuple[str | None, str | None]:
        """The observed value as its column usually writes it, and with misspelled words corrected; None where equal."""
        column = self.columns[cell.attribute]
        code = int(column.codes[cell.tuple_id])
        if code == MISSING:
            return None, None
        respelled, corrected = column.usual.respelled[code], column.corrections[code]
        return (
            respelled if respelled != column.distinct[code] else None,
            corrected.value if corrected is not None else None,
        )

    def poll(self, attribute: int) -> Votes:
        """Votes about every tuple's value of one attribute, as meanings of `columns[attribute]`."""
        if attribute not in self._polls:
            self._polls[attribute] = self._poll(attribute, self.tuple_weights)
        return self._polls[attribute]

    @cached_property
    def tuple_weights(self) -> Floats | None:
        """What each tuple counts in polls where an attribute names sources of different reliability, (tuples,)."""
        return source_weights(self.columns, self._dependencies, self._poll)

    @cached_property
    def _sources_spread(self) -> float:
        """How far apart sources are in what their tuples count: 0 where no attribute names sources."""
        return 0.0 if self.tuple_weights is None else float(exact(self.tuple_weights.max() - self.tuple_weights.min()))

    def _poll(self, attribute: int, weights: Floats | None) -> Votes:
        return poll(self._dependencies[attribute], self.columns[attribute], weights, self._reliability)

    @cached_property
    def _reliability(self) -> Floats:
        """How far each cell is believed as a determinant: the share of its own value in a first poll about it."""
        reliability = np.ones((len(self.relation), len(self.columns)))
        for attribute, column in enumerate(self.columns):
            votes = poll(self._dependencies[attribute], column)
            asked = (column.meanings >= 0) & (votes.strength >= _POLLED_STRENGTH)
            reliability[asked, attribute] = np.maximum(_LEAST_RELIABLE, exact(votes.observed[asked]))
        return reliability

    def _split(self, cell: Cell, code: int) -> str | None:
        if cell.attribute not in self._splits:
            self._splits[cell.attribute] = self._find_splits(cell.attribute)
        return self._splits[cell.attribute][code]

    def _find_splits(self, attribute: int) -> list[str | None]:
        """For each distinct value the known value that is left when a value of another attribute is cut off its end."""
        column = self.columns[attribute]
        own = column.spellings
        found: list[str | None] = []
        for value in column.distinct:
            words = folded(value[:_READ_CHARACTERS]).split()[: _PHRASE_WORDS + 1]
            heads = [
                own[" ".join(words[:end]).rstrip(_PUNCTUATION)]
                for end in range(len(words) - 1, 0, -1)
                if " ".join(words[:end]).rstrip(_PUNCTUATION) in own
                and self._elsewhere.get(" ".join(words[end:]).strip(_PUNCTUATION), attribute) != attribute
            ]
            found.append(heads[0] if heads else None)
        return found

    @cached_property
    def _elsewhere(self) -> dict[str, int]:
        """Folded values that repeat in some attribute, with one attribute that holds them."""
        known: dict[str, int] = {}
        for attribute in sorted(range(len(self.columns)), key=self._rank.__getitem__):
            column = self.columns[attribute]
            for value, count in zip(column.distinct, column.counts.tolist(), strict=True):
                if count > 1 and len(value) <= 60:
                    known.setdefault(folded(value), attribute)
        return known

    @cached_property
    def _disagreement(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Who contradicts its poll by a dependency that is not weak: (tuples, attributes) contradictions, and the
        share of them in each tuple (tuples,) and attribute (attributes,), and how much was polled (attributes,)."""
        shape = (len(self.relation), len(self.columns))
        against, polled = np.zeros(shape), np.zeros(shape)
        for attribute, column in enumerate(self.columns):
            votes = self.poll(attribute)
            asked = (column.meanings >= 0) & (votes.values[:, 0] != MISSING) & (votes.strength >= _POLLED_STRENGTH)
            polled[:, attribute] = asked
            against[:, attribute] = asked & (votes.values[:, 0] != column.meanings)
        of_tuple = against.sum(1) / np.maximum(1.0, polled.sum(1))
        of_attribute = against.sum(0) / np.maximum(1.0, polled.sum(0))
        return against, of_tuple, of_attribute, polled.sum(0) / max(1, shape[0])

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
        splits = np.array([self._split(Cell(0, attribute), code) is not None for code in range(len(column.distinct))])
        parts["splits"] = np.append(splits, False)[column.codes].astype(np.float64)
        parts |= self._disagreement_features(attribute)
        parts["in_text"] = self._stands_in_text(attribute)
        parts["text_support_margin"] = self._text_support_margin(attribute)
        count = len(column)
        stacked = [np.broadcast_to(np.asarray(parts[name], dtype=np.float64), (count,)) for name in CELL_FEATURES]
        return np.clip(np.stack(stacked, axis=-1), -_LIMIT, _LIMIT)

    def _disagreement_features(self, attribute: int) -> dict[str, float | Floats]:
        against, of_tuple, of_attribute, polled = self._disagreement
        others = np.maximum(1, len(self.columns) - 1)
        return {
            "tuple_weight": np.zeros(len(self.relation)) if self.tuple_weights is None else self.tuple_weights - 1.0,
            "sources_spread": self._sources_spread,
            "tuple_disagreement": (against.sum(1) - against[:, attribute]) / others,
            "column_disagreement": float(of_attribute[attribute]),
            "column_polled_share": float(polled[attribute]),
        }

    def _text_support_margin(self, attribute: int) -> Floats:
        """For each contradicted cell, by how much its words stand in the tuple's other cells more than the vote's."""
        column, votes = self.columns[attribute], self.poll(attribute)
        top = votes.values[:, 0]
        margin = np.zeros(len(column))
        for tuple_id in np.nonzero((top != MISSING) & (column.codes >= 0) & (top != column.meanings))[0].tolist():
            beside = _words_beside(self.relation.tuples[tuple_id], attribute)
            observed, voted = column.distinct[column.codes[tuple_id]], column.usual.representatives[top[tuple_id]]
            margin[tuple_id] = _text_support(observed, beside) - _text_support(voted, beside)
        return margin

    def _stands_in_text(self, attribute: int) -> Floats:
        """Whether a known value stands in another cell of the tuple, asked of the missing cells of short columns."""
        column = self.columns[attribute]
        found = np.zeros(len(column))
        missing = np.nonzero(column.codes < 0)[0]
        if len(column.spellings) <= _MAX_KNOWN and len(missing) < len(column):
            for tuple_id in missing.tolist():
                found[tuple_id] = float(bool(self.values_in_text(Cell(tuple_id, attribute), 1)))
        return found

    def _candidate_context(self, cell: Cell) -> _CandidateContext:
        """What all candidates of one cell share."""
        column, votes = self.columns[cell.attribute], self.poll(cell.attribute)
        row = cell.tuple_id
        shares, supports = votes.shares[row].tolist(), votes.supports[row].tolist()
        voted = {
            column.usual.representatives[code]: (share, support)
            for code, share, support in zip(votes.values[row].tolist(), shares, supports, strict=True)
            if code != MISSING
        }
        code = int(column.codes[row])
        observed = "" if code == MISSING else column.distinct[code]
        similar = column.similar[code] if code != MISSING else []
        in_text = self.values_in_text(cell) if code == MISSING or is_missing_spelling(observed) else []
        _, of_tuple, of_attribute, _ = self._disagreement
        others = [value or "" for place, value in enumerate(self.relation.tuples[row]) if place != cell.attribute]
        return _CandidateContext(
            observed,
            voted,
            float(votes.observed[row]),
            float(votes.strength[row]),
            float(votes.breadth[row]),
            similar[0].value if similar else None,
            " \n ".join(sorted(others)).casefold(),
            None if code == MISSING else column.usual.respelled[code],
            None if code == MISSING else column.corrections[code],
            None if code == MISSING else self._split(cell, code),
            frozenset(in_text),
            _words_beside(self.relation.tuples[row], cell.attribute),
            {
                "column_disagreement": float(of_attribute[cell.attribute]),
                "tuple_disagreement": float(of_tuple[row]),
                "tuple_weight": 0.0 if self.tuple_weights is None else float(self.tuple_weights[row]) - 1.0,
                "sources_spread": self._sources_spread,
                "column_missing_share": (len(column) - column.present) / max(1, len(column)),
                **_missing_spellings(column),
            },
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
            "candidate_is_respelled": float(value == context.respelled and value != observed),
            "candidate_is_split": float(value == context.split),
            "candidate_differs_in_digits": float(_differs_in_digits(observed, value)),
            "candidate_text_support": _text_support(value, context.words) - _text_support(observed, context.words),
            "candidate_in_text": float(value in context.in_text),
            "candidate_means_the_same": float(column.meaning_of(value) == column.meaning_of(observed)),
            "candidate_style_share": column.style_share(value),
            "column_usual_style_share": column.usual.usual_share,
            **context.shared,
            **_corrected(context.corrected, value),
            "observed_is_missing": float(not observed),
            "observed_is_missing_spelling": float(is_missing_spelling(observed)),
            "observed_is_placeholder": float(is_placeholder(observed)),
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
    breadth: float
    most_similar: str | None
    elsewhere: str
    respelled: str | None
    corrected: Correction | None
    split: str | None
    in_text: frozenset[str]
    words: frozenset[str]
    shared: dict[str, float]


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
        "usual_style_share": column.usual.usual_share,
        **_missing_spellings(column),
    }
    by_value: dict[str, Floats] = {
        "log_count": np.log(np.maximum(counts, 1.0)),
        "is_singleton": (counts == 1).astype(np.float64),
        "share_of_top": counts / most,
        "folded_log_ratio": np.log(folded_best / counts) + np.log(folded_total / counts),
        "pattern_share": column.patterns.shares,
        "shape_share": column.shapes.shares,
        "length_deviation": column.length_deviation,
        "log_length": np.log1p(np.array([len(value) for value in column.distinct], dtype=np.float64)),
        "rarest_bigram": rarest,
        "mean_bigram": mean,
        "is_missing_spelling": _flags(column, is_missing_spelling),
        "is_numeric": (~np.isnan(column.numbers)).astype(np.float64),
        "is_usual_number": column.usual.is_usual_number.astype(np.float64),
        "numeric_deviation": column.numeric_deviation,
        "has_odd_blanks": _flags(column, has_odd_blanks),
        "has_mojibake": _flags(column, has_mojibake),
        "is_placeholder": _flags(column, is_placeholder),
        **_similar_features(column, counts),
        **_spelling_features(column, counts),
    }
    return _ColumnFeatures(shared, by_value)


def _similar_features(column: Column, counts: Floats) -> dict[str, Floats]:
    """What the most similar more frequent value says of each distinct value, each (distinct,)."""
    best = [_telling(column, value, similar) for value, similar in zip(column.distinct, column.similar, strict=True)]
    return {
        "similar_similarity": _over(best, lambda one: one.similarity),
        "similar_log_ratio": np.where(
            [one is not None for one in best], _over(best, lambda one: float(np.log(one.count))) - np.log(counts), 0.0
        ),
        "similar_distance": _similar_distance(column, best),
        "similar_differs_in_digits": np.array(
            [
                one is not None and _differs_in_digits(value, one.value)
                for value, one in zip(column.distinct, best, strict=True)
            ],
            dtype=np.float64,
        ),
    }


def _spelling_features(column: Column, counts: Floats) -> dict[str, Floats]:
    """Usual spelling, meaning and corrected words of each distinct value, each (distinct,)."""
    respelled, corrected = column.usual.respelled, column.corrections
    return {
        "is_respelled": np.array(
            [new != old for new, old in zip(respelled, column.distinct, strict=True)], dtype=float
        ),
        "respelled_similarity": similarities(respelled, column.distinct),
        "style_share": column.usual.style_shares,
        "meaning_log_ratio": np.log(column.meaning_counts[column.usual.classes] / counts),
        "corrected_similarity": np.array([0.0 if one is None else one.similarity for one in corrected]),
        "corrected_log_ratio": np.array([0.0 if one is None else one.log_ratio for one in corrected]),
        "corrected_log_count": np.log1p(
            np.array([0.0 if one is None else column.count(one.value) for one in corrected], dtype=np.float64)
        ),
    }


def _telling(column: Column, value: str, similar: Sequence[SimilarValue]) -> SimilarValue | None:
    """The most similar value that says something: among numbers, other digits are another number and no misspelling."""
    numbers = column.usual.kind == "number"
    return next((one for one in similar if not (numbers and _differs_in_digits(value, one.value))), None)


def _missing_spellings(column: Column) -> dict[str, float]:
    """How much of a column spells a missing value, and how much of the rest are numbers."""
    spelled = int(column.counts[[is_missing_spelling(value) for value in column.distinct]].sum())
    numeric = int(
        column.counts[
            [
                not np.isnan(number) and not is_missing_spelling(value)
                for value, number in zip(column.distinct, column.numbers, strict=True)
            ]
        ].sum()
    )
    return {
        "column_missing_spelling_share": spelled / max(1, len(column)),
        "column_present_numeric_share": numeric / max(1, column.present - spelled),
    }


def _corrected(correction: Correction | None, value: str) -> dict[str, float]:
    """What the correction of misspelled words says of a candidate."""
    proposed = correction is not None and correction.value == value
    return {
        "candidate_is_corrected": float(proposed),
        "candidate_corrected_similarity": correction.similarity if proposed and correction is not None else 0.0,
        "candidate_corrected_log_ratio": correction.log_ratio if proposed and correction is not None else 0.0,
    }


def _differs_in_digits(left: str, right: str) -> bool:
    """Whether two values are the same text around other digits: `68%` and `98%`, `room 9` and `room 12`."""
    return left != right and _DIGITS.sub("0", left[:256]) == _DIGITS.sub("0", right[:256])


def _words_beside(values: Sequence[str | None], attribute: int) -> frozenset[str]:
    """Words of the tuple's other cells, folded; short cells only."""
    texts = (value for place, value in enumerate(values) if place != attribute and value and len(value) <= 200)
    return frozenset(word for text in texts for word in _WORDS.findall(text.casefold()))


def _text_support(value: str, words: frozenset[str]) -> float:
    """Share of a value's words that stand among `words`."""
    own = _WORDS.findall(value[:200].casefold())
    return sum(word in words for word in own) / len(own) if own else 0.0


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
    differs = (top != MISSING) & (top != column.meanings)
    same, equal, digits = _top_similarity(column, top, differs)
    return {
        "vote_observed_share": votes.observed,
        "vote_top_share": votes.shares[:, 0],
        "vote_margin": votes.shares[:, 0] - votes.observed,
        "vote_contradicts": differs.astype(np.float64),
        "vote_second_share": votes.shares[:, 1],
        "vote_support": np.log1p(votes.supports[:, 0]),
        "vote_strength": votes.strength,
        "vote_breadth": votes.breadth,
        "voters": np.log1p(votes.voters.astype(np.float64)),
        "vote_top_similarity": same,
        "vote_top_is_folded_equal": equal,
        "vote_top_differs_in_digits": digits,
    }


def _top_similarity(column: Column, top: Ints, differs: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Similarity of observed and most voted value (1 where equal); whether case and blanks alone differ, or digits."""
    same, equal, digits = np.zeros(len(column)), np.zeros(len(column)), np.zeros(len(column))
    same[(top != MISSING) & ~differs] = 1.0
    asked = differs & (column.codes >= 0)
    if not asked.any():
        return same, equal, digits
    width = len(column.usual.representatives)
    keys, inverse = np.unique(column.codes[asked].astype(np.int64) * width + top[asked], return_inverse=True)
    left = [column.distinct[key // width] for key in keys.tolist()]
    right = [column.usual.representatives[key % width] for key in keys.tolist()]
    same[asked] = similarities(left, right)[inverse]
    pairs = zip(left, right, strict=True)
    equal[asked] = np.array([folded(one) == folded(other) for one, other in pairs], dtype=np.float64)[inverse]
    pairs = zip(left, right, strict=True)
    digits[asked] = np.array([_differs_in_digits(one, other) for one, other in pairs], dtype=np.float64)[inverse]
    return same, equal, digits


def _candidate_votes(context: _CandidateContext, value: str) -> dict[str, float]:
    share, support = context.voted.get(value, (0.0, 0.0))
    top = max((one for one, _ in context.voted.values()), default=0.0)
    return {
        "candidate_vote_share": share,
        "candidate_vote_is_top": float(share > 0 and share == top),
        "candidate_vote_support": float(np.log1p(support)),
        "candidate_vote_gain": share - context.observed_share,
        "candidate_vote_strength": context.strength,
        "candidate_vote_breadth": context.breadth,
        "observed_vote_share": context.observed_share,
    }
