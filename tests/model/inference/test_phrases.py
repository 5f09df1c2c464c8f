"""Phrases: words whatever their case and signs, and how values look."""

from __future__ import annotations

from model.inference.phrases import fold, phrases, shape


def test_words_are_compared_whatever_their_case_and_signs() -> None:
    assert fold("UV-400, clear") == "uv 400 clear"
    assert phrases("UV-400 Lens")["uv 400"] == (0, 6)
    assert shape("12.5 mm") == "9.9 a"


def test_runs_of_words_stand_where_they_stand_first() -> None:
    assert phrases("Red pan, RED", 2) == {"red": (0, 3), "red pan": (0, 7), "pan": (4, 7), "pan red": (4, 12)}
    assert phrases(" - ") == {}
