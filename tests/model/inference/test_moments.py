"""Dates and times in parts."""

from __future__ import annotations

import pytest

from model.inference.moments import date_parts, span_parts, time_parts


def parts(text: str, reading: str) -> dict[str, str]:
    found = dict(date_parts(text))
    return {name: value for name, value, _ in found[reading]}


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("on 2024-03-07", "year-month-day"),
        ("7.3.2024", "day-month-year"),
        ("03/07/24", "month-day-year"),
        ("Mar 7th, 2024", "by name"),
        ("7 March '24", "by name"),
        ("20240307", "year-month-day without marks"),
        ("2024-Mar-07", "by name"),
    ],
)
def test_one_date_in_many_spellings(text: str, reading: str) -> None:
    found = parts(text, reading)
    assert (found["year"], found["month name"], found["two-digit day"]) == ("2024", "March", "07")
    assert (found["weekday"], found["ordinal day"], found["quarter"], found["day of the year"]) == (
        "Thursday", "7th", "1", "067",
    )  # fmt: skip


def test_numbers_alone_have_two_readings_and_impossible_dates_none() -> None:
    assert parts("3/4/2024", "month-day-year")["month"] == "3"
    assert parts("3/4/2024", "day-month-year")["month"] == "4"
    assert "month-day-year" not in dict(date_parts("31/4/2024"))
    assert dict(date_parts("31/4/2024")) == {} and dict(date_parts("no date")) == {}


def test_a_usual_reading_covers_different_spellings() -> None:
    for text in ("2011-10-11", "11 October 2011", "10/11/2011"):
        found = parts(text, "with the month first")
        assert (found["month"], found["day"]) == ("10", "11")


@pytest.mark.parametrize(
    ("text", "hour", "twelve", "half"),
    [("at 18:05", "18", "6", "PM"), ("12:05 am", "00", "12", "AM"), ("12 pm", "12", "12", "PM"),
     ("9:05:59", "09", "9", "AM")],
)  # fmt: skip
def test_times_of_twelve_and_of_twenty_four_hours(text: str, hour: str, twelve: str, half: str) -> None:
    found = {name: value for name, value, _ in dict(time_parts(text))[0]}
    assert (found["two-digit hour"], found["hour of twelve"], found["AM or PM"]) == (hour, twelve, half)


@pytest.mark.parametrize("text", ["APRİL 5, 2020", "8 Auguſt 1778", "5 ıan 2020"])
def test_letters_that_only_look_like_a_month_are_none(text: str) -> None:
    assert all(reading != "by name" for reading, _ in date_parts(text))


@pytest.mark.parametrize(
    ("text", "hour"),
    [("10:30 pickup", "10"), ("14:30 arrival", "14"), ("18:05 at platform 2", "18"), ("9:15 p.m.", "21")],
)
def test_a_word_behind_a_time_is_no_half_of_the_day(text: str, hour: str) -> None:
    (first, *_) = [dict((name, value) for name, value, _ in parts) for _, parts in time_parts(text)]
    assert first["two-digit hour"] == hour


def test_a_half_of_the_day_belongs_to_the_time_before_it() -> None:
    assert [
        dict((n, v) for n, v, _ in parts)["two-digit hour"] for _, parts in time_parts("10:30 and 11:45 pause")
    ] == [
        "10",
        "11",
    ]


def test_stretches_of_the_day() -> None:
    found = {key: value for key, value, _ in span_parts("6:25PM")}
    assert found[30, 0, "{h}:{m:02d}{p}", "-"] == "6:00PM-6:30PM"
    assert found[60, 30, "{h}:{m:02d}{p}", "-"] == "5:30PM-6:30PM"
    assert found[120, 0, "{h}{p}", "start"] == "6PM"
    assert found[30, 0, "{H}:{m:02d}", "nearest"] == "18:30"
    assert list(span_parts("no time")) == []
