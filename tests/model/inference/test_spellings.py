"""Values of one meaning are found, and written as their column usually writes them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.inference.spellings import Spellings, moments

TIMES = ["7:10 a.m.", "9:05 p.m.", "11:42 a.m.", "12:30 p.m.", "6:55 a.m."]
NUMBERS = ["0.05", "0.061", "0.07", "0.043", "0.09"]


def spellings(values: list[str]) -> tuple[list[str], Spellings]:
    counts = Counter(values)
    distinct = sorted(counts)
    return distinct, Spellings(distinct, np.array([counts[value] for value in distinct], dtype=np.int64))


def respelled(usual: list[str], odd: str) -> str:
    """How a column that holds `usual` twice and `odd` once writes `odd`."""
    distinct, found = spellings([*usual, *usual, odd])
    return str(found.respelled[distinct.index(odd)])


@pytest.mark.parametrize(
    ("usual", "odd", "expected"),
    [
        (TIMES, "12/02/2011 6:55 a.m.", "6:55 a.m."),
        (TIMES, "10:06aDec 1", "10:06 a.m."),
        (TIMES, "Thu 22:15", "10:15 p.m."),
        (TIMES, "00:05", "12:05 a.m."),
        (TIMES, "4:28 p.m. (Estimated)", "4:28 p.m."),
        (["07:10", "21:05", "11:42"], "9:05 p.m.", "21:05"),
        (TIMES, "25:61", "25:61"),
        (TIMES, "6:55 a.m. 7:55 a.m.", "6:55 a.m. 7:55 a.m."),
        (["2020-01-31", "2020-11-02", "2019-12-24"], "24.12.2018", "2018-12-24"),
        (["2020-01-31", "2020-11-02", "2019-12-24"], "Dec 3, 2018", "2018-12-03"),
        (["01/31/2020", "11/22/2020", "12/24/2019"], "2018-03-04", "03/04/2018"),
        (["January 5, 2020", "March 12, 2021"], "2018-12-24", "December 24, 2018"),
        (["2020-01-31", "2020-11-02"], "2020-02-31", "2020-02-31"),
        (NUMBERS, "0.09%", "0.09"),
        (NUMBERS, "0.055999999999999994%", "0.056"),
        (["12 patients", "7 patients", "103 patients"], "29 xatients", "29 patients"),
        (["$1,200", "$950", "$12,000"], "3400", "$3,400"),
        (["1.50", "2.00", "13.70"], "4", "4.00"),
        (["205-325-8100", "334-793-8701"], "(256) 593-8310", "256-593-8310"),
        (["205-325-8100", "334-793-8701"], "1 256 593 8310", "256-593-8310"),
        (["AL", "CA", "NY"], "tx", "TX"),
        (["ames", "berlin", "new york"], "Oslo", "oslo"),
    ],
)
def test_an_odd_value_is_written_as_its_column_is(usual: list[str], odd: str, expected: str) -> None:
    assert respelled(usual, odd) == expected


@pytest.mark.parametrize("value", ["01234", "x5957", "N/A", "12 rue du Bac", "1e5", "١٢", "", "\x00"])
def test_what_cannot_be_read_stays_as_it_is(value: str) -> None:
    assert respelled(["35957", "36049", "35235"], value) == value


def test_spellings_of_one_meaning_share_a_class_and_its_commonest_usual_spelling() -> None:
    distinct, found = spellings(["Ames", "Ames", "AMES ", "ames", "Berlin", "Oslo"])
    classes = dict(zip(distinct, found.classes.tolist(), strict=True))
    assert classes["Ames"] == classes["AMES "] == classes["ames"] != classes["Berlin"]
    assert found.representatives[classes["AMES "]] == "Ames"
    assert found.usual_share == pytest.approx(4 / 6)


def test_leading_zeros_are_no_numbers() -> None:
    distinct, found = spellings(["01234", "1234", "01235", "02345"])
    assert len(set(found.classes.tolist())) == len(distinct)
    assert found.respelled == distinct


def test_measures_in_many_units_are_not_merged() -> None:
    distinct, found = spellings(["5 kg", "5 g", "5 lb", "7 oz", "9 cm"])
    assert len(set(found.classes.tolist())) == 5


def test_day_and_month_follow_the_column() -> None:
    assert respelled(["31/01/2020", "22/11/2020"], "2018-03-04") == "04/03/2018"


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8))
def test_any_column_is_read(values: list[str]) -> None:
    distinct, found = spellings(values)
    assert len(found.classes) == len(found.respelled) == len(distinct)
    again = spellings(list(reversed(values)))[1]
    assert again.respelled == found.respelled


def test_moments_order_dates_of_several_formats_and_times_of_a_day() -> None:
    found = moments(["2021-03-01", "2 March 2021", "2021-03-01 6:30 p.m.", "31/01/2021", "04/02/2021", "n/a", "x" * 99])
    assert sorted(found, key=found.__getitem__) == [
        "31/01/2021",
        "04/02/2021",
        "2021-03-01",
        "2021-03-01 6:30 p.m.",
        "2 March 2021",
    ]
    assert found["2021-03-01 6:30 p.m."] - found["2021-03-01"] == pytest.approx(18.5 / 24)
