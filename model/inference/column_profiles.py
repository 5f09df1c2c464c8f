"""What two columns hold, compared: shared values and words, how values are written, numbers, lengths, blanks.

Everything is computed from the distinct values and how often they occur, so the order of rows changes nothing. A column
of very many values is read by a sample that depends on the values alone: the same values are drawn from both tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from model.inference.column_names import Bag, cosines
from model.inference.columns import Column, Floats, collapsed, folded, number_of, pattern_of
from model.inference.records import words

VALUE_FEATURES = (
    "values_contained",
    "values_shared",
    "frequencies_shared",
    "value_words",
    "value_grams",
    "shapes",
    "numbers",
    "both_numeric",
    "one_numeric",
    "lengths",
    "missing_apart",
    "repetition_apart",
    "one_empty",
)
"""How alike the values of two columns are, each 0…1."""

MAX_DISTINCT = 1000
"""Distinct values of a column that are read."""

_BAGS = slice(VALUE_FEATURES.index("value_words"), VALUE_FEATURES.index("value_grams") + 1)
_READ_CHARACTERS = 100
_NUMERIC_SHARE = 0.8
_QUANTILES = np.linspace(0.0, 1.0, 33)


@dataclass(frozen=True)
class ColumnProfile:
    """What is compared of one column.

    Attributes:
        shares: share of the present cells that hold each value; values are folded, numbers written one way.
        words, grams: counts over the distinct values.
        shapes: share of the present cells that are written in each shape.
        numbers, lengths: 33 quantiles each, by cell; none where less than four fifths are numbers.
        missing: share of the cells without a value.
        repetition: one minus distinct values over present ones.
    """

    shares: Mapping[str, float]
    words: Bag
    grams: Bag
    shapes: Mapping[str, float]
    numbers: Floats | None
    lengths: Floats
    missing: float
    repetition: float

    @classmethod
    def of(cls, column: Column) -> ColumnProfile:
        """Read the values of a column."""
        chosen = _sample(column.distinct)
        texts = [column.distinct[code][:_READ_CHARACTERS] for code in chosen]
        counts = column.counts[chosen].astype(np.float64)
        total = max(1.0, float(counts.sum()))
        shares: Counter[str] = Counter()
        shapes: Counter[str] = Counter()
        for text, count in zip(texts, counts.tolist(), strict=True):
            shares[_plain(text)] += count / total
            shapes[collapsed(pattern_of(text))] += count / total
        bag: Counter[str] = Counter(word for value in shares for word in set(words(value)))
        grams: Counter[str] = Counter(f"\x02{value}\x03"[at : at + 3] for value in shares for at in range(len(value)))
        numbers = np.array([number_of(text) for text in texts], dtype=np.float64)
        is_number = ~np.isnan(numbers)
        is_numeric = float(counts[is_number].sum()) >= _NUMERIC_SHARE * total
        return cls(
            shares,
            bag,
            grams,
            shapes,
            _quantiles(numbers[is_number], counts[is_number]) if is_numeric else None,
            _quantiles(np.array([len(text) for text in texts], dtype=np.float64), counts),
            1.0 - column.present / max(1, len(column)),
            1.0 - column.distinct_ratio,
        )

    @property
    def is_empty(self) -> bool:
        """Whether the column holds no value."""
        return not self.shares


def value_features(source: Sequence[ColumnProfile], target: Sequence[ColumnProfile]) -> Floats:
    """How alike the values of each pair are, float64 (source, target, len(VALUE_FEATURES))."""
    return compare_values(source, target, bag_cosines(source, target))


def bag_cosines(source: Sequence[ColumnProfile], target: Sequence[ColumnProfile]) -> Floats:
    """Cosines of words and of letters, by their rarity in all columns of both tables, (source, target, 2)."""
    words = cosines([one.words for one in source], [one.words for one in target])
    return np.stack([words, cosines([one.grams for one in source], [one.grams for one in target])], axis=-1)


def compare_values(source: Sequence[ColumnProfile], target: Sequence[ColumnProfile], bags: Floats) -> Floats:
    """`value_features` of some sources, whose `bag_cosines` with all targets are given."""
    features = np.zeros((len(source), len(target), len(VALUE_FEATURES)))
    features[..., _BAGS] = bags
    for row, one in enumerate(source):
        for column, other in enumerate(target):
            _compare(one, other, features[row, column])
    return np.round(features, 9)


def _compare(one: ColumnProfile, other: ColumnProfile, pair: Floats) -> None:
    """Write all features of one pair but those of bags."""
    if one.is_empty or other.is_empty:
        pair[:] = 0.0
        pair[-1] = 1.0
        return
    common = sorted(one.shares.keys() & other.shares.keys())
    pair[0] = len(common) / min(len(one.shares), len(other.shares))
    pair[1] = len(common) / (len(one.shares) + len(other.shares) - len(common))
    pair[2] = sum(min(one.shares[value], other.shares[value]) for value in common)
    shapes = sorted(one.shapes.keys() & other.shapes.keys())
    pair[5] = sum(min(one.shapes[shape], other.shapes[shape]) for shape in shapes)
    if one.numbers is not None and other.numbers is not None:
        pair[6], pair[7] = _together(one.numbers, other.numbers), 1.0
    pair[8] = float((one.numbers is None) != (other.numbers is None))
    pair[9] = _together(one.lengths, other.lengths)
    pair[10] = abs(one.missing - other.missing)
    pair[11] = abs(one.repetition - other.repetition)


def _sample(distinct: Sequence[str]) -> list[int]:
    """Places of at most `MAX_DISTINCT` values, the same values of every column that has them."""
    if len(distinct) <= MAX_DISTINCT:
        return list(range(len(distinct)))
    keys = [
        (blake2b(_plain(value).encode("utf-8", "surrogatepass"), digest_size=8).digest(), code)
        for code, value in enumerate(distinct)
    ]
    return sorted(code for _, code in sorted(keys)[:MAX_DISTINCT])


def _plain(value: str) -> str:
    """A value without differences of case and blanks, a number without those of its format."""
    number = number_of(value)
    return folded(value) if np.isnan(number) else repr(number)


def _quantiles(values: Floats, counts: Floats) -> Floats:
    """Weighted quantiles, (33,)."""
    if not len(values):
        return np.zeros(len(_QUANTILES))
    order = np.argsort(values, kind="stable")
    reached = (np.cumsum(counts[order]) - counts[order] / 2) / counts.sum()
    return np.interp(_QUANTILES, reached, values[order])


def _together(left: Floats, right: Floats) -> float:
    """One minus the largest gap between two distributions, by their quantiles (Kolmogorov and Smirnov)."""
    points = np.concatenate([left, right])
    gaps = np.abs(
        np.searchsorted(left, points, "right") / len(left) - np.searchsorted(right, points, "right") / len(right)
    )
    return float(1.0 - gaps.max())
