"""One table cut into two that overlap, with columns called anew: schema matching without anybody's labels.

Both halves keep some columns in common and some of their own, share all rows, some, or none, and one of them may be
dirty. Names are rewritten as people rewrite them: by one habit for the whole table, or column by column. Descriptions
are made of the words of the true name, some of them left out, beside words of other columns.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.config import CorruptionConfig
from model.corruption import OPERATORS, ColumnView, corrupt_relation
from model.inference.column_names import parts_of
from model.inference.schema_matching import Schema
from model.tuples import Relation

MIN_COLUMNS, MAX_COLUMNS = 4, 24
ROWS = (8, 20, 50, 100, 200)
CORRUPTION = CorruptionConfig(
    clean_table_rate=0.0,
    conflict_rate=0.0,
    duplicate_rate=0.0,
    max_error_rate=0.5,
    typical_max_error_rate=0.4,
    drift_rate=0.5,
)
"""Much dirtier than what is cleaned: other sources write other values."""

_VOWELS = re.compile(r"(?i)[aeiouy]")
_FILLERS = ("the", "of", "a", "in", "this", "record", "value", "each", "source", "identifier", "number", "as", "given")
_OTHER_WORDS = 0.6
_ADDED = ("value", "name", "id", "code", "no", "field", "desc", "txt", "val", "cd")


@dataclass(frozen=True, slots=True)
class SchemaCut:
    """Two schemas of one table; `truth` has the places of columns that are one."""

    source: Schema
    target: Schema
    truth: frozenset[tuple[int, int]]


def cut(relation: Relation, rng: random.Random) -> SchemaCut:
    """Cut a relation into two; the same `rng` state gives the same result."""
    sides = _columns(len(relation.attributes), rng)
    rows = _rows(len(relation), rng)
    parts = [_part(relation, rows[side], attributes) for side, attributes in enumerate(sides)]
    dirty = rng.randrange(3)
    parts = [
        corrupt_relation(part, rng, CORRUPTION).dirty if side == dirty else part for side, part in enumerate(parts)
    ]
    rewritten, described = rng.randrange(2), rng.random() < 0.5
    schemas = [_renamed(part, rng, rewritten=side == rewritten, described=described) for side, part in enumerate(parts)]
    places = {attribute: place for place, attribute in enumerate(sides[1])}
    truth = frozenset((place, places[one]) for place, one in enumerate(sides[0]) if one in places)
    return SchemaCut(schemas[0], schemas[1], truth)


def cut_several(relations: Sequence[tuple[str, Relation]], rng: random.Random) -> SchemaCut:
    """Cut named relations into two schemas of several tables without rows; a name says which table a column is of."""
    cuts = [cut(relation, rng) for _, relation in relations]
    tables = [
        (name, _mixed(name, rng) if rng.random() < 0.5 else name) for name in _distinct([name for name, _ in relations])
    ]
    separator = rng.choice("-./:")
    names: tuple[list[str], list[str]] = ([], [])
    told: tuple[list[str | None], list[str | None]] = ([], [])
    truth: set[tuple[int, int]] = set()
    for one, table in zip(cuts, tables, strict=True):
        only = rng.choice((None, None, None, 0, 1))  # a table that one schema lacks
        starts = len(names[0]), len(names[1])
        for side, schema in enumerate((one.source, one.target)):
            if only in (None, side):
                name = re.sub(r"[-./:]", "_", table[side]) or "t"
                names[side].extend(f"{name}{separator}{column}" for column in schema.relation.attributes)
                told[side].extend(schema.descriptions)
        if only is None:
            truth |= {(starts[0] + source, starts[1] + target) for source, target in one.truth}
    if not (names[0] and names[1]):
        return cuts[0]
    schemas = [Schema(Relation.of(_distinct(names[side]), []), tuple(told[side])) for side in (0, 1)]
    return SchemaCut(schemas[0], schemas[1], frozenset(truth))


def _columns(width: int, rng: random.Random) -> tuple[list[int], list[int]]:
    """The columns of both halves: some that both have, and some of their own."""
    chosen = rng.sample(range(width), min(width, rng.randint(MIN_COLUMNS, MAX_COLUMNS)))
    common = chosen[: rng.randint(1, len(chosen))]
    sides = (list(common), list(common))
    for attribute in chosen[len(common) :]:
        side = rng.randrange(3)  # the third is nobody's
        if side < 2:
            sides[side].append(attribute)
    for one in sides:
        rng.shuffle(one)
    return sides


def _renamed(part: Relation, rng: random.Random, *, rewritten: bool, described: bool) -> Schema:
    """The columns by other names, described or not."""
    words = [_words(name) for name in part.attributes]
    told = tuple(_description(words, place, rng) if described else None for place in range(len(words)))
    habit = _habit(rng) if rewritten or rng.random() < 0.3 else _same
    if described and rewritten and rng.random() < 0.5:
        habit = _otherwise(rng)  # a description says what the name does not
    names = _distinct([habit(name, rng) for name in part.attributes])
    return Schema(Relation.of(names, part.tuples), told)


def _rows(count: int, rng: random.Random) -> tuple[list[int], list[int]]:
    """Row numbers of both halves: as many each, of which a share is common to both."""
    size = min(rng.choice(ROWS), max(1, count // 2))
    drawn = rng.sample(range(count), min(count, 2 * size))
    common = round(size * rng.choice((0.0, 0.0, 0.3, 0.5, 1.0)))
    return sorted(drawn[:size]), sorted([*drawn[:common], *drawn[size : 2 * size - common]])


def _part(relation: Relation, rows: Sequence[int], attributes: Sequence[int]) -> Relation:
    names = [relation.attributes[attribute] for attribute in attributes]
    return Relation.of(names, [[relation.tuples[row][attribute] for attribute in attributes] for row in rows])


Habit = Callable[[str, random.Random], str]


def _words(name: str) -> list[str]:
    return list(parts_of(name))


def _same(name: str, rng: random.Random) -> str:
    return name


def _styled(style: int) -> Habit:
    def habit(name: str, rng: random.Random) -> str:
        return _joined(_words(name), style)

    return habit


def _joined(words: Sequence[str], style: int) -> str:
    joined = (
        "_".join(words),
        "".join(word.capitalize() for word in words),
        " ".join(words),
        "".join(words),
        "_".join(words).upper(),
        "-".join(words),
    )
    return joined[style]


def _without_vowels(name: str, rng: random.Random) -> str:
    return _VOWELS.sub("", name) or name


def _beginnings(shortest: int, longest: int, style: int) -> Habit:
    def habit(name: str, rng: random.Random) -> str:
        return _joined([word[: rng.randint(shortest, longest)] for word in _words(name)], style)

    return habit


def _initials(name: str, rng: random.Random) -> str:
    words = _words(name)
    return "".join(word[0] for word in words) if len(words) > 1 else words[0][: rng.randint(1, 3)]


def _truncated(name: str, rng: random.Random) -> str:
    return name[: max(1, rng.randint(2, 8))]


def _misspelled(name: str, rng: random.Random) -> str:
    column = ColumnView("", (name,), 0)
    kinds = ("keyboard_typo", "letter_deleted", "letters_transposed", "letter_inserted")
    return OPERATORS[rng.choice(kinds)](name, column, rng) or name


def _fewer_words(name: str, rng: random.Random) -> str:
    words = _words(name)
    if len(words) > 1:
        words.pop(rng.randrange(len(words)))
    return "_".join(words)


def _more_words(name: str, rng: random.Random) -> str:
    words = [*_words(name), rng.choice(_ADDED)]
    return "_".join(words if rng.random() < 0.7 else [words[-1], *words[:-1]])


def _with_prefix(prefix: str, style: int) -> Habit:
    def habit(name: str, rng: random.Random) -> str:
        return _joined([prefix, *_words(name)], style)

    return habit


def _plain(name: str, rng: random.Random) -> str:
    return f"{rng.choice(('column', 'col', 'field', 'v', 'x'))}{rng.randrange(1000)}"


def _otherwise(rng: random.Random) -> Habit:
    """Other words for most things, the same one throughout, as synonyms are."""
    seed = rng.random()

    def habit(name: str, rng: random.Random) -> str:
        found = []
        for word in _words(name):
            drawn = random.Random(f"{seed}:{word}")
            found.append(_invented(drawn) if drawn.random() < _OTHER_WORDS else word)
        return "_".join(found)

    return habit


def _invented(rng: random.Random) -> str:
    """A word that means nothing."""
    return "".join(rng.choice("bcdfghklmnprstvw") + rng.choice("aeiou") for _ in range(rng.randint(2, 4)))


def _mixed(name: str, rng: random.Random) -> str:
    return _habit(rng, mixed=False)(name, rng)


def _habit(rng: random.Random, *, mixed: bool = True) -> Habit:
    """A way to call columns anew."""
    style, longest = rng.randrange(6), rng.randint(2, 5)
    prefix = "".join(rng.choice("abcdefghiklmnoprstuw") for _ in range(rng.randint(1, 6)))
    habits: list[Habit] = [
        _same,
        _styled(style),
        _without_vowels,
        _beginnings(1, longest, rng.choice((1, 1, 0, style))),
        _beginnings(longest, longest, style),
        _initials,
        _truncated,
        _misspelled,
        _fewer_words,
        _more_words,
        _with_prefix(prefix, style),
        _plain,
    ]
    if mixed:
        habits += [_mixed] * 5
    return rng.choice(habits)


def _distinct(names: Sequence[str]) -> list[str]:
    """The same names, none of them blank, with a number behind those that came before."""
    seen: set[str] = set()
    found = []
    for name in names:
        first = name if name.strip() else "column"
        candidate, number = first, 1
        while candidate in seen:
            number += 1
            candidate = f"{first}_{number}"
        seen.add(candidate)
        found.append(candidate)
    return found


def _description(words: Sequence[Sequence[str]], place: int, rng: random.Random) -> str:
    """Some words of a column's true name among fillers and words of another column."""
    kept = [word for word in words[place] if rng.random() < 0.7]
    others = rng.choice(words) if rng.random() < 0.4 else ()
    fillers = rng.choices(_FILLERS, k=rng.randint(1, 5))
    told = [*kept, *others, *fillers]
    rng.shuffle(told)
    return " ".join(told)
