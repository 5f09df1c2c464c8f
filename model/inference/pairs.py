"""Pairs of records judged one by one, by what both say and nothing else.

Where whole tables are at hand, `model.inference.resolution` judges a pair among its rivals, which tells much more. A
pair alone is judged by trees over its similarities, which learned what a match is from labelled pairs of many domains
(RPT's collaborative training, PVLDB 14(8), 2021, section 4), each feature speaking in one direction only. Words are
weighed by their rarity in tables at large, so a pair's probability depends on no other record.

A few examples of the caller change what counts (`TaughtJudge`): words in which matching examples differ are left out of
the comparison, and a regression that begins at the trees' answer is fitted to the examples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz
from scipy.optimize import minimize

from model.checkpoint import Checkpoint
from model.errors import InputError, OptionError
from model.inference.batching import ModelTask, Progress, StepCall
from model.inference.columns import Floats, number_of
from model.inference.records import Records, codes, squash, words, words_of_codes
from model.judge import Judge
from model.rarity import WordRarity
from model.tuples import Decision, Relation, Usage, Value

JUDGE = "match"
"""The trees of pairs in a checkpoint."""

DIRECTIONS = {
    "least_share_of_words": 1,
    "greatest_share_of_words": 1,
    "share_of_words": 1,
    "cosine_of_words": 1,
    "rarest_common_word": 1,
    "rarest_word_of_one": -1,
    "rarest_word_of_both": -1,
    "longest_common_code": 1,
    "longest_code_of_one": -1,
    "longest_code_of_both": -1,
    "longest_code_within": 1,
    "codes_contradict": -1,
    "common_numbers": 1,
    "numbers_of_one": -1,
    "numbers_of_both": -1,
    "cosine_of_characters": 1,
    "ratio": 1,
    "ratio_of_sorted_words": 1,
    "ratio_of_word_sets": 1,
    "ratio_of_parts": 1,
    "telling_ratio": 1,
    "telling_ratio_of_word_sets": 1,
    "rarest_telling_word_of_one": -1,
    "rarest_telling_word_of_both": -1,
    "least_of_attributes": 1,
    "greatest_of_attributes": 1,
    "mean_of_attributes": 1,
    "attributes_compared": 0,
    "attributes_equal": 1,
    "attributes_apart": -1,
    "nearness_of_numbers": 1,
    "numbers_compared": 0,
    "ratio_of_lengths": 0,
}
"""Features of a pair, and in which direction each speaks: 1 for a match as it grows, -1 against it, 0 either way.

`of_one` is the greater and `of_both` the lesser of what only the left and what only the right record has, so that
exchanging both changes nothing. `telling` is of the attribute that both have with the
rarest words on average: a name rather than a description.
"""

FEATURES = tuple(DIRECTIONS)

MAX_EXAMPLES = 1000
_READ_TEXT, _READ_RATIO, _READ_PARTS, _READ_VALUE = 600, 300, 200, 200
_LEAST_CODE_WITHIN = 4
_UNKNOWN = 0.5
_EQUAL, _APART = 0.999, 0.5
_PAIRS_PER_STEP = 500
_SPREAD, _SPREAD_OF_LEVEL = 0.2, 0.4
_FEWEST_DIFFERING = 2
_SUREST = 12.0


@dataclass(frozen=True, slots=True)
class TaughtPair:
    """A pair whose answer is known: values of both records by the attributes of the relations that are compared."""

    left: tuple[Value, ...]
    right: tuple[Value, ...]
    is_match: bool


@dataclass(frozen=True, slots=True)
class PairOptions:
    """Options of one call.

    Attributes:
        review_band: probabilities from low to high are for a person to look at.
        examples: pairs of the same attributes whose answer is known.
    """

    review_band: tuple[float, float] = (0.3, 0.7)
    examples: tuple[TaughtPair, ...] = ()


@dataclass(frozen=True, slots=True)
class AttributeSimilarity:
    """How alike two records are in one attribute, 0…1; None where a value is missing."""

    attribute: str
    similarity: float | None


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """Two tuples, the probability that they are one entity, and what speaks for and against it.

    Attributes:
        similarities: of every attribute.
        common, only_left, only_right: the rarest words of both, and of one alone, rarest first.
    """

    left: int
    right: int
    probability: float
    decision: Decision
    similarities: tuple[AttributeSimilarity, ...]
    common: tuple[str, ...]
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MatchingResult:
    """Judged pairs in the order in which they were asked, and words that the examples showed not to matter."""

    pairs: tuple[ComparedPair, ...]
    ignored: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)


def match_pairs(
    checkpoint: Checkpoint,
    aligned: AlignedRelations,
    pairs: Sequence[tuple[int, int]],
    options: PairOptions | None = None,
    progress: Progress | None = None,
) -> ModelTask[MatchingResult]:
    """Judge pairs of a tuple of the left relation and one of the right; other tasks get their turns in between.

    What only one relation has is read as text.

    Raises:
        InputError: a pair names a tuple that is not there, or the checkpoint has no judge of pairs.
        OptionError: two examples answer the same pair differently, or there are too many.

    """
    options = options or PairOptions()
    judge = PairJudge.of(checkpoint)
    left, right = aligned.rows
    for number, (one, other) in enumerate(pairs):
        if not (0 <= one < len(left) and 0 <= other < len(right)):
            raise InputError(f"pair {number} names a record that is not there", field="pairs")
    _check(options.examples, len(aligned.names))
    judged: list[ComparedPair] = []
    made: list[TaughtJudge] = []
    yield [StepCall(lambda: made.append(TaughtJudge(judge, aligned.names, options.examples)))]

    def compare(start: int) -> None:
        chosen = pairs[start : start + _PAIRS_PER_STEP]
        judged.extend(made[0].judge(aligned.rows, chosen, options.review_band))

    for start in range(0, len(pairs), _PAIRS_PER_STEP):
        yield [StepCall(partial(compare, start))]
        if progress is not None:
            progress("compare", min(len(pairs), start + _PAIRS_PER_STEP), len(pairs))
    return MatchingResult(tuple(judged), tuple(sorted(made[0].ignored)), Usage(tuples=len(left) + len(right)))


Rows = tuple[Sequence[tuple[Value, ...]], Sequence[tuple[Value, ...]]]


@dataclass(frozen=True)
class AlignedRelations:
    """Two relations with their attributes under one name each, as `model.inference.records` aligns them.

    Attributes:
        names: of the attributes, in an order that is not that of the relations.
        rows: the tuples of the left and of the right relation by them.
    """

    names: tuple[str, ...]
    rows: Rows
    _records: Records

    @classmethod
    def of(cls, left: Relation, right: Relation) -> AlignedRelations:
        """Align two relations."""
        records = Records.of([left, right])
        rows: tuple[list[tuple[Value, ...]], list[tuple[Value, ...]]] = ([()] * len(left), [()] * len(right))
        for place, values in zip(records.places, records.values, strict=True):
            rows[place.relation][place.tuple_id] = values
        return cls(records.names, rows, records)

    def place(self, name: str) -> int | None:
        """Where the attribute that some relation calls `name` stands; None where there is none."""
        return self._records.attribute(name)


def _check(examples: Sequence[TaughtPair], width: int) -> None:
    if len(examples) > MAX_EXAMPLES:
        raise OptionError(f"{len(examples)} examples, at most {MAX_EXAMPLES} are taken", field="examples")
    known: dict[frozenset[tuple[Value, ...]], bool] = {}
    for number, one in enumerate(examples):
        if len(one.left) != width or len(one.right) != width:
            raise OptionError(f"example {number} has not the attributes of the tables", field="examples")
        if known.setdefault(frozenset((one.left, one.right)), one.is_match) is not one.is_match:
            raise OptionError(f"example {number} answers a pair differently than one before", field="examples")


@dataclass(frozen=True, slots=True)
class PairJudge:
    """What is known of pairs: how rare words are, and trees over similarities, whose logit is that of a match."""

    rarity: WordRarity
    trees: Judge

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> PairJudge:
        """The judge of a checkpoint.

        Raises:
            InputError: it has none.
        """
        judge = cls.known(checkpoint)
        if judge is None:
            message = "the checkpoint cannot judge pairs: `python -m model.finetuning.pairs` trains what it needs"
            raise InputError(message)
        return judge

    @classmethod
    def known(cls, checkpoint: Checkpoint) -> PairJudge | None:
        """The judge of a checkpoint, None where it has none."""
        if checkpoint.rarity is None or JUDGE not in checkpoint.judges:
            return None
        return cls(checkpoint.rarity, checkpoint.judges[JUDGE])

    def probabilities(self, features: npt.NDArray[np.float32]) -> Floats:
        """Probability of a match of each pair, (pairs,)."""
        return _probabilities(self.trees.logits(features))


def _probabilities(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -_SUREST, _SUREST))))


class TaughtJudge:
    """The judge, after a caller's examples."""

    def __init__(self, judge: PairJudge, names: Sequence[str], examples: Sequence[TaughtPair]) -> None:
        self._judge = judge
        self._names = names
        self.ignored = _words_that_do_not_matter(examples)
        self._level, self._slope = 0.0, 1.0
        self._weights = np.zeros(len(names))
        if examples:
            self._learn(examples)

    def _learn(self, examples: Sequence[TaughtPair]) -> None:
        """Fit level and slope of the logit, and a weight of each attribute, with a prior that leaves all as it is."""
        compared = [self._compare(one.left, one.right) for one in examples]
        logits = self._judge.trees.logits(np.stack([one.features for one in compared]))
        apart = np.stack([_apart(one.similarities) for one in compared])
        labels = np.array([one.is_match for one in examples], dtype=np.float64)

        def loss(parameters: Floats) -> tuple[float, Floats]:
            level, slope, weights = parameters[0], parameters[1], parameters[2:]
            scores = level + slope * logits + apart @ weights
            prior = (level / _SPREAD_OF_LEVEL) ** 2 + ((slope - 1) / _SPREAD) ** 2 + float(weights @ weights)
            value = float(np.logaddexp(0, scores).sum() - labels @ scores) + prior / 2
            error = 1 / (1 + np.exp(-scores)) - labels
            gradient = np.concatenate(
                (
                    [error.sum() + level / _SPREAD_OF_LEVEL**2, error @ logits + (slope - 1) / _SPREAD**2],
                    apart.T @ error + weights,
                )
            )
            return value, gradient

        start = np.zeros(2 + len(self._names))
        start[1] = 1.0
        found = minimize(loss, start, jac=True, method="L-BFGS-B").x.round(6)
        self._level, self._slope, self._weights = float(found[0]), float(found[1]), found[2:]

    def _compare(self, left: Sequence[Value], right: Sequence[Value]) -> Compared:
        if self.ignored:
            left, right = ([_without(value, self.ignored) for value in row] for row in (left, right))
        return compare(left, right, self._judge.rarity)

    def judge(self, rows: Rows, pairs: Sequence[tuple[int, int]], band: tuple[float, float]) -> list[ComparedPair]:
        """Judge some pairs."""
        compared = [self._compare(rows[0][one], rows[1][other]) for one, other in pairs]
        probabilities = self._probabilities(compared)
        return [
            self._answer(pair, float(probability), one, band)
            for pair, probability, one in zip(pairs, probabilities, compared, strict=True)
        ]

    def probabilities(self, rows: Rows, pairs: Sequence[tuple[int, int]]) -> Floats:
        """Probabilities of pairs of `rows` alone, (pairs,)."""
        return self._probabilities([self._compare(rows[0][one], rows[1][other]) for one, other in pairs])

    def _probabilities(self, compared: Sequence[Compared]) -> Floats:
        logits = self._judge.trees.logits(np.stack([one.features for one in compared]))
        apart = np.stack([_apart(one.similarities) for one in compared])
        logits = self._level + self._slope * logits + (apart * self._weights).sum(axis=1)
        return _probabilities(logits)

    def _answer(
        self, pair: tuple[int, int], probability: float, compared: Compared, band: tuple[float, float]
    ) -> ComparedPair:
        low, high = band
        sure = Decision.MATCH if probability > high else Decision.NO_MATCH
        similarities = tuple(
            AttributeSimilarity(name, None if math.isnan(one) else round(one, 4))
            for name, one in zip(self._names, compared.similarities, strict=True)
        )
        decision = Decision.REVIEW if low <= probability <= high else sure
        return ComparedPair(*pair, round(probability, 6), decision, similarities, *compared.words)


def _apart(similarities: Sequence[float]) -> Floats:
    """How far apart each attribute is, 0…1; 0 where a value is missing."""
    return np.nan_to_num(1 - np.asarray(similarities, dtype=np.float64))


def _words_that_do_not_matter(examples: Sequence[TaughtPair]) -> frozenset[str]:
    """Words in which two matching examples or more differ, and pairs that do not match never."""
    differing: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for one in examples:
        sides = [_words_of(row) for row in (one.left, one.right)]
        differing[one.is_match].update(sides[0] ^ sides[1])
    often = (word for word, count in differing[True].items() if count >= _FEWEST_DIFFERING)
    return frozenset(word for word in often if word not in differing[False] and not word.isdigit())


def _words_of(row: Sequence[Value]) -> set[str]:
    return {word for value in row if value for word in words(value[:_READ_TEXT].casefold())}


def _without(value: Value, ignored: frozenset[str]) -> Value:
    if not value or not ignored.intersection(words(value.casefold())):
        return value
    return " ".join(part for part in value.split() if not set(words(part.casefold())) or
                    not set(words(part.casefold())) <= ignored) or None  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compared:
    """Features of a pair as `FEATURES`, each attribute's similarity (NaN where missing), and the rarest words."""

    features: npt.NDArray[np.float32]
    similarities: tuple[float, ...]
    words: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def compare(left: Sequence[Value], right: Sequence[Value], rarity: WordRarity) -> Compared:
    """What two records of the same attributes have in common."""
    similarities, numeric = _similarities(left, right)
    read = [place for place in range(len(left)) if place not in numeric]
    texts = [_text([row[place] for place in read]) for row in (left, right)]
    nearness = [similarities[place] for place in numeric]
    ours, theirs = (dict.fromkeys(words(text)) for text in texts)
    weights = {word: rarity.of(word) for word in (*ours, *theirs)}
    coded = _Coded.of(*texts)
    held = _held(ours, theirs, coded)
    telling = _telling(left, right, rarity)
    values = [
        *_of_words(ours, theirs, held, weights),
        *_of_codes(coded, telling),
        *_of_numbers(ours, theirs),
        _cosine_of_characters(*(text[:400] for text in texts)),
        *_ratios(*texts),
        fuzz.token_sort_ratio(*telling) / 100,
        fuzz.token_set_ratio(*telling) / 100,
        *_rarest_of_each(telling, held, weights),
        *_of_attributes(similarities),
        float(np.mean(nearness)) if nearness else _UNKNOWN,
        len(nearness),
        min(map(len, texts)) / max(1, *map(len, texts)),
    ]
    return Compared(np.asarray(values, dtype=np.float32), similarities, _rarest_words(ours, theirs, held, weights))


def _telling(left: Sequence[Value], right: Sequence[Value], rarity: WordRarity) -> tuple[str, str]:
    """Both values, folded, of the attribute that both have and whose words are the rarest on average."""
    best, found = -1.0, ("", "")
    for one, other in zip(left, right, strict=True):
        if one and other:
            texts = one[:_READ_VALUE].casefold(), other[:_READ_VALUE].casefold()
            own = [rarity.of(word) for text in texts for word in words(text) if not word.isdigit()]
            mean = sum(own) / len(own) if own else 0.0
            if (mean, sorted(texts)) > (best, sorted(found)):  # a tie is broken the same from either side
                best, found = mean, texts
    return found


Held = tuple[set[str], set[str]]
"""Words of the left record that the right one has as well, and the other way round."""


@dataclass(frozen=True, slots=True)
class _Coded:
    """Codes of either record with the words they are written in, and those that the other's text holds otherwise."""

    written: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]
    within: tuple[set[str], set[str]]

    @classmethod
    def of(cls, left: str, right: str) -> _Coded:
        ours, theirs = words_of_codes(left), words_of_codes(right)
        squashed = squash(left), squash(right)
        within = (_within(ours.keys() - theirs.keys(), squashed[1]), _within(theirs.keys() - ours.keys(), squashed[0]))
        return cls((ours, theirs), within)


def _within(some: set[str], text: str) -> set[str]:
    return {code for code in some if len(code) >= _LEAST_CODE_WITHIN and code in text}


def _held(ours: dict[str, None], theirs: dict[str, None], coded: _Coded) -> Held:
    """Words that both have, and those of a code that the other writes apart or together: `DSC-W55` and `dscw55`."""
    common = ours.keys() & theirs.keys()
    found = []
    for own, code_words in zip((0, 1), coded.written, strict=True):
        same = [code for code in code_words if code in coded.written[1 - own] or code in coded.within[own]]
        found.append(common | {word for code in same for word in code_words[code]})
    return found[0], found[1]


def _of_words(ours: dict[str, None], theirs: dict[str, None], held: Held, weights: dict[str, float]) -> list[float]:
    sides = ((ours, held[0]), (theirs, held[1]))
    totals = [sum(weights[word] for word in side) for side, _ in sides]
    shared = [sum(weights[word] for word in side if word in both) for side, both in sides]
    lengths = [sum(weights[word] ** 2 for word in side) for side, _ in sides]
    squares = [sum(weights[word] ** 2 for word in side if word in both) for side, both in sides]
    shares = sorted(one / max(total, 1e-9) for one, total in zip(shared, totals, strict=True))
    only = sorted(_rarest((word for word in side if word not in both), weights) for side, both in sides)
    union = min(shared) / max(sum(totals) - max(shared), 1e-9)
    cosine = min(squares) / max(math.sqrt(lengths[0] * lengths[1]), 1e-9)
    common = _rarest((word for side, both in sides for word in side if word in both), weights)
    return [*shares, union, cosine, common, only[1], only[0]]


def _rarest(some: object, weights: dict[str, float]) -> float:
    return max((weights[word] for word in some), default=0.0)  # type: ignore[attr-defined]


def _of_codes(coded: _Coded, telling: Sequence[str]) -> list[float]:
    """Length of the longest code in common, of one record, of both, and within the other's text; a contradiction."""
    ours, theirs = (set(written) for written in coded.written)
    within = coded.within[0] | coded.within[1]
    only = sorted(_longest(side - other - within) for side, other in ((ours, theirs), (theirs, ours)))
    named, others = (codes(value) for value in telling)
    contradict = not named & others and bool(named - others - within) and bool(others - named - within)
    return [_longest(ours & theirs), only[1], only[0], _longest(within), float(contradict)]


def _longest(some: set[str]) -> float:
    return float(max(map(len, some), default=0))


def _of_numbers(ours: dict[str, None], theirs: dict[str, None]) -> list[float]:
    left, right = ({word for word in side if word.isdigit()} for side in (ours, theirs))
    only = sorted((len(left - right), len(right - left)))
    return [len(left & right), only[1], only[0]]


def _cosine_of_characters(left: str, right: str) -> float:
    padded = (f" {left} ", f" {right} ")
    ours, theirs = (Counter(text[start : start + 3] for start in range(len(text) - 2)) for text in padded)
    common = sum(count * theirs[part] for part, count in ours.items() if part in theirs)
    lengths = [sum(count * count for count in side.values()) for side in (ours, theirs)]
    return common / max(math.sqrt(lengths[0] * lengths[1]), 1e-9)


def _ratios(left: str, right: str) -> list[float]:
    long = left[:_READ_RATIO], right[:_READ_RATIO]
    kinds = (fuzz.ratio(*long), fuzz.token_sort_ratio(*long), fuzz.token_set_ratio(*long),
             fuzz.partial_ratio(left[:_READ_PARTS], right[:_READ_PARTS]))  # fmt: skip
    return [kind / 100 for kind in kinds]


def _rarest_of_each(telling: Sequence[str], held: Held, weights: dict[str, float]) -> list[float]:
    """Rarity of the rarest word of one's telling attribute that the other record has nowhere."""
    only = sorted(_rarest((w for w in words(value) if w in weights and w not in both), weights)
                  for value, both in zip(telling, held, strict=True))  # fmt: skip
    return [only[1], only[0]]


def _text(row: Sequence[Value]) -> str:
    return " ".join(value[:_READ_TEXT] for value in row if value).casefold()


def _similarities(left: Sequence[Value], right: Sequence[Value]) -> tuple[tuple[float, ...], list[int]]:
    """Similarity of each attribute, NaN where a value is missing, and the places of those of two numbers.

    Two numbers are compared as such: their digits are no words and no codes.
    """
    found: list[float] = []
    numeric: list[int] = []
    for place, (one, other) in enumerate(zip(left, right, strict=True)):
        if not one or not other:
            found.append(math.nan)
            continue
        numbers = number_of(one), number_of(other)
        if not any(map(math.isnan, numbers)):
            scale = max(abs(numbers[0]), abs(numbers[1]), 1e-9)
            found.append(1 - min(1.0, abs(numbers[0] - numbers[1]) / scale))
            numeric.append(place)
            continue
        texts = one[:_READ_VALUE].casefold(), other[:_READ_VALUE].casefold()
        found.append(max(fuzz.token_sort_ratio(*texts), fuzz.ratio(*texts)) / 100)
    return tuple(found), numeric


def _of_attributes(similarities: Sequence[float]) -> list[float]:
    known = [one for one in similarities if not math.isnan(one)]
    summary = [min(known), max(known), sum(known) / len(known)] if known else [_UNKNOWN] * 3
    return [*summary, len(known), sum(one > _EQUAL for one in known), sum(one < _APART for one in known)]


def _rarest_words(
    ours: dict[str, None], theirs: dict[str, None], held: Held, weights: dict[str, float]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    def shown(some: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted(some, key=lambda word: (-weights[word], word))[:5])

    return (
        shown([word for word in ours if word in theirs]),
        shown([word for word in ours if word not in held[0]]),
        shown([word for word in theirs if word not in held[1]]),
    )
