"""Texts with questions whose answers are known, made from tables: what the span head learns from.

    found       a value of one attribute that stands inside another attribute's text of the same tuple
    composed    values of a tuple put together as titles, lists and sentences do it, with other words between them

Questions are attribute names. Many have no answer: what the tuple does not tell, what was left out, and what other
tables ask. In half of the examples up to three texts of the same making, of other tuples, stand in context with their
answers, as those that a user has labelled would (RPT, PVLDB 14(8), section 5: one example is enough).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model.config import TrainingConfig
from model.corpus import Table
from model.dataset import Span, TrainingExample, table_weights
from model.finetuning.products import invented_products
from model.inference.passages import AnsweredText, PassageReader, Reading, question
from model.serialization import Mask, Part, TupleSerializer
from model.tuples import Relation, Value

PRODUCTS_RATE = 0.35
"""Share of episodes about invented products; the others are about windows of tables."""

FOUND_RATE = 0.6
"""Share of the windows with a text in which other values stand, that are asked about that text."""

_KINDS: tuple[str, ...] = ("title", "title", "title", "list", "sentence")
_KINDS_OF_PRODUCTS: tuple[str, ...] = ("title",) * 8 + ("list", "sentence")
_TUPLES = 16
_MOST_QUESTIONS = 6
_LONGEST_VALUE = 80
_TITLE_JOINTS = (" ", " ", " ", " ", ", ", " - ", " / ", " | ", "; ")
_LIST_JOINTS = ("; ", ", ", " | ", "\n", "\r\n", ". ", " ")
_TOLD = (": ", ": ", " ", " = ", " is ", "=", " - ")
_OPENINGS = ("The {} is ", "Its {} is ", "{}: ", "with {} ", "has {} ", "The {} was ", "in {} ", "{} of ")
_SINGLE_WORD = re.compile(r"[^\W\d_]{2,}")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NUMBER = re.compile(r"[-+]?[\d.,]+%?")
_FILLERS = (
    "new", "hot", "sale", "for", "with", "and", "the", "of", "2024", "best", "free", "original", "high quality",
    "super", "set", "kit", "professional", "official", "see", "also", "in", "on", "by", "from", "more", "&", "+",
    "(new)", "no.", "approx.", "about", "top", "classic", "online", "first", "other", "various", "please note",
    "details", "about this",
)  # fmt: skip

Place = tuple[int, int]
"""The characters of a text from the first to before the second."""


@dataclass(frozen=True, slots=True)
class Told:
    """A text made from a tuple.

    Attributes:
        places: where the value of each attribute that it tells stands.
        unsure: attributes of which other values may stand in it, so that nobody could say whether it tells them.
    """

    text: str
    places: dict[int, Place]
    unsure: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Collection:
    """Texts of the same making, and what can be asked of all of them.

    Attributes:
        group: the repository that the tuples come from.
        questions: names of the attributes that are asked for.
        places: by text and question, where the answer stands, None where there is none; nothing where nobody could say.
    """

    group: str
    texts: tuple[str, ...]
    questions: tuple[str, ...]
    places: dict[tuple[int, int], Place | None]


class ExtractionFactory:
    """Draws tables and makes texts of their tuples; holds no state beyond the tables."""

    def __init__(self, tables: Sequence[Table], serializer: TupleSerializer, training: TrainingConfig) -> None:
        self.tables = [table for table in tables if len(table) >= 8]
        self.serializer = serializer
        self.training = training
        self._reader = PassageReader(serializer)
        self._cumulative = np.cumsum(table_weights(self.tables))

    def examples(self, rng: random.Random) -> list[TrainingExample]:
        """All examples of one episode, which follow from `rng` alone."""
        if rng.random() < PRODUCTS_RATE:
            relation, kinds = invented_products(rng, _TUPLES), _KINDS_OF_PRODUCTS
        else:
            relation, kinds = _window(self._table(rng), rng, _TUPLES), _KINDS
        others = self._table(rng).attributes
        maker = _texts(relation, kinds, rng)
        made = (self._example(relation, maker, others, rng) for _ in range(self.training.examples_per_episode))
        return [example for example in made if example is not None]

    def collection(self, rng: random.Random, tuples: int) -> Collection:
        """Texts of up to `tuples` tuples, each asked for the same attributes: to calibrate by."""
        if rng.random() < PRODUCTS_RATE:
            group, relation, kinds = f"products {rng.randrange(8)}", invented_products(rng, tuples), _KINDS_OF_PRODUCTS
        else:
            table = self._table(rng)
            group, relation, kinds = table.repository, _window(table, rng, tuples), _KINDS
        maker = _texts(relation, kinds, rng)
        longest = 12 * self.serializer.config.max_value_tokens
        told = [_cropped(maker(row, rng), longest, rng) for row in range(len(relation))]
        told_of = sorted({attribute for one in told for attribute in one.places})
        rest = [attribute for attribute in range(len(relation.attributes)) if attribute not in told_of]
        asked = rng.sample(told_of, min(len(told_of), 6)) + rng.sample(rest, min(len(rest), 2))
        names: dict[str, int] = {}
        for attribute in asked:
            names.setdefault(_readable(relation.attributes[attribute], rng, None), attribute)
        places = {
            (row, number): one.places.get(attribute)
            for row, one in enumerate(told)
            for number, attribute in enumerate(names.values())
            if attribute in one.places or _is_absent(relation.tuples[row][attribute], attribute, one)
        }
        return Collection(group, tuple(one.text for one in told), tuple(names), places)

    def _table(self, rng: random.Random) -> Table:
        point = rng.random() * self._cumulative[-1]
        return self.tables[min(int(np.searchsorted(self._cumulative, point)), len(self.tables) - 1)]

    def _example(
        self, relation: Relation, maker: _TextMaker, others: Sequence[str], rng: random.Random
    ) -> TrainingExample | None:
        """One text with its questions; None where it is too long to be read."""
        longest = rng.choice((3, 6, 12)) * self.serializer.config.max_value_tokens
        target, *shown = rng.sample(range(len(relation)), 4)
        told = _cropped(maker(target, rng), longest, rng)
        asked = _choose_questions(relation, target, told, rng)
        if not told.text.strip() or not asked:
            return None
        recase = rng.choice((str.lower, str.title, None, None))
        names = [_asked(relation, attribute, rng, recase) for attribute in asked]
        names += [
            _readable(other, rng, recase) for other in rng.sample(others, min(len(others), rng.choice((0, 0, 1))))
        ]
        answered = []
        for row in shown[: rng.choice((0, 0, 0, 0, 1, 1, 1, 2, 2, 3))]:
            example = _cropped(maker(row, rng), longest // 2, rng)
            known: list[Part] = [_label(example, attribute, rng) for attribute in asked]
            answered.append(AnsweredText(example.text, (*known, *[Mask()] * (len(names) - len(known)))))
        column_ids = rng.sample(
            range(1, self.serializer.config.max_attributes + 1), self.serializer.config.max_attributes
        )
        reading = self._fitting(told.text, names, answered, column_ids)
        return (
            None
            if reading is None
            else TrainingExample(reading.encoder_input, spans=tuple(_spans(reading, asked, told)))
        )

    def _fitting(
        self, text: str, names: Sequence[str], answered: Sequence[AnsweredText], column_ids: Sequence[int]
    ) -> Reading | None:
        """The text as it is read, with as many of the answered texts as there is room for."""
        for count in range(len(answered), -1, -1):
            reading = self._reader.read(text, names, answered[:count], column_ids)
            if len(reading.encoder_input) <= self.training.max_tokens:
                return reading
        return None


def _window(table: Table, rng: random.Random, tuples: int) -> Relation:
    """Some tuples and up to 14 attributes of a table."""
    count, width = min(len(table), tuples), len(table.attributes)
    start = rng.randint(0, len(table) - count)
    return table.part(range(start, start + count), sorted(rng.sample(range(width), min(width, 14))))


_TextMaker = Callable[[int, random.Random], Told]
"""Makes the text of one tuple."""


def _texts(relation: Relation, kinds: Sequence[str], rng: random.Random) -> _TextMaker:
    """How the texts of a relation are made, all of one episode alike."""
    texts = _attributes_with_others_inside(relation)
    if texts and rng.random() < FOUND_RATE:
        source = rng.choice(sorted(texts))
        inside = texts[source]
        return lambda row, _: _found(relation.tuples[row], source, inside)
    style = _style(relation, rng.choice(kinds), rng)
    return lambda row, own: _composed(relation.tuples[row], style, own)


def _attributes_with_others_inside(relation: Relation) -> dict[int, list[int]]:
    """For each attribute that holds texts, the attributes whose values often stand in them."""
    inside: dict[int, list[int]] = {}
    width, count = len(relation.attributes), len(relation)
    for source in range(width):
        texts = [(values[source] or "").lower() for values in relation.tuples]
        if sum(map(len, texts)) < 20 * count:
            continue
        for attribute in range(width):
            values = [(row[attribute] or "").lower() for row in relation.tuples]
            told = [(value, text) for value, text in zip(values, texts, strict=True) if value]
            hits = sum(value in text and value != text for value, text in told)
            if attribute != source and hits >= 3 and 3 * hits >= len(told):
                inside.setdefault(source, []).append(attribute)
    return inside


def _found(values: Sequence[Value], source: int, inside: Sequence[int]) -> Told:
    text = values[source] or ""
    places = {attribute: _place_of(values[attribute] or "", text) for attribute in inside}
    return Told(text, {attribute: place for attribute, place in places.items() if place})


def _place_of(value: str, text: str) -> Place | None:
    """Where `value` first stands in `text` as a whole, whatever its case; single characters are not looked for."""
    if len(value) < 2 or value == text:
        return None
    pattern = rf"(?<![^\W_]){re.escape(value)}(?![^\W_])"
    match = re.search(pattern, text, re.IGNORECASE)
    return match.span() if match else None


@dataclass(frozen=True, slots=True)
class _Wording:
    """How a text tells one attribute: what stands before and behind its value, and a unit that belongs to it."""

    attribute: int
    before: str = ""
    behind: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class _Style:
    """How the texts of one episode are composed; other `words` come from the values of the attributes `lenders`."""

    wordings: tuple[_Wording, ...]
    joint: str
    opening: str
    filler_rate: float
    omitted: float
    shuffled: bool
    words: tuple[str, ...]
    lenders: tuple[int, ...]
    recase: Callable[[str], str] | None


def _style(relation: Relation, kind: str, rng: random.Random) -> _Style:
    """A title, a list or a sentence of some attributes."""
    chosen = _told_attributes(relation, kind, rng)
    if rng.random() < 0.5:
        rng.shuffle(chosen)
    wordings = tuple(_wording(relation, attribute, kind, rng) for attribute in chosen)
    left = [attribute for attribute in range(len(relation.attributes)) if attribute not in chosen]
    lenders = tuple(rng.sample(left, rng.randint(0, len(left)) // 2))
    words = [word for one in lenders for value in relation.column(one)[:6] for word in (value or "").split()[:3]]
    joint = rng.choice(_TITLE_JOINTS if kind == "title" else _LIST_JOINTS if kind == "list" else (". ", ", ", " "))
    opening = rng.choice((*rng.choice(_FILLERS).split()[:1], "", "", ""))
    rate, omitted = rng.choice((0.0, 0.0, 0.2, 0.5)), rng.choice((0.0, 0.15, 0.3))
    recase = rng.choice((str.lower, str.upper)) if rng.random() < 0.08 else None
    fillers = (*_FILLERS, *words[:30])
    return _Style(wordings, joint, opening, rate, omitted, rng.random() < 0.3, fillers, lenders, recase)


def _told_attributes(relation: Relation, kind: str, rng: random.Random) -> list[int]:
    """Two to ten attributes; of those that a title cannot keep apart, for they have values in common, one alone."""
    chosen: list[int] = []
    known: set[str] = set()
    candidates = range(len(relation.attributes))
    for attribute in rng.sample(candidates, len(candidates)):
        present = {value for value in relation.column(attribute) if value}
        if present and max(map(len, present)) <= _LONGEST_VALUE and (kind != "title" or not present & known):
            chosen.append(attribute)
            known |= present
    return sorted(chosen[: rng.randint(2, 10)])


def _wording(relation: Relation, attribute: int, kind: str, rng: random.Random) -> _Wording:
    name = _readable(relation.attributes[attribute], rng, None)
    if kind == "list":
        return _Wording(attribute, name + rng.choice(_TOLD))
    if kind == "sentence":
        return _Wording(attribute, rng.choice(_OPENINGS).format(name))
    bare = all(_NUMBER.fullmatch(value) for value in relation.column(attribute) if value)
    if bare and rng.random() < 0.8:
        words = _SINGLE_WORD.findall(name.lower())[-1:]
        return rng.choice((_Wording(attribute, f"{name} "), _Wording(attribute, behind=f" {name}"),
                           _Wording(attribute, unit=rng.choice(("", " ")) + "".join(words))))  # fmt: skip
    first, *further = name.split() or [name]
    if further and rng.random() < 0.25:
        return rng.choice((_Wording(attribute, f"{first} "), _Wording(attribute, behind=f" {first}")))
    if rng.random() < 0.1:
        return rng.choice((_Wording(attribute, f"{name} "), _Wording(attribute, behind=f" {name}")))
    return rng.choice((_Wording(attribute),) * 7 + (_Wording(attribute, "for "), _Wording(attribute, "(", ")"),
                                                    _Wording(attribute, behind="'s")))  # fmt: skip


def _composed(values: Sequence[Value], style: _Style, rng: random.Random) -> Told:
    """The text of a tuple."""
    wordings = list(style.wordings)
    if style.shuffled:
        rng.shuffle(wordings)
    text, places = style.opening, {}
    for wording in wordings:
        value = values[wording.attribute]
        if not value or rng.random() < style.omitted:
            continue
        if rng.random() < style.filler_rate:
            text += (" " if text else "") + rng.choice(style.words)
        text += (style.joint if text else "") + wording.before
        places[wording.attribute] = (len(text), len(text) + len(value) + len(wording.unit))
        text += value + wording.unit + wording.behind
    if rng.random() < style.filler_rate:
        text += " " + rng.choice(style.words)
    recased = style.recase(text) if style.recase else text
    return Told(recased if len(recased) == len(text) else text, places, style.lenders)


def _cropped(told: Told, longest: int, rng: random.Random) -> Told:
    """The text, or where it is longer than `longest` characters, a part of it around one of its values."""
    text = told.text
    if len(text) <= longest:
        return told
    start, end = rng.choice(sorted(told.places.values())) if told.places else (0, 0)
    begin = max(0, min(start - rng.randint(0, longest), len(text) - longest))
    begin = begin if end - begin <= longest else start
    end = begin + longest
    inner = {a: (s - begin, e - begin) for a, (s, e) in told.places.items() if begin <= s and e <= end}
    return Told(text[begin:end], inner, told.unsure)


def _choose_questions(relation: Relation, row: int, told: Told, rng: random.Random) -> list[int]:
    """Attributes to ask for: some that the text tells, and some that it does not."""
    answered = rng.sample(sorted(told.places), min(len(told.places), rng.randint(1, _MOST_QUESTIONS - 2)))
    absent = [
        attribute
        for attribute, value in enumerate(relation.tuples[row])
        if attribute not in told.places and _is_absent(value, attribute, told)
    ]
    share = rng.choice((1, 1, 2, 3)) if answered else 2
    asked = answered + rng.sample(absent, min(len(absent), share))
    rng.shuffle(asked)
    return asked


def _is_absent(value: Value, attribute: int, told: Told) -> bool:
    """Whether a text surely does not tell the value of an attribute."""
    return attribute not in told.unsure and not (value and value.lower() in told.text.lower())


def _label(told: Told, attribute: int, rng: random.Random) -> Part:
    """The answer that a labelled text gives; not known now and then."""
    if rng.random() < 0.25:
        return Mask()
    place = told.places.get(attribute)
    return told.text[place[0] : place[1]] if place else None


def _readable(name: str, rng: random.Random, recase: Callable[[str], str] | None) -> str:
    """An attribute name as it stands, or with its words set apart."""
    if rng.random() < 0.7:
        name = _CAMEL.sub(" ", name.rsplit(".", 1)[-1]).replace("_", " ").strip() or name
    return recase(name) if recase else name


def _asked(relation: Relation, attribute: int, rng: random.Random, recase: Callable[[str], str] | None) -> str:
    """The question for an attribute: its name, now and then with a description that gives values of other tuples."""
    name = _readable(relation.attributes[attribute], rng, recase)
    if rng.random() > 0.08:
        return question(name)
    values = sorted({value for value in relation.column(attribute) if value and len(value) <= 12})
    some = rng.sample(values, min(len(values), 2))
    return question(name, f"such as {' or '.join(some)}" if some else None)


def _spans(reading: Reading, asked: Sequence[int], told: Told) -> Iterator[Span]:
    """Where the answers stand; questions behind those `asked` have none."""
    for number, marker in enumerate(reading.questions):
        place = told.places.get(asked[number]) if number < len(asked) else None
        yield Span(marker, *(reading.tokens(*place) if place else (marker, marker)))
