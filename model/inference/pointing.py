"""Where the network points: every text is read once for a group of attributes, each of which is a question.

Texts that were answered by hand stand in context. A long text is read in windows that overlap; each span is then as
probable as it is among the spans of all windows, and there being no answer in any of them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.checkpoint import Checkpoint
from model.inference.batching import ModelTask, Progress, SpanCall
from model.inference.passages import AnsweredText, PassageReader, Reading, question
from model.inference.phrases import fold
from model.serialization import Mask, Part

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
        windows: the text's windows, what `log_probability` is read off.
    """

    candidates: tuple[Candidate, ...]
    no_answer: float
    shown: int
    windows: tuple[ScoredTokens, ...] = ()

    def log_probability(self, start: int, end: int) -> float:
        """The network's log-probability of any span of the text; minus infinity where no window holds all of it.

        So it is of all spans where the network failed.
        """
        found = max((one.log_odds(start, end) for one in self.windows), default=-math.inf)
        return found if found == -math.inf else found + self.no_answer


@dataclass(frozen=True, slots=True)
class ScoredTokens:
    """What the tokens of a window say of where an answer begins and ends.

    Attributes:
        starts, ends: the characters of each token, counted from `offset`, (tokens,) int32.
        odds: log-odds against there being no answer, of beginning and of ending at a token, (2, tokens) float16.
    """

    offset: int
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    odds: npt.NDArray[np.float16]

    def log_odds(self, start: int, end: int) -> float:
        """Of the characters `start` to `end` of the whole text; minus infinity where they are no answer here."""
        start, end = start - self.offset, end - self.offset
        if not len(self.ends) or start < 0 or end > int(self.ends[-1]):
            return -math.inf
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left")) - 1
        if last - first >= _LONGEST_ANSWER:
            return -math.inf
        return float(self.odds[0, first]) + float(self.odds[1, last])


def point(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    attributes: Sequence[AskedAttribute],
    progress: Progress | None = None,
) -> ModelTask[tuple[dict[tuple[str, int], Pointing], int]]:
    """What the network says of every text and attribute, and the tokens that it read.

    Args:
        checkpoint: weights whose span head was trained.
        texts: distinct, none of them blank.
    """
    reader = _GroupReader(PassageReader(checkpoint.serializer), attributes)
    found: dict[tuple[str, int], list[_Scored]] = defaultdict(list)
    tokens = done = 0
    for waiting in _batches(reader, texts):
        scores = yield [SpanCall(one.reading.encoder_input, one.reading.questions, checkpoint) for one in waiting]
        for one, answer in zip(waiting, scores, strict=True):
            tokens += len(one.reading.encoder_input)
            bounds = np.array([one.reading.starts, one.reading.ends], dtype=np.int32)
            for place, attribute in enumerate(one.attributes):
                found[one.text, attribute].append(_scored(one, bounds, np.asarray(answer)[place], place))
        done += sum(one.is_last for one in waiting)
        if progress is not None:
            progress("extract", done, len(texts))
    return {key: _merged(windows) for key, windows in found.items()}, tokens


def _batches(reader: _GroupReader, texts: Sequence[str]) -> Iterator[list[_Window]]:
    """All readings of all texts, as many at once as the device is asked for at one time."""
    waiting: list[_Window] = []
    for text in texts:
        for window in reader.windows(text):
            waiting.append(window)
            if len(waiting) == _CALLS:
                yield waiting
                waiting = []
    if waiting:
        yield waiting


@dataclass(frozen=True, slots=True)
class _Window:
    """A part of a text that is read for some attributes; `offset` is where it begins, `is_last` ends its readings."""

    text: str
    offset: int
    is_last: bool
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
        words = frozenset(fold(text).split())
        shown = [_nearest(answered, text, words) for answered in self._answered]
        starts = range(0, max(1, len(pieces) - _OVERLAP_PIECES), _WINDOW_PIECES - _OVERLAP_PIECES)
        offset = read = 0
        for start in starts:
            offset += sum(len(piece.text) for piece in pieces[read:start])
            read = start
            part = "".join(piece.text for piece in pieces[start : start + _WINDOW_PIECES])
            for number, (group, answered) in enumerate(zip(self._groups, shown, strict=True)):
                is_last = start == starts[-1] and number + 1 == len(self._groups)
                yield self._window(_Place(text, part, offset, is_last), group, answered)

    def _window(self, place: _Place, group: tuple[int, ...], answered: Sequence[_Answered]) -> _Window:
        """A reading with as many answered texts as there is room for."""
        names = [question(self._attributes[one].name, self._attributes[one].description) for one in group]
        for count in range(len(answered), -1, -1):
            context = [one.shown for one in answered[:count]]
            reading = self._reader.read(place.part, names, context)
            if len(reading.encoder_input) <= _MOST_TOKENS or not count:
                break
        shown = [sum(not isinstance(one.answers[number], Mask) for one in context) for number in range(len(group))]
        return _Window(place.text, place.offset, place.is_last, group, reading, tuple(shown))

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
class _Place:
    """A part of a text and where it begins; `is_last` as in `_Window`."""

    text: str
    part: str
    offset: int
    is_last: bool


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


def _nearest(answered: Sequence[_Answered], text: str, words: frozenset[str]) -> list[_Answered]:
    """The answered texts that tell most of a text of these words, without the text itself."""
    ranked = sorted((one for one in answered if one.text != text), key=lambda one: (-one.worth(words), one.text))
    return ranked[:SHOWN]


@dataclass(frozen=True, slots=True)
class _Scored:
    """One window's spans with their log-odds against there being no answer, and the log-odds of any answer."""

    spans: tuple[tuple[float, int, int], ...]
    any_answer: float
    shown: int
    tokens: ScoredTokens | None = None


def _scored(window: _Window, bounds: npt.NDArray[np.int32], scores: npt.NDArray[np.float32], place: int) -> _Scored:
    """The likeliest spans of one question, as characters of the whole text.

    Args:
        bounds: where the characters of each token begin and end, (2, tokens), the same array for all questions.
    """
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
    tokens = ScoredTokens(offset, bounds[0], bounds[1], np.stack([start - own, end]).astype(np.float16))
    return _Scored(tuple(ranked[:_SPANS]), float(np.logaddexp.reduce(odds, axis=None)), window.shown[place], tokens)


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
    tokens = tuple(one.tokens for one in windows if one.tokens is not None)
    return Pointing(candidates, -total, max(one.shown for one in windows), tokens)
