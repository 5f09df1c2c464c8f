"""What names have in common: parts, abbreviations, ways to shorten that explain all names, descriptions, tables."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from model.inference.column_names import NAME_FEATURES, ColumnName, name_features, parts_of, read_names


def feature(name: str, source: Sequence[ColumnName], target: Sequence[ColumnName]) -> list[list[float]]:
    found: list[list[float]] = name_features(source, target)[..., NAME_FEATURES.index(name)].tolist()
    return found


def read(*names: str) -> list[ColumnName]:
    return read_names(names, [None] * len(names))


@pytest.mark.parametrize(
    ("name", "parts"),
    [("AgencyID", ("agency", "id")), ("own_or_rent", ("own", "or", "rent")), ("AddressLine2", ("address", "line", "2")),
     ("XMLFile", ("xml", "file")), ("Größe (cm)", ("grösse", "cm")), ("%", ("%",))],
)  # fmt: skip
def test_names_are_split_at_case_punctuation_and_digits(name: str, parts: tuple[str, ...]) -> None:
    assert parts_of(name) == parts


def test_what_all_names_begin_with_is_left_out() -> None:
    assert [one.parts for one in read("prospect_id", "prospect_name", "prospect_age")] == [("id",), ("name",), ("age",)]
    assert [one.parts for one in read("order_id", "order_name", "age")][0] == ("order", "id")


def test_names_that_begin_alike_are_compared_whole_where_the_others_do_not() -> None:
    source, target = read("cust_id", "cust_name", "cust_zip"), read("cust_id", "order_id", "day")
    assert feature("name_equal", source, target) == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    both = read("cust_id", "cust_name", "cust_zip"), read("client_id", "client_name", "client_age")
    assert feature("name_equal", *both) == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_tables_are_read_from_names_that_all_say_one() -> None:
    columns = read("visits-start", "visits-stop", "people-id", "people-name")
    assert [(one.table, one.parts) for one in columns[1:3]] == [("visits", ("stop",)), ("people", ("id",))]
    assert {one.table for one in read("visits-start", "visits-stop", "id", "name")} == {""}


def test_a_name_without_vowels_is_known_by_the_scheme_of_all_names() -> None:
    source, target = read("Age", "Agency", "City"), read("g", "gnc", "ct")
    equal = feature("consonants_equal", source, target)
    assert equal == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert feature("scheme", source, target)[0] == [1, 0, 0]
    # One such pair among names that are not shortened explains a third of the schemas.
    assert feature("scheme", source, read("g", "price", "stock"))[0][0] == pytest.approx(1 / 3)


def test_beginnings_of_words_make_up_a_name() -> None:
    source, target = read("OwnOrRentFlag", "NumberCars"), read("OwOReF", "NuC")
    assert feature("segments", source, target) == [[1, 0], [0, 1]]


def test_an_abbreviation_is_expanded_by_the_description_beside_it() -> None:
    source = read_names(["birth_dt", "sex"], ["date of birth", "sex of the person"])
    target = read_names(["date_of_birth", "gender"], ["the day of birth", "what sex somebody is"])
    within = feature("source_in_target", source, target)
    assert within[0][0] == pytest.approx(1.0) and within[0][1] == 0.0
    assert within[1][1] == pytest.approx(1.0)
    plain = read_names(["birth_dt", "sex"], ["birth", "sex of the person"])
    assert feature("source_in_target", plain, target)[0][0] < 0.6


def test_columns_without_descriptions_have_no_texts() -> None:
    assert feature("text_words", read("a"), read("a")) == [[0.0]]
    assert feature("described", read("a"), read("a")) == [[0.0]]
    assert feature("tables", read("a"), read("a")) == [[1.0]]


def test_a_column_that_refers_to_a_table_is_called_like_it() -> None:
    told = ["when it began", "who came", "given name", "family name", "town"]
    source = read_names(
        ["encounters-start", "encounters-patient", "patients-first", "patients-last", "patients-city"], told
    )
    names = ["visit-start_date", "visit-person_id", "person-first", "person-last", "person-city"]
    target = read_names(names, told)
    refers = feature("name_words", source, target)[1]
    assert max(range(5), key=refers.__getitem__) == 1 and refers[1] > 0.5
    best = feature("tables_best", source, target)
    assert best[0][0] == pytest.approx(1.0) and best[2][2] == pytest.approx(1.0) and best[0][2] < 0.5
