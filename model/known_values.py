"""Under which words of column names a value stands in tables at large: counted, not learned.

The model of names (`model.naming`) tells kinds by how values are written; that Nintendo is a publisher and Lilongwe a
capital nobody can read off letters. So values that stand in tables of several repositories of the corpus are counted
under the words of their columns' names, by repositories, as one repository often has the same table many times. Values
are stored as hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from model.errors import CheckpointError
from model.naming import RARITY

FILE = "values.safetensors"
"""The file of a checkpoint that holds its known values."""

LONGEST = 40
"""Characters of the longest value that is counted."""

_SMOOTHING = 3.0
_COMMONEST = 0.9
_ARRAYS = ("share", "keys", "totals", "starts", "places", "counts")

Floats = npt.NDArray[np.float64]


def value_key(value: str) -> int | None:
    """The hash of a value whatever its case and blanks, 32 bits; None for one that is not counted."""
    text = " ".join(value[: 2 * LONGEST].casefold().split())
    if not 2 <= len(text) <= LONGEST or not any(one.isalpha() for one in text):
        return None
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True, slots=True)
class KnownValues:
    """Counts of repositories.

    Attributes:
        words: words of names.
        share: of all values, counted once for each repository, that stand under each word, (words,).
        keys: hashes of the values, ascending, (values,) uint32.
        totals: repositories that have a value, (values,) uint8.
        starts: where the entries of a value begin in the next two, (values + 1,) uint32.
        places, counts: words, by their places, and repositories that have the value under them, (entries,).
    """

    words: tuple[str, ...]
    share: npt.NDArray[np.float32]
    keys: npt.NDArray[np.uint32]
    totals: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.uint32]
    places: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.uint8]

    def log_odds(self, value: str) -> tuple[float, npt.NDArray[np.int64], Floats] | None:
        """How much more often a value stands under words than any value does, as logarithms; None if it is not known.

        Returns:
            What holds for every word under which it does not stand, then the places of those under which it does and
            what holds for each of them.
        """
        place = self._place(value)
        if place is None:
            return None
        own = slice(int(self.starts[place]), int(self.starts[place + 1]))
        places = self.places[own].astype(np.int64)
        total, share = float(self.totals[place]) + _SMOOTHING, self.share[places].astype(np.float64)
        odds = np.log((self.counts[own] + _SMOOTHING * share) / (total * share))
        return float(np.log(_SMOOTHING / total)), places, odds

    def mean_log_odds(self, values: Sequence[str]) -> Floats:
        """The same of every word on average over some values, (words,); one that is not known says nothing."""
        found = np.zeros(len(self.words))
        for value in values:
            said = self.log_odds(value)
            if said is not None:
                others, places, odds = said
                found += others
                found[places] += odds - others
        return np.round(found / max(1, len(values)), 6)

    def counting(self, words: Iterable[str]) -> Floats | None:
        """How much each word counts in a mean over some words of a name, (words,); None where none is known.

        Rare words count most, as in `NameModel.speaking`.
        """
        known = {word: place for place, word in enumerate(self.words)}
        places = [known[word] for word in words if word in known]
        if not places:
            return None
        weights = np.zeros(len(self.words))
        np.add.at(weights, places, (-np.log(np.minimum(self.share[places], _COMMONEST).astype(np.float64))) ** RARITY)
        return np.asarray(weights / weights.sum())

    def _place(self, value: str) -> int | None:
        key = value_key(value)
        if key is None:
            return None
        place = int(np.searchsorted(self.keys, np.uint32(key)))
        return place if place < len(self.keys) and int(self.keys[place]) == key else None

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        path.write_bytes(save(arrays, {"words": json.dumps(self.words, ensure_ascii=False)}))

    @classmethod
    def load(cls, path: Path) -> KnownValues:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        try:
            with safe_open(path, "np") as file:
                words = tuple(json.loads((file.metadata() or {})["words"]))
                return cls(words, *(file.get_tensor(name) for name in _ARRAYS))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"cannot read {path.name}: {error}") from error
