"""What words a column is likely to be named by, from its values alone: a bag of character n-grams, two small matrices.

The decoder can say how likely a name is, but it has seen few columns of each kind. This model has seen the values of
every named column of the corpus: an n-gram is a vector, a column is the mean of its values' n-grams, and each word of a
name is a logistic regression on that mean (as in fastText, Joulin et al. 2017). The formats of the values are n-grams
too.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from model.errors import CheckpointError

FILE = "names.safetensors"
"""The file of a checkpoint that holds its model of names."""

BUCKETS = 1 << 15
WIDTH = 64
MOST_VALUES = 40
"""Distinct values of a column that are looked at."""

RARITY = 4.0
"""Power of a word's log-odds against being in a name, that it counts with among others of a name."""

_COMMONEST = 0.1
_READ_CHARACTERS = 40
_GRAMS = (1, 2, 3, 4, 5)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LETTERS = re.compile(r"[^\W\d_]+")

Floats = npt.NDArray[np.float32]


def name_words(name: str) -> tuple[str, ...]:
    """The words of a name, in lower case and singular: `dbo:countryCodes` gives country and code."""
    spaced = _CAMEL.sub(" ", name.rpartition(":")[2].replace("_", " "))
    return tuple(singular(word.lower()) for word in _LETTERS.findall(spaced))


def singular(word: str) -> str:
    """A word without the usual endings of English plurals."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def chosen_values(values: Iterable[str | None]) -> list[str]:
    """The values of a column that are looked at: distinct ones, evenly spread over their order as text."""
    distinct = sorted({value.strip() for value in values if value and value.strip()})
    if len(distinct) <= MOST_VALUES:
        return distinct
    places = np.linspace(0, len(distinct) - 1, MOST_VALUES).astype(np.int64)
    return [distinct[place] for place in places.tolist()]


def grams(value: str) -> npt.NDArray[np.uint16]:
    """The n-grams of a value and its words, as places in the table of vectors."""
    return _grams(value[:_READ_CHARACTERS], len(value) // 4)


@lru_cache(maxsize=4096)
def _grams(value: str, length: int) -> npt.NDArray[np.uint16]:
    """N-grams of the beginning of a value of a rough length."""
    text = f"<{value.lower()}>"
    shape = "".join(
        "9" if one.isdigit() else "A" if one.isupper() else "a" if one.isalpha() else one for one in value[:20]
    )
    parts = {text[start : start + size] for size in _GRAMS for start in range(len(text) - size + 1)}
    parts |= {f"={word}" for word in text[1:-1].split()} | {f"#{shape}", f"#{length}", f"=={text}"}
    places = [zlib.crc32(part.encode("utf-8", "surrogatepass")) % BUCKETS for part in sorted(parts)]
    return np.array(places, dtype=np.uint16)


@dataclass(frozen=True, slots=True)
class NameModel:
    """Values to name words.

    Attributes:
        words: what it knows.
        vectors: of the n-grams, (BUCKETS, WIDTH).
        weights, bias: of the words, (words, WIDTH) and (words,).
        prior: log-odds of each word over all columns, (words,).
    """

    words: tuple[str, ...]
    vectors: Floats
    weights: Floats
    bias: Floats
    prior: Floats

    def log_odds(self, values: Sequence[str]) -> Floats:
        """How much the values speak for each word, (words,): its log-odds above those of any column."""
        if not values:
            return np.zeros(len(self.words), dtype=np.float32)
        means = np.stack([self.vectors[grams(value)].mean(0) for value in values])
        evidence: Floats = self.weights @ means.mean(0) + self.bias - self.prior
        return evidence

    def speaking(self, words: Sequence[int]) -> tuple[Floats, float]:
        """How much each n-gram speaks for some words, by their places, (BUCKETS,), and what to add.

        A mean over the words in which rare ones count most: of `Sport Type` it is `sport` that tells.
        """
        places = list(words)
        counts = np.maximum(-self.prior[places], _COMMONEST) ** RARITY
        counts /= counts.sum()
        return np.asarray(self.vectors @ (counts @ self.weights[places])), float(
            counts @ (self.bias - self.prior)[places]
        )

    def places(self, words: Iterable[str]) -> list[int]:
        """Where words stand in `words`; those that it does not know are left out."""
        known = {word: place for place, word in enumerate(self.words)}
        return [known[word] for word in words if word in known]

    def save(self, path: Path) -> None:
        """Write one safetensors file, numbers in 16 bits."""
        arrays = {name: getattr(self, name).astype(np.float16) for name in ("vectors", "weights", "bias", "prior")}
        path.write_bytes(save(arrays, {"words": json.dumps(self.words, ensure_ascii=False)}))

    @classmethod
    def load(cls, path: Path) -> NameModel:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        try:
            with safe_open(path, "np") as file:
                arrays = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
                words = tuple(json.loads((file.metadata() or {})["words"]))
            return cls(words, arrays["vectors"], arrays["weights"], arrays["bias"], arrays["prior"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(f"cannot read {path.name}: {error}") from error
