"""What values are written as."""

from __future__ import annotations

import pytest

from model.inference.formats import accepted_kinds, kind_of, kind_shares


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1987", "year"), ("2004-05", "year"), ("2004-05-06", "date"), ("12.06.1912", "date"), ("June 3, 2010", "date"),
        ("3 Jun 2010", "date"), ("Aug 1960", "date"), ("14:05", "time"), ("31,056,997", "integer"), ("#12", "integer"),
        ("0.52", "decimal"), ("435.13 m", "decimal"), ("6'11\"", "decimal"), ("$24,000", "money"), ("12 EUR", "money"),
        ("12.5%", "percent"), ("a.b@c.org", "email"), ("http://x.y/z", "url"), ("example.com", "url"),
        ("(205) 555-0142", "phone"), ("AB-1234", "code"), ("LHR", "code"), ("true", "flag"), ("Boston", "text"),
        ("", "text"), ("a 1 b 2", "text"),
    ],
)  # fmt: skip
def test_kind_of_a_value(value: str, kind: str) -> None:
    assert kind_of(value) == kind


def test_shares_of_kinds_and_what_labels_accept() -> None:
    assert kind_shares(["1", "2", "x y"]) == {"integer": pytest.approx(2 / 3), "text": pytest.approx(1 / 3)}
    assert accepted_kinds(("birth", "date"))["date"] == 1.0
    assert accepted_kinds(("positive", "integer")) == {"integer": 1.0, "year": 0.3}
    assert accepted_kinds(("city",)) == {}
