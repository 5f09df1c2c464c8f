"""Misspelled words inside values: a rare word that resembles a frequent word of the same column.

Whole values that nobody else holds cannot be repaired from the column, but their words can: in `521 patiexts` the
number is unique and the word is not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz import process
from rapidfuzz.distance import OSA

Ints = npt.NDArray[np.int64]

_WORD = re.compile(r"[^\W\d_][\w'-]*|\w*[^\W\d_]\w*")
_MIN_LETTERS = 3
_LONGEST = 40
_READ_WORDS = 40
_MIN_SIMILARITY = 0.6
_RATIO = 5
"""A word is a misspelling of another one only where that is held by this many times as many cells."""

_MAX_FREQUENT = 1_000
_MAX_PAIRS = 3_000_000


@dataclass(frozen=True, slots=True)
class Correction:
    """A value with its misspelled words corrected.

    Attributes:
        value: the corrected value.
        similarity: of the least similar pair of words, 0…1.
        log_ratio: log of how many times as many cells hold the new word, for the pair where that is least.
    """

    value: str
    similarity: float
    log_ratio: float


def correct_words(distinct: Sequence[str], counts: Ints) -> list[Correction | None]:
    """For each distinct value of a column its correction, None where no word of it looks misspelled."""
    words = [_words(value) for value in distinct]
    held: Counter[str] = Counter()
    for found, count in zip(words, counts.tolist(), strict=True):
        held.update(dict.fromkeys(found, count))
    better = _better_words(held)
    return [_corrected(value, found, held, better) for value, found in zip(distinct, words, strict=True)]


def _words(value: str) -> list[str]:
    found = [match[0] for match in _WORD.finditer(value[:400])][:_READ_WORDS]
    return list(dict.fromkeys(word for word in found if _MIN_LETTERS <= len(word) <= _LONGEST))


def _better_words(held: Counter[str]) -> dict[str, tuple[str, float]]:
    """For each rare word the most similar word that is frequent enough, with their similarity."""
    ranked = sorted(held, key=lambda word: (-held[word], word))
    frequent = [word for word in ranked[:_MAX_FREQUENT] if held[word] >= _RATIO]
    if not frequent:
        return {}
    most = held[frequent[0]]
    rare = [word for word in ranked if held[word] * _RATIO <= most][: _MAX_PAIRS // len(frequent)]
    if not rare:
        return {}
    scores = process.cdist(
        rare, frequent, scorer=OSA.normalized_similarity, score_cutoff=_MIN_SIMILARITY, dtype=np.float32, workers=1
    )
    enough = np.array([held[word] for word in frequent]) >= _RATIO * np.array([held[word] for word in rare])[:, None]
    scores[~enough] = 0.0
    best = scores.argmax(axis=1)  # the more frequent one among equals
    top = scores[np.arange(len(rare)), best]
    return {
        word: (frequent[place], float(score))
        for word, place, score in zip(rare, best.tolist(), top.tolist(), strict=True)
        if 0.0 < score < 1.0
    }


def _corrected(
    value: str, words: Sequence[str], held: Counter[str], better: dict[str, tuple[str, float]]
) -> Correction | None:
    wrong = [word for word in words if word in better]
    if not wrong:
        return None
    corrected = _WORD.sub(lambda match: better[match[0]][0] if match[0] in wrong else match[0], value)
    similarity = min(better[word][1] for word in wrong)
    log_ratio = min(float(np.log(held[better[word][0]] / held[word])) for word in wrong)
    return Correction(corrected, similarity, log_ratio)
