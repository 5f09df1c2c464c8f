"""Which format a column has, and that a value is rewritten only into what says the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.column_format import ColumnFormat, single_blanks, succession

ISO = ("2020-03-05", "2019-12-25", "2018-01-09", "2021-11-30", "2022-07-14", "2020-02-29")
US = ("03/14/2020", "12/25/2019", "07/04/2018", "01/22/2021", "05/06/2017")
CLOCK = ("14:30", "09:05", "23:10", "07:45", "12:00")
PHONE = ("205-555-0101", "205-555-0102", "334-555-0199", "251-555-7777", "256-555-1234")


def rewritten(value: str, others: Sequence[str], shown: Sequence[str] = ()) -> str | None:
    made = ColumnFormat(Counter([*others, value]), shown).rewrite(value)
    return None if made is None else made.output


@pytest.mark.parametrize(
    ("value", "others", "wanted"),
    [
        ("March 5, 2020", ISO, "2020-03-05"),
        ("25/04/2020", ISO, "2020-04-25"),
        ("2020/3/5", ISO, "2020-03-05"),
        ("20200306", ISO, "2020-03-06"),
        ("2020-03-05", US, "03/05/2020"),
        ("5 Mar 2020", US, "03/05/2020"),
        ("2:30 PM", CLOCK, "14:30"),
        ("7 am", CLOCK, "07:00"),
        ("8:56_p.m.", ("8:10 a.m.", "9:05 p.m.", "11:10 a.m.", "7:45 p.m."), "8:56 p.m."),
        ("14:30", ("2:15 PM", "9:05 AM", "11:10 PM", "7:45 AM"), "2:30 PM"),
        ("4567", ("1,234", "12,500", "900", "3,456,789"), "4,567"),
        ("4,567", ("1234", "12500", "900", "3456789"), "4567"),
        ("6km", ("5 km", "12 km", "7.5 km", "100 km"), "6 km"),
        ("(205) 555-0103", PHONE, "205-555-0103"),
        ("2055550104", PHONE, "205-555-0104"),
        (" Eve  Adams ", ("Eve Adams", "Bob Khan", "Ada Weber", "Otto Khan", "Bob Weber"), "Eve Adams"),
        ("EVE KHAN", ("Eve Adams", "Bob Khan", "Ada Weber", "Otto Khan", "Bob Weber"), "Eve Khan"),
    ],
)
def test_another_format_is_rewritten(value: str, others: Sequence[str], wanted: str) -> None:
    assert rewritten(value, others) == wanted


@pytest.mark.parametrize(
    ("value", "others", "why"),
    [
        ("03/04/2020", ISO, "month first and with the day first"),
        ("5 Mar 20", ("2020-03-05", "1919-12-25", "1931-01-09", "2021-11-30"), "century"),
        ("2020-03", ISO, None),
        ("03/05/20", ISO, None),
        ("2020-03-05 10:00", ISO, "does not fit"),
        ("2020-03-05 (draft)", ISO, None),
        ("2020-03-05", ("3/4/2020", "2/5/2019", "7/4/2018", "1/2/2021"), "more than one way"),
        ("7:45:10", CLOCK, "does not fit"),
        ("2:30", ("2:15 PM", "9:05 AM", "11:10 PM", "7:45 AM"), "does not fit"),
        ("$5", ("1234", "12500", "900", "3456789", "17"), "does not fit"),
        ("1-234", ("12-34", "55-66", "70-81", "13-57", "24-68"), None),
        ("NASA", ("Eve", "Bob", "Ada", "Otto", "Mia"), "no other value"),
        ("iPhone", ("Eve", "Bob", "Ada", "Otto", "Iphone"), None),
        ("12", ("1.5", "2.25", "3.75", "8.10"), None),
        ("007", ("1", "22", "333", "4444"), None),
    ],
)
def test_what_is_not_certain_stays(value: str, others: Sequence[str], why: str | None) -> None:
    made = ColumnFormat(Counter([*others, value])).rewrite(value)
    assert made is None if why is None else (made is not None and made.output is None and why in made.detail)


def test_values_of_one_shape_tell_how_it_is_read() -> None:
    form = ColumnFormat(Counter([*ISO, "03/04/2020", "25/04/2020"]))
    made = form.rewrite("03/04/2020")
    assert made is not None and made.output == "2020-04-03"
    assert made.confidence == round(succession(6) * succession(1), 6)


def test_the_format_is_told_in_words() -> None:
    told = "year + '-' + two-digit month + '-' + two-digit day"
    form = ColumnFormat(Counter([*ISO, "5 Mar 2020"]))
    made = form.rewrite("5 Mar 2020")
    assert form.description == f"date: {told}" and made is not None and made.detail == told


def test_shown_values_are_the_format() -> None:
    assert rewritten("2020-03-05", ISO, shown=("14 Jun 2019", "3 May 2021")) == "5 Mar 2020"


def test_a_column_without_a_format_is_left_alone() -> None:
    form = ColumnFormat(Counter(["red fox", "7 up", "2020", "B-52s", "a1", "x@y.org"]))
    assert form.description is None and form.rewrite("7 up") is None


def test_blanks_become_single_and_line_ends_stay() -> None:
    assert single_blanks("  a \t b\nc ") == "a b\nc"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("09aZ -/:.,$%é\n", max_size=12), max_size=12))
def test_letters_and_digits_are_neither_lost_nor_made(values: list[str]) -> None:
    form = ColumnFormat(Counter(value for value in values if value.strip()))
    for value in values:
        made = form.rewrite(value) if value.strip() else None
        if made is not None and made.output is not None:
            assert made.output != value and 0.0 < (made.confidence or 0.0) < 1.0
            before, after = (sorted(c for c in text.casefold() if c.isalpha()) for text in (value, made.output))
            assert before == after or ":" in value or "/" in value
