"""What is wrong with a cell, told from its value and the true one."""

from __future__ import annotations

import math
from enum import StrEnum

from rapidfuzz.distance import OSA

from model.inference.columns import is_missing_spelling, number_of
from model.tuples import Value

_TYPO_DISTANCE = 2
_TYPO_SHARE = 0.34


class ErrorKind(StrEnum):
    """Kinds of error that dirty and clean value alone tell apart."""

    EMPTIED = "value emptied"
    FILLED = "value filled"
    FORMAT = "format changed"
    TYPO = "typo"
    OTHER = "other"


def error_kind(dirty: Value, true: Value) -> ErrorKind:
    """The kind of error of a cell whose value `dirty` should be `true`.

    EMPTIED: nothing, or a spelling of nothing, stands where a value should. FILLED: a value stands where nothing
    should. FORMAT: the same number, or the same letters and digits but for case, in another writing. TYPO: at most two
    edits, and at most a third of the longer value. OTHER: another value.
    """
    if not dirty or (is_missing_spelling(dirty) and true and not is_missing_spelling(true)):
        return ErrorKind.EMPTIED
    if not true:
        return ErrorKind.FILLED
    if _same_writing(dirty, true):
        return ErrorKind.FORMAT
    distance = OSA.distance(dirty, true)
    if distance <= _TYPO_DISTANCE and distance <= _TYPO_SHARE * max(len(dirty), len(true)):
        return ErrorKind.TYPO
    return ErrorKind.OTHER


def _same_writing(dirty: str, true: str) -> bool:
    left, right = number_of(dirty), number_of(true)
    if not (math.isnan(left) or math.isnan(right)):
        return left == right
    bare = ["".join(filter(str.isalnum, value.casefold())) for value in (dirty, true)]
    return bare[0] == bare[1] != ""
