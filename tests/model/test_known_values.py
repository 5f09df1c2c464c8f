"""Known values: what their counts say, whatever case and blanks, and a file that gives back what was saved."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from model.errors import CheckpointError
from model.known_values import LONGEST, KnownValues, value_key

WORDS = ("city", "name", "publisher")
SHARE = (0.1, 0.4, 0.001)


def made(stands: dict[str, tuple[int, dict[int, int]]]) -> KnownValues:
    """Values with the repositories that have them, in all and under words by their places."""
    ordered = sorted((value_key(value) or 0, *said) for value, said in stands.items())
    return KnownValues(
        WORDS,
        np.array(SHARE, dtype=np.float32),
        np.array([key for key, *_ in ordered], dtype=np.uint32),
        np.array([total for _, total, _ in ordered], dtype=np.uint8),
        np.cumsum([0, *(len(under) for *_, under in ordered)]).astype(np.uint32),
        np.array([place for *_, under in ordered for place in under], dtype=np.uint16),
        np.array([count for *_, under in ordered for count in under.values()], dtype=np.uint8),
    )


KNOWN = made({"Nintendo": (5, {1: 2, 2: 4}), "Lilongwe": (3, {0: 3})})


def test_words_under_which_a_value_stands_more_often_than_others_do_are_spoken_for() -> None:
    said = KNOWN.log_odds("nintendo ")
    assert said is not None
    others, places, odds = said
    assert others == pytest.approx(math.log(3 / 8))
    assert places.tolist() == [1, 2]
    assert odds.tolist() == pytest.approx(
        [math.log((2 + 3 * 0.4) / (8 * 0.4)), math.log((4 + 3 * 0.001) / (8 * 0.001))], rel=1e-5, abs=1e-6
    )
    assert KNOWN.log_odds("Konami") is None


def test_a_mean_takes_what_is_not_known_as_saying_nothing() -> None:
    alone = KNOWN.mean_log_odds(["Lilongwe"])
    assert alone.argmax() == 0 and alone[2] == pytest.approx(math.log(3 / 6), abs=1e-6)
    assert KNOWN.mean_log_odds(["Lilongwe", "Zzz"]).tolist() == pytest.approx((alone / 2).tolist(), abs=1e-6)
    assert KNOWN.mean_log_odds([]).tolist() == [0.0, 0.0, 0.0]


def test_rare_words_of_a_name_count_most() -> None:
    counting = KNOWN.counting(("publisher", "name", "unheard"))
    assert counting is not None
    assert counting.sum() == pytest.approx(1.0) and counting[0] == 0.0
    assert counting[2] / counting[1] == pytest.approx((math.log(0.001) / math.log(0.4)) ** 4, rel=1e-5)
    assert KNOWN.counting(("unheard",)) is None


@pytest.mark.parametrize("value", ["", "x", "12.5", "  7 ", "a" * (LONGEST + 1), "n" * 10_000_000])
def test_numbers_single_letters_and_long_texts_are_not_counted(value: str) -> None:
    assert value_key(value) is None
    assert KNOWN.log_odds(value) is None


def test_case_and_blanks_make_no_difference() -> None:
    assert value_key("New  York") == value_key(" new york\n") != value_key("newyork")
    assert value_key("\ud800 x") is not None


def test_known_values_survive_saving(tmp_path: Path) -> None:
    KNOWN.save(tmp_path / "values.safetensors")
    loaded = KnownValues.load(tmp_path / "values.safetensors")
    assert loaded.words == WORDS
    for value in ("Nintendo", "Lilongwe", "Konami"):
        assert loaded.mean_log_odds([value]).tolist() == KNOWN.mean_log_odds([value]).tolist()
    (tmp_path / "values.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"values\.safetensors"):
        KnownValues.load(tmp_path / "values.safetensors")
