"""One column at a time: what its values look like and how often they occur.

Everything is computed once for each distinct value, with the distinct values in the order of their text,
so nothing depends on the order of tuples. Counts are integers and the few logarithms that are added up
are rounded to multiples of 2**-20 first: such sums are exact, hence the same in any order.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice, takewhile

import numpy as np
import numpy.typing as npt
from rapidfuzz import process
from rapidfuzz.distance import OSA

from model.inference.spellings import Spellings
from model.inference.words import Correction, correct_words
from model.tuples import Value

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MISSING = -1
"""The code of a missing value."""

MISSING_SPELLINGS = frozenset(
    "n/a na n.a. #n/a nan null (null) none nil - -- --- ? ?? unknown unk unspecified undefined missing "
    "tbd tba tbc x xx xxx 999 9999 99999 -999 -9999 -1 0000 00000 0000-00-00 1900-01-01 9999-12-31".split()
) | {"not available", "not applicable", "not known", "no data", "no value"}
"""Spellings of a missing value, in lower case; a column may use some of them as honest values."""

PLACEHOLDERS = frozenset("n/a na n.a. #n/a nan null (null) nil - -- --- ? ??".split()) | {"not available", "no data"}
"""Those of them that are hardly ever anything else."""

_SIMILAR_KEPT = 5
_MIN_SIMILARITY = 0.4
_SIMILARITY_WORK = 60_000_000
_SIMILARITY_CELLS = 1_000_000
_COMPARED_CHARACTERS = 256
_BIGRAM_BUCKETS = 1 << 16
_FRACTION = float(1 << 20)

_NUMBER = re.compile(r"[$€£]?\s?[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?\s?%?")
_MOJIBAKE = re.compile("\ufffd|Ã[\u0080-\u00bf‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|Â[\u0080-\u00bf]|â€|ï¿½|Ð[\u0080-\u00bf]")
_PLAIN = re.compile(r"[\W_]+")
_DOUBLE_BLANK = re.compile(r"\s\s")


def exact(values: npt.ArrayLike) -> Floats:
    """Round to multiples of 2**-20, so that sums of up to 2**32 of such values carry no rounding error."""
    return np.round(np.asarray(values, dtype=np.float64) * _FRACTION) / _FRACTION


@dataclass(frozen=True, slots=True)
class SimilarValue:
    """A more frequent value of the same column: `similarity` in 0…1, `count` tuples hold it."""

    value: str
    similarity: float
    count: int


class Column:
    """The values of one attribute.

    Attributes:
        distinct: the distinct present values, sorted by text.
        codes: for each tuple the place of its value in `distinct`, int32; MISSING where there is none.
        counts: how many tuples hold each distinct value.
    """

    def __init__(self, values: Sequence[Value]) -> None:
        self.distinct: list[str] = sorted({value for value in values if value})
        self.code_of = {value: code for code, value in enumerate(self.distinct)}
        lookup: dict[Value, int] = {None: MISSING, "": MISSING}
        lookup.update(self.code_of)
        self.codes = np.fromiter((lookup[value] for value in values), dtype=np.int32, count=len(values))
        self.present = int((self.codes >= 0).sum())
        self.counts: Ints = np.bincount(self.codes[self.codes >= 0], minlength=len(self.distinct)).astype(np.int64)

    def __len__(self) -> int:
        return len(self.codes)

    def count(self, value: str) -> int:
        """How many tuples hold `value`."""
        code = self.code_of.get(value)
        return 0 if code is None else int(self.counts[code])

    def starting_with(self, prefix: str, limit: int) -> list[str]:
        """The distinct values that begin with `prefix`, at most `limit`, frequent ones first, then by text."""
        start = bisect_left(self.distinct, prefix)
        begins = list(takewhile(lambda value: value.startswith(prefix), islice(self.distinct, start, None)))
        return sorted(begins, key=lambda value: -self.count(value))[:limit]

    @cached_property
    def usual(self) -> Spellings:
        """What the distinct values mean, and how the column usually writes them."""
        return Spellings(self.distinct, self.counts)

    @cached_property
    def meanings(self) -> Ints:
        """For each tuple the number of its value's meaning, MISSING where there is none, int64."""
        classes = np.append(self.usual.classes, MISSING)  # code MISSING is the last place
        return np.asarray(classes[self.codes], dtype=np.int64)

    @cached_property
    def meaning_counts(self) -> Ints:
        """How many tuples hold each meaning."""
        held = self.meanings[self.meanings >= 0]
        return np.bincount(held, minlength=len(self.usual.representatives)).astype(np.int64)

    def meaning_of(self, value: str) -> int:
        """The meaning of a value that the column holds; MISSING for any other."""
        code = self.code_of.get(value)
        return MISSING if code is None else int(self.usual.classes[code])

    def style_share(self, value: str) -> float:
        """Share of the present cells that are written as `value` is; 0 for a value that the column does not hold."""
        code = self.code_of.get(value)
        return 0.0 if code is None else float(self.usual.style_shares[code])

    @cached_property
    def corrections(self) -> list[Correction | None]:
        """For each distinct value what it is with misspelled words corrected."""
        return correct_words(self.distinct, self.counts)

    @property
    def repeated(self) -> int:
        """How many tuples hold what another tuple holds too, in whatever spelling."""
        return int(self.meaning_counts[self.meaning_counts > 1].sum())

    @property
    def distinct_ratio(self) -> float:
        """Distinct values over present values; 1 in a key, and in an empty column."""
        return len(self.distinct) / self.present if self.present else 1.0

    @property
    def is_key(self) -> bool:
        """Whether nearly every value is unique, in a column long enough to tell."""
        return self.present >= 5 and self.distinct_ratio > 0.98

    @property
    def top_share(self) -> float:
        """Share of the most frequent value among the present ones."""
        return float(self.counts.max()) / self.present if self.present else 0.0

    @cached_property
    def patterns(self) -> Patterns:
        """Character-class patterns with runs as they are: `415/982-2000` is `999/999-9999`."""
        return Patterns([pattern_of(value) for value in self.distinct], self.counts)

    @cached_property
    def shapes(self) -> Patterns:
        """Character-class patterns with runs collapsed: `415/982-2000` is `9/9-9`."""
        return Patterns([collapsed(pattern_of(value)) for value in self.distinct], self.counts)

    @cached_property
    def numbers(self) -> Floats:
        """Each distinct value as a number, NaN where it is none."""
        return np.array([number_of(value) for value in self.distinct], dtype=np.float64)

    @property
    def numeric_share(self) -> float:
        """Share of the present values that are numbers."""
        numeric = int(self.counts[~np.isnan(self.numbers)].sum())
        return numeric / self.present if self.present else 0.0

    @cached_property
    def numeric_deviation(self) -> Floats:
        """Robust z-score of each distinct value among the column's numbers, signed and log-scaled; 0 for others."""
        return _robust_deviation(self.numbers, self.counts)

    @cached_property
    def length_deviation(self) -> Floats:
        """Robust z-score of each distinct value's length, signed and log-scaled."""
        return _robust_deviation(np.array([len(value) for value in self.distinct], dtype=np.float64), self.counts)

    @cached_property
    def folded_counts(self) -> tuple[Ints, Ints]:
        """For each distinct value: tuples whose value equals it but for case and blanks, and the best single count."""
        keys = [folded(value) for value in self.distinct]
        total: dict[str, int] = {}
        best: dict[str, int] = {}
        for key, count in zip(keys, self.counts.tolist(), strict=True):
            total[key] = total.get(key, 0) + count
            best[key] = max(best.get(key, 0), count)
        return (
            np.array([total[key] for key in keys], dtype=np.int64),
            np.array([best[key] for key in keys], dtype=np.int64),
        )

    @cached_property
    def spellings(self) -> dict[str, str]:
        """The most frequent spelling of each value but for case and blanks; of values of two characters or more."""
        known: dict[str, str] = {}
        for code in np.argsort(-self.counts, kind="stable").tolist():
            key = folded(self.distinct[code])
            if len(key) > 1:
                known.setdefault(key, self.distinct[code])
        return known

    @cached_property
    def bigrams(self) -> tuple[Floats, Floats]:
        """For each distinct value, how usual its character pairs are in the other distinct values.

        Returns:
            log(1 + occurrences) of its rarest pair, and the mean over its pairs.
        """
        return _bigram_frequency(self.distinct)

    @cached_property
    def similar(self) -> list[list[SimilarValue]]:
        """For each distinct value its most similar more frequent values, best first, at most five."""
        return _most_similar(self.distinct, self.counts)


class Patterns:
    """A pattern for each distinct value, with the share of the column's tuples that have it."""

    def __init__(self, patterns: list[str], counts: Ints) -> None:
        total: dict[str, int] = {}
        for pattern, count in zip(patterns, counts.tolist(), strict=True):
            total[pattern] = total.get(pattern, 0) + count
        self._share = {pattern: count / int(counts.sum()) for pattern, count in total.items()}
        self.shares: Floats = np.array([self._share[pattern] for pattern in patterns], dtype=np.float64)
        self.top = min(total, key=lambda pattern: (-total[pattern], pattern), default="")
        self.top_share = self._share.get(self.top, 0.0)

    def share(self, pattern: str) -> float:
        """Share of the present values with this pattern."""
        return self._share.get(pattern, 0.0)


def pattern_of(value: str) -> str:
    """Letters and digits by class, everything else as it is: `9:05 a.m.` is `9:99 a.a.`."""
    return "".join(map(_character_class, value[:_COMPARED_CHARACTERS]))


def _character_class(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "a" if character.islower() or not character.isupper() else "A"
    return " " if character.isspace() else character


def collapsed(pattern: str) -> str:
    """A pattern with each run of one class shortened to one character."""
    return "".join(character for character, _ in groupby(pattern))


def folded(value: str) -> str:
    """A value without differences of case and blanks."""
    return " ".join(value.casefold().split())


def plain(value: str) -> str:
    """A value without differences of case, blanks and punctuation."""
    return _PLAIN.sub("", value.casefold())


def spread(numbers: Ints, count: int) -> Ints:
    """At most `count` of the numbers, evenly spread."""
    if len(numbers) <= count:
        return numbers
    return np.asarray(numbers[np.linspace(0, len(numbers) - 1, count).astype(np.int64)])


def number_of(value: str) -> float:
    """The number that a value writes, with thousands separators, currency or percent sign; else NaN."""
    text = value.strip()
    if not text or len(text) > 40 or not _NUMBER.fullmatch(text):
        return float("nan")
    digits = text.strip("$€£% ").replace(",", "")
    try:
        return float(digits)
    except ValueError:
        return float("nan")


def is_missing_spelling(value: str) -> bool:
    """Whether a present value is a usual way to write that there is none."""
    return value.strip().lower() in MISSING_SPELLINGS


def is_placeholder(value: str) -> bool:
    """Whether a present value can hardly be anything but a way to write that there is none."""
    return value.strip().lower() in PLACEHOLDERS


def has_odd_blanks(value: str) -> bool:
    """Whether a value begins or ends with a blank or has two in a row."""
    return value != value.strip() or _DOUBLE_BLANK.search(value) is not None


def has_mojibake(value: str) -> bool:
    """Whether a value shows marks of text decoded with the wrong encoding."""
    return _MOJIBAKE.search(value) is not None


def similarity(left: str, right: str) -> float:
    """One minus the restricted Damerau-Levenshtein distance over the longer length; 1 for equal values."""
    return float(OSA.normalized_similarity(left[:_COMPARED_CHARACTERS], right[:_COMPARED_CHARACTERS]))


def similarities(left: Sequence[str], right: Sequence[str]) -> Floats:
    """`similarity` of each pair, float64 (pairs,)."""
    if not left:
        return np.zeros(0)
    cut = [[value[:_COMPARED_CHARACTERS] for value in values] for values in (left, right)]
    scores = process.cpdist(cut[0], cut[1], scorer=OSA.normalized_similarity, workers=1)
    return np.asarray(scores, dtype=np.float64)


def signed_log(values: Floats) -> Floats:
    """sign(x) · log(1 + |x|)."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=np.float64)


def _robust_deviation(values: Floats, counts: Ints) -> Floats:
    """Signed log of the distance from the median, in units of the scaled median absolute deviation."""
    known = ~np.isnan(values)
    result = np.zeros(len(values), dtype=np.float64)
    if not known.any():
        return result
    center = _weighted_median(values[known], counts[known])
    distances = np.abs(values[known] - center)
    spread = 1.4826 * _weighted_median(distances, counts[known])
    if spread == 0.0:  # more than half of the values are equal
        spread = _weighted_median(distances[distances > 0], counts[known][distances > 0]) or 1.0
    result[known] = signed_log((values[known] - center) / spread)
    return result


def _weighted_median(values: Floats, counts: Ints) -> float:
    if not len(values):
        return 0.0
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(counts[order])
    return float(values[order][np.searchsorted(cumulated, (cumulated[-1] + 1) // 2)])


def _bigram_frequency(distinct: Sequence[str]) -> tuple[Floats, Floats]:
    """Occurrences of pairs are counted in hashed buckets, each value's own ones left out."""
    if not distinct:
        return np.zeros(0), np.zeros(0)
    padded = [f"\n{value[:_COMPARED_CHARACTERS]}\n" for value in distinct]
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
    lengths = np.array([len(value) for value in padded], dtype=np.int64)
    owner = np.repeat(np.arange(len(distinct), dtype=np.int64), lengths)
    inside = owner[:-1] == owner[1:]
    buckets = ((points[:-1] * 40503 + points[1:] * 2654435761) % _BIGRAM_BUCKETS)[inside]
    owner = owner[:-1][inside]
    total = np.bincount(buckets, minlength=_BIGRAM_BUCKETS)
    _, inverse, own = np.unique(owner * _BIGRAM_BUCKETS + buckets, return_inverse=True, return_counts=True)
    others = total[buckets] - own[inverse]
    logs = exact(np.log1p(np.arange(int(others.max()) + 1, dtype=np.float64)))[others]
    starts = np.searchsorted(owner, np.arange(len(distinct)))
    rarest = np.minimum.reduceat(logs, starts)
    mean = np.add.reduceat(logs, starts) / (lengths - 1)
    return rarest, mean


def _most_similar(distinct: Sequence[str], counts: Ints) -> list[list[SimilarValue]]:
    """Compare each value with the most frequent values, as many as a fixed amount of work allows."""
    found: list[list[SimilarValue]] = [[] for _ in distinct]
    frequent = [int(code) for code in np.argsort(-counts, kind="stable") if counts[code] > 1]
    if not frequent:
        return found
    lengths = np.minimum([len(value) for value in distinct], _COMPARED_CHARACTERS)
    mean = float(lengths.mean())
    per_pair = 20.0 + mean * np.ceil(mean / 64)
    frequent = frequent[: max(16, int(_SIMILARITY_WORK / per_pair / len(distinct)))]
    short = [value[:_COMPARED_CHARACTERS] for value in distinct]
    targets = [short[code] for code in frequent]
    target_counts = counts[frequent]
    chunk = max(1, _SIMILARITY_CELLS // len(frequent))
    for start in range(0, len(distinct), chunk):
        part = short[start : start + chunk]
        scores = process.cdist(
            part, targets, scorer=OSA.normalized_similarity, score_cutoff=_MIN_SIMILARITY, dtype=np.float32, workers=1
        )
        scores[target_counts[None, :] <= counts[start : start + chunk, None]] = 0.0
        for row in np.nonzero(scores.max(axis=1) > 0)[0].tolist():
            places = np.argsort(-scores[row], kind="stable")[:_SIMILAR_KEPT].tolist()
            found[start + row] = [
                SimilarValue(distinct[frequent[place]], float(scores[row, place]), int(target_counts[place]))
                for place in places
                if scores[row, place] > 0
            ]
    return found
