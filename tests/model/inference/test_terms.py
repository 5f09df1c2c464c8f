"""Arithmetic that is written out."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.inference.terms import mixed_fraction, result_of


@pytest.mark.parametrize(
    ("text", "result"),
    [("1 + 23", 24), ("(1+3)/2", 2), ("2+3*4-1", 13), ("6/4", Fraction(3, 2)), ("2*(3-(1+1))", 2), ("1.5*2", 3)],
)
def test_results_are_exact(text: str, result: Fraction) -> None:
    assert result_of(text) == result


@pytest.mark.parametrize("text", ["", "5", "1/0", "1+", "(1+2", "1)2", "two+2", "__import__", "1**2", "-"])
def test_what_is_no_term_has_no_result(text: str) -> None:
    assert result_of(text) is None


def test_mixed_fractions() -> None:
    assert mixed_fraction("7 1/4") == Fraction(29, 4) and mixed_fraction("129") == 129
    assert mixed_fraction("1/0") is None and mixed_fraction("a 1/4") is None


@given(st.text(alphabet="0123456789+-*/(). ", max_size=30))
def test_no_term_makes_it_fail(text: str) -> None:
    assert result_of(text) is None or isinstance(result_of(text), Fraction)
