"""What a window of a real table is made to be before it is corrupted, so that there is more to learn from it.

    derived attribute    one attribute more, which a program computes from the others: transformation by example
    exchanged words      every word stands for another one of the window: what is equal stays equal, and nothing
                         that was learned by heart helps, only looking
    plain names          attribute names that say nothing, as files without a header have them

Dependencies and duplicates stay what they were; formats do too, but for words such as the names of months.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from model.config import TrainingConfig
from model.corruption import OPERATORS, ColumnView
from model.tuples import Relation, Value

Program = Callable[[Sequence[Value]], Value]
"""Computes a value from the values of one tuple; None where it has nothing to say."""

_REWRITING = (
    "date_format", "date_format", "time_format", "phone_format", "number_format", "unit_changed", "case_changed",
    "abbreviation", "words_changed",
)  # fmt: skip
_WORD = re.compile(r"[^\W\d_]{3,}")
_SEPARATORS = (" ", ", ", "-", " - ", "/", "_", "; ", "|", ": ", "")
_DERIVED_NAMES = ("result", "output", "new", "value", "label", "key", "code", "short", "text", "title", "display")
_LEAST_SHARE = 0.6
"""A program that says something of fewer tuples is not used."""


def augment(relation: Relation, rng: random.Random, training: TrainingConfig) -> Relation:
    """The window with what `training` has drawn for it; the same `rng` state gives the same result."""
    if rng.random() < training.exchanged_words_rate:
        relation = with_exchanged_words(relation, rng)
    if rng.random() < training.derived_rate:  # after the words, so that it is computed from those that stand there
        relation = with_derived_attribute(relation, rng)
    if rng.random() < training.plain_names_rate:
        relation = with_plain_names(relation, rng)
    return relation


def with_derived_attribute(relation: Relation, rng: random.Random) -> Relation:
    """One attribute more, computed by one program for all tuples; the relation itself where no program fits."""
    if not relation.tuples:
        return relation
    for _ in range(4):
        program, source = _program(relation, rng)
        derived = [program(values) for values in relation.tuples]
        told = {value for value in derived if value}
        changed = any(value and value not in values for value, values in zip(derived, relation.tuples, strict=True))
        if changed and len(told) > 1 and sum(map(bool, derived)) >= _LEAST_SHARE * len(derived):
            break
    else:
        return relation
    name = rng.choice(_DERIVED_NAMES)
    name = f"{relation.attributes[source]}_{name}" if rng.random() < 0.5 else name
    place = rng.randint(0, len(relation.attributes))
    attributes = [*relation.attributes[:place], name, *relation.attributes[place:]]
    rows = [[*values[:place], value, *values[place:]] for values, value in zip(relation.tuples, derived, strict=True)]
    return Relation.of(attributes, rows, relation.name)


def _program(relation: Relation, rng: random.Random) -> tuple[Program, int]:
    """A program and the attribute that it mostly reads."""
    width = len(relation.attributes)
    source = rng.randrange(width)
    draw = rng.random()
    if draw < 0.3 and width > 1:
        return _joined(source, rng.choice([place for place in range(width) if place != source]), rng), source
    if draw < 0.65:
        return _part(source, rng), source
    return _rewriting(relation, source, rng), source


def _joined(first: int, second: int, rng: random.Random) -> Program:
    """Two values with a separator between, sometimes in other letters."""
    separator, style = rng.choice(_SEPARATORS), rng.choice((str, str, str.upper, str.lower))

    def program(values: Sequence[Value]) -> Value:
        one, other = values[first], values[second]
        return style(f"{one}{separator}{other}") if one and other else None

    return program


def _part(source: int, rng: random.Random) -> Program:
    """Some piece of one value: a word, the initials, the beginning, the digits, what a separator parts."""
    length = rng.randint(1, 4)
    mark = rng.choice(("-", ",", "/", "@", ".", ":", "("))
    joint = rng.choice(("_", "-", ""))
    pieces: tuple[Callable[[str], str], ...] = (
        lambda value: value.split()[0],
        lambda value: value.split()[-1],
        lambda value: "".join(word[0] for word in value.split()).upper(),
        lambda value: ". ".join([*(word[0] for word in value.split()[:-1]), value.split()[-1]]),
        lambda value: value[:length],
        lambda value: value[-length:],
        lambda value: "".join(filter(str.isdigit, value)),
        lambda value: value.partition(mark)[0].strip(),
        lambda value: value.partition(mark)[2].strip(" )"),
        lambda value: value.replace(" ", joint),
        lambda value: f"{value.split()[-1]}, {' '.join(value.split()[:-1])}",
    )
    piece = rng.choice(pieces)

    def program(values: Sequence[Value]) -> Value:
        value = values[source]
        return (piece(value) or None) if value and value.strip() else None

    return program


def _rewriting(relation: Relation, source: int, rng: random.Random) -> Program:
    """An operator of the corruption catalogue that makes the same choices for every tuple."""
    seed, habit = rng.random(), rng.randrange(1 << 30)
    operators = [OPERATORS[kind] for kind in rng.sample(_REWRITING, len(_REWRITING))]
    column = ColumnView(relation.attributes[source], tuple(value or "" for value in relation.column(source)), habit)
    first = next(filter(None, column.values), "")
    fitting = (one for one in operators if one(first, column, random.Random(seed)) is not None)
    operator = next(fitting, operators[0])

    def program(values: Sequence[Value]) -> Value:
        value = values[source]
        return operator(value, column, random.Random(seed)) if value else None

    return program


def with_exchanged_words(relation: Relation, rng: random.Random) -> Relation:
    """Every word of three letters or more replaced by another of the window, the same one throughout.

    A word is exchanged for one in the same case, so that what is written how stays as it was.
    """
    alike: dict[str, list[str]] = {}
    known: set[str] = set()
    for values in relation.tuples:
        for value in values:
            for word in _WORD.findall(value or ""):
                if word not in known:
                    known.add(word)
                    alike.setdefault(_case(word), []).append(word)
    instead: dict[str, str] = {}
    for words in alike.values():
        instead |= dict(zip(words, rng.sample(words, len(words)), strict=True))
    rows = [
        [value and _WORD.sub(lambda match: instead[match[0]], value) for value in values] for values in relation.tuples
    ]
    return Relation.of(relation.attributes, rows, relation.name)


def _case(word: str) -> str:
    return "upper" if word.isupper() else "lower" if word.islower() else "title" if word.istitle() else "mixed"


def with_plain_names(relation: Relation, rng: random.Random) -> Relation:
    """Attribute names that only count, in one of the usual ways."""
    name = rng.choice(("column{}", "col_{}", "{}", "Unnamed: {}", "field{}", "V{}", "_c{}"))
    attributes = [name.format(number) for number in range(1, len(relation.attributes) + 1)]
    return Relation.of(attributes, relation.tuples, relation.name)
