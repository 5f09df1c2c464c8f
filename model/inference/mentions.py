"""Where in the other cells of a tuple a missing value is written, learned from the tuples that have one.

Every run of words in the other cells is a phrase that may be the value. In the tuples whose value is known it shows
which ones are: by the cell and the place in it where the value is used to stand, by the words around it, by whether
the column knows the phrase, and by how often the phrase meant itself where it stood (an "Apple" in the text is the
maker, or what the case is made for). So also values are found that the column does not hold yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import sparse

from model.inference.columns import MISSING, Column, Floats, Ints, collapsed, pattern_of, plain, spread

MENTIONED = 3
"""Values that are given for each tuple."""

MAX_TUPLES = 300
MIN_MENTIONED = 0.05
_LEAST_EXAMPLES = 5
_LEAST_PROBABILITY = 0.0005
_READ_CHARACTERS = 300
_READ_WORDS = 40
_PHRASE_WORDS = 6
_MAX_PHRASES = 200
_MAX_FEATURES = 2000
_FOLDS = 3
_STRENGTH = 1.0
_SHARPNESS = (1.0, 1.5, 2.0, 3.0, 4.0)
_NOTHING = (-2.0, -1.0, 0.0, 1.0, 2.0)
_LIMIT = 30.0
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Mention:
    """A value that stands in the tuple's other cells; the probabilities of a tuple's values sum to 1 or less."""

    value: str
    probability: float


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A run of words, as written, with what stands before and after it in its cell."""

    attribute: int
    text: str
    words: int
    place: int
    before: str
    after: str


@dataclass(slots=True)
class _Found:
    """What a phrase would be as a value, and all places in one tuple where it stands."""

    value: str
    key: str
    phrases: list[_Phrase]

    def attributes(self) -> dict[str, tuple[int, ...]]:
        """The attributes in which it stands, and those which it begins."""
        everywhere = sorted({phrase.attribute for phrase in self.phrases})
        begun = sorted({phrase.attribute for phrase in self.phrases if not phrase.place})
        return {"stands in": tuple(everywhere), "begins": tuple(begun)}


class Mentions:
    """Mentions in one relation; an attribute is learned when it is first asked for, from some of its tuples."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._learned = lru_cache(maxsize=2)(self._learn)

    def votes(self, attribute: int, tuple_ids: Sequence[int]) -> list[list[Mention]]:
        """The likeliest values of `attribute` that each tuple's other cells mention, best first."""
        learned = self._learned(attribute)
        return [[] if learned is None else learned.mentions(tuple_id) for tuple_id in tuple_ids]

    def reliability(self, attribute: int) -> float:
        """How often the first answer is right in tuples that were left out, drawn a little to one half; else 0."""
        learned = self._learned(attribute)
        return 0.0 if learned is None else learned.reliability

    def _learn(self, attribute: int) -> _Learned | None:
        known = spread(np.nonzero(self._columns[attribute].codes != MISSING)[0], MAX_TUPLES)
        reader = _Reader(self._columns, attribute)
        mentioned = sum(reader.mentions_itself(tuple_id) for tuple_id in known.tolist())
        if mentioned < max(_LEAST_EXAMPLES, MIN_MENTIONED * len(known)):
            return None
        return _Learned(reader, known.tolist())


class _Learned:
    """A logistic regression over features of phrases; its reliability is that of others, each without some tuples."""

    def __init__(self, reader: _Reader, known: Sequence[int]) -> None:
        self._reader = reader
        self._stood: dict[str, int] = {}
        self._meant: dict[str, int] = {}
        self._own: dict[int, tuple[frozenset[str], str]] = {}
        found = [reader.found(tuple_id) for tuple_id in known]
        for tuple_id, ones in zip(known, found, strict=True):
            self._count(tuple_id, frozenset(one.key for one in ones))
        owner = np.repeat(np.arange(len(known)), [len(ones) for ones in found])
        named = [one for tuple_id, ones in zip(known, found, strict=True) for one in self._features(tuple_id, ones)]
        values = [[one.value for one in ones] for ones in found]
        truth = [reader.value(tuple_id) for tuple_id in known]
        right = np.array(
            [value == true for ones, true in zip(values, truth, strict=True) for value in ones], dtype=bool
        )
        self._place = _usual_features(named)
        matrix = self._matrix(named)
        folds = owner % _FOLDS
        held_out = np.zeros(len(owner))
        for fold in range(_FOLDS):
            held_out[folds == fold] = _logits(matrix[folds == fold], *_fit(matrix[folds != fold], right[folds != fold]))
        self._coefficients, self._intercept = _fit(matrix, right)
        self._sharpness, self._nothing = _sharpness(held_out, owner, right)
        ends = np.cumsum([len(ones) for ones in values]).tolist()
        first = [self._best(ones, held_out[end - len(ones) : end])[:1] for ones, end in zip(values, ends, strict=True)]
        told = sum(one[0].value == true for one, true in zip(first, truth, strict=True) if one)
        self.reliability = (told + 1) / (len(known) + 2)

    def mentions(self, tuple_id: int) -> list[Mention]:
        found = self._reader.found(tuple_id)
        # Row by row, as sparse products are: the figures of a phrase do not depend on the others'.
        logits = _logits(self._matrix(self._features(tuple_id, found)), self._coefficients, self._intercept)
        return self._best([one.value for one in found], logits)

    def _best(self, values: Sequence[str], logits: Floats) -> list[Mention]:
        powers = _powers(logits, self._sharpness)
        probabilities = np.round(powers / (powers.sum() + np.exp(self._nothing)), 6).tolist()
        ranked = sorted(zip(values, probabilities, strict=True), key=lambda one: (-one[1], one[0]))
        return [
            Mention(value, p)
            for place, (value, p) in enumerate(ranked[:MENTIONED])
            if not place or p >= _LEAST_PROBABILITY
        ]

    def _count(self, tuple_id: int, keys: frozenset[str]) -> None:
        """Where each phrase stood, and where it was the value."""
        own = plain(self._reader.value(tuple_id))
        self._own[tuple_id] = keys, own
        for key in keys:
            self._stood[key] = self._stood.get(key, 0) + 1
        self._meant[own] = self._meant.get(own, 0) + (own in keys)

    def _features(self, tuple_id: int, found: Sequence[_Found]) -> list[dict[str, float]]:
        """Features of all phrases of a tuple; of the tuple's own value nothing is known."""
        keys, counted = self._own.get(tuple_id, (frozenset(), ""))
        own = plain(self._reader.value(tuple_id))
        held = {one.key: self._reader.held(one.key) - (one.key == own) for one in found}
        longer = [key for key, count in held.items() if count > 0]
        features = []
        for one in found:
            stood = self._stood.get(one.key, 0) - (one.key in keys)
            meant = self._meant.get(one.key, 0) - (one.key in keys and one.key == counted)
            named = {
                "held": float(held[one.key] > 0),
                "log held": float(np.log1p(held[one.key])),
                "meant": (meant + 0.5) / (stood + 1.0),
                "log stood": float(np.log1p(stood)),
                "never meant": float(np.log1p(stood)) * (meant == 0),
                "longer held": float(any(one.key in key and one.key != key for key in longer)),
                **self._reader.form(one.value),
            }
            for phrase in one.phrases:
                named |= self._reader.surroundings(phrase)
            for kind, attributes in one.attributes().items():
                named[f"{kind} {attributes}"] = 1.0
            features.append(named)
        return features

    def _matrix(self, named: Sequence[dict[str, float]]) -> sparse.csr_matrix:
        rows, columns, values = [], [], []
        for row, features in enumerate(named):
            for name, value in features.items():
                place = self._place.get(name)
                if place is not None and value:
                    rows.append(row)
                    columns.append(place)
                    values.append(value)
        return sparse.csr_matrix((values, (rows, columns)), shape=(len(named), len(self._place)))


def _usual_features(named: Sequence[dict[str, float]]) -> dict[str, int]:
    """A place for each feature that more than two phrases have, the most frequent first."""
    counts: dict[str, int] = {}
    for features in named:
        for name in features:
            counts[name] = counts.get(name, 0) + 1
    usual = sorted((name for name in counts if counts[name] > 2), key=lambda name: (-counts[name], name))
    return {name: place for place, name in enumerate(usual[:_MAX_FEATURES])}


def _fit(matrix: sparse.csr_matrix, right: npt.NDArray[np.bool_]) -> tuple[Floats, float]:
    """Coefficients and intercept; where nothing or everything is right, of no use."""
    from sklearn.linear_model import LogisticRegression  # a second to import, and only filling needs it

    if right.all() or not right.any():
        return np.zeros(matrix.shape[1]), -_LIMIT
    model = LogisticRegression(C=_STRENGTH, max_iter=200, tol=1e-4).fit(matrix, right)
    return model.coef_[0], float(model.intercept_[0])


def _logits(matrix: sparse.csr_matrix, coefficients: Floats, intercept: float) -> Floats:
    return np.asarray(matrix @ coefficients + intercept, dtype=np.float64)


def _powers(logits: Floats, sharpness: float) -> Floats:
    return np.asarray(np.exp(np.clip(logits * sharpness, -_LIMIT, _LIMIT)), dtype=np.float64)


def _sharpness(logits: Floats, owner: Ints, right: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """By how much to multiply logits, and the logit of no phrase, that make what is right in each tuple likeliest."""

    def likelihood(choice: tuple[float, float]) -> float:
        powers = _powers(logits, choice[0])
        nothing = np.exp(choice[1])
        total = np.bincount(owner, powers) + nothing
        of_right = np.bincount(owner, powers * right)
        of_truth = np.where(np.bincount(owner, right) > 0, of_right, nothing) / total
        return round(float(np.log(np.maximum(of_truth, 1e-4)).mean()), 6)

    return max(product(_SHARPNESS, _NOTHING), key=likelihood)


class _Reader:
    """Phrases of tuples, and what the column knows of them."""

    def __init__(self, columns: Sequence[Column], attribute: int) -> None:
        self._columns = columns
        self._attribute = attribute
        self._column = column = columns[attribute]
        self._held: dict[str, int] = {}
        self._spelling: dict[str, str] = {}
        for code in np.argsort(-column.counts, kind="stable").tolist():
            key = plain(column.distinct[code])
            if len(key) > 1:
                self._held[key] = self._held.get(key, 0) + int(column.counts[code])
                self._spelling.setdefault(key, column.distinct[code])
        self._words: dict[int, int] = {}
        for value, count in zip(column.distinct, column.counts.tolist(), strict=True):
            words = len(_WORD.findall(value))
            self._words[words] = self._words.get(words, 0) + count
        self._recase = _casing(column)

    def value(self, tuple_id: int) -> str:
        return _value(self._column, tuple_id)

    def held(self, key: str) -> int:
        """How many tuples hold a value that is `key` but for case, blanks and punctuation."""
        return self._held.get(key, 0)

    def mentions_itself(self, tuple_id: int) -> bool:
        """Whether the tuple's own value seems to stand in another cell; quick, and at times too generous."""
        own = plain(self.value(tuple_id))
        others = (column for place, column in enumerate(self._columns) if place != self._attribute)
        return len(own) > 1 and any(own in plain(_value(other, tuple_id)[:_READ_CHARACTERS]) for other in others)

    def found(self, tuple_id: int) -> list[_Found]:
        """What stands in the tuple's other cells and might be the value; its own value counts as unknown."""
        own = plain(self.value(tuple_id))
        found: dict[str, _Found] = {}
        for attribute, column in enumerate(self._columns):
            if attribute == self._attribute:
                continue
            for phrase in _phrases(attribute, _value(column, tuple_id)[:_READ_CHARACTERS]):
                key = plain(phrase.text)
                known = self.held(key) > (key == own)
                if len(key) < 2 or not (known or _stands_out(phrase)):
                    continue
                value = self._spelling[key] if known else self._recase(phrase.text)
                if value in found:
                    found[value].phrases.append(phrase)
                elif len(found) < _MAX_PHRASES:
                    found[value] = _Found(value, key, [phrase])
        return list(found.values())

    def form(self, value: str) -> dict[str, float]:
        """How usual the look of a value is in the column."""
        words = len(_WORD.findall(value))
        share = self._words.get(words, 0) / max(1, self._column.present)
        shape = self._column.shapes.share(collapsed(pattern_of(value)))
        return {
            "words share": share,
            "shape share": shape,
            f"words {min(words, 5)}": 1.0,
            "log length": float(np.log1p(len(value))),
        }

    def surroundings(self, phrase: _Phrase) -> dict[str, float]:
        name = phrase.attribute
        return {
            f"in {name}": 1.0,
            f"in {name} place {min(phrase.place, 4)}": 1.0,
            f"in {name} after {phrase.before}": 1.0,
            f"in {name} before {phrase.after}": 1.0,
            f"in {name} {_kind(phrase.before)} {_kind(phrase.after)}": 1.0,
        }


def _phrases(attribute: int, text: str) -> Iterator[_Phrase]:
    """Every run of up to six words, and the same with the signs that stick to its ends."""
    spans = [match.span() for match in _WORD.finditer(text)][:_READ_WORDS]
    for first, (start, _) in enumerate(spans):
        for last in range(first, min(len(spans), first + _PHRASE_WORDS)):
            end = spans[last][1]
            before = text[spans[first - 1][1] : start] if first else "^"
            after = text[end : spans[last + 1][0]] if last + 1 < len(spans) else "$"
            around = (
                _context(before, text[slice(*spans[first - 1])] if first else ""),
                _context(after, text[slice(*spans[last + 1])] if last + 1 < len(spans) else ""),
            )
            yield _Phrase(attribute, text[start:end], last - first + 1, first, *around)


def _context(between: str, word: str) -> str:
    """What parts a phrase from the next word: `^` or `$` at the ends, signs, or a blank and that word."""
    signs = between.strip()
    return signs if signs else f" {word.casefold()}"


def _kind(context: str) -> str:
    return "word" if context.startswith(" ") else context


def _stands_out(phrase: _Phrase) -> bool:
    """Whether a phrase that the column does not know may be a value: a short one, or one with an end of its own."""
    return phrase.words <= 2 or not phrase.before.startswith(" ") or not phrase.after.startswith(" ")


def _value(column: Column, tuple_id: int) -> str:
    code = int(column.codes[tuple_id])
    return "" if code == MISSING else column.distinct[code]


def _casing(column: Column) -> Callable[[str], str]:
    """How the column writes letters."""
    letters = [value for value in column.distinct if value.lower() != value.upper()]
    for change in (str.lower, str.upper):
        if letters and sum(change(value) == value for value in letters) > 0.9 * len(letters):
            return change
    return str
