"""Results of arithmetic that is written out: `(1+3)/2`, `7 1/4`. Exact, and never evaluated as code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

_FRACTION = re.compile(r"(?:(\d{1,6})\s+)?(\d{1,6})\s*/\s*(\d{1,6})")
_WHOLE = re.compile(r"\d{1,12}")
_TERM = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?|[-+*/()])", re.ASCII)
_MOST_TERMS = 24
_GREATEST = 10**30


def mixed_fraction(text: str) -> Fraction | None:
    """A whole number, a fraction, or both: `7 1/4`; None for anything else."""
    mixed = _FRACTION.fullmatch(text.strip())
    if mixed:
        return int(mixed[1] or 0) + Fraction(int(mixed[2]), int(mixed[3])) if int(mixed[3]) else None
    return Fraction(text.strip()) if _WHOLE.fullmatch(text.strip()) else None


def result_of(text: str) -> Fraction | None:
    """The result of a term of numbers, `+ - * /` and brackets; None for anything else."""
    terms = _TERM.findall(text)
    if not 1 < len(terms) <= _MOST_TERMS or _TERM.sub("", text).strip():
        return None
    reader = _Arithmetic(terms)
    made = reader.sum()
    return made if reader.is_read and made is not None and abs(made) < _GREATEST else None


class _Arithmetic:
    """Reads sums and products from left to right; None where a term is none, or divides by nothing."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = terms
        self._place = 0

    @property
    def is_read(self) -> bool:
        """Whether nothing is left."""
        return self._place == len(self._terms)

    def sum(self) -> Fraction | None:
        """A sum of products."""
        left = self._product()
        while left is not None and (sign := self._next("+", "-")):
            right = self._product()
            left = None if right is None else left + right if sign == "+" else left - right
        return left

    def _product(self) -> Fraction | None:
        left = self._factor()
        while left is not None and (sign := self._next("*", "/")):
            right = self._factor()
            if right is None or (sign == "/" and not right):
                return None
            left = left * right if sign == "*" else left / right
        return left

    def _factor(self) -> Fraction | None:
        if self._next("("):
            inner = self.sum()
            return inner if self._next(")") else None
        if self.is_read or not self._terms[self._place][0].isdecimal():
            return None
        self._place += 1
        return Fraction(self._terms[self._place - 1])

    def _next(self, *wanted: str) -> str:
        if not self.is_read and self._terms[self._place] in wanted:
            self._place += 1
            return self._terms[self._place - 1]
        return ""
