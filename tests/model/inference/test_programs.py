"""Edits that corrected cells teach: they carry over to values that no example has, and examples tell them apart."""

from __future__ import annotations

import time

import pytest

from model.inference.programs import ColumnPrograms, Pair, Program, explanations


def column(*pairs: tuple[str, str]) -> ColumnPrograms:
    return ColumnPrograms([Pair(observed, true, number) for number, (observed, true) in enumerate(pairs)])


@pytest.mark.parametrize(
    ("pairs", "value", "repaired"),
    [
        ([("12.0 oz", "12"), ("16.0 ounce", "16"), ("8.4 OZ.", "8.4")], "24.0 oz. can", "24"),
        ([("0.055999999999999994%", "0.056"), ("0.05%", "0.05")], "0.069999999999%", "0.07"),
        ([("Bonn DE", "Bonn"), ("Grand Rapids MI", "Grand Rapids")], "New York City US", "New York City"),
        ([("12/31/2014", "2014-12-31"), ("01/02/2013", "2013-01-02")], "03/04/2012", "2012-03-04"),
        ([("Smith, John", "John Smith"), ("Roe, Ann", "Ann Roe")], "Poe, Edgar", "Edgar Poe"),
        ([("BOSTON", "Boston"), ("DENVER", "Denver")], "LAS VEGAS", "Las Vegas"),
        ([("id-17", "17"), ("id-4", "4")], "id-99", "99"),
        ([("2116", "02116"), ("501", "00501")], "610", "00610"),
        ([("50%", "0.5"), ("25%", "0.25")], "75%", "0.75"),
        ([("N/A", ""), ("N/A", "")], "N/A", ""),
    ],
)
def test_what_was_done_to_two_cells_is_done_to_a_third(pairs: list[tuple[str, str]], value: str, repaired: str) -> None:
    best = column(*pairs).proposals(value)[0]
    assert best.value == repaired
    assert best.confidence > 0.6
    assert set(best.tuple_ids) <= set(range(len(pairs)))


def test_an_edit_that_other_examples_contradict_is_hardly_believed() -> None:
    typos = column(("bxston", "boston"), ("dxnver", "denver"), ("xustin", "austin"))
    assert max(one.confidence for one in typos.proposals("txmpa")) < 0.2
    agreed = column(("bxston", "boston"), ("dxver", "dover"), ("xslo", "oslo"))
    assert agreed.proposals("rxme")[0].value == "rome"
    assert agreed.proposals("rxme")[0].confidence > 0.5


def test_one_example_is_believed_less_than_three() -> None:
    once = column(("5 kg", "5")).proposals("7 kg")[0]
    thrice = column(("5 kg", "5"), ("6 kg", "6"), ("9 kg", "9")).proposals("7 kg")[0]
    assert once.value == thrice.value == "7"
    assert once.confidence < 0.7 < thrice.confidence


def test_an_example_that_is_left_out_teaches_nothing() -> None:
    programs = column(("5 kg", "5"))
    assert programs.proposals("5 kg")[0].value == "5"
    assert programs.proposals("5 kg", left_out=0) == ()


def test_an_edit_that_would_change_confirmed_values_is_believed_less() -> None:
    pairs = [("Bonn DE", "Bonn"), ("Paris FR", "Paris")]
    sure = column(*pairs).proposals("Rome IT")[0]
    doubted = column(*pairs, ("San Diego", "San Diego"), ("Las Vegas", "Las Vegas")).proposals("Rome IT")[0]
    assert doubted.value == sure.value == "Rome"
    assert doubted.confidence < sure.confidence


def test_the_order_of_examples_changes_nothing() -> None:
    pairs = [Pair("12.0 oz", "12", 4), Pair("16.0 oz", "16", 1), Pair("8 oz", "8 oz", 3), Pair("1 l", "1", 2)]
    assert ColumnPrograms(pairs).proposals("9.5 oz") == ColumnPrograms(pairs[::-1]).proposals("9.5 oz")


def test_every_explanation_explains() -> None:
    found = list(explanations("12.0 oz", "12"))
    assert Program("number", (0, 1.0, -1)) in found
    assert all(program("12.0 oz") == "12" for program in found)
    assert all(program.description for program in found)


def test_missing_and_endless_values_are_left_alone() -> None:
    programs = column(("", "x"), ("a" * 5000, "a"))
    assert programs.proposals("b") == ()


def test_a_thousand_examples_take_a_moment() -> None:
    began = time.monotonic()
    programs = ColumnPrograms([Pair(f"{n}.0 oz{n % 7}", f"{n}", n) for n in range(1000)])
    assert programs.proposals("5555.0 oz3")[0].value == "5555"
    assert time.monotonic() - began < 5
