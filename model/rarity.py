"""How rare a word is in tables at large, so that a pair of records can be judged without other records.

Counted once over the training tables (`model.finetuning.pairs`): a table counts a word four times at most, so that one
long table does not make a word common. Words that were hardly ever seen, such as model numbers, are the rarest.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from model.errors import CheckpointError

FEWEST = 4
"""A word that was counted less often counts as never seen."""


class WordRarity:
    """Counts of words, kept as 32-bit hashes in order: five bytes a word.

    Args:
        keys: hashes of the words, uint32 (words,), rising.
        levels: base-two logarithm of each count in steps of an eighth, uint8 (words,).
        tuples: how many tuples were counted.
    """

    def __init__(self, keys: npt.NDArray[np.uint32], levels: npt.NDArray[np.uint8], tuples: int) -> None:
        self._keys = keys
        self._levels = levels
        self._tuples = tuples
        self.of = lru_cache(maxsize=100_000)(self._of)

    @classmethod
    def counted(cls, counts: Mapping[str, int], tuples: int) -> WordRarity:
        """From the counts of words among `tuples` tuples; of words of one hash the more frequent one is kept."""
        kept: dict[int, int] = {}
        for word, count in counts.items():
            if count >= FEWEST:
                key = _key(word)
                kept[key] = max(count, kept.get(key, 0))
        keys = np.array(sorted(kept), dtype=np.uint32)
        levels = np.array([min(255, round(8 * math.log2(kept[int(key)]))) for key in keys], dtype=np.uint8)
        return cls(keys, levels, tuples)

    def _of(self, word: str) -> float:
        """Natural log of how many tuples there are for one with `word`, which is folded."""
        key = _key(word)
        place = int(np.searchsorted(self._keys, np.uint32(key)))
        found = place < len(self._keys) and int(self._keys[place]) == key
        count = 2.0 ** (int(self._levels[place]) / 8) if found else 0.0
        return math.log((self._tuples + 1) / (count + 1))

    def save(self, path: Path) -> None:
        """Write one file."""
        path.write_bytes(save({"keys": self._keys, "levels": self._levels}, {"tuples": str(self._tuples)}))

    @classmethod
    def load(cls, path: Path) -> WordRarity:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is damaged.
        """
        try:
            with safe_open(path, framework="np") as file:
                return cls(file.get_tensor("keys"), file.get_tensor("levels"), int((file.metadata() or {})["tuples"]))
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise CheckpointError(f"cannot read {path.name}: {error}") from error


def _key(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big")
