"""Names that are known without examples."""

from __future__ import annotations

from model.inference.well_known import EQUIVALENTS


def test_tables_go_both_ways() -> None:
    assert EQUIVALENTS["code of the state"]["new york"] == "NY" and EQUIVALENTS["state"]["ny"] == "New York"
    assert EQUIVALENTS["three-letter code of the country"]["germany"] == "DEU"
    assert EQUIVALENTS["country"]["gb"] == "United Kingdom"
    assert EQUIVALENTS["two-digit number of the month"]["sep"] == "09"
    assert EQUIVALENTS["number in digits"]["twelve"] == "12" and EQUIVALENTS["number in words"]["12"] == "twelve"
    assert EQUIVALENTS["number of the Roman one"]["xiv"] == "14" and EQUIVALENTS["Roman number"]["14"] == "XIV"


def test_names_are_looked_up_in_lower_case_and_none_is_broken() -> None:
    for name, table in EQUIVALENTS.items():
        for given, told in table.items():
            assert given == given.lower().strip() and told == told.strip() and told and "\n" not in given, name
    assert len(EQUIVALENTS["state"]) == 51 and len(EQUIVALENTS["country"]) > 100
