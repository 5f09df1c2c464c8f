"""Numbers that are other numbers times a factor."""

from __future__ import annotations

from fractions import Fraction

import pytest

from model.inference.proportions import Written, known_factors, proportions, shortest_decimal


@pytest.mark.parametrize(
    ("inputs", "outputs", "asked", "answer"),
    [
        (["1", "8", "17"], ["0.0393701", "0.314961", "0.669291"], "33", "1.29921"),  # mm to inch, six digits
        (["3", "37", "12"], ["0.25", "3.08333333", "1"], "169", "14.0833333"),  # inch to feet, nine digits
        (["7", "20", "300"], ["6.23", "17.79", "266.89"], "100", "88.96"),  # a rate that nobody knows
        (["1", "7", "18"], ["33.8", "44.6", "64.4"], "100", "212"),  # Celsius to Fahrenheit
        (["1", "3", "5"], ["3", "9", "15"], "8", "24"),
        (["2", "10", "-4"], ["1", "5", "-2"], "0", "0"),
    ],
)
def test_the_cheapest_proportion_is_the_right_one(
    inputs: list[str], outputs: list[str], asked: str, answer: str
) -> None:
    found = sorted(proportions(inputs, outputs), key=lambda one: one.cost)
    assert found[0].of(asked) == answer
    for one in found:
        assert [one.of(number) for number in inputs] == outputs


def test_a_long_decimal_is_dearer_than_a_short_one_and_than_a_known_factor() -> None:
    short = min(one.cost for one in proportions(["3", "5", "8"], ["4.5", "7.5", "12"]))
    long = min(one.cost for one in proportions(["300", "500", "811"], ["371.22", "618.7", "1003.5314"]))
    known = min(one.cost for one in proportions(["3", "5", "8"], ["7.62", "12.7", "20.32"]))
    fitted = min(one.cost for one in proportions(["17.66", "13.38", "12.33"], ["17.65", "13.4", "12.35"]))
    assert known < short < long < fitted


def test_what_is_no_proportion_gives_none() -> None:
    assert list(proportions(["1", "2", "3"], ["1", "4", "9"])) == []
    assert list(proportions(["1", "1"], ["2", "2"])) == [] and list(proportions(["0", "1"], ["5", "1"])) == []


def test_units_are_exact() -> None:
    assert Fraction("25.4") in known_factors() and Fraction(1, 12) in known_factors()


def test_writing() -> None:
    assert Written(28, 2, True).write(Fraction(1, 8)) == "0.13"
    assert Written(6, 12, False).write(Fraction(100, 3)) == "33.3333"
    assert Written(9, 8, False).write(Fraction(1, 10**9)) == "0"
    assert Written(28, 1, True).write(Fraction(-1, 100)) == "0.0"


def test_the_shortest_decimal_of_an_interval() -> None:
    assert shortest_decimal(Fraction("0.8893"), Fraction("0.8897")) == Fraction("0.8895")
    assert shortest_decimal(Fraction("1.96"), Fraction("2.2")) == 2
