"""Texts that a user has labelled: what fine-tuning of extraction learns from, is calibrated by and is judged by.

A label says what a text tells of an attribute: a value that stands in it, or nothing. Texts are split, never labels,
so that no text is on two sides. Training examples are read as they will be asked: the labelled attributes of one text
together, in half of the examples behind up to three other labelled texts with their answers.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.config import TrainingConfig
from model.dataset import Span, TrainingExample
from model.errors import InputError
from model.inference.passages import AnsweredText, PassageReader, Reading, question
from model.inference.pointing import QUESTIONS, AskedAttribute, ExtractionExample
from model.serialization import Mask, Part, TupleSerializer

_SHARES = (0.6, 0.8)
_SHOWN = (0, 0, 0, 1, 2, 3)
_KNOWN_RATE = 0.75
_LABEL_LIMIT = 200_000


@dataclass(frozen=True, slots=True)
class Label:
    """What a text tells of an attribute; None where it tells nothing. Texts of one `group` are asked together."""

    text: str
    attribute: str
    value: str | None
    group: str = ""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with what is known of it, by attribute."""

    text: str
    group: str
    answers: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class LabelSplit:
    """Labelled texts to train on, to calibrate by and to judge by."""

    training: tuple[LabelledText, ...]
    calibration: tuple[LabelledText, ...]
    judging: tuple[LabelledText, ...]


def collect(labels: Sequence[Label]) -> list[LabelledText]:
    """Labels by text.

    Raises:
        InputError: a label without a text or an attribute, a value that does not stand in its text, or two labels
            that contradict each other; `tuple_id` says which label, from 0.
    """
    if len(labels) > _LABEL_LIMIT:
        raise InputError(f"there are {len(labels)} labels, at most {_LABEL_LIMIT} are taken")
    found: dict[tuple[str, str], LabelledText] = {}
    for number, one in enumerate(labels):
        if not one.text.strip() or not one.attribute.strip():
            raise InputError("a label needs a text and an attribute", tuple_id=number)
        if one.value is not None and (not one.value.strip() or one.value not in one.text):
            raise InputError("the value of a label does not stand in its text", tuple_id=number)
        labelled = found.setdefault((one.group, one.text), LabelledText(one.text, one.group, {}))
        if labelled.answers.setdefault(one.attribute, one.value) != one.value:
            raise InputError("two labels answer one text differently", tuple_id=number)
    return [found[key] for key in sorted(found)]


def split(texts: Sequence[LabelledText], seed: int) -> LabelSplit:
    """Three fifths to train on, a fifth to calibrate by, a fifth to judge by, by a hash of each text.

    Raises:
        InputError: a part is left without a label.
    """
    parts: tuple[list[LabelledText], ...] = ([], [], [])
    for one in texts:
        place = int.from_bytes(hashlib.sha256(f"{seed}:{one.text}".encode()).digest()[:8], "big") / 2**64
        parts[sum(place >= share for share in _SHARES)].append(one)
    if not all(parts):
        raise InputError("there are too few labelled texts to train on some and to judge by others")
    return LabelSplit(*map(tuple, parts))


def attributes_of(texts: Sequence[LabelledText], group: str) -> list[str]:
    """The attributes that texts of a group are asked for."""
    return sorted({name for one in texts if one.group == group for name in one.answers})


def asked_of(names: Sequence[str], shown: Sequence[LabelledText]) -> list[AskedAttribute]:
    """Questions for attributes, with labelled texts as their examples."""
    return [
        AskedAttribute(
            name, None, tuple(ExtractionExample(one.text, one.answers[name]) for one in shown if name in one.answers)
        )
        for name in names
    ]


class LabelledTexts:
    """Training examples of labelled texts; every example follows from the generator it is drawn by."""

    def __init__(self, texts: Sequence[LabelledText], serializer: TupleSerializer, training: TrainingConfig) -> None:
        self.serializer = serializer
        self.training = training
        self._reader = PassageReader(serializer)
        self._texts = list(texts)
        self._groups: dict[str, list[LabelledText]] = defaultdict(list)
        for one in texts:
            self._groups[one.group].append(one)

    def examples(self, rng: random.Random) -> list[TrainingExample]:
        """The examples of one episode."""
        chosen = rng.sample(self._texts, min(len(self._texts), self.training.examples_per_episode))
        made = (self._example(one, rng) for one in chosen)
        return [example for example in made if example is not None]

    def _example(self, one: LabelledText, rng: random.Random) -> TrainingExample | None:
        """One text with some of its questions; None where it is too long to be read whole."""
        names = rng.sample(sorted(one.answers), min(len(one.answers), rng.randint(1, QUESTIONS)))
        others = self._groups[one.group]
        shown = [other for other in rng.sample(others, min(len(others), rng.choice(_SHOWN))) if other is not one]
        answered = [AnsweredText(other.text, tuple(_known(other, name, rng) for name in names)) for other in shown]
        columns = self.serializer.config.max_attributes
        ids = rng.sample(range(1, columns + 1), columns)
        for count in range(len(answered), -1, -1):
            reading = self._reader.read(one.text, [question(name) for name in names], answered[:count], ids)
            if len(reading.encoder_input) <= self.training.max_tokens:
                spans = tuple(_spans(reading, [one.answers[name] for name in names]))
                return TrainingExample(reading.encoder_input, spans=spans)
        return None


def _known(one: LabelledText, name: str, rng: random.Random) -> Part:
    """What a text in context answers; not known now and then."""
    return one.answers[name] if name in one.answers and rng.random() < _KNOWN_RATE else Mask()


def _spans(reading: Reading, values: Sequence[str | None]) -> Iterator[Span]:
    """Where the answers first stand."""
    for marker, value in zip(reading.questions, values, strict=True):
        if value is None:
            yield Span(marker, marker, marker)
        else:
            start = reading.text.index(value)
            yield Span(marker, *reading.tokens(start, start + len(value)))
