"""What the network, the examples and the other texts say of each span that could be an answer.

Where a value that is known from examples, or that the network is sure of in another text, stands in a text, it is a
candidate there too, and so is what is written as values of the attribute's name are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from model.inference.phrases import fold, phrases, shape
from model.inference.pointing import AskedAttribute, Candidate, ExtractionExample, Pointing
from model.judge import Judge
from model.known_values import KnownValues
from model.naming import NameModel, grams, name_words
from model.tuples import Evidence

_NAMED = 4
_NAMED_WORDS = 3
_SURE = 0.5
_LEAST = -12.0
_TELLING = 1.0
_VALUES_AT_ONCE = 2048

Floats = npt.NDArray[np.float64]

EVIDENCE = (
    "log_probability", "no_answer", "gap", "is_first", "shown", "examples", "is_example", "example_logit", "same_shape",
    "example_rate", "support", "support_logit", "answer_rate", "words",
    "named", "named_gap", "elsewhere_gap", "stands_under",
)  # fmt: skip
"""What is known of a candidate; `Observations.judge` says what they are."""

FEATURES = ("judge", *EVIDENCE)
"""What a calibrator weighs: the evidence, and before it what trees make of the evidence, as log-odds."""

JUDGE = "extraction"

DIRECTIONS = {
    "judge": 1, "log_probability": 1, "no_answer": -1, "gap": 1, "is_first": 1, "is_example": 1, "example_logit": 1,
    "same_shape": 1, "support": 1, "support_logit": 1, "named": 1, "named_gap": 1, "elsewhere_gap": 1,
    "stands_under": 1,
}  # fmt: skip
"""Evidence that can only speak for a candidate, or only against it: texts are often unlike those that trees learned."""

NO_ANSWER_FEATURES = ("no_answer", "best", "shown", "examples", "example_rate", "answer_rate")
"""What is known of a question, and how good its best candidate is."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A question about one text: its candidates, and what is known of them and of it.

    Attributes:
        values: the words of each candidate.
        features: (candidates, len(FEATURES)).
        about: `NO_ANSWER_FEATURES` but for "best".
    """

    candidates: tuple[Candidate, ...]
    values: tuple[str, ...]
    features: Floats
    about: Mapping[str, float]

    def no_answer_features(self, confidences: Floats) -> Floats:
        """Features of there being no answer, (len(NO_ANSWER_FEATURES),), with what each candidate is worth."""
        known = {**self.about, "best": _logit(float(confidences.max(initial=0.0)))}
        return np.array([known[name] for name in NO_ANSWER_FEATURES])


class Observations:
    """What the network says of all texts, and what examples and the other texts make of it.

    Every text must be `count`ed once before any is judged.

    Args:
        names: what values speak for, by their letters.
        known: what columns of well-known values are called.
        trees: what the evidence of a candidate is worth; without them "judge" is 0.

    Attributes:
        texts: the distinct texts that are not blank, sorted.
    """

    def __init__(
        self,
        attributes: Sequence[AskedAttribute],
        texts: Sequence[str],
        pointings: Mapping[tuple[str, int], Pointing],
        names: NameModel | None = None,
        known: KnownValues | None = None,
        trees: Judge | None = None,
    ) -> None:
        self._trees = trees
        self.attributes = attributes
        self.texts = texts
        self.pointings = pointings
        self._names = _Names(names, attributes)
        self._well_known = _WellKnown(known, attributes)
        self._taught = [_Taught.of(attribute.examples) for attribute in attributes]
        self._told = [self._collected(attribute) for attribute in range(len(attributes))]
        self._known = set[str]().union(*(one.hits for one in self._taught), *(one.sure for one in self._told))

    def count(self, text: str) -> None:
        """Take in which known values stand in a text, and how probable they are there."""
        places = self._known & phrases(text).keys()
        for attribute, told in enumerate(self._told):
            told.count(self._seen(text, attribute), places)

    def _collected(self, attribute: int) -> _Told:
        told = _Told()
        for text in self.texts:
            pointing = self.pointings[text, attribute]
            if math.isnan(pointing.no_answer):
                continue
            told.texts += 1
            told.answered += 1.0 - math.exp(pointing.no_answer)
            for candidate in pointing.candidates[:1]:
                if math.exp(candidate.log_probability) >= _SURE:
                    told.trust(text, fold(text[candidate.start : candidate.end]))
        return told

    def _seen(self, text: str, attribute: int) -> dict[str, float]:
        """The probability of each value of a text."""
        seen: dict[str, float] = {}
        for one in self.pointings[text, attribute].candidates:
            value = fold(text[one.start : one.end])
            seen[value] = seen.get(value, 0.0) + math.exp(one.log_probability)
        return seen

    def judge(self, text: str) -> list[Judged]:
        """The candidates of every question about one text.

        judge                              of the trees
        log_probability, no_answer, gap    of the network: this span, none, and this span against the next best
        is_first                           whether the network has no better one
        shown, examples, example_rate      answered texts in context, examples, and how many of them have a value
        is_example, example_logit          whether it is an example's value; how often where it stood in an example
        same_shape                         whether an example's value has its letters, digits and signs alike
        support, support_logit             other texts that the network is sure to tell it; how often where it stands
        answer_rate                        other texts that tell of the attribute
        words                              of the value
        named, named_gap                   how much it speaks for the attribute's name; against other short phrases
        elsewhere_gap                      how much less it speaks for the name than for another that is asked
        stands_under                       how much more often it stands in columns of such a name than others do
        """
        return self.judge_all([text])[0]

    def judge_all(self, texts: Sequence[str]) -> list[list[Judged]]:
        """The same of several texts, for which the trees are asked at one time."""
        judged = [self._judge_text(text) for text in texts]
        every = [one for of_text in judged for one in of_text]
        if self._trees is not None and every:
            places = np.cumsum([len(one.candidates) for one in every])[:-1]
            evidence = np.concatenate([one.features[:, 1:] for one in every]).astype(np.float32)
            for one, logits in zip(every, np.split(self._trees.logits(evidence), places), strict=True):
                one.features[:, 0] = logits
        return judged

    def _judge_text(self, text: str) -> list[Judged]:
        """Every question about a text; what the trees make of the evidence is left open."""
        found = phrases(text)
        short = [phrase for phrase in found if phrase.count(" ") < _NAMED_WORDS]
        spoken = self._names.spoken([text[slice(*found[phrase])] for phrase in short])
        named = [dict(zip(short, own, strict=True)) if own is not None else {} for own in spoken]
        return [self._judge(text, attribute, found, named) for attribute in range(len(named))]

    def _judge(
        self,
        text: str,
        attribute: int,
        found: Mapping[str, tuple[int, int]],
        spoken_phrases: Sequence[Mapping[str, float]],
    ) -> Judged:
        pointing, told, named = self.pointings[text, attribute], self._told[attribute], spoken_phrases[attribute]
        elsewhere = [one for other, one in enumerate(spoken_phrases) if other != attribute]
        seen = self._seen(text, attribute)
        ranked = sorted(named.items(), key=lambda one: (-one[1], one[0]))
        best_named = [value for value, _ in ranked[:_NAMED]]
        taught = self._taught[attribute].apart_from(text)
        told_elsewhere = [value for value in found if value in taught.hits or value in told.sure]
        extra = sorted({found[value] for value in (*told_elsewhere, *best_named) if value not in seen})
        spans = (*pointing.candidates, *(Candidate(*place, pointing.log_probability(*place)) for place in extra))
        speaking = self._names.spoken_for(attribute, [text[one.start : one.end] for one in spans])
        no_answer = 0.0 if math.isnan(pointing.no_answer) else pointing.no_answer
        own = 1.0 - math.exp(no_answer)
        about = {
            "no_answer": max(_LEAST, no_answer),
            "shown": float(min(1, pointing.shown)),
            "examples": math.log1p(taught.examples),
            "example_rate": _logit((taught.answered + 0.5) / (taught.examples + 1)),
            "answer_rate": _logit((told.answered - own + 0.5) / (max(1, told.texts) - 1 + 1)),
        }
        values = tuple(fold(text[one.start : one.end]) for one in spans)
        rows = []
        for number, (one, value, spoken) in enumerate(zip(spans, values, speaking, strict=True)):
            others = max([no_answer, *(other.log_probability for other in spans if other is not one)])
            share, count = told.apart_from(text, value, seen.get(value, 0.0), stands=value in found)
            rival = next((odds for other, odds in ranked if not _overlap(other, value)), 0.0)
            known = {
                **about,
                "log_probability": max(_LEAST, one.log_probability),
                "gap": float(np.clip(one.log_probability - others, _LEAST, -_LEAST)),
                "is_first": float(number == 0 < len(pointing.candidates)),
                "is_example": float(value in taught.hits),
                "example_logit": taught.logit(value),
                "same_shape": float(shape(text[one.start : one.end]) in taught.shapes),
                "support": math.log1p(count),
                "support_logit": share,
                "words": math.log1p(value.count(" ")),
                "named": spoken,
                "named_gap": spoken - rival,
                "elsewhere_gap": min([0.0, *(spoken - one[value] for one in elsewhere if value in one)]),
                "stands_under": self._well_known.of(attribute, text[one.start : one.end]),
            }
            rows.append([0.0, *(known[name] for name in EVIDENCE)])
        return Judged(spans, values, np.array(rows, dtype=np.float64).reshape(-1, len(FEATURES)), about)

    def given(self, text: str, attribute: int) -> ExtractionExample | None:
        """The example that answers this very text."""
        return self._taught[attribute].texts.get(text)

    def reason(self, text: str, attribute: int, judged: Judged, number: int) -> Evidence:
        """What decided for a candidate."""
        features = dict(zip(FEATURES, judged.features[number].tolist(), strict=True))
        if features["is_first"]:
            return Evidence("model", (), "the network points at it")
        if features["is_example"]:
            return Evidence("example", (), "it is the value of an example")
        if features["support"] > 0:
            return Evidence("context", (), "the network points at it in other texts")
        if number >= len(self.pointings[text, attribute].candidates):
            if features["stands_under"] > _TELLING:
                return Evidence("model", (), "it stands in columns of that name in other tables")
            return Evidence("model", (), "it is written as values of that name are")
        return Evidence("model", (), "the network points at it, though not first")


class _Names:
    """How much values speak for the words of each attribute's name, by the model of names."""

    def __init__(self, names: NameModel | None, attributes: Sequence[AskedAttribute]) -> None:
        known = [[] if names is None else names.places(name_words(one.name)) for one in attributes]
        self._speaking = [names.speaking(words) if names is not None and words else None for words in known]

    def spoken(self, values: Sequence[str]) -> list[list[float] | None]:
        """For each attribute the mean log-odds of each value; None where no word of its name is known."""
        found: list[list[float] | None] = [None if one is None else [] for one in self._speaking]
        for start in range(0, len(values), _VALUES_AT_ONCE):
            bags = [grams(value) for value in values[start : start + _VALUES_AT_ONCE]]
            for own, speaking in zip(found, self._speaking, strict=True):
                if own is not None and speaking is not None:
                    own += _means(speaking, bags)
        return found

    def spoken_for(self, attribute: int, values: Sequence[str]) -> list[float]:
        """The same of one attribute; 0 where no word of its name is known."""
        speaking = self._speaking[attribute]
        return [0.0] * len(values) if speaking is None else _means(speaking, [grams(value) for value in values])


class _WellKnown:
    """How much more often values stand in columns of each attribute's name than others do, by tables at large."""

    def __init__(self, known: KnownValues | None, attributes: Sequence[AskedAttribute]) -> None:
        self._known = known
        self._counting = [None if known is None else known.counting(name_words(one.name)) for one in attributes]

    def of(self, attribute: int, value: str) -> float:
        """As a logarithm; 0 for a value that is not known, or where no word of the name is."""
        weights = self._counting[attribute]
        said = self._known.log_odds(value) if self._known is not None and weights is not None else None
        if said is None or weights is None:
            return 0.0
        others, places, odds = said
        return round(others + float(weights[places] @ (odds - others)), 6)


def _means(speaking: tuple[npt.NDArray[np.float32], float], bags: Sequence[npt.NDArray[np.uint16]]) -> list[float]:
    """What n-grams speak for, on average over each bag."""
    if not bags:
        return []
    direction, added = speaking
    lengths = np.array([len(bag) for bag in bags])
    sums = np.add.reduceat(direction[np.concatenate(bags)].astype(np.float64), np.cumsum(lengths) - lengths)
    return list(np.round(sums / lengths + added, 6).tolist())


@dataclass(slots=True)
class _Taught:
    """What the examples of one attribute say of values.

    Attributes:
        hits: how many examples have a value; `stood`: in how many it stands; `shapes`: how values look.
        left_out: phrases of the example that is not counted, see `apart_from`.
    """

    examples: int
    answered: int
    hits: dict[str, int]
    stood: Counter[str]
    shapes: Counter[str]
    texts: dict[str, ExtractionExample]
    left_out: frozenset[str] = frozenset()

    @classmethod
    def of(cls, examples: Sequence[ExtractionExample]) -> _Taught:
        values = [example.value for example in examples if example.value]
        hits = Counter(fold(value) for value in values)
        hits.pop("", None)
        stood = Counter(phrase for example in examples for phrase in phrases(example.text))
        shapes = Counter(shape(value) for value in values)
        return cls(len(examples), len(values), dict(hits), stood, shapes, {one.text: one for one in examples})

    def apart_from(self, text: str) -> _Taught:
        """What the examples but for `text` say: an example that is judged says nothing of itself."""
        own = self.texts.get(text)
        if own is None:
            return self
        others = replace(self, examples=self.examples - 1, left_out=frozenset(phrases(text)))
        if own.value:
            others.answered -= 1
            others.hits = dict(Counter(self.hits) - Counter([fold(own.value)]))
            others.shapes = self.shapes - Counter([shape(own.value)])
        return others

    def logit(self, value: str) -> float:
        """How often a value is the answer where it stands, as log-odds; 0 where it never stood."""
        hits = self.hits.get(value, 0)
        return _logit((hits + 0.5) / (max(hits, self.stood[value] - (value in self.left_out)) + 1))


@dataclass(slots=True)
class _Told:
    """What the network says of one attribute in all texts.

    Attributes:
        answered: expected number of texts that tell of it.
        trusted: the value that the network is sure of in a text.
        sure: in how many texts the network is sure of a value.
        stood, said: in how many texts a value stands, and how probable it is there, added up.
    """

    texts: int = 0
    answered: float = 0.0
    trusted: dict[str, str] = field(default_factory=dict)
    sure: dict[str, int] = field(default_factory=dict)
    stood: Counter[str] = field(default_factory=Counter)
    said: dict[str, float] = field(default_factory=dict)

    def count(self, seen: Mapping[str, float], places: Iterable[str]) -> None:
        """Take one text in: the values that stand in it."""
        for value in places:
            self.stood[value] += 1
            self.said[value] = self.said.get(value, 0.0) + seen.get(value, 0.0)

    def trust(self, text: str, value: str) -> None:
        """Take in the value that the network is sure of in a text."""
        self.trusted[text] = value
        self.sure[value] = self.sure.get(value, 0) + 1

    def apart_from(self, text: str, value: str, own: float, *, stands: bool) -> tuple[float, int]:
        """How often texts other than `text` tell a value where it stands, as log-odds, and how many are sure of it."""
        stood = self.stood[value] - stands
        said = self.said.get(value, 0.0) - (own if stands else 0.0)
        share = _logit((max(0.0, said) + 0.5) / (max(0, stood) + 1))
        return share, self.sure.get(value, 0) - (self.trusted.get(text) == value)


def _overlap(one: str, other: str) -> bool:
    return bool(set(one.split()) & set(other.split()))


def _logit(probability: float) -> float:
    bounded = min(max(probability, 1e-4), 1.0 - 1e-4)
    return math.log(bounded / (1.0 - bounded))
