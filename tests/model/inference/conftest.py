"""Tables whose true entities are known: products of two shops, and people who were written down more than once."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from model.tuples import Relation, Value

_SYLLABLES = tuple(first + last for first in "bdfgklmnprstvz" for last in ("a", "e", "i", "o", "u", "an", "el", "or"))
_KINDS = ("camera", "printer", "monitor", "keyboard", "speaker", "router", "scanner", "projector")
_PRAISE = ("new", "black", "with cable", "best price", "free shipping", "in box", "2 years warranty")
_CITIES = ("Berlin", "Paris", "Rome", "Madrid", "London", "Oslo", "Vienna", "Bern", "Prague", "Lima")


@dataclass(frozen=True, slots=True)
class TruePairs:
    """One table or two, and the pairs that are one entity, by tuple numbers."""

    relations: tuple[Relation, ...]
    pairs: frozenset[tuple[int, int]]


def word(rng: random.Random, syllables: int = 3) -> str:
    return "".join(rng.choice(_SYLLABLES) for _ in range(syllables))


def misspelled(rng: random.Random, text: str) -> str:
    """A text with one letter dropped or doubled."""
    place = rng.randrange(len(text))
    return text[:place] + (text[place] * 2 if rng.random() < 0.5 else "") + text[place + 1 :]


@pytest.fixture(scope="session")
def linked() -> TruePairs:
    """Two shops of 300 products, 200 of which both sell.

    Products come in series of four that differ in code and price. The second shop drops, misspells and adds words.
    """
    rng = random.Random(5)
    brands = [word(rng, 2) for _ in range(25)]
    products: list[tuple[str, list[str], str]] = []
    for _ in range(100):
        brand, series = rng.choice(brands), [rng.choice(_KINDS), word(rng)]
        for _ in range(4):
            code = f"{word(rng, 1)[:2]}{rng.randint(100, 9999)}"
            products.append((brand, [*series, code], f"{rng.randint(100, 90000) / 100:.2f}"))
    rng.shuffle(products)
    left: list[list[Value]] = [[" ".join((brand, *title)), brand, price] for brand, title, price in products[:300]]
    right: list[list[Value]] = []
    for brand, (kind, name, code), price in products[100:]:
        words = [misspelled(rng, one) if rng.random() < 0.1 else one for one in (brand, kind, name)]
        if rng.random() < 0.3:
            del words[rng.randrange(3)]
        words += [code if rng.random() < 0.7 else f"{code[:2]}-{code[2:]}", *rng.sample(_PRAISE, rng.randint(0, 2))]
        right.append([" ".join(words), brand if rng.random() < 0.9 else None, f"{float(price):.0f}"])
    order = list(range(300))
    rng.shuffle(order)
    pairs = frozenset((100 + one, place) for place, one in enumerate(order) if one < 200)
    names = ("title", "brand", "price")
    return TruePairs((Relation.of(names, left), Relation.of(names, [right[one] for one in order])), pairs)


@pytest.fixture(scope="session")
def duplicated() -> TruePairs:
    """400 records of 300 people: 50 are there twice and 25 three times; `queue` is chosen by lot for every record."""
    rng = random.Random(6)
    rows: list[list[Value]] = []
    owner: list[int] = []
    for person in range(300):
        name, street = f"{word(rng)} {word(rng)}", f"{word(rng)} street {rng.randint(1, 99)}"
        city, phone = rng.choice(_CITIES), f"{rng.randint(200, 999)}-{rng.randint(1000, 9999)}"
        for copy in range(3 if person < 25 else 2 if person < 75 else 1):
            said = misspelled(rng, name) if copy and rng.random() < 0.5 else name
            where = None if copy and rng.random() < 0.3 else street
            rows.append([said, where, city, phone if rng.random() < 0.9 else None, rng.choice("abcd")])
            owner.append(person)
    order = list(range(len(rows)))
    rng.shuffle(order)
    pairs = frozenset(
        (a, b) for a in range(len(rows)) for b in range(a + 1, len(rows)) if owner[order[a]] == owner[order[b]]
    )
    relation = Relation.of(("name", "street", "city", "phone", "queue"), [rows[one] for one in order])
    return TruePairs((relation,), pairs)
