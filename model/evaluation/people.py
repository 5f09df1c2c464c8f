"""Two tables of invented people with the truth of who is in both: the benchmark of linking at size.

Names, streets and places are made from syllables and are as skewed as real ones (a name's share falls with its rank).
Households share surname, street, place and often a phone, so that records which agree on most fields are still two
people. The second table has what real registers suffer: typos, missing values, nicknames, moves, new surnames, day and
month exchanged, other formats of phone and date. The same seed gives the same tables.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

COLUMNS = ("given_name", "surname", "birth_date", "street", "city", "postcode", "phone", "email")

_ONSETS = ("b", "br", "c", "ch", "d", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v", "w")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ee", "ie", "ou")
_CODAS = ("", "", "l", "m", "n", "nd", "r", "rt", "s", "ck", "th", "x")
_SURNAME_ENDINGS = ("", "", "son", "man", "ley", "ton", "well", "er")
_STREETS = ("Street", "Road", "Lane", "Avenue", "Drive", "Way")
_MAILS = ("mail.example", "post.example", "inbox.example")
_COUNTS = {"given": 400, "surname": 4000, "street": 1500, "city": 250}

_MISSING = 0.06
_TYPO = 0.06
_NICKNAME = 0.06
_MOVED = 0.12
_NEW_SURNAME = 0.03
_DAY_AND_MONTH = 0.02
_NEW_PHONE = 0.15
_NEW_EMAIL = 0.15
_HOUSEHOLD = (1, 1, 2, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class _Person:
    given: str
    surname: str
    born: tuple[int, int, int]
    street: str
    city: str
    postcode: str
    phone: str
    email: str


@dataclass(frozen=True, slots=True)
class PeopleTables:
    """Two tables and the truth.

    Attributes:
        tables: rows in the order of `COLUMNS`; None is a missing value.
        truth: (row of the first table, row of the second) of everybody who is in both.
    """

    tables: tuple[list[tuple[str | None, ...]], list[tuple[str | None, ...]]]
    truth: frozenset[tuple[int, int]]

    def write(self, folder: Path) -> None:
        """Write a.csv, b.csv and truth.csv, UTF-8."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in zip(("a.csv", "b.csv"), self.tables, strict=True):
            _write(folder / name, COLUMNS, rows)
        _write(folder / "truth.csv", ("a", "b"), sorted(self.truth))


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def invent_people(count: int, overlap: float = 0.5, seed: int = 0) -> PeopleTables:
    """Two tables of `count` people each, of whom a share is in both.

    Raises:
        ValueError: `count` is not positive, or `overlap` is outside 0 to 1.
    """
    if count < 1 or not 0.0 <= overlap <= 1.0:
        raise ValueError(f"count {count} must be positive and overlap {overlap} within 0 to 1")
    rng = random.Random(f"people:{seed}")
    shared = round(count * overlap)
    people = list(_take(_households(_World(rng), rng), 2 * count - shared))
    rng.shuffle(people)
    first, second = people[:count], people[count - shared :]
    left = [(number, _row(person)) for number, person in enumerate(first)]
    right = [(number, _row_of(_later(person, rng), rng)) for number, person in enumerate(second)]
    rng.shuffle(left)
    rng.shuffle(right)
    places = [{number: row for row, (number, _) in enumerate(side)} for side in (left, right)]
    truth = frozenset((places[0][count - shared + number], places[1][number]) for number in range(shared))
    return PeopleTables(([row for _, row in left], [row for _, row in right]), truth)


class _World:
    """Names and places, each with a share that falls with its rank."""

    def __init__(self, rng: random.Random) -> None:
        self.given = _Skewed(_distinct(_COUNTS["given"], lambda: _word(rng, 2)), 0.8)
        self.surname = _Skewed(
            _distinct(_COUNTS["surname"], lambda: _word(rng, rng.randint(1, 2)) + rng.choice(_SURNAME_ENDINGS)), 0.7
        )
        self.street = _Skewed(_distinct(_COUNTS["street"], lambda: f"{_word(rng, 2)} {rng.choice(_STREETS)}"), 0.5)
        self.city = _Skewed(_distinct(_COUNTS["city"], lambda: _word(rng, 2) + rng.choice(("", "ville", "ford"))), 1.0)
        self.postcodes = {
            city: [f"{rng.randrange(10**5):05d}" for _ in range(rng.randint(1, 12))] for city in self.city.values
        }


class _Skewed:
    """Draws values whose share is one over a power of their rank."""

    def __init__(self, values: Sequence[str], power: float) -> None:
        self.values = values
        self._weights = list(accumulate((rank + 1) ** -power for rank in range(len(values))))

    def draw(self, rng: random.Random) -> str:
        return rng.choices(self.values, cum_weights=self._weights)[0]


def _households(world: _World, rng: random.Random) -> Iterator[_Person]:
    """People without end, household by household."""
    while True:
        surname, home, phone = world.surname.draw(rng), _home(world, rng), _phone(rng)
        for _ in range(rng.choice(_HOUSEHOLD)):
            given = world.given.draw(rng)
            own = surname if rng.random() < 0.85 else world.surname.draw(rng)
            born = rng.randint(1930, 2008), rng.randint(1, 12), rng.randint(1, 28)
            dialled = phone if rng.random() < 0.4 else _phone(rng)
            yield _Person(given, own, born, *home, dialled, _email(given, own, rng))


def _home(world: _World, rng: random.Random) -> tuple[str, str, str]:
    city = world.city.draw(rng)
    return f"{rng.randint(1, 250)} {world.street.draw(rng)}", city, rng.choice(world.postcodes[city])


def _phone(rng: random.Random) -> str:
    return f"{rng.randint(200, 989)}{rng.randrange(10**7):07d}"


def _email(given: str, surname: str, rng: random.Random) -> str:
    user = rng.choice((f"{given}.{surname}", f"{given[0]}{surname}", f"{given}{rng.randint(1, 99)}", surname))
    return f"{user.lower()}{rng.choice(('', rng.randint(1, 999)))}@{rng.choice(_MAILS)}"


def _later(person: _Person, rng: random.Random) -> _Person:
    """The same person some years on."""
    changes: dict[str, str | tuple[int, int, int]] = {}
    if rng.random() < _NICKNAME:
        changes["given"] = rng.choice((person.given[:3], person.given[0] + ".", person.given[:2] + "y"))
    if rng.random() < _NEW_SURNAME:
        changes["surname"] = _word(rng, 2)
    if rng.random() < _DAY_AND_MONTH and person.born[2] <= 12:
        changes["born"] = person.born[0], person.born[2], person.born[1]
    if rng.random() < _MOVED:
        changes["street"] = f"{rng.randint(1, 250)} {_word(rng, 2)} {rng.choice(_STREETS)}"
        changes["postcode"] = f"{rng.randrange(10**5):05d}"
    if rng.random() < _NEW_PHONE:
        changes["phone"] = _phone(rng)
    if rng.random() < _NEW_EMAIL:
        changes["email"] = _email(person.given, person.surname, rng)
    return replace(person, **changes)  # type: ignore[arg-type]


def _row(person: _Person) -> tuple[str | None, ...]:
    """A record as it should be."""
    year, month, day = person.born
    return (
        person.given, person.surname, f"{year}-{month:02d}-{day:02d}", person.street, person.city, person.postcode,
        person.phone, person.email,
    )  # fmt: skip


def _row_of(person: _Person, rng: random.Random) -> tuple[str | None, ...]:
    """A record as somebody typed it."""
    year, month, day = person.born
    date = f"{day:02d}/{month:02d}/{year}" if rng.random() < 0.2 else f"{year}-{month:02d}-{day:02d}"
    phone = f"({person.phone[:3]}) {person.phone[3:6]}-{person.phone[6:]}" if rng.random() < 0.5 else person.phone
    typed = (
        person.given, person.surname, date, person.street, person.city, person.postcode, phone, person.email,
    )  # fmt: skip
    return tuple(None if rng.random() < _MISSING else _typed(value, rng) for value in typed)


def _typed(value: str, rng: random.Random) -> str:
    if rng.random() >= _TYPO or len(value) < 3:
        return value
    place = rng.randrange(len(value) - 1)
    match rng.randrange(4):
        case 0:
            return value[:place] + value[place + 1 :]
        case 1:
            return value[:place] + value[place + 1] + value[place] + value[place + 2 :]
        case 2:
            return value[:place] + value[place] + value[place:]
        case _:
            other = str(rng.randrange(10)) if value[place].isdigit() else rng.choice("abcdefghijklmnopqrstuvwxyz")
            return value[:place] + other + value[place + 1 :]


def _word(rng: random.Random, syllables: int) -> str:
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(syllables)
    ).capitalize()


def _distinct(count: int, make: Callable[[], str]) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[make()] = None
    return list(found)


def _take(people: Iterator[_Person], count: int) -> Iterator[_Person]:
    return (person for _, person in zip(range(count), people, strict=False))
