"""Values of attributes out of texts: the network points at them, and what the other texts and examples say is weighed.

Every text is read once for a group of attributes, each of which is a question; texts that were answered by hand stand
in context (RPT, PVLDB 14(8), section 5). Where a value that is known from examples, or that the network is sure of in
another text, stands in a text, it is a candidate there too. One calibrator says how probable each candidate is,
another how probable it is that there is no answer. A text is answered by the texts and attributes beside it, never by
their order.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby

import numpy as np
import numpy.typing as npt

from model.adapters import with_adapter
from model.checkpoint import Checkpoint
from model.errors import InputError, OptionError
from model.inference.batching import ModelTask, Progress, SpanCall
from model.inference.passages import AnsweredText, PassageReader, Reading, question
from model.naming import NameModel, name_words
from model.serialization import Mask, Part
from model.tuples import Evidence, Usage

ADAPTER = "extract"
CALIBRATOR = "extraction"
NO_ANSWER_CALIBRATOR = "extraction_none"
QUESTIONS = 6
"""Questions that a text is read for at one time."""

SHOWN = 3
"""Answered texts that stand in context of a text, at most."""

_SPANS = 8
_LOOKED_AT = 24
_LONGEST_ANSWER = 64
_WINDOW_PIECES = 6
_OVERLAP_PIECES = 1
_SHOWN_PIECES = 2
_MOST_TOKENS = 640
_CALLS = 256
_PHRASE_WORDS = 6
_NAMED = 4
_NAMED_WORDS = 3
_SURE = 0.5
_UNTOLD = 0.5
_LEAST = -12.0
_UNSEEN = -8.0
_WORD = re.compile(r"[^\W_]+")

Floats = npt.NDArray[np.float64]

FEATURES = (
    "log_probability", "no_answer", "gap", "is_first", "shown", "examples", "is_example", "example_logit", "same_shape",
    "example_rate", "support", "support_logit", "answer_rate", "words",
    "named", "named_gap",
)  # fmt: skip
"""What is known of a candidate; `Observations.judge` says what they are."""

NO_ANSWER_FEATURES = ("no_answer", "best", "shown", "examples", "example_rate", "answer_rate")
"""What is known of a question, and how good its best candidate is."""


@dataclass(frozen=True, slots=True)
class ExtractionExample:
    """A text with the value that it tells; None where it tells none."""

    text: str
    value: str | None


@dataclass(frozen=True, slots=True)
class AskedAttribute:
    """What is asked of every text."""

    name: str
    description: str | None = None
    examples: tuple[ExtractionExample, ...] = ()


class ExtractionOutcome(StrEnum):
    """The three outcomes of a question."""

    VALUE = "value"
    NONE = "none"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Extraction:
    """The answer to one question; with a value, `text[start:end] == value`.

    Attributes:
        text_id, attribute: places in what was asked.
        confidence: calibrated probability that the answer is right; None where there is none.
    """

    text_id: int
    attribute: int
    outcome: ExtractionOutcome
    evidence: Evidence
    value: str | None = None
    start: int | None = None
    end: int | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """One answer for each text and attribute, texts first."""

    extractions: tuple[Extraction, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span that could be the answer, with the network's log-probability of it."""

    start: int
    end: int
    log_probability: float


@dataclass(frozen=True, slots=True)
class Pointing:
    """What the network says of one question about one text.

    Attributes:
        candidates: the likeliest spans, best first.
        no_answer: log-probability that there is none; NaN where the network failed.
        shown: answered texts that stood in context and told of this attribute.
    """

    candidates: tuple[Candidate, ...]
    no_answer: float
    shown: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A question about one text: its candidates, and what is known of them and of it.

    Attributes:
        features: (candidates, len(FEATURES)).
        about: `NO_ANSWER_FEATURES` but for "best".
    """

    candidates: tuple[Candidate, ...]
    features: Floats
    about: Mapping[str, float]

    def no_answer_features(self, confidences: Floats) -> Floats:
        """Features of there being no answer, (len(NO_ANSWER_FEATURES),), with what each candidate is worth."""
        known = {**self.about, "best": _logit(float(confidences.max(initial=0.0)))}
        return np.array([known[name] for name in NO_ANSWER_FEATURES])


def extract(
    checkpoint: Checkpoint,
    texts: Sequence[str | None],
    attributes: Sequence[AskedAttribute],
    progress: Progress | None = None,
) -> ModelTask[ExtractionResult]:
    """Ask every text for every attribute.

    Raises:
        OptionError: an attribute is asked twice, or the value of an example does not stand in its text.
        InputError: the checkpoint was not trained to extract, or has no calibrators of it.
    """
    check_attributes(attributes)
    calibration = checkpoint.calibration
    if calibration is None or not {CALIBRATOR, NO_ANSWER_CALIBRATOR} <= calibration.calibrators.keys():
        raise InputError("the checkpoint cannot extract: `python -m model.finetuning.extraction` fits its calibrators")
    began = time.monotonic()
    observed, tokens = yield from observe(extractor(checkpoint), texts, attributes, progress)
    answers: dict[tuple[str, int], Extraction] = {}
    for attribute in range(len(attributes)):
        judged = [observed.judge(text, attribute) for text in observed.texts]
        if not judged:
            break
        flat = calibration[CALIBRATOR].predict(np.concatenate([one.features for one in judged]))
        confidences = np.split(flat, np.cumsum([len(one.candidates) for one in judged])[:-1])
        about = [one.no_answer_features(own) for one, own in zip(judged, confidences, strict=True)]
        nothing = calibration[NO_ANSWER_CALIBRATOR].predict(np.stack(about))
        for text, one, own, none in zip(observed.texts, judged, confidences, nothing, strict=True):
            answers[text, attribute] = _decide(observed, text, attribute, one, own, float(none))
    asked = ((text_id, text, attribute) for text_id, text in enumerate(texts) for attribute in range(len(attributes)))
    extractions = tuple(
        replace(answers.get((text or "", attribute), _BLANK), text_id=text_id, attribute=attribute)
        for text_id, text, attribute in asked
    )
    return ExtractionResult(extractions, Usage(len(texts), tokens, 0, round(time.monotonic() - began, 3)))


_BLANK = Extraction(
    0, 0, ExtractionOutcome.NONE, Evidence("model", (), "the text is empty"), confidence=1.0
)  # the model needs no reading to know


def extractor(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the weights that were trained to point at answers; see `with_adapter`."""
    return with_adapter(checkpoint, ADAPTER)


def check_attributes(attributes: Sequence[AskedAttribute]) -> None:
    """Refuse attributes that cannot be asked.

    Raises:
        OptionError: as in `extract`.
    """
    names: set[str] = set()
    for number, attribute in enumerate(attributes):
        if not attribute.name.strip():
            raise OptionError("an attribute has no name", attribute=number, field="attributes")
        if attribute.name in names:
            raise OptionError("an attribute is asked twice", attribute=number, field="attributes")
        names.add(attribute.name)
        told: dict[str, str | None] = {}
        for place, example in enumerate(attribute.examples):
            if example.value is not None and (not example.value.strip() or example.value not in example.text):
                message = "the value of an example does not stand in its text"
                raise OptionError(message, tuple_id=place, attribute=number, field="examples")
            if told.setdefault(example.text, example.value) != example.value:
                message = "two examples answer one text differently"
                raise OptionError(message, tuple_id=place, attribute=number, field="examples")


def observe(
    checkpoint: Checkpoint,
    texts: Iterable[str | None],
    attributes: Sequence[AskedAttribute],
    progress: Progress | None = None,
) -> ModelTask[tuple[Observations, int]]:
    """Let the network point at answers in every distinct text; gives what it says, and the tokens that it read.

    Args:
        checkpoint: weights whose span head was trained, see `extractor`.
    """
    distinct = sorted({text for text in texts if text and text.strip()})
    reader = _GroupReader(PassageReader(checkpoint.serializer), attributes)
    waiting: list[_Window] = []
    found: dict[tuple[str, int], list[_Scored]] = defaultdict(list)
    tokens = 0
    for number, text in enumerate(distinct):
        waiting += reader.windows(text)
        if len(waiting) < _CALLS and number + 1 < len(distinct):
            continue
        calls = [SpanCall(one.reading.encoder_input, one.reading.questions, checkpoint) for one in waiting]
        scores = yield list(calls)
        for one, answer in zip(waiting, scores, strict=True):
            tokens += len(one.reading.encoder_input)
            for place, attribute in enumerate(one.attributes):
                found[one.text, attribute].append(_scored(one, np.asarray(answer)[place], place))
        waiting = []
        if progress is not None:
            progress("extract", number + 1, len(distinct))
    pointings = {key: _merged(windows) for key, windows in found.items()}
    return Observations(attributes, distinct, pointings, checkpoint.names), tokens


@dataclass(frozen=True, slots=True)
class _Window:
    """A part of a text that is read for some attributes; `offset` is where it begins."""

    text: str
    offset: int
    attributes: tuple[int, ...]
    reading: Reading
    shown: tuple[int, ...]


class _GroupReader:
    """Reads texts for groups of attributes, in an order of their own, with answered texts in context."""

    def __init__(self, reader: PassageReader, attributes: Sequence[AskedAttribute]) -> None:
        self._reader = reader
        self._attributes = attributes
        order = sorted(range(len(attributes)), key=lambda place: attributes[place].name)
        self._groups = [tuple(order[start : start + QUESTIONS]) for start in range(0, len(order), QUESTIONS)]
        self._answered = [self._answered_texts(group) for group in self._groups]

    def windows(self, text: str) -> Iterator[_Window]:
        """All readings of a text."""
        pieces = self._reader.pieces(text)
        step = _WINDOW_PIECES - _OVERLAP_PIECES
        last = max(1, len(pieces) - _OVERLAP_PIECES)
        for start in range(0, last, step):
            part = "".join(piece.text for piece in pieces[start : start + _WINDOW_PIECES])
            offset = sum(len(piece.text) for piece in pieces[:start])
            for group, answered in zip(self._groups, self._answered, strict=True):
                yield self._window(text, part, offset, group, answered)

    def _window(
        self, text: str, part: str, offset: int, group: tuple[int, ...], answered: Sequence[_Answered]
    ) -> _Window:
        names = [question(self._attributes[one].name, self._attributes[one].description) for one in group]
        words = frozenset(fold(text).split())
        ranked = sorted((one for one in answered if one.text != text), key=lambda one: (-one.worth(words), one.text))
        for count in range(min(SHOWN, len(ranked)), -1, -1):
            context = [one.shown for one in ranked[:count]]
            reading = self._reader.read(part, names, context)
            if len(reading.encoder_input) <= _MOST_TOKENS or not count:
                break
        shown = [sum(not isinstance(one.answers[place], Mask) for one in context) for place in range(len(group))]
        return _Window(text, offset, group, reading, tuple(shown))

    def _answered_texts(self, group: tuple[int, ...]) -> list[_Answered]:
        """The texts that were answered for any attribute of a group."""
        known: dict[str, dict[int, str | None]] = defaultdict(dict)
        for attribute in group:
            for example in self._attributes[attribute].examples:
                known[example.text][attribute] = example.value
        found = []
        for text, told in known.items():
            answers: list[Part] = [told[one] if one in told else Mask() for one in group]
            values = [value for value in told.values() if value]
            shown = AnsweredText(self._cropped(text, values[0] if values else ""), tuple(answers))
            found.append(_Answered(text, shown, len(told) / len(group), frozenset(fold(text).split())))
        return found

    def _cropped(self, text: str, value: str) -> str:
        """The first two pieces of a text from the one that `value` begins in."""
        pieces = self._reader.pieces(text)
        place, first = text.find(value), 0
        while pieces[first].ends and pieces[first].ends[-1] <= place:
            first += 1
        return "".join(piece.text for piece in pieces[first : first + _SHOWN_PIECES])


@dataclass(frozen=True, slots=True)
class _Answered:
    """A text that was answered by hand, as it is shown; `coverage` is the share of the questions that it answers."""

    text: str
    shown: AnsweredText
    coverage: float
    words: frozenset[str]

    @property
    def answers(self) -> tuple[Part, ...]:
        """One for each question."""
        return self.shown.answers

    def worth(self, words: frozenset[str]) -> float:
        """How much it tells of a text of these words."""
        return self.coverage + len(self.words & words) / max(1, len(self.words | words))


@dataclass(frozen=True, slots=True)
class _Scored:
    """One window's spans with their log-odds against there being no answer, and the log-odds of any answer."""

    spans: tuple[tuple[float, int, int], ...]
    any_answer: float
    shown: int


def _scored(window: _Window, scores: npt.NDArray[np.float32], place: int) -> _Scored:
    """The likeliest spans of one question, as characters of the whole text."""
    reading, marker = window.reading, window.reading.questions[place]
    own = scores[marker].astype(np.float64).sum()
    start, end = scores[list(reading.places)].astype(np.float64).T
    odds = start[:, None] + end[None, :] - own
    if not np.isfinite(odds).all():
        return _Scored((), math.nan, 0)
    length = np.arange(len(start))[None, :] - np.arange(len(start))[:, None]
    odds[(length < 0) | (length >= _LONGEST_ANSWER)] = -np.inf
    order = np.argsort(-odds, axis=None, kind="stable")[:_LOOKED_AT]
    spans: dict[tuple[int, int], float] = {}
    for flat in order.tolist():
        first, last = divmod(flat, len(start))
        if odds[first, last] == -np.inf:
            break
        found = _whole(reading.text, *reading.characters(first, last))
        if found[0] < found[1]:
            spans[found] = float(np.logaddexp(spans.get(found, -np.inf), odds[first, last]))
    offset = window.offset
    ranked = sorted(
        ((value, s + offset, e + offset) for (s, e), value in spans.items()), key=lambda one: (-one[0], one[1:])
    )
    return _Scored(tuple(ranked[:_SPANS]), float(np.logaddexp.reduce(odds, axis=None)), window.shown[place])


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without half a word or half a number at its ends."""
    while 0 < start < end and _same_kind(text[start - 1], text[start]):
        start -= 1
    while start < end < len(text) and _same_kind(text[end - 1], text[end]):
        end += 1
    return start, end


def _same_kind(one: str, other: str) -> bool:
    return (one.isalpha() and other.isalpha()) or (one.isdigit() and other.isdigit())


def _merged(windows: Sequence[_Scored]) -> Pointing:
    """All windows of one text: each span against there being no answer in any of them."""
    if any(math.isnan(one.any_answer) for one in windows):
        return Pointing((), math.nan, 0)
    total = float(np.logaddexp.reduce([0.0, *(one.any_answer for one in windows)]))
    best: dict[tuple[int, int], float] = {}
    for odds, start, end in (span for one in windows for span in one.spans):
        best[start, end] = max(odds, best.get((start, end), -np.inf))
    ranked = sorted(((odds - total, place) for place, odds in best.items()), key=lambda one: (-one[0], one[1]))
    candidates = tuple(Candidate(start, end, odds) for odds, (start, end) in ranked[:_SPANS])
    return Pointing(candidates, -total, max(one.shown for one in windows))


def fold(text: str) -> str:
    """The words of a text, whatever their case and what stands between them."""
    return " ".join(_WORD.findall(text)).casefold()


def phrases(text: str) -> dict[str, tuple[int, int]]:
    """All runs of up to a few words, folded, and where each stands first."""
    words = [match.span() for match in _WORD.finditer(text)]
    found: dict[str, tuple[int, int]] = {}
    for first, (start, _) in enumerate(words):
        for _, end in words[first : first + _PHRASE_WORDS]:
            found.setdefault(fold(text[start:end]), (start, end))
    return found


class Observations:
    """What the network says of all texts, and what examples and the other texts make of it.

    Attributes:
        texts: the distinct texts that are not blank, sorted.
    """

    def __init__(
        self,
        attributes: Sequence[AskedAttribute],
        texts: Sequence[str],
        pointings: Mapping[tuple[str, int], Pointing],
        names: NameModel | None = None,
    ) -> None:
        self.attributes = attributes
        self.texts = texts
        self.pointings = pointings
        self._names = names
        self._asked_words = [[] if names is None else _known_words(names, one.name) for one in attributes]
        self._odds: dict[str, Floats] = {}
        self._taught = [_Taught.of(attribute.examples) for attribute in attributes]
        self._told = [self._collected(attribute) for attribute in range(len(attributes))]
        known = set[str]().union(*(one.hits for one in self._taught), *(one.sure for one in self._told))
        self._phrases = {text: phrases(text) for text in texts}
        self._places = {text: {p: q for p, q in found.items() if p in known} for text, found in self._phrases.items()}
        for text, places in self._places.items():
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
                    value = fold(text[candidate.start : candidate.end])
                    told.sure[value] = told.sure.get(value, 0) + 1
        return told

    def _seen(self, text: str, attribute: int) -> dict[str, float]:
        """The probability of each value of a text."""
        seen: dict[str, float] = {}
        for one in self.pointings[text, attribute].candidates:
            value = fold(text[one.start : one.end])
            seen[value] = seen.get(value, 0.0) + math.exp(one.log_probability)
        return seen

    def judge(self, text: str, attribute: int) -> Judged:
        """The candidates of one question.

        log_probability, no_answer, gap    of the network: this span, none, and this span against the next best
        is_first                           whether the network has no better one
        shown, examples, example_rate      answered texts in context, examples, and how many of them have a value
        is_example, example_logit          whether it is an example's value; how often where it stood in an example
        same_shape                         whether an example's value has its letters, digits and signs alike
        support, support_logit             other texts that the network is sure to tell it; how often where it stands
        answer_rate                        other texts that tell of the attribute
        words                              of the value
        """
        pointing, taught, told = self.pointings[text, attribute], self._taught[attribute], self._told[attribute]
        seen = self._seen(text, attribute)
        places = self._places[text]
        named = self._named(text, attribute)
        best_named = sorted(named, key=lambda value: (-named[value], value))[:_NAMED]
        known_values = [v for v in places if v in taught.hits or v in told.sure]
        extra = sorted({self._phrases[text][v] for v in (*known_values, *best_named) if v not in seen})
        spans = (*pointing.candidates, *(Candidate(start, end, _UNSEEN) for start, end in extra))
        no_answer = 0.0 if math.isnan(pointing.no_answer) else pointing.no_answer
        own = 1.0 - math.exp(no_answer)
        about = {
            "no_answer": max(_LEAST, no_answer),
            "shown": float(min(1, pointing.shown)),
            "examples": math.log1p(taught.examples),
            "example_rate": _logit((taught.answered + 0.5) / (taught.examples + 1)),
            "answer_rate": _logit((told.answered - own + 0.5) / (max(1, told.texts) - 1 + 1)),
        }
        first = max((one.log_probability for one in spans), default=_LEAST)
        rows = []
        for number, one in enumerate(spans):
            value = fold(text[one.start : one.end])
            others = max([no_answer, *(other.log_probability for other in spans if other is not one)])
            spoken = self._speaks(text[one.start : one.end], attribute)
            share, count = told.apart_from(value, seen.get(value, 0.0), value in places)
            known = {
                **about,
                "log_probability": max(_LEAST, one.log_probability),
                "gap": float(np.clip(one.log_probability - others, _LEAST, -_LEAST)),
                "is_first": float(number == 0 and one.log_probability == first),
                "is_example": float(value in taught.hits),
                "example_logit": taught.logit(value),
                "same_shape": float(shape(text[one.start : one.end]) in taught.shapes),
                "support": math.log1p(count),
                "support_logit": share,
                "words": math.log1p(value.count(" ")),
                "named": spoken,
                "named_gap": spoken
                - max((odds for other, odds in named.items() if not _overlap(other, value)), default=0.0),
            }
            rows.append([known[name] for name in FEATURES])
        return Judged(spans, np.array(rows, dtype=np.float64).reshape(-1, len(FEATURES)), about)

    def _speaks(self, value: str, attribute: int) -> float:
        """How much a value speaks for the words of an attribute's name, as mean log-odds; 0 where none is known."""
        words = self._asked_words[attribute]
        if not words or self._names is None:
            return 0.0
        if value not in self._odds:
            self._odds[value] = self._names.log_odds([value]).astype(np.float64)
        return float(self._odds[value][words].mean())

    def _named(self, text: str, attribute: int) -> dict[str, float]:
        """How much each short phrase of a text speaks for the name of an attribute."""
        if not self._asked_words[attribute]:
            return {}
        return {
            value: self._speaks(text[start:end], attribute)
            for value, (start, end) in self._phrases[text].items()
            if value.count(" ") < _NAMED_WORDS
        }

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
        if features["log_probability"] <= _UNSEEN:
            return Evidence("model", (), "it is written as values of that name are")
        return Evidence("model", (), "the network points at it, though not first")


@dataclass(slots=True)
class _Taught:
    """What the examples of one attribute say of values."""

    examples: int
    answered: int
    hits: dict[str, int]
    stood: Counter[str]
    shapes: frozenset[str]
    texts: dict[str, ExtractionExample]

    @classmethod
    def of(cls, examples: Sequence[ExtractionExample]) -> _Taught:
        values = [example.value for example in examples if example.value]
        hits = Counter(fold(value) for value in values)
        hits.pop("", None)
        stood = Counter(phrase for example in examples for phrase in phrases(example.text))
        shapes = frozenset(shape(value) for value in values)
        return cls(len(examples), len(values), dict(hits), stood, shapes, {one.text: one for one in examples})

    def logit(self, value: str) -> float:
        """How often a value is the answer where it stands, as log-odds; 0 where it never stood."""
        hits = self.hits.get(value, 0)
        return _logit((hits + 0.5) / (max(hits, self.stood[value]) + 1))


@dataclass(slots=True)
class _Told:
    """What the network says of one attribute in all texts.

    Attributes:
        answered: expected number of texts that tell of it.
        sure: in how many texts the network is sure of a value.
        stood, said: in how many texts a value stands, and how probable it is there, added up.
    """

    texts: int = 0
    answered: float = 0.0
    sure: dict[str, int] = field(default_factory=dict)
    stood: Counter[str] = field(default_factory=Counter)
    said: dict[str, float] = field(default_factory=dict)

    def count(self, seen: Mapping[str, float], places: Iterable[str]) -> None:
        """Take one text in: the values that stand in it."""
        for value in places:
            self.stood[value] += 1
            self.said[value] = self.said.get(value, 0.0) + seen.get(value, 0.0)

    def apart_from(self, value: str, own: float, stands: bool) -> tuple[float, int]:
        """How often the other texts tell a value where it stands, as log-odds, and how many are sure of it."""
        stood = self.stood[value] - stands
        said = self.said.get(value, 0.0) - (own if stands else 0.0)
        share = _logit((max(0.0, said) + 0.5) / (max(0, stood) + 1))
        return share, max(0, self.sure.get(value, 0) - (own >= _SURE))


def _known_words(names: NameModel, name: str) -> list[int]:
    """The words of an attribute's name that the model of names knows."""
    return names.places(name_words(name))


def _overlap(one: str, other: str) -> bool:
    return bool(set(one.split()) & set(other.split()))


def shape(value: str) -> str:
    """Letters, digits and signs of a value, runs as one: `12.5mm` is `9.9a`."""
    kinds = ("a" if one.isalpha() else "9" if one.isdigit() else " " if one.isspace() else one for one in value)
    return "".join(kind for kind, _ in groupby(kinds))


def _logit(probability: float) -> float:
    bounded = min(max(probability, 1e-4), 1.0 - 1e-4)
    return math.log(bounded / (1.0 - bounded))


def _decide(
    observed: Observations, text: str, attribute: int, judged: Judged, confidences: Floats, none: float
) -> Extraction:
    """The likeliest candidate, or none where the text is likelier to tell nothing than to tell something."""
    given = observed.given(text, attribute)
    if given is not None:
        return _given(given, text)
    if math.isnan(observed.pointings[text, attribute].no_answer):
        evidence = Evidence("model", (), "the network gave no number")
        return Extraction(0, 0, ExtractionOutcome.ERROR, evidence)
    best = int(np.argmax(confidences)) if len(confidences) else -1
    if best < 0 or none >= _UNTOLD:
        return Extraction(0, 0, ExtractionOutcome.NONE, Evidence("model", (), "no answer is likely"), confidence=none)
    start, end = judged.candidates[best].start, judged.candidates[best].end
    evidence = observed.reason(text, attribute, judged, best)
    return Extraction(0, 0, ExtractionOutcome.VALUE, evidence, text[start:end], start, end, float(confidences[best]))


def _given(example: ExtractionExample, text: str) -> Extraction:
    evidence = Evidence("example", (), "this very text is an example")
    if example.value is None:
        return Extraction(0, 0, ExtractionOutcome.NONE, evidence, confidence=1.0)
    start = text.index(example.value)
    end = start + len(example.value)
    return Extraction(0, 0, ExtractionOutcome.VALUE, evidence, example.value, start, end, 1.0)
