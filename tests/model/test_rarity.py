"""Rarity is that of the counts, survives its file, and says of damaged files that they are damaged."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from model.errors import CheckpointError
from model.rarity import WordRarity

COUNTED = WordRarity.counted({"the": 1000, "camera": 64, "once": 1, "élan": 8}, 4095)


def test_a_word_is_as_rare_as_it_was_counted() -> None:
    assert COUNTED.of("camera") == pytest.approx(math.log(4096 / 65), abs=1e-9)
    assert COUNTED.of("the") == pytest.approx(math.log(4096 / 1001), abs=0.05)  # counts are kept to an eighth of a bit
    assert COUNTED.of("élan") == pytest.approx(math.log(4096 / 9), abs=1e-9)


@pytest.mark.parametrize("word", ["once", "dscw55", "", "\ud800"])
def test_a_word_that_was_hardly_ever_seen_is_the_rarest(word: str) -> None:
    assert COUNTED.of(word) == pytest.approx(math.log(4096))


def test_a_file_gives_back_what_was_counted(tmp_path: Path) -> None:
    COUNTED.save(tmp_path / "words.safetensors")
    again = WordRarity.load(tmp_path / "words.safetensors")
    assert [again.of(word) for word in ("the", "camera", "once")] == [
        COUNTED.of(word) for word in ("the", "camera", "once")
    ]


@pytest.mark.parametrize("content", [b"", b"not safetensors"])
def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "words.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="words.safetensors"):
        WordRarity.load(tmp_path / "words.safetensors")


def test_nothing_counted_makes_every_word_equally_rare() -> None:
    none = WordRarity.counted({}, 0)
    assert none.of("a") == none.of("b") == 0.0
    assert np.isfinite(none.of("a"))
