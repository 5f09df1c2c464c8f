"""Values that stand in a tuple's other cells are found where the column's values are used to stand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from model.inference import mentions
from model.inference.columns import Column, plain
from model.inference.mentions import Mentions

Row = tuple[str | None, ...]

MAKERS = ("Canon", "Polk Audio", "Sony", "Apple", "Linksys", "Speck Products", "LaCie")
THINGS = ("Camera", "Speaker", "Remote Control", "Ink", "Router")


def products(count: int = 60) -> list[Row]:
    """The maker begins the name; every third thing is made for an Apple, whoever made it."""
    rows: list[Row] = []
    for number in range(count):
        maker, thing = MAKERS[number % 7], THINGS[number * 7919 % 11 % 5]
        purpose = " for Apple iPod" if number % 3 == 0 and maker != "Apple" else ""
        rows.append((f"{maker} {thing}{purpose} - X{number * 37}", f"{number % 9} inch", maker.upper()))
    return rows


def found(rows: Sequence[Row], asked: Sequence[Row], attribute: int = 2) -> list[list[str]]:
    made = Mentions([Column([row[place] for row in (*rows, *asked)]) for place in range(len(rows[0]))])
    votes = made.votes(attribute, range(len(rows), len(rows) + len(asked)))
    for one in votes:
        assert sum(mention.probability for mention in one) <= 1.0 + 1e-5
        assert [mention.probability for mention in one] == sorted((m.probability for m in one), reverse=True)
    return [[mention.value for mention in one] for one in votes]


def test_the_value_is_found_where_values_are_used_to_stand() -> None:
    asked: list[Row] = [("Sony Case for Apple iPod - Y1", "4 inch", None), ("Apple Case - Y2", "4 inch", None)]
    assert [values[0] for values in found(products(), asked)] == ["SONY", "APPLE"]


def test_case_blanks_and_punctuation_do_not_hide_a_known_value() -> None:
    asked: list[Row] = [("polkaudio Speaker - Y1", None, None), ("Speck-Products Ink - Y2", None, None)]
    assert [values[0] for values in found(products(), asked)] == ["POLK AUDIO", "SPECK PRODUCTS"]


def test_a_value_that_the_column_does_not_hold_yet_is_found_and_written_like_the_others() -> None:
    rows: list[Row] = [
        (f"{name} {surname}", name) for name, surname in zip(_names(40), reversed(_names(40)), strict=True)
    ]
    assert found(rows, [("Zebulon Quark", None)], 1)[0][0] == "Zebulon"
    shouting: list[Row] = [(text, (value or "").upper()) for text, value in rows]
    assert found(shouting, [("Zebulon Quark", None)], 1)[0][0] == "ZEBULON"


def _names(count: int) -> list[str]:
    syllables = ("ba", "den", "kor", "lu", "mi", "ras", "tov")
    return [(syllables[number % 7] + syllables[number // 7]).capitalize() for number in range(count)]


def test_reliability_is_high_where_values_stand_in_the_text_and_nought_where_none_does() -> None:
    rows = products()
    made = Mentions([Column([row[place] for row in rows]) for place in range(3)])
    assert made.reliability(2) > 0.9
    assert made.reliability(1) == 0.0
    assert made.votes(1, [0, 5]) == [[], []]


def test_a_tuple_is_told_the_same_whether_its_value_is_known_or_hidden() -> None:
    lonely: Row = ("Zenith Radio - Y9", "3 inch", "ZENITH")
    rows = [*products(), *[(f"{name} Radio - Z{len(name)}", "3 inch", name.upper()) for name in _names(12)]]
    made = Mentions([Column([row[place] for row in (*rows, lonely)]) for place in range(3)])
    (known,) = made.votes(2, [72])
    (hidden,) = found(rows, [(*lonely[:2], None)])
    assert known[0].value == hidden[0] == "ZENITH"


def test_who_else_is_asked_changes_nothing() -> None:
    rows = products()
    made = Mentions([Column([row[place] for row in rows]) for place in range(3)])
    together = made.votes(2, range(60))
    assert together == [made.votes(2, [row])[0] for row in reversed(range(60))][::-1]


def test_a_large_table_is_learned_from_some_tuples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mentions, "MAX_TUPLES", 50)
    asked: list[Row] = [("LaCie Router for Apple - Y1", None, None)]
    assert found(products(700), asked)[0][0] == "LACIE"


def test_odd_text_and_missing_cells_are_read() -> None:
    asked: list[Row] = [("\ud800 -- \x00", "\U0001f600", None), (None, None, None)]
    assert found(products(), asked)[1] == []


def test_plain_text_has_letters_and_digits_alone() -> None:
    assert plain(" Polk-Audio, Inc. 2 ") == "polkaudioinc2"
