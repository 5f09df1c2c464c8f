"""Records of one table or two have one numbering that their order does not change."""

from __future__ import annotations

import numpy as np

from model.inference.records import Records, codes, folded, squash, words
from model.tuples import RecordPlace, Relation

FIRST = Relation.of(["Name", "Price"], [["b", "1.50"], ["a", None], ["", "2"]])
SECOND = Relation.of(["price", "name", "City"], [["1", "a", "x"]])


def test_attributes_are_aligned_by_name_whatever_their_case_and_order() -> None:
    records = Records.of([FIRST, SECOND])
    assert records.attributes == ("city", "name", "price")
    assert records.names == ("City", "Name", "Price")
    assert records.values == ((None, None, "2"), (None, "a", None), (None, "b", "1.50"), ("x", "a", "1"))
    assert records.places == (RecordPlace(0, 2), RecordPlace(0, 1), RecordPlace(0, 0), RecordPlace(1, 0))
    assert records.sides.tolist() == [0, 0, 0, 1]
    assert records.is_link and not Records.of([FIRST]).is_link


def test_attributes_of_one_table_that_are_named_alike_both_stay() -> None:
    records = Records.of([Relation.of(["Name", "name"], [["x", "y"]]), Relation.of(["NAME"], [["z"]])])
    assert sorted(records.names) == ["Name", "name"]
    assert {value for row in records.values for value in row} == {"x", "y", "z", None}
    assert records.values[1][records.names.index("Name")] == "z"


def test_the_order_of_rows_changes_only_the_places() -> None:
    turned = Relation.of(FIRST.attributes, FIRST.tuples[::-1])
    records, again = Records.of([FIRST, SECOND]), Records.of([turned, SECOND])
    assert records.values == again.values
    assert [place.tuple_id for place in again.places] == [0, 1, 2, 0]


def test_numbers_are_known_where_nearly_all_values_are_numbers() -> None:
    records = Records.of([Relation.of(["n", "t"], [["$1,000", "x"], ["2", "7"], [None, "y"]])])
    numbers = records.numbers(0)
    assert numbers is not None
    assert sorted(numbers[~np.isnan(numbers)].tolist()) == [2.0, 1000.0] and np.isnan(numbers).sum() == 1
    assert records.numbers(1) is None


def test_words_codes_and_names_are_read_without_their_signs() -> None:
    assert words("sony pslx-350h, 2.0") == ["sony", "pslx", "350h", "2", "0"]
    assert codes("sbv-40s is 4 x 2008 of ab1 in 12") == {"sbv40s", "2008", "ab1"}
    assert folded("  Model_No. ") == "model no"
    assert squash("a-b c/d") == "abcd"
