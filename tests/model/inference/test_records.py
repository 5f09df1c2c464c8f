"""Records are put in the order of their content and attributes aligned by name, so that order changes nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest

from model.inference.records import READ_CHARACTERS, Records, codes, folded, squash, words
from model.tuples import RecordPlace, Relation

ROWS = (("Anna", "7", None), ("Bob", "", "x"), ("Anna", "7", None), ("anna", "07", "y"))
TABLE = Relation.of(("name", "number", "note"), ROWS)


def test_permuted_rows_and_columns_are_the_same_records_at_other_places() -> None:
    plain = Records.of([TABLE])
    rng = random.Random(0)
    for _ in range(5):
        rows, columns = rng.sample(range(4), 4), rng.sample(range(3), 3)
        names = [TABLE.attributes[column] for column in columns]
        moved = Records.of([Relation.of(names, [[ROWS[row][column] for column in columns] for row in rows])])
        assert (moved.values, moved.attributes, moved.names) == (plain.values, plain.attributes, plain.names)
        assert all(
            ROWS[rows[there.tuple_id]] == ROWS[here.tuple_id]
            for there, here in zip(moved.places, plain.places, strict=True)
        )
    assert plain.attributes == ("name", "note", "number")
    assert plain.values == (("Anna", None, "7"), ("Anna", None, "7"), ("Bob", "x", None), ("anna", "y", "07"))
    assert [place.tuple_id for place in plain.places] == [0, 2, 1, 3]


def test_attributes_are_aligned_by_name_without_case_blanks_and_punctuation() -> None:
    first = Relation.of(("Zip_Code", "Name"), [["1", "a"]])
    second = Relation.of(("NAME ", "zip code", "extra"), [["b", "2", "e"]])
    records = Records.of([first, second])
    assert records.attributes == ("extra", "name", "zip code")
    assert records.names == ("extra", "Name", "Zip_Code")
    assert records.values == ((None, "a", "1"), ("e", "b", "2"))
    assert records.places == (RecordPlace(0, 0), RecordPlace(1, 0))
    assert records.sides.tolist() == [0, 1]


def test_attributes_of_one_table_that_are_named_alike_both_stay_and_so_do_names_of_punctuation() -> None:
    for order in (("Name", "name"), ("name", "Name")):
        value = {"Name": "a", "name": "b"}
        relations = [Relation.of(("name", "x"), [["c", "d"]]), Relation.of(order, [[value[one] for one in order]])]
        twice = Records.of(relations)
        assert twice.names == ("Name", "name", "x")  # to the letter, in whatever order they stand
        assert twice.values == ((None, "c", "d"), ("a", "b", None))
        assert [twice.attribute(name) for name in ("Name", "name", "X", "NAME")] == [0, 1, 2, None]
    marks = Records.of([Relation.of(("#", "%"), [["1", "2"]])])
    assert (marks.attributes, marks.values) == (("#", "%"), (("1", "2"),))


def test_what_is_missing_is_none_whatever_way_it_is_missing() -> None:
    records = Records.of([Relation.of(("a", "b"), [[None, "x"], ["", "x"], [" \t", "x"]])])
    assert records.values == ((None, "x"),) * 3
    assert records.contents.tolist() == [0, 0, 0]
    assert records.texts == ["x", "x", "x"]
    assert records.attribute_texts(0) == ["", "", ""]


def test_contents_are_equal_where_all_values_are() -> None:
    assert Records.of([TABLE]).contents.tolist() == [0, 0, 1, 2]
    linked = Records.of([Relation.of(("a",), [["x"], ["y"]]), Relation.of(("a",), [["y"]])])
    assert linked.contents.tolist() == [0, 1, 1]


@pytest.mark.parametrize("filled", [(1, 0), (0, 1), (0, 0), (1, 1)])
def test_two_tables_are_a_link_even_where_one_is_empty(filled: tuple[int, int]) -> None:
    records = Records.of([Relation.of(("a",), [["x"]] * rows) for rows in filled])
    assert records.is_link
    assert len(records) == sum(filled)
    assert not Records.of([TABLE]).is_link


def test_texts_are_folded_and_only_the_beginning_of_a_value_is_read() -> None:
    records = Records.of([Relation.of(("a", "b"), [["Straße", "X" * 10_000_000]])])
    assert records.texts == ["strasse " + "x" * READ_CHARACTERS]
    assert records.attribute_texts(0) == ["strasse"]


def test_an_attribute_is_of_numbers_if_nine_in_ten_values_are() -> None:
    nine = [[str(number)] for number in range(9)]
    numbers = Records.of([Relation.of(("a",), [*nine, ["none"], [None]])]).numbers(0)
    assert numbers is not None
    assert sorted(numbers[~np.isnan(numbers)].tolist()) == list(range(9))
    assert int(np.isnan(numbers).sum()) == 2
    assert Records.of([Relation.of(("a",), [*nine[:8], ["none"]])]).numbers(0) is None
    assert Records.of([Relation.of(("a",), [[None], [""]])]).numbers(0) is None


def test_numbers_that_a_float_cannot_tell_apart_are_no_numbers() -> None:
    cards = [["12345678901234567890"], ["12345678901234567891"]]
    assert Records.of([Relation.of(("card",), cards)]).numbers(0) is None
    assert Records.of([Relation.of(("a",), [["9007199254740991"]])]).numbers(0) is not None


def test_numbers_are_read_with_their_units_and_without_leading_zeros() -> None:
    numbers = Records.of([Relation.of(("a",), [["$1,200.50"], ["007"], ["7"]])]).numbers(0)
    assert numbers is not None
    assert sorted(numbers.tolist()) == [7.0, 7.0, 1200.5]


def test_no_records_at_all_have_their_attributes_all_the_same() -> None:
    records = Records.of([Relation.of(("b", "a"), [])])
    assert (len(records), records.attributes, records.texts, records.values) == (0, ("a", "b"), [], ())
    assert records.numbers(0) is None


def test_words_codes_and_squashed_texts() -> None:
    assert words("acme sbv-40s, 7.5 über") == ["acme", "sbv", "40s", "7", "5", "über"]
    assert codes("acme sbv-40s 123 1234 a1 40s") == {"sbv40s", "1234", "40s"}
    assert codes("sbv40s") == codes("sbv-40s") == codes("sbv/40s") == codes("sbv.40s") == {"sbv40s"}
    assert squash("sbv-40 s") == "sbv40s"
    assert folded(" Zip_Code ") == "zip code"
    assert words("") == [] and codes("") == set()
