"""A rare word that resembles a frequent one of its column is corrected inside the value."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from model.inference.words import Correction, correct_words


def corrections(values: list[str]) -> dict[str, Correction | None]:
    counts = Counter(values)
    distinct = sorted(counts)
    found = correct_words(distinct, np.array([counts[value] for value in distinct], dtype=np.int64))
    return dict(zip(distinct, found, strict=True))


def test_the_word_is_corrected_and_the_rest_of_the_value_kept() -> None:
    found = corrections([f"{number} patients" for number in range(20)] + ["521 patiexts"])
    correction = found["521 patiexts"]
    assert correction is not None and correction.value == "521 patients"
    assert (correction.similarity, correction.log_ratio) == pytest.approx((7 / 8, np.log(20)))
    assert found["7 patients"] is None


def test_all_misspelled_words_are_corrected_together() -> None:
    found = corrections(["acute care hospital"] * 8 + ["acxte care hospixal"])
    correction = found["acxte care hospixal"]
    assert correction is not None and correction.value == "acute care hospital"


def test_a_word_that_is_not_rare_beside_the_other_stays() -> None:
    assert set(corrections(["Marten"] * 4 + ["Martin"] * 10).values()) == {None}


def test_short_words_and_numbers_stay() -> None:
    assert corrections(["room 12"] * 9 + ["room 13", "at 12"])["room 13"] is None
    assert corrections(["al"] * 30 + ["ak"])["ak"] is None


def test_an_empty_column_has_nothing_to_correct() -> None:
    assert corrections([]) == {}
