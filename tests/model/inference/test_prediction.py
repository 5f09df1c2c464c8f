"""A table teaches how its attributes hang together, and says how far what it teaches can be trusted."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from model.inference import prediction
from model.inference.columns import Column
from model.inference.prediction import PREDICTED, Predictions

Row = tuple[str | None, ...]

CITIES = (("los angeles", "310/"), ("new york", "212/"), ("new york city", "212-"), ("atlanta", "404/"))


def restaurants(count: int = 80) -> list[Row]:
    """Phone numbers tell the city by area code and separator, names and prices tell nothing."""
    rows: list[Row] = []
    for number in range(count):
        city, area = CITIES[number * 7919 % 11 % 4]
        rows.append((f"{area}{(number * 7919) % 900 + 100}-{(number * 31) % 9000 + 1000}", f"house {number % 9}", city))
    return rows


def predictions(rows: Sequence[Row]) -> Predictions:
    return Predictions([Column([row[place] for row in rows]) for place in range(len(rows[0]))])


def test_a_missing_city_is_told_by_the_phone_number() -> None:
    asked: list[Row] = [(f"{area}555-1234", "house 77", None) for _, area in CITIES]
    made = predictions([*restaurants(), *asked])
    for (city, _), votes in zip(CITIES, made.votes(2, range(80, 84)), strict=True):
        assert votes[0].value == city
        assert votes[0].probability > 0.5
        assert [vote.probability for vote in votes] == sorted((vote.probability for vote in votes), reverse=True)
        assert sum(vote.probability for vote in votes) <= 1.0 + 1e-5
    assert made.reliability(2) > 0.95


def products(count: int) -> list[Row]:
    """The first word is the maker; what follows resembles others, and names another maker at the end."""
    rng = random.Random(1)
    makers = [
        f"{start}{end}" for start in ("pol", "yam", "can", "jab", "son", "den") for end in ("kaudio", "tek", "wood")
    ]
    words = "powered subwoofer black ceiling loudspeaker white digital camera wireless headset cable adapter".split()
    names = [
        (f"{makers[number % 18]} {' '.join(rng.sample(words, 5))} {rng.choice(makers)}") for number in range(count)
    ]
    return [(name, makers[number % 18].title()) for number, name in enumerate(names)]


def test_how_a_text_begins_tells_what_the_rest_contradicts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = [*products(54), ("POL-KAUDIO ceiling camera cable white black jabtek", None)]
    made = predictions(rows)
    assert made.reliability(1) > 0.9
    assert made.votes(1, [54])[0][0].value == "Polkaudio"
    monkeypatch.setattr(prediction, "_beginnings", lambda text: [])
    assert predictions(rows).reliability(1) < 0.8


def test_beginnings_are_left_out_where_they_make_the_truth_less_likely() -> None:
    """The last words tell the value, and beginnings are all alike by chance."""
    rows: list[Row] = [
        (f"{(number * 7919) % 10000:04d} {('east', 'west', 'north')[number * 31 % 7 % 3]}", str(number * 31 % 7 % 3))
        for number in range(90)
    ]
    columns = [Column([row[place] for row in rows]) for place in range(2)]
    learned = Predictions(columns)._learned(1)
    assert learned is not None and learned.reliability > 0.95
    assert len(learned._readers) == 1


def test_short_and_empty_texts_begin() -> None:
    assert prediction._beginnings("A-b") == ["a", "ab\x03"]
    assert prediction._beginnings("Polk Audio X") == [
        "p",
        "po",
        "pol",
        "polk",
        "polka",
        "polkau",
        "polkaud",
        "polkaudi",
        "polkaudio",
        "polkaudiox\x03",
    ]
    assert prediction._beginnings("...") == prediction._beginnings("") == []
    assert prediction._beginnings("abcdefghijkl")[-1] == "abcdefghij"


def test_numbers_tell_by_their_rank() -> None:
    sizes = [(number * 37) % 200 for number in range(120)]
    rows: list[Row] = [(str(size), "large" if size >= 100 else "small") for size in sizes]
    made = predictions([*rows, ("1.5", None), ("187.25", None), ("9000", None)])
    assert [votes[0].value for votes in made.votes(1, [120, 121, 122])] == ["small", "large", "large"]


def test_an_attribute_that_nothing_tells_is_not_trusted() -> None:
    rows: list[Row] = [(f"{number:04d}", ("a", "b", "c")[number * 7919 % 101 % 3]) for number in range(150)]
    made = predictions([*rows, ("9999", None)])
    assert made.reliability(1) < 0.6
    assert made.votes(1, [150])[0][0].probability < 0.7


def test_a_tuple_is_never_told_by_its_own_value() -> None:
    rows = restaurants()
    wrong: Row = ("310/111-2222", "house 1", "boston")
    (votes,) = predictions([*rows, wrong]).votes(2, [80])
    assert votes[0].value == "los angeles"
    right = predictions(rows)
    hidden = predictions([(*rows[0][:2], None), *rows[1:]])
    assert right.votes(2, [0])[0][0].value == hidden.votes(2, [0])[0][0].value == rows[0][2]


def test_reliability_is_what_left_out_tuples_show() -> None:
    rows = restaurants()
    made = predictions(rows)
    right = sum(votes[0].value == row[2] for votes, row in zip(made.votes(2, range(80)), rows, strict=True))
    assert made.reliability(2) == pytest.approx((right + 1) / 82)


def test_who_else_is_asked_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*restaurants(), *[(f"212-{number}", None, None) for number in range(20)]]
    monkeypatch.setattr(prediction, "_CHUNK", 16)
    together = predictions(rows).votes(2, range(100))
    monkeypatch.setattr(prediction, "_CHUNK", 7)
    made = predictions(rows)
    assert together == [made.votes(2, [row])[0] for row in range(100)]


def test_a_large_table_is_learned_from_some_tuples_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "MAX_TUPLES", 40)
    monkeypatch.setattr(prediction, "MAX_VALUES", 3)
    rows = [*restaurants(400), ("310/555-1234", None, None)]
    made = predictions(rows)
    (votes,) = made.votes(2, [400])
    assert (votes[0].value, len(votes)) == ("los angeles", 3)
    assert len(predictions(restaurants(400)).votes(2, [5])[0]) == 3


@pytest.mark.parametrize(
    "rows",
    [
        [("a", None), ("b", None)],
        [("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("e", None)],
        [(str(number), f"key {number}") for number in range(30)],
        [(None, "x"), (None, "y"), (None, "x"), (None, "y"), (None, None)],
        [("a", "x"), ("b", "y"), (None, None)],
    ],
    ids=["nothing known", "one value", "a key", "nothing to read", "too few"],
)
def test_nothing_is_predicted_where_nothing_can_be_learned(rows: list[Row]) -> None:
    made = predictions(rows)
    assert made.votes(1, [len(rows) - 1, 0]) == [[], []]
    assert made.reliability(1) == 0.0


def test_any_text_is_read() -> None:
    odd = "\ud800 ß é \x00 \U0001f600"
    rows: list[Row] = [(f"{odd}{number}", "left") for number in range(6)]
    rows += [(f"other {number}", "right") for number in range(6)]
    made = predictions([*rows, (odd, None), (None, None)])
    votes = made.votes(1, [12, 13])
    assert votes[0][0].value == "left"
    assert {vote.value for vote in votes[1]} == {"left", "right"}
    assert all(len(one) <= PREDICTED for one in votes)
