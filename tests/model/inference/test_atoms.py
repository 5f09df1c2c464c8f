"""Parts of a text: what each family finds, and what an atom says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.atoms import FAMILIES, MAX_CHARACTERS, Atom, Taken, changes, shared_words

FOUND: list[tuple[str, Atom, str]] = [
    ("Dr. Ada King-Noel", Atom("token", ("word", 1)), "Ada"),
    ("Dr. Ada King-Noel", Atom("token", ("piece", -1)), "King-Noel"),
    ("one two three four", Atom("run", ("word", 1, -2)), "two three"),
    ("a=1; b=2; c=3", Atom("around", ("after", "=", -1)), "3"),
    ("a=1; b=2; c=3", Atom("between", ("=", 1, ";")), "2"),
    ("a|b||d", Atom("field", ("|", -1)), "d"),
    ("a|b|c|d", Atom("field", ("|", 1, 2)), "b|c"),
    ("0123456789", Atom("slice", (-3, 3)), "789"),
    ("(415) 555-0101", Atom("digits", (3, 3)), "555"),
    ("x (y) [z]", Atom("brackets", ("[]", 0)), "z"),
    ("a1b22", Atom("removed", ("digits",)), "ab"),
    ("a-b-c", Atom("replaced", ("-", "_")), "a_b_c"),
    ("portable document format", Atom("joined", ("word", "", "initials upper")), "PDF"),
    ("about 1234.567 kg", Atom("number", (0, "with thousands separators and 2 decimals")), "1,234.57"),
    ("-1.25", Atom("number", (0, "cut to 1 decimals")), "-1.2"),
    ("-1.25", Atom("number", (0, "rounded down to 1 decimals")), "-1.3"),
    ("-1.25", Atom("number", (0, "rounded up to 1 decimals")), "-1.2"),
    ("-1.25", Atom("number", (0, "rounded away from zero to 1 decimals")), "-1.3"),
    ("763827", Atom("number", (0, "to 1 significant digits")), "800000"),
    ("0.04551", Atom("number", (0, "to 2 significant digits")), "0.046"),
    ("007", Atom("number", (0, "with zeros to 5 digits")), "00007"),
    ("21", Atom("number", (0, "as an ordinal")), "21st"),
    ("11", Atom("number", (0, "as an ordinal")), "11th"),
    ("88", Atom("number", (0, "whole range of 10-")), "80-89"),
    ("https://www.data.example.org/a/b.csv?x=1", Atom("address", ("web", "host without www")), "data.example.org"),
    ("https://www.data.example.org/a/b.csv?x=1", Atom("address", ("web", "last of the path")), "b.csv"),
    ("/home/ada/notes.txt", Atom("address", ("path", "file without ending")), "notes"),
    ("from Texas", Atom("known", ("code of the state", "first")), "TX"),
    ("12341234", Atom("chunks", (4, "-", "from the left")), "1234-1234"),
    ("7 1/4", Atom("result", ("fraction",)), "7.25"),
    ("8 km", Atom("proportion", (0, "1/2", "1", 28, 12, 0)), "5"),
    ("ignored", Atom("text", ("fixed",)), "fixed"),
]


@pytest.mark.parametrize(("text", "atom", "value"), FOUND)
def test_atoms_find_their_part_and_say_what_it_is(text: str, atom: Atom, value: str) -> None:
    assert Taken(text).value(atom) == value
    assert len(atom.description) > 3


def test_changes_of_a_part() -> None:
    made = {name: Taken("ada KING").value(Atom("whole", ("",), name)) for name, _ in changes()}
    assert made["upper"] == "ADA KING" and made["title"] == "Ada King" and made["first three upper"] == "ADA"
    assert made["last two"] == "NG" and made["but first"] == "da KING" and made["swap"] == "ADA king"
    assert Taken("ab").value(Atom("whole", ("",), "first three")) is None


def test_words_that_all_texts_share_are_something_to_hold_on_to() -> None:
    assert shared_words(["size M color red", "color blue size L"]) == ["color", "size"]
    assert shared_words(["color red"]) == []
    taken = Taken("size M color red", ["color"])
    assert taken.value(Atom("around", ("after", "color", 0))) == "red"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_no_text_makes_a_family_fail(text: str) -> None:
    taken = Taken(text)
    for family in FAMILIES:
        for value, cost in taken.family(family).values():
            assert isinstance(value, str) and cost > 0


def test_long_texts_are_not_taken_apart() -> None:
    assert Taken("a " * MAX_CHARACTERS).family("token") == {} != Taken("a " * (MAX_CHARACTERS // 2)).family("token")
