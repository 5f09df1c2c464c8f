"""What two records have in common, as numbers: their texts, words, codes and numbers, and attribute by attribute.

Everything is lexical and computed for all candidate pairs at once with sparse matrices and compiled string distances.
Rare words count by their rarity in the records at hand: what one record says and the other does not is evidence as
well. A number or a code that differs is often all that tells two products of one series apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process
from rapidfuzz.distance import JaroWinkler
from scipy import sparse

from model.inference.blocking import GramVectors, row_dots
from model.inference.columns import Floats, Ints
from model.inference.records import Records, codes, squash, words

GENERAL = (
    "cosine_of_characters",
    "cosine_of_words",
    "share_of_words_left",
    "share_of_words_right",
    "share_of_words",
    "rarest_word_only_left",
    "rarest_word_only_right",
    "rarest_common_code",
    "rarest_code_only_left",
    "rarest_code_only_right",
    "rarest_code_within",
    "common_numbers",
    "numbers_only_left",
    "numbers_only_right",
    "least_of_attributes",
    "greatest_of_attributes",
    "mean_of_attributes",
    "attributes_compared",
    "attributes_equal",
    "attributes_apart",
)
"""Features of a pair that any two tables have; those of single attributes follow, named by the attribute."""

OF_TEXT = ("similarity", "start", "left", "right", "only_left", "only_right", "missing")
OF_NUMBER = ("similarity", "missing")

_READ_CHARACTERS = 200
_CHUNK = 20_000
_LEAST_CODE_WITHIN = 4
_APART = 0.5
_NEAREST = 0.99


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """Features of pairs, float32 (pairs, len(names)); NaN where one side is missing.

    Attributes:
        similarities: of each attribute, float32 (pairs, attributes), NaN where a value is missing.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.float32]
    similarities: npt.NDArray[np.float32]


class Similarity:
    """Compares records of one set; `vectors` are of their n-grams."""

    def __init__(self, records: Records, vectors: GramVectors) -> None:
        self.records = records
        self._vectors = vectors
        self._words = _Terms([words(text) for text in records.texts])
        self._numbers = _Terms([[word for word in words(text) if word.isdigit()] for text in records.texts])

    def features(self, left: Ints, right: Ints) -> PairFeatures:
        """Features of the pairs `left[i]`, `right[i]`."""
        width = len(self.records.attributes)
        if not len(left):
            return PairFeatures(
                self._names, np.zeros((0, len(self._names)), np.float32), np.zeros((0, width), np.float32)
            )
        parts = [
            self._part(left[start : start + _CHUNK], right[start : start + _CHUNK])
            for start in range(0, len(left), _CHUNK)
        ]
        values, similarities = (np.concatenate(both) for both in zip(*parts, strict=True))
        return PairFeatures(self._names, values, similarities)

    def of_attributes(self, left: Ints, right: Ints) -> npt.NDArray[np.float32]:
        """`similarities` of the pairs alone, which is less work, (pairs, attributes)."""
        found = np.full((len(left), len(self.records.attributes)), np.nan, np.float32)
        for attribute, compared in self._attributes.items():
            for start in range(0, len(left), _CHUNK):
                chosen = slice(start, start + _CHUNK)
                found[chosen, attribute] = compared.similarity(left[chosen], right[chosen])
        return found

    @cached_property
    def _names(self) -> tuple[str, ...]:
        own = [f"{one.name}: {kind}" for one in self._attributes.values() for kind in one.kinds]
        return (*GENERAL, *own)

    @cached_property
    def _attributes(self) -> dict[int, _Text | _Number]:
        """The attributes that have values."""
        compared: dict[int, _Text | _Number] = {}
        for attribute, name in enumerate(self.records.attributes):
            if self.records.columns[attribute].present:
                numbers = self.records.numbers(attribute)
                texts = self.records.attribute_texts(attribute)
                compared[attribute] = _Text(name, texts) if numbers is None else _Number(name, numbers)
        return compared

    def _part(self, left: Ints, right: Ints) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        own = [one.features(left, right) for one in self._attributes.values()]
        similarities = np.full((len(left), len(self.records.attributes)), np.nan)
        for attribute, one in zip(self._attributes, own, strict=True):
            similarities[:, attribute] = one[:, 0]
        shared, *shares = self._words.overlap(left, right)
        numbers = self._numbers.counts(left, right)
        general = [
            self._vectors.dots(left, right),
            self._words.cosine(left, right),
            *shares,
            *self._codes(left, right),
            *numbers,
            *_over_attributes(similarities),
        ]
        values = np.concatenate([np.stack(general, axis=1), *own], axis=1)
        return values.astype(np.float32), similarities.astype(np.float32)

    @cached_property
    def _held_codes(self) -> tuple[list[set[str]], list[str], dict[str, float]]:
        """Codes of each record, its text without blanks, and the rarity of each code."""
        held = [codes(text) for text in self.records.texts]
        count: dict[str, int] = {}
        for one in held:
            for code in one:
                count[code] = count.get(code, 0) + 1
        rarity = {code: float(np.log((len(held) + 1) / (1 + number))) for code, number in count.items()}
        return held, [squash(text) for text in self.records.texts], rarity

    def _codes(self, left: Ints, right: Ints) -> list[Floats]:
        """Rarity of the rarest code in common, only left, only right, and of one that stands in the other's text."""
        held, squashed, rarity = self._held_codes
        found = np.zeros((len(left), 4))
        for place, (one, other) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
            ours, theirs = held[one], held[other]
            if not ours and not theirs:
                continue
            within: list[str] = []
            only = []
            for mine, text in ((ours - theirs, squashed[other]), (theirs - ours, squashed[one])):
                inside = {code for code in mine if len(code) >= _LEAST_CODE_WITHIN and code in text}
                within += inside
                only.append(mine - inside)
            found[place] = [_rarest(kind, rarity) for kind in (ours & theirs, *only, within)]
        return list(found.T)


class _Terms:
    """Which terms each record has, weighted by rarity."""

    def __init__(self, terms: Sequence[Sequence[str]]) -> None:
        vocabulary = {term: place for place, term in enumerate(sorted({one for its in terms for one in its}))}
        places = [sorted({vocabulary[one] for one in its}) for its in terms]
        indptr = np.cumsum([0, *(len(its) for its in places)])
        indices = np.array([one for its in places for one in its], dtype=np.int32)
        shape = (len(terms), len(vocabulary))
        self._held = sparse.csr_matrix((np.ones(len(indices)), indices, indptr), shape=shape)
        frequency = np.bincount(indices, minlength=len(vocabulary))
        rarity = np.log((1 + len(terms)) / (1 + frequency)) + 1
        self._weights = sparse.csr_matrix((rarity[indices], indices, indptr), shape=shape)
        self._total = np.asarray(self._weights.sum(axis=1)).ravel()
        self._length = np.sqrt(np.asarray(self._weights.multiply(self._weights).sum(axis=1)).ravel())

    def overlap(self, left: Ints, right: Ints) -> list[Floats]:
        """Weight in common, its share of the left, of the right and of both; the rarest only left and only right."""
        ours, theirs = self._weights[left], self._weights[right]
        common = ours.multiply(self._held[right]).tocsr()
        weight = np.asarray(common.sum(axis=1)).ravel()
        totals = self._total[left], self._total[right]
        union = totals[0] + totals[1] - weight
        shares = [weight / np.maximum(one, 1e-9) for one in (*totals, union)]
        only = [_greatest(one - common) for one in (ours, theirs)]
        return [weight, *shares, *only]

    def cosine(self, left: Ints, right: Ints) -> Floats:
        lengths = np.maximum(self._length[left] * self._length[right], 1e-9)
        return np.asarray(row_dots(self._weights, left, right) / lengths)

    def counts(self, left: Ints, right: Ints) -> list[Floats]:
        """How many terms are in common, only left and only right."""
        common = row_dots(self._held, left, right)
        own = np.diff(self._held.indptr)
        return [common, own[left] - common, own[right] - common]


class _Text:
    """An attribute of text."""

    kinds = OF_TEXT

    def __init__(self, name: str, texts: Sequence[str]) -> None:
        self.name = name
        self._texts = np.array([text[:_READ_CHARACTERS] for text in texts], dtype=object)
        self._present = np.array([bool(text) for text in texts])
        self._whole = texts

    @cached_property
    def _words(self) -> _Terms:
        return _Terms([words(text) for text in self._whole])

    def similarity(self, left: Ints, right: Ints) -> Floats:
        """The greater of both ratios of equal characters, words as they are and in order, 0…1, (pairs,)."""
        ours, theirs = self._texts[left], self._texts[right]
        ratios = [
            process.cpdist(ours, theirs, scorer=one, dtype=np.float32) for one in (fuzz.token_sort_ratio, fuzz.ratio)
        ]
        return np.where(self._present[left] & self._present[right], np.maximum(*ratios) / 100, np.nan)

    def features(self, left: Ints, right: Ints) -> Floats:
        """(pairs, len(OF_TEXT)); NaN but for `missing` where one side is missing."""
        similarity = self.similarity(left, right)
        start = process.cpdist(self._texts[left], self._texts[right], scorer=JaroWinkler.similarity, dtype=np.float32)
        overlap = self._words.overlap(left, right)
        found = np.stack([similarity, start, overlap[1], overlap[2], overlap[4], overlap[5]], axis=1)
        missing = np.isnan(similarity)
        found[missing] = np.nan
        return np.concatenate((found, missing[:, None]), axis=1)


class _Number:
    """An attribute of numbers; numbers that differ are never as alike as equal ones, be it by a millionth."""

    kinds = OF_NUMBER

    def __init__(self, name: str, numbers: Floats) -> None:
        self.name = name
        self._numbers = numbers

    def similarity(self, left: Ints, right: Ints) -> Floats:
        """1 less the relative difference, (pairs,)."""
        ours, theirs = self._numbers[left], self._numbers[right]
        scale = np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), 1e-9)
        near = 1 - np.minimum(1, np.abs(ours - theirs) / scale)
        return np.where(ours == theirs, 1.0, np.minimum(near, _NEAREST))

    def features(self, left: Ints, right: Ints) -> Floats:
        """(pairs, len(OF_NUMBER)): the similarity, and whether one is missing."""
        near = self.similarity(left, right)
        return np.stack((near, np.isnan(near)), axis=1)


def _over_attributes(similarities: Floats) -> list[Floats]:
    """Least, greatest and mean similarity, how many attributes are compared, equal, and far apart."""
    known = ~np.isnan(similarities)
    any_known = known.any(axis=1)
    least = np.where(known, similarities, np.inf).min(axis=1, initial=np.inf)
    greatest = np.where(known, similarities, -np.inf).max(axis=1, initial=-np.inf)
    mean = np.where(known, similarities, 0).sum(axis=1) / np.maximum(1, known.sum(axis=1))
    summary = [np.where(any_known, one, np.nan) for one in (least, greatest, mean)]
    equal, apart = known & (similarities > 0.999), known & (similarities < _APART)
    return [*summary, *(one.sum(axis=1).astype(np.float64) for one in (known, equal, apart))]


def _greatest(weights: sparse.csr_matrix) -> Floats:
    if not weights.shape[1]:
        return np.zeros(weights.shape[0])
    return np.asarray(weights.max(axis=1).toarray(), dtype=np.float64).ravel()


def _rarest(some: Sequence[str] | set[str], rarity: dict[str, float]) -> float:
    return max((rarity[one] for one in some), default=0.0)
