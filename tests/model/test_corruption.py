import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import CorruptionConfig
from model.corruption import (
    KEYBOARD_NEIGHBOURS,
    MASK,
    MISSING_SPELLINGS,
    OPERATORS,
    PLACEHOLDERS,
    RETOLD,
    SOURCE_NAMES,
    TUPLE_OPERATORS,
    ColumnView,
    CorruptedRelation,
    corrupt_relation,
    mask_attribute_name,
    mask_span,
    mask_token,
    mask_value,
)
from model.serialization import Mask
from model.tuples import Relation

KINDS = (*OPERATORS, *TUPLE_OPERATORS)
CITIES = (("Zürich", "ZH", "Schweiz"), ("Genève", "GE", "Suisse"), ("Ann Arbor", "MI", "USA"), ("Bonn", "NW", "BRD"))


EMPTYING = ("missing", "mojibake")
"""Operators that may leave nothing of a value: the others always leave something to read."""


def contacts(rows: int = 60) -> Relation:
    """A table to which every operator applies: city determines state and country, dates are ISO, times 24 hours."""
    tuples = []
    for row in range(rows):
        city, state, country = CITIES[row % 4]
        street = f"{row + 3} {('Mill', 'High', 'Oak')[row % 3]} Street"
        tuples.append(
            (
                str(row + 1), f"{('Ada', 'Bo', 'Cy')[row % 3]} O'Neil-{row}", street, city, state, country,
                f"2004-{1 + row % 12:02}-{1 + row % 28:02}", f"{row % 24:02}:{row % 60:02}",
                f"{row * 37 + 1234}.5{row % 10}", str(row % 7), f"202-555-01{row:02}", "" if row % 5 else None,
            )
        )  # fmt: skip
    names = ("no", "name", "street", "city", "state", "country", "since", "opens", "sales", "stock", "phone", "remark")
    return Relation.of(names, tuples, "contacts")


def only(*kinds: str, **fields: float) -> CorruptionConfig:
    """A config with these kinds switched on, no clean tables and, unless told, no drift and no conflicts."""
    rest = {"clean_table_rate": 0.0, "drift_rate": 0.0, "conflict_rate": 0.0, **fields}
    return replace(CorruptionConfig(), **{kind: float(kind in kinds) for kind in KINDS}, **rest)  # type: ignore[arg-type]


def results(name: str, value: str, column: ColumnView | None = None, seeds: int = 400) -> set[str | None]:
    """Everything that an operator makes of one value over many seeds and, where no column is given, habits."""
    return {
        OPERATORS[name](value, column or ColumnView.of("x", [value], habit), random.Random(seed))
        for seed in range(seeds)
        for habit in ([0] if column else [seed])
    }


def tuple_results(name: str, relation: Relation, tuple_id: int, attribute: int) -> list[dict[int, str] | None]:
    """What a tuple operator does to one cell, over seeds and habits."""
    found: list[dict[int, str] | None] = []
    for seed in range(200):
        columns = [ColumnView.of(n, relation.column(a), seed) for a, n in enumerate(relation.attributes)]
        change = TUPLE_OPERATORS[name](relation.tuples[tuple_id], attribute, columns, random.Random(seed))
        if (None if change is None else dict(change)) not in found:
            found.append(None if change is None else dict(change))
    return found


def kinds_of(corrupted: CorruptedRelation) -> Counter[str]:
    return Counter(kind for row in corrupted.kinds for kind in row if kind)


def share_of(corrupted: CorruptedRelation) -> float:
    return kinds_of(corrupted).total() / (len(corrupted.dirty) * len(corrupted.dirty.attributes))


def assert_kinds_mark_exactly_what_changed(corrupted: CorruptedRelation) -> None:
    dirty, clean, kinds = corrupted.dirty, corrupted.clean, corrupted.kinds
    assert dirty.attributes == clean.attributes
    assert len(dirty) == len(clean) == len(kinds)
    for observed, true, marks in zip(dirty.tuples, clean.tuples, kinds, strict=True):
        assert [bool(mark) for mark in marks] == [a != b for a, b in zip(observed, true, strict=True)]
        assert [bool(mark) for mark in marks] == [(a or "") != (b or "") for a, b in zip(observed, true, strict=True)]
        assert {mark for mark in marks if mark} <= set(KINDS)


# Masks


def test_a_masked_name_and_a_masked_value_are_the_marker_and_no_text() -> None:
    assert mask_attribute_name(("a", "b", "c"), 1) == ("a", MASK, "c")
    assert mask_value(("1", None, ""), 0) == (MASK, None, "")
    assert mask_value(("1", None, ""), 2) == ("1", None, MASK)
    assert isinstance(MASK, Mask) and (MASK.prefix, MASK.suffix) == ("", "")


def test_a_masked_token_is_one_word_or_mark_of_the_value() -> None:
    masks = [mask_token("St. Paul 7", random.Random(seed)) for seed in range(60)]
    assert {(mask.prefix, mask.suffix) for mask in masks if mask} == {
        ("", ". Paul 7"), ("St", " Paul 7"), ("St. ", " 7"), ("St. Paul ", ""),
    }  # fmt: skip
    assert mask_token(" \t", random.Random(0)) is None


@given(st.text(max_size=40), st.integers(0, 1000))
def test_a_masked_span_is_one_piece_of_the_value_and_never_empty(value: str, seed: int) -> None:
    prefix, suffix = mask_span(value, random.Random(seed))
    assert value.startswith(prefix) and value.endswith(suffix)
    assert len(prefix) + len(suffix) < len(value) if value else (prefix, suffix) == ("", "")


def test_masked_spans_leave_prefixes_to_complete_and_middles_to_fill() -> None:
    spans = {mask_span("ab cd", random.Random(seed)) for seed in range(400)}
    assert {("", ""), ("ab ", ""), ("", " cd"), ("a", ""), ("ab", "cd"), ("", "d")} <= spans


# Operators on letters


def test_keyboard_typo_hits_a_neighbouring_key_in_the_same_case() -> None:
    assert KEYBOARD_NEIGHBOURS["g"] == "tyfhvb"
    assert results("keyboard_typo", "g") == set("tyfhvb")
    assert results("keyboard_typo", "G") == set("TYFHVB")
    assert results("keyboard_typo", "é!") == {None}


def test_letter_deleted_never_deletes_the_only_one() -> None:
    assert results("letter_deleted", "a-b") == {"-b", "a-"}
    assert results("letter_deleted", "a") == {None}


def test_letter_inserted_adds_one_letter_or_one_digit() -> None:
    assert results("letter_inserted", "-") == {None}
    inserted = results("letter_inserted", "77")
    assert all(text and len(text) == 3 and sorted(text).count("7") >= 2 for text in inserted)
    assert {"767", "787", "707", "377"} <= inserted


def test_letters_transposed_are_two_different_neighbours() -> None:
    assert results("letters_transposed", "abb c") == {"bab c"}
    assert results("letters_transposed", "aa") == {None}


def test_letter_repeated_doubles_one_letter() -> None:
    assert results("letter_repeated", "ab") == {"aab", "abb", "aaab", "abbb"}


def test_letter_replaced_uses_one_wrong_letter_of_the_column() -> None:
    column = ColumnView.of("city", ["hospital", "halls"], habit=23)
    changed = results("letter_replaced", "halls", column)
    assert {"hxlls", "haxxs", "xalls", "halxs"} <= changed
    for text in changed:
        assert text is not None
        wrong = {after for before, after in zip("halls", text, strict=True) if before != after}
        assert len(wrong) == 1
    assert sum("x" in str(text) for text in changed) > 10


def test_letter_replaced_may_hit_blanks_and_digits_throughout() -> None:
    column = ColumnView.of("a", ["1 1 0"], habit=23)
    assert {"1x1x0", "x x 0", "1 1 x"} <= results("letter_replaced", "1 1 0", column)


def test_ocr_confusion_reads_lookalikes() -> None:
    assert results("ocr_confusion", "B0") == {"80", "BO"}
    assert results("ocr_confusion", "0 0") == {"O 0", "0 O", "O O"}
    assert results("ocr_confusion", "rny") == {"my"}
    assert results("ocr_confusion", "xyz") == {None}


# Operators on words and writing


def test_case_changed_knows_the_usual_cases() -> None:
    assert results("case_changed", "Ann B") == {"ANN B", "ann b", "aNN b", "Ann b", "ann B", "ANn B", "AnN B"}
    assert results("case_changed", "12") == {None}


def test_blanks_changed_adds_and_loses_blanks() -> None:
    assert results("blanks_changed", "ab") == {" ab", "ab ", "ab  "}
    assert {"a  b", "ab", "a_b", "a\u00a0b", " a b"} <= results("blanks_changed", "a b")
    assert results("blanks_changed", "") == {None}


def test_punctuation_changed_loses_or_adds_marks() -> None:
    assert {"OBrien", "O Brien", "O'Brien."} <= results("punctuation_changed", "O'Brien")
    assert results("punctuation_changed", "--") == {None}


def test_words_changed_exchanges_drops_doubles_and_turns() -> None:
    assert results("words_changed", "Ada King") == {"King Ada", "Ada", "King", "Ada Ada King", "King, Ada"}
    assert "John Smith" in results("words_changed", "Smith, John")
    assert results("words_changed", "one") == {None}


def test_abbreviation_goes_both_ways_in_the_same_case() -> None:
    assert results("abbreviation", "5 Main Street") == {"5 Main St", "5 Main St."}
    assert results("abbreviation", "5 main st.") == {"5 main street", "5 main saint"}
    assert results("abbreviation", "5 MAIN STREET") == {"5 MAIN ST", "5 MAIN ST."}
    assert results("abbreviation", "A & B") == {"A and B"}
    assert results("abbreviation", "yes") == {"y"}
    assert results("abbreviation", "plan m of n") == {None}


def test_truncated_keeps_one_end() -> None:
    cut = results("truncated", "Massachusetts Bay")
    assert {"Massachusetts", "assachusetts Bay", "Mass"} <= cut
    assert all(text and len(text) < 17 for text in cut)
    assert results("truncated", "abc") == {None}


def test_note_appended_keeps_the_value() -> None:
    noted = results("note_appended", "12")
    assert {"12 (est.)", "12*", "~12"} <= noted
    assert all(text and "12" in text for text in noted)


def test_mojibake_misreads_escapes_and_strips() -> None:
    assert results("mojibake", "Zürich") == {"ZÃ¼rich", "ZÃƒÂ¼rich", "Zurich", "Z?rich", "Z\ufffdrich", "Zrich"}
    assert results("mojibake", "O'Hara") == {"Oâ€™Hara", "O&#x27;Hara"}
    assert results("mojibake", "plain") == {None}
    assert results("mojibake", "\ud800") == {"?", "\ufffd"}


# Wrong values


def test_row_swap_gives_another_value_of_the_column() -> None:
    column = ColumnView.of("x", ["a", "b", "b", None, "c", ""])
    assert results("row_swap", "a", column) == {"b", "c"}
    assert results("row_swap", "a", ColumnView.of("x", ["a", "a", ""])) == {None}


def test_row_swap_prefers_frequent_values() -> None:
    column = ColumnView.of("x", ["a"] + ["b"] * 30 + ["c"])
    drawn = Counter(OPERATORS["row_swap"]("a", column, random.Random(seed)) for seed in range(600))
    assert drawn["b"] > 2 * drawn["c"] > 0


def test_missing_is_mostly_nothing_and_else_a_spelling() -> None:
    drawn = Counter(
        OPERATORS["missing"]("Paris", ColumnView.of("x", ["Paris"], seed * 7), random.Random(seed))
        for seed in range(900)
    )
    assert drawn.most_common(1)[0][0] == ""
    assert 0.4 < drawn[""] / 900 < 0.7
    assert {text for text in drawn if text} == set(MISSING_SPELLINGS)


def test_missing_respells_what_is_missing_and_leaves_spellings_alone() -> None:
    assert results("missing", "") == set(MISSING_SPELLINGS)
    assert results("missing", "n/a") == {None}
    assert {"999", "0000", "-1", ""} <= results("missing", "12")
    assert "999" not in results("missing", "Paris")


def test_number_slip_changes_a_number_and_keeps_the_rest() -> None:
    slips = results("number_slip", "12.5 kg", seeds=2000)
    assert {"1.25 kg", "125 kg", "21.5 kg", "12.4 kg", "12.6 kg", "92.5 kg"} <= slips
    assert "12.50 kg" not in slips
    assert {"-40", "400", "4", "39", "41", "04"} <= results("number_slip", "40", seeds=2000)
    assert results("number_slip", "none") == {None}


def test_date_slip_keeps_the_way_of_writing() -> None:
    assert {"2004-02-28", "2004-03-01", "2005-02-28", "2004-03-29", "2004-02-27"} <= results("date_slip", "2004-02-29")
    assert {"30/01/2004", "01/02/2004", "31/01/2005", "29/02/2004"} <= results("date_slip", "31/01/2004")
    assert {"Mar 4, 2004", "Apr 5, 2004", "Mar 15, 2004", "Mar 5, 2014"} <= results("date_slip", "Mar 5, 2004")
    assert {"MARCH 4, 2004", "APRIL 5, 2004"} <= results("date_slip", "MARCH 5, 2004")
    assert results("date_slip", "2004-02-30") == {None}


def test_time_slip_keeps_the_way_of_writing() -> None:
    assert {"7:11 a.m.", "7:09 a.m.", "7:10 p.m."} <= results("time_slip", "7:10 a.m.")
    assert {"12:00 PM", "11:58 AM", "11:59 PM"} <= results("time_slip", "11:59 AM")
    assert {"00:00", "23:58", "11:59"} <= results("time_slip", "23:59")
    assert results("time_slip", "25:10") == {None}


# Formats


def test_unit_changed_adds_the_unit_that_the_name_suggests() -> None:
    added = results("unit_changed", "12", ColumnView.of("Mass", ["12"]))
    assert {"12 kg", "12.0 kg", "12kg", "12 kilograms", "12 KG"} <= added
    assert all("k" in str(text).lower() for text in added)
    assert results("unit_changed", "12 of 30") == {None}


def test_unit_changed_drops_and_respells_units() -> None:
    assert results("unit_changed", "12 oz") == {"12", "12 oz.", "12 ounce", "12 ounces", "12 OUNCE", "12 OZ"}
    assert results("unit_changed", "") == {None}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12", {"12.0", "12.00", "00012", "$12", "12 USD", "€12", "+12"}),
        ("007", {"7", "007.0", "007.00", "0007", "$007", "007 USD", "€007", "+007"}),
        ("5%", {"5", "5 %", "0.05", "5 percent"}),
        ("$1,250.00", {"1,250.00", "1,250.00 $", "1,250.00 USD", "$ 1,250.00"}),
        ("a12", {None}),
        ("", {None}),
    ],
)
def test_number_format_writes_the_same_number_another_way(value: str, expected: set[str | None]) -> None:
    assert results("number_format", value) == expected


def test_number_format_knows_separators_percent_and_exponents() -> None:
    assert {"0.05%", "5%", ".05", "0,05", "0.050"} <= results("number_format", "0.05")
    assert {"1,234,500", "1 234 500", "1.234.500", "1234500.0", "1234.5k", "1.23450E+06"} <= results(
        "number_format", "1234500"
    )
    assert {"1234", "1,234.00", "1.234"} <= results("number_format", "1,234")


def test_date_format_knows_the_formats_of_the_world() -> None:
    formats = results("date_format", "2011-03-02")
    assert {
        "02/03/2011", "03/02/2011", "3/2/2011", "March 2, 2011", "2 Mar 2011", "02.03.2011", "2011", "20110302",
        "40604",
    } <= formats  # fmt: skip
    assert results("date_format", "March 2, 2011") - formats == {"2011-03-02"}
    assert results("date_format", "2011-02-31") == {None}


def test_date_format_reads_day_or_month_first_from_the_column() -> None:
    day_first = ColumnView.of("d", ["02/03/2011", "31/01/2011"])
    month_first = ColumnView.of("d", ["02/03/2011", "01/31/2011"])
    assert "2011-03-02" in results("date_format", "02/03/2011", day_first)
    assert "2011-02-03" not in results("date_format", "02/03/2011", day_first)
    assert "2011-02-03" in results("date_format", "02/03/2011", month_first)


def test_time_format_changes_the_clock_or_adds_a_date() -> None:
    formats = results("time_format", "7:10 a.m.", ColumnView.of("opens", ["7:10 a.m."], habit=4))
    assert {"07:10", "7:10 AM", "7:10am", "0710", "01/05/1995 7:10 a.m.", "7:10 a.m. Jan 05"} <= formats
    assert "7:10 p.m." in results("time_format", "19:10")
    assert results("time_format", "7:75") == {None}


def test_phone_format_changes_separators() -> None:
    assert {"(202) 555-0123", "2025550123", "202.555.0123", "+1 202 555 0123"} <= results(
        "phone_format", "202-555-0123"
    )
    assert results("phone_format", "2025550123") == {None}
    named = ColumnView.of("Telephone", ["2025550123"])
    assert "202-555-0123" in results("phone_format", "2025550123", named)
    assert results("phone_format", "2011-03-02") == {None}
    assert results("phone_format", "8263.590301") == {None}


def test_a_format_that_the_column_uses_anyway_is_no_error() -> None:
    column = ColumnView.of("x", ["ann", "ANN", "Ann"])
    assert results("case_changed", "ann", column) == {"aNn", "anN", None}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(OPERATORS)), st.text(max_size=30) | st.from_regex(r"[0-9:/. ,%$-]{0,12}", fullmatch=True),
       st.integers(0, 99))  # fmt: skip
def test_an_operator_gives_another_value_or_none(name: str, value: str, seed: int) -> None:
    column = ColumnView.of("phone price date", [value, "other", "", "12"], seed)
    changed = OPERATORS[name](value, column, random.Random(seed))
    assert changed is None or changed != value
    assert changed != "" or name in EMPTYING


# Operators on tuples


def test_column_swap_exchanges_two_values() -> None:
    relation = Relation.of(("a", "b", "c"), [("1", "2", None)])
    assert sorted(map(str, tuple_results("column_swap", relation, 0, 0))) == sorted(
        map(str, [{0: "2", 1: "1"}, {0: "", 2: "1"}, None])
    )
    assert tuple_results("column_swap", relation, 0, 2) == [None]


def test_value_appended_joins_and_may_move_another_value() -> None:
    relation = Relation.of(("city", "state"), [("Bend", "OR")])
    changes = tuple_results("value_appended", relation, 0, 0)
    assert {0: "Bend OR", 1: ""} in changes or {0: "Bend OR"} in changes
    assert {0: "Bend, OR", 1: ""} in changes and {0: "Bend (OR)"} in changes
    assert tuple_results("value_appended", Relation.of(("a",), [("x",)]), 0, 0) == [None]


def test_violated_dependency_gives_the_value_of_another_group() -> None:
    relation = Relation.of(("zip", "city"), [("1", "Bonn")] * 4 + [("2", "Kiel")] * 4)
    assert {1: "Kiel"} in tuple_results("violated_dependency", relation, 0, 1)
    assert {1: "Bonn"} in tuple_results("violated_dependency", relation, 7, 1)


def test_violated_dependency_needs_a_dependency() -> None:
    independent = Relation.of(("a", "b"), [(str(row % 3), str(row % 2)) for row in range(12)])
    unique = Relation.of(("a", "b"), [(str(row), "x" if row % 2 else "y") for row in range(12)])
    assert tuple_results("violated_dependency", independent, 0, 1) == [None]
    assert tuple_results("violated_dependency", unique, 0, 1) == [None]


# Episodes

VALUES = st.none() | st.just("") | st.text(max_size=12) | st.from_regex(r"[0-9]{1,4}[.:/-][0-9]{1,2}", fullmatch=True)
RELATIONS = st.integers(1, 5).flatmap(
    lambda width: st.builds(
        Relation.of,
        st.lists(st.text(max_size=5), min_size=width, max_size=width),
        st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=12),
    )
)


@settings(max_examples=200, deadline=None)
@given(RELATIONS, st.integers(0, 10_000), st.booleans())
def test_kinds_mark_exactly_the_cells_that_changed(relation: Relation, seed: int, extreme: bool) -> None:
    heavy = CorruptionConfig(
        clean_table_rate=0, min_error_rate=0.9, typical_min_error_rate=0.9, typical_max_error_rate=0.9,
        max_error_rate=1.0, run_rate=0.3, drift_rate=0.9, conflict_rate=0.6, max_operators=28,
    )  # fmt: skip
    corrupted = corrupt_relation(relation, random.Random(seed), heavy if extreme else CorruptionConfig())
    added = [name for name in corrupted.dirty.attributes if name in SOURCE_NAMES]
    assert len(corrupted.dirty.attributes) == len(relation.attributes) + bool(added)
    assert_kinds_mark_exactly_what_changed(corrupted)


def test_kinds_mark_exactly_the_cells_that_changed_in_a_rich_table() -> None:
    for seed in range(60):
        assert_kinds_mark_exactly_what_changed(corrupt_relation(contacts(), random.Random(seed)))


def test_the_same_seed_gives_the_same_episode_and_another_seed_another() -> None:
    episodes = [corrupt_relation(contacts(), random.Random(seed)) for seed in (3, 3, 4)]
    assert episodes[0] == episodes[1]
    assert episodes[0] != episodes[2]


def test_every_operator_has_a_weight_and_is_used_by_default() -> None:
    assert set(KINDS) <= set(CorruptionConfig.__slots__)
    seen: Counter[str] = Counter()
    for seed in range(250):
        seen += kinds_of(corrupt_relation(contacts(), random.Random(seed)))
    assert set(seen) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_operator_that_is_off_never_occurs(kind: str) -> None:
    config = replace(CorruptionConfig(), clean_table_rate=0.0, drift_rate=0.5, conflict_rate=0.5, **{kind: 0.0})  # type: ignore[arg-type]
    seen: Counter[str] = Counter()
    for seed in range(25):
        seen += kinds_of(corrupt_relation(contacts(40), random.Random(seed), config))
    assert seen.total() > 300
    assert kind not in seen


@pytest.mark.parametrize("kind", KINDS)
def test_an_operator_alone_makes_all_the_errors(kind: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(25):
        seen += kinds_of(corrupt_relation(contacts(), random.Random(seed), only(kind)))
    assert set(seen) == {kind}


def test_everything_off_leaves_the_table_clean() -> None:
    config = only(drift_rate=1.0, conflict_rate=0.0)
    assert corrupt_relation(contacts(), random.Random(1), config).dirty == contacts()


def test_clean_tables_occur_at_the_configured_rate() -> None:
    config = replace(CorruptionConfig(), clean_table_rate=0.4)
    clean = sum(not kinds_of(corrupt_relation(contacts(20), random.Random(seed), config)) for seed in range(300))
    assert 0.33 < clean / 300 < 0.6
    always = corrupt_relation(contacts(), random.Random(0), replace(config, clean_table_rate=1.0))
    assert always.dirty == always.clean == contacts()


def test_the_error_rate_is_the_configured_one() -> None:
    config = only(
        "keyboard_typo", "missing", min_error_rate=0.05, typical_min_error_rate=0.05, typical_max_error_rate=0.05,
        max_error_rate=0.05, placeholder_rate=0,
    )  # fmt: skip
    shares = [share_of(corrupt_relation(contacts(100), random.Random(seed), config)) for seed in range(100)]
    assert 0.035 < sum(shares) / len(shares) < 0.055  # placeholders come on top
    assert max(shares) < 0.1


def test_most_episodes_have_between_one_and_ten_percent_errors() -> None:
    config = replace(CorruptionConfig(), clean_table_rate=0.0, drift_rate=0.0, conflict_rate=0.0)
    shares = sorted(share_of(corrupt_relation(contacts(80), random.Random(seed), config)) for seed in range(200))
    assert 0.02 < shares[100] < 0.07
    assert sum(0.01 < share < 0.1 for share in shares) > 120
    assert shares[-1] < 0.4


def test_an_episode_has_only_a_few_kinds_of_error_and_some_clean_columns() -> None:
    config = replace(CorruptionConfig(), clean_table_rate=0.0, drift_rate=0.0, conflict_rate=0.0, max_operators=4)
    clean_columns = []
    for seed in range(80):
        corrupted = corrupt_relation(contacts(), random.Random(seed), config)
        assert len(kinds_of(corrupted)) <= 4
        clean_columns.append(sum(not any(column) for column in zip(*corrupted.kinds, strict=True)))
    assert sum(clean_columns) / len(clean_columns) > 12 * config.clean_column_rate * 0.9


def test_columns_stay_clean_at_the_configured_rate() -> None:
    dense = {"min_error_rate": 0.2, "typical_min_error_rate": 0.2, "typical_max_error_rate": 0.3, "max_error_rate": 0.3}
    shares = []
    for rate in (0.0, 0.5):
        config = only("keyboard_typo", "letter_repeated", "missing", clean_column_rate=rate, **dense)
        clean = 0
        for seed in range(40):
            kinds = corrupt_relation(contacts(), random.Random(seed), config).kinds
            clean += sum(not any(column) for column in list(zip(*kinds, strict=True))[:11])
        shares.append(clean / (40 * 11))
    assert shares[0] < 0.1
    assert 0.42 < shares[1] < 0.62


def test_a_conflicting_source_may_write_a_column_in_its_own_way() -> None:
    lowest = 0.0001
    config = only(
        "blanks_changed", conflict_rate=1.0, min_sources=5, min_error_rate=lowest, typical_min_error_rate=lowest,
        typical_max_error_rate=lowest, max_error_rate=lowest,
    )  # fmt: skip
    columns: Counter[int] = Counter()
    for seed in range(60):
        kinds = corrupt_relation(contacts(), random.Random(seed), config).kinds
        columns[sum(sum(map(bool, column)) >= 3 for column in zip(*kinds, strict=True))] += 1
    assert columns[1] > 15
    assert set(columns) == {0, 1, 2}


def test_a_drifting_column_has_the_configured_share() -> None:
    lowest = 0.0001
    config = only(
        "case_changed", drift_rate=1.0, min_drift=0.3, max_drift=0.4, min_error_rate=lowest,
        typical_min_error_rate=lowest, typical_max_error_rate=lowest, max_error_rate=lowest,
    )  # fmt: skip
    relation = Relation.of(("a",), [(f"Name {row}",) for row in range(100)])
    shares = [share_of(corrupt_relation(relation, random.Random(seed), config)) for seed in range(40)]
    assert all(0.29 < share < 0.45 for share in shares)


def test_runs_hit_consecutive_tuples_with_one_value() -> None:
    config = only("row_swap", run_rate=1.0, max_run=9)
    relation = Relation.of(("a",), [(f"v{row}",) for row in range(120)])
    longest = 0
    for seed in range(30):
        corrupted = corrupt_relation(relation, random.Random(seed), config)
        column, run = corrupted.dirty.column(0), 1
        for before, after in zip(column, column[1:], strict=False):
            run = run + 1 if before == after else 1
            longest = max(longest, run)
    assert longest >= 5


def test_missing_values_are_written_as_the_table_writes_them() -> None:
    config = only("missing", max_error_rate=0.5, typical_share=0.0, min_error_rate=0.02)
    with_none = Relation.of(("a", "b"), [(f"v{row}", None) for row in range(60)])
    with_text = Relation.of(("a", "b"), [(f"v{row}", "") for row in range(60)])
    for relation, empty in ((with_none, None), (with_text, "")):
        found = {
            value
            for seed in range(30)
            for value in corrupt_relation(relation, random.Random(seed), config).dirty.column(0)
            if not value
        }
        assert found == {empty}


def test_conflicting_sources_repeat_entities_and_disagree() -> None:
    config = only("time_slip", "missing", conflict_rate=1.0, named_source_rate=0, min_sources=4, max_sources=12)
    disagreements = 0
    for seed in range(20):
        corrupted = corrupt_relation(contacts(60), random.Random(seed), config)
        assert_kinds_mark_exactly_what_changed(corrupted)
        copies = Counter(values[1] for values in corrupted.clean.tuples)
        assert max(copies.values()) <= 12 and copies.most_common(1)[0][1] >= 2
        entities = {values[1]: values[1:] for values in contacts(60).tuples}
        assert all(values[1:] == entities[values[1]] for values in corrupted.clean.tuples)
        opens = [values[7] for values in corrupted.dirty.tuples if values[1] == copies.most_common(1)[0][0]]
        disagreements += len(set(opens)) > 1
    assert disagreements > 4


def test_sources_that_are_named_are_told_by_an_attribute_without_errors_of_disagreement() -> None:
    config = only("time_slip", conflict_rate=1.0, named_source_rate=1, min_sources=4, max_sources=6, max_conflict=0.9)
    unequal = 0
    for seed in range(20):
        corrupted = corrupt_relation(contacts(60), random.Random(seed), config)
        (place,) = (n for n, name in enumerate(corrupted.dirty.attributes) if name in SOURCE_NAMES)
        sources = corrupted.clean.column(place)
        assert 2 <= len(set(sources)) <= 6 and all(sources)
        assert corrupted.dirty.column(place) == sources
        told = zip(sources, corrupted.kinds, strict=True)
        wrong = Counter(source or "" for source, kinds in told for kind in kinds if kind)
        if wrong.total() > 20:
            unequal += max(wrong.values()) >= 2 * min(wrong[source or ""] for source in set(sources))
    assert unequal > 2


def test_placeholders_stand_for_all_that_was_missing() -> None:
    rows = [[f"k{row}", "" if row % 3 else str(row), "" if row % 5 else str(row)] for row in range(30)]
    config = only("missing", placeholder_rate=1, min_error_rate=1e-9, typical_min_error_rate=1e-9,
                  typical_max_error_rate=1e-9, max_error_rate=1e-9, drift_rate=0)  # fmt: skip
    written = set()
    for seed in range(20):
        corrupted = corrupt_relation(Relation.of("kab", rows), random.Random(seed), config)
        for attribute in (1, 2):
            told = {value for row, value in enumerate(corrupted.dirty.column(attribute)) if not rows[row][attribute]}
            assert len(told) == 1
            written |= told
        assert list(corrupted.clean.column(1)) == [row[1] for row in rows]
    assert "" in written and len(written & set(PLACEHOLDERS)) > 5


def test_a_running_number_counts_conflicting_copies() -> None:
    config = only("missing", conflict_rate=1.0, named_source_rate=0)
    numbered = 0
    for seed in range(20):
        column = corrupt_relation(contacts(40), random.Random(seed), config).clean.column(0)
        numbered += column == [str(place + 1) for place in range(len(column))]
    assert 8 < numbered < 20


def test_truth_beyond_conflicts_is_the_table_itself() -> None:
    config = replace(CorruptionConfig(), conflict_rate=0.0)
    for seed in range(20):
        assert corrupt_relation(contacts(), random.Random(seed), config).clean == contacts()


def test_a_table_without_tuples_stays_empty() -> None:
    corrupted = corrupt_relation(Relation.of(("a",), []), random.Random(0))
    assert (corrupted.dirty.tuples, corrupted.clean.tuples, corrupted.kinds) == ((), (), ())


@pytest.mark.parametrize(
    "fields",
    [
        {"missing": -1.0},
        {"keyboard_typo": float("nan")},
        {"row_swap": float("inf")},
        {"clean_table_rate": 1.1},
        {"min_error_rate": 0.0},
        {"min_error_rate": 0.03},
        {"typical_max_error_rate": 0.4},
        {"min_operators": 6},
        {"min_operators": 0},
        {"max_run": 1},
        {"min_sources": 30},
        {"min_drift": 0.7},
    ],
)
def test_a_config_refuses_impossible_values(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        CorruptionConfig(**fields)  # type: ignore[arg-type]


def test_an_entity_told_twice_keeps_its_truth_and_gets_a_running_number_of_its_own() -> None:
    relation = Relation.of(["id", "city"], [[str(number), f"Town {number}"] for number in range(1, 41)])
    config = CorruptionConfig(duplicate_rate=1.0, conflict_rate=0.0, clean_table_rate=0.0)
    renumbered = retold = 0
    for seed in range(40):
        episode = corrupt_relation(relation, random.Random(seed), config)
        assert 41 <= len(episode.dirty) <= 60
        assert sorted(set(episode.entities)) == list(range(40))
        for entity, (number, city) in zip(episode.entities, episode.clean.tuples, strict=True):
            assert city == f"Town {entity + 1}"
            assert number
        numbers = [int(values[0] or 0) for values in episode.clean.tuples]
        renumbered += numbers == list(range(1, len(numbers) + 1))
        for kinds, dirty, clean in zip(episode.kinds, episode.dirty.tuples, episode.clean.tuples, strict=True):
            for kind, value, true in zip(kinds, dirty, clean, strict=True):
                assert (kind == "") == ((value or "") == (true or ""))
                retold += kind == RETOLD
    assert renumbered > 15
    assert retold > 40
