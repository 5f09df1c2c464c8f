"""What two schemas call their columns: words, abbreviations, letters, and descriptions where there are any.

The one idea: how a schema abbreviates is seen in all of its names together. `gncd` could stand for many names, but
where every name of a schema is one of the other schema's without its vowels, it stands for `AgencyID`. So each way to
shorten a name is tried on all pairs, and a pair counts as much as the way explains of both schemas.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from model.inference.columns import Floats
from model.inference.records import words
from model.naming import singular

NAME_FEATURES = (
    "name_equal",
    "name_grams",
    "name_words",
    "name_edits",
    "name_start",
    "consonants",
    "consonants_equal",
    "subsequence",
    "segments",
    "scheme",
    "text_words",
    "text_grams",
    "source_in_target",
    "target_in_source",
    "described",
    "tables",
    "tables_best",
)
"""How alike what two columns are called is, each 0…1. Those of texts are 0 where neither column is described, those of
tables 1 where names do not say which table of several a column is of."""

Bag = Mapping[str, int]
"""How often each word occurs."""

Lexicon = Mapping[str, tuple[str, ...]]
"""What parts of source names are called in target names."""

MAX_WORDS, MAX_PARTS, MAX_LETTERS = 64, 16, 64
"""Words of a description and parts of a name that are read; letters of a word, and of a whole name."""

_PART = re.compile(r"[^\W\d_]+|\d+")
_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_VOWELS = re.compile(r"[aeiouy]")
_QUALIFIERS = ".-/:"
_GRAMS = (2, 3, 4)
_LONGEST_ABBREVIATION = 6


@dataclass(frozen=True, slots=True)
class ColumnName:
    """What one column is called.

    Attributes:
        table: the table that the name says it is of, where a schema has several; else the empty string.
        parts: what the name is written from, split at case, punctuation and digits; without what all names begin with.
        described: words of its description.
        begins: what all names of the schema begin with, and `parts` leave out.
    """

    table: str
    parts: tuple[str, ...]
    described: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()

    @property
    def letters(self) -> str:
        """The name without case, blanks and punctuation."""
        return "".join(self.parts)[:MAX_LETTERS]

    @property
    def consonants(self) -> str:
        """The letters without vowels."""
        return _VOWELS.sub("", self.letters) or self.letters

    def renamed(self, lexicon: Lexicon) -> ColumnName:
        """The same column with parts of its name exchanged."""
        parts = tuple(other for part in self.parts for other in lexicon.get(part, (part,)))
        return replace(self, parts=parts)


def read_names(names: Sequence[str], descriptions: Sequence[str | None]) -> list[ColumnName]:
    """Read the names of one schema together: what they all have in common tells nothing of a column."""
    tables = _tables(names)
    alone = [name[len(table) + 1 :] if table else name for name, table in zip(names, tables, strict=True)]
    parts = [parts_of(name) for name in alone]
    begins: tuple[str, ...] = ()
    if len(parts) > 2 and len({one[0] for one in parts}) == 1 and min(map(len, parts)) > 1:
        begins, parts = parts[0][:1], [one[1:] for one in parts]
    told = [[word[:MAX_LETTERS] for word in words((one or "").casefold())[:MAX_WORDS]] for one in descriptions]
    return [
        ColumnName(table, own, tuple(map(singular, described)), begins)
        for table, own, described in zip(tables, parts, told, strict=True)
    ]


def parts_of(name: str) -> tuple[str, ...]:
    """What a name is written from, in lower case."""
    found = tuple(part.casefold() for piece in _CASE.split(name) for part in _PART.findall(piece))
    return tuple(part[:MAX_LETTERS] for part in found[:MAX_PARTS]) or (name.casefold()[:MAX_LETTERS],)


def _tables(names: Sequence[str]) -> list[str]:
    """What stands before the first separator, where every name has it and it groups the columns."""
    for separator in _QUALIFIERS:
        split = [name.partition(separator) for name in names]
        if all(before.strip() and after.strip() for before, _, after in split):
            tables = [before for before, _, _ in split]
            if 1 < len(set(tables)) <= len(tables) / 2:
                return tables
    return [""] * len(names)


def name_features(source: Sequence[ColumnName], target: Sequence[ColumnName]) -> Floats:
    """How alike what the columns of each pair are called is, float64 (source, target, len(NAME_FEATURES))."""
    named = np.stack(_of_names(source, target))
    if bool(source[0].begins) is not bool(target[0].begins):  # else what all begin with would make all alike
        named = np.maximum(named, np.stack(_of_names(_whole(source), _whole(target))))
    lexicon = _words_of_tables(source, target)
    if lexicon:
        named = np.maximum(named, np.stack(_of_names([one.renamed(lexicon) for one in source], target)))
    columns = [*named, *_of_texts(source, target), *_of_tables(source, target)]
    return np.asarray(np.round(np.stack(columns, axis=-1), 9), dtype=np.float64)


def _whole(names: Sequence[ColumnName]) -> list[ColumnName]:
    """The names with what all of them begin with."""
    return [replace(one, parts=(*one.begins, *one.parts)) for one in names]


def _of_names(source: Sequence[ColumnName], target: Sequence[ColumnName]) -> list[Floats]:
    left, right = [one.letters for one in source], [one.letters for one in target]
    bare_left, bare_right = [one.consonants for one in source], [one.consonants for one in target]
    ways = {
        "equal": np.array([[float(one == other) for other in right] for one in left]),
        "consonants": np.array([[float(_shortened(a, b)) for b in target] for a in source]),
        "subsequence": np.array([[float(_is_within(one, other)) for other in right] for one in left]),
        "segments": np.array([[_segments(a, b) for b in target] for a in source]),
    }
    specific = {name: _specific(way) for name, way in ways.items()}
    return [
        ways["equal"],
        cosines(_gram_counts(left), _gram_counts(right)),
        _word_overlap(source, target),
        _cdist(left, right, OSA.normalized_similarity),
        _cdist(left, right, JaroWinkler.similarity),
        _cdist(bare_left, bare_right, OSA.normalized_similarity),
        specific["consonants"],
        specific["subsequence"],
        specific["segments"],
        np.max([matrix * _explained(matrix) for matrix in specific.values()], axis=0),
    ]


def _of_texts(source: Sequence[ColumnName], target: Sequence[ColumnName]) -> list[Floats]:
    """Names and descriptions together."""
    described = np.outer([bool(one.described) for one in source], [bool(one.described) for one in target])
    if not described.any():
        return [np.zeros(described.shape)] * 5
    longer = _expansions([*source, *target])
    texts = [[_told(one, longer) for one in side] for side in (source, target)]
    named = [[_named(one, longer) for one in side] for side in (source, target)]
    rarity = _rarity([set(one) for side in texts for one in side])
    return [
        cosines(*([Counter(text) for text in side] for side in texts)),
        cosines(*(_gram_counts([" ".join(text) for text in side]) for side in texts)),
        _contained(named[0], texts[1], rarity),
        _contained(named[1], texts[0], rarity).T,
        described.astype(np.float64),
    ]


def _of_tables(source: Sequence[ColumnName], target: Sequence[ColumnName]) -> list[Floats]:
    """How alike the tables are that two columns are of, and how near that is to the best of either."""
    if not (source[0].table and target[0].table):
        return [np.ones((len(source), len(target)))] * 2
    bags = [_table_bags(side) for side in (source, target)]
    alike = _tables_alike(*bags)
    best = alike**2 / np.maximum(alike.max(0, keepdims=True) * alike.max(1, keepdims=True), 1e-9)
    places = [[list(bag).index(one.table) for one in side] for bag, side in zip(bags, (source, target), strict=True)]
    return [matrix[np.ix_(*places)] for matrix in (alike, best)]


def _tables_alike(source: Mapping[str, Bag], target: Mapping[str, Bag]) -> Floats:
    return cosines(list(source.values()), list(target.values()))


def _words_of_tables(source: Sequence[ColumnName], target: Sequence[ColumnName]) -> dict[str, tuple[str, ...]]:
    """What tables that are assigned to each other are called: a column that refers to a table is called like it."""
    if not (source[0].table and target[0].table):
        return {}
    bags = [_table_bags(side) for side in (source, target)]
    alike = _tables_alike(*bags)
    names = [list(bag) for bag in bags]
    lexicon: dict[str, tuple[str, ...]] = {}
    for row, column in zip(*(found.tolist() for found in linear_sum_assignment(alike, maximize=True)), strict=True):
        if alike[row, column] > 0:
            word = "".join(parts_of(names[0][row]))
            lexicon[word] = lexicon[singular(word)] = parts_of(names[1][column])
    return lexicon


def _table_bags(columns: Sequence[ColumnName]) -> dict[str, Counter[str]]:
    """The words of each table: of its name, its columns' names and their descriptions."""
    bags = {
        one.table: Counter(map(singular, parts_of(one.table))) for one in sorted(columns, key=lambda one: one.table)
    }
    for one in columns:
        bags[one.table].update({*map(singular, one.parts), *one.described})
    return bags


def _named(one: ColumnName, longer: Mapping[str, str]) -> list[str]:
    return [singular(longer.get(part, part)) for part in one.parts]


def _told(one: ColumnName, longer: Mapping[str, str]) -> list[str]:
    return [*_named(one, longer), *one.described]


def _expansions(columns: Sequence[ColumnName]) -> dict[str, str]:
    """What a part of a name is short for: the word of a description beside it that most columns speak for."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    known = {word for one in columns for word in one.described}
    for one in columns:
        for part in one.parts:
            if 2 <= len(part) <= _LONGEST_ABBREVIATION and singular(part) not in known:
                votes[part].update({word for word in one.described if _abbreviates(part, word)})
    chosen = {}
    for part, found in votes.items():
        best = sorted(found.items(), key=lambda one: (-one[1], one[0]))
        if best and (len(best) == 1 or best[0][1] > best[1][1]):
            chosen[part] = best[0][0]
    return chosen


def _abbreviates(short: str, word: str) -> bool:
    return len(word) > len(short) and word[0] == short[0] and _is_subsequence(short, word)


def _shortened(one: ColumnName, other: ColumnName) -> bool:
    """Whether one name is the other without its vowels."""
    return one.letters == other.letters or (
        one.consonants == other.consonants and other.consonants in (one.letters, other.letters)
    )


def _is_within(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=lambda text: (len(text), text))
    return _is_subsequence(short, long)


def _is_subsequence(short: str, long: str) -> bool:
    letters = iter(long)
    return all(letter in letters for letter in short)


def _segments(one: ColumnName, other: ColumnName) -> float:
    """Share of the longer name's parts whose beginnings, in order, make up the shorter name; 0 where none do."""
    short, long = (one, other) if len(one.letters) <= len(other.letters) else (other, one)
    if not _is_subsequence(short.letters, long.letters):
        return 0.0
    reached = {0: 0}  # letters of the short name that are made up, to the most parts used
    for part in long.parts:
        grown = dict(reached)
        for start, used in reached.items():
            for length in range(1, len(part) + 1):
                if short.letters[start : start + length] != part[:length]:
                    break
                grown[start + length] = max(grown.get(start + length, 0), used + 1)
        reached = grown
    return reached.get(len(short.letters), 0) / len(long.parts)


def _specific(way: Floats) -> Floats:
    """Each pair over the number of pairs that share its source or its target, itself included."""
    return np.asarray(way / np.maximum(1.0, np.maximum(way.sum(0, keepdims=True), way.sum(1, keepdims=True))))


def _explained(specific: Floats) -> float:
    """Share of the smaller schema's columns that a way to shorten names tells a partner for."""
    return float(min(specific.max(0).sum(), specific.max(1).sum()) / min(specific.shape))


def _cdist(left: Sequence[str], right: Sequence[str], scorer: Any) -> Floats:
    return np.asarray(process.cdist(left, right, scorer=scorer, dtype=np.float64, workers=1), dtype=np.float64)


def _gram_counts(texts: Sequence[str]) -> list[Counter[str]]:
    return [
        Counter(f" {text} "[start : start + size] for size in _GRAMS for start in range(max(0, len(text) + 3 - size)))
        for text in texts
    ]


def _rarity(bags: Sequence[set[str]]) -> dict[str, float]:
    """Log of how many columns there are for each that has a word."""
    held = Counter(word for bag in bags for word in bag)
    return {word: float(np.log((1 + len(bags)) / (1 + count)) + 0.1) for word, count in held.items()}


def cosines(left: Sequence[Bag], right: Sequence[Bag]) -> Floats:
    """Cosine of bags, weighted by rarity in both schemas together, (left, right)."""
    rarity = _rarity([set(bag) for bag in (*left, *right)])
    place = {word: number for number, word in enumerate(sorted(rarity))}
    matrices = []
    for side in (left, right):
        rows = [row for row, bag in enumerate(side) for _ in bag]
        columns = [place[word] for bag in side for word in bag]
        data = [(1 + np.log(count)) * rarity[word] for bag in side for word, count in bag.items()]
        matrix = sparse.csr_matrix((data, (rows, columns)), shape=(len(side), len(place)))
        lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        matrices.append(sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ matrix)
    return np.asarray(np.round((matrices[0] @ matrices[1].T).toarray(), 9), dtype=np.float64)


def _contained(named: Sequence[Sequence[str]], texts: Sequence[Sequence[str]], rarity: Mapping[str, float]) -> Floats:
    """Share of each name's words, weighted by rarity, that stand in each text, (named, texts)."""
    bags = [set(text) for text in texts]
    shares = np.zeros((len(named), len(texts)))
    for row, parts in enumerate(named):
        total = sum(rarity[part] for part in parts)
        for column, bag in enumerate(bags):
            shares[row, column] = sum(rarity[part] for part in parts if part in bag) / max(total, 1e-9)
    return np.round(shares, 9)


def _word_overlap(source: Sequence[ColumnName], target: Sequence[ColumnName]) -> Floats:
    """Share of the words of both names, weighted by rarity, that the other one has, in full or shortened."""
    rarity = _rarity([set(one.parts) for one in (*source, *target)])
    known = sorted({part for one in (*source, *target) for part in one.parts})
    likeness: dict[str, dict[str, float]] = {}
    for _, group in groupby(known, key=lambda part: part[:1]):  # others are not alike at all
        alike = list(group)
        likeness |= {one: {other: _likeness(one, other) for other in alike} for one in alike}
    shares = np.zeros((len(source), len(target)))
    for row, one in enumerate(source):
        for column, other in enumerate(target):
            found = [_best(part, other.parts, likeness) * rarity[part] for part in one.parts]
            found += [_best(part, one.parts, likeness) * rarity[part] for part in other.parts]
            shares[row, column] = sum(found) / sum(rarity[part] for part in (*one.parts, *other.parts))
    return np.round(shares, 9)


def _best(part: str, others: Sequence[str], likeness: Mapping[str, Mapping[str, float]]) -> float:
    return max((likeness[part].get(other, 0.0) for other in others), default=0.0)


def _likeness(one: str, other: str) -> float:
    """How likely two words are the same: equal, of one stem, or one the beginning or a shortening of the other."""
    if singular(one) == singular(other):
        return 1.0
    short, long = sorted((one, other), key=lambda text: (len(text), text))
    if long.startswith(short):
        return 0.5 + 0.4 * len(short) / len(long)
    return 0.3 + 0.4 * len(short) / len(long) if len(short) > 1 and _abbreviates(short, long) else 0.0
