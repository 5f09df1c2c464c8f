"""Phrases of texts: words whatever their case and what stands between them, runs of words, and how a value looks."""

from __future__ import annotations

import re
from itertools import groupby

PHRASE_WORDS = 6
"""Words of the longest phrase."""

_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """The words of a text, whatever their case and what stands between them."""
    return " ".join(_WORD.findall(text)).casefold()


def phrases(text: str, most_words: int = PHRASE_WORDS) -> dict[str, tuple[int, int]]:
    """All runs of up to `most_words` words, folded, and where each stands first."""
    words = [(match.start(), match.end(), match.group().casefold()) for match in _WORD.finditer(text)]
    found: dict[str, tuple[int, int]] = {}
    for first, (start, _, _) in enumerate(words):
        run = ""
        for _, end, word in words[first : first + most_words]:
            run = f"{run} {word}" if run else word
            found.setdefault(run, (start, end))
    return found


def shape(value: str) -> str:
    """Letters, digits and signs of a value, runs as one: `12.5mm` is `9.9a`."""
    kinds = ("a" if one.isalpha() else "9" if one.isdigit() else " " if one.isspace() else one for one in value)
    return "".join(kind for kind, _ in groupby(kinds))
