"""Numbers that are another number times a factor: units, currencies, scales.

Examples are rounded, so each says in which interval the factor is. What is known of units is taken where it lies in
all of these intervals; else the shortest decimal that does, and the ends of the interval beside it, so that an output
that hangs on the choice is seen to hang on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from functools import cache
from itertools import permutations

NUMBER = re.compile(r"(?<![\d.,])[-+]?(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{1,12})?(?!\d|,\d{3})", re.ASCII)
"""A number as it is found in a text: of 15 digits at most, which arithmetic in decimals can round."""

_DIMENSIONS = (
    ("0.001", "0.01", "1", "1000", "0.0254", "0.3048", "0.9144", "1609.344", "1852"),
    ("0.001", "1", "1000", "28.349523125", "453.59237", "1000000"),
    ("1", "1000", "3785.411784", "946.352946", "473.176473", "236.5882365", "29.5735295625", "14.78676478125",
     "4.92892159375"),
    ("0.09290304", "0.00064516", "0.83612736", "1", "4046.8564224", "10000", "2589988.110336", "1000000"),
    ("1", "60", "3600", "86400", "604800"),
    ("1", "1024", "1048576"),
)  # fmt: skip
_AFFINE = ((Fraction(9, 5), Fraction(32)), (Fraction(5, 9), Fraction(-160, 9)), (Fraction(1), Fraction("273.15")),
           (Fraction(1), Fraction("-273.15")))  # fmt: skip
_DIGITS = 28
_MOST_DECIMALS = 12
_FEWEST_DIGITS = 3
KNOWN, SHORTEST, END = 0.0, 0.4, 1.2
"""Cost of a factor by where it comes from; each digit beyond two costs `DIGIT` more: a long decimal fits by chance."""

DIGIT = 0.2
_SHORT_DIGITS = 2


@cache
def known_factors() -> tuple[Fraction, ...]:
    """What units are in other units of their kind, and powers of ten."""
    found = {Fraction(2), Fraction(1, 2), *(Fraction(10) ** power for power in range(-6, 7))}
    for units in _DIMENSIONS:
        found |= {Fraction(one) / Fraction(other) for one, other in permutations(units, 2)}
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Written:
    """How numbers are written: at most so many digits and decimals; `fixed` keeps zeros at the end."""

    digits: int
    decimals: int
    fixed: bool

    def write(self, number: Fraction) -> str:
        """The number, rounded half up."""
        with localcontext() as context:
            context.prec = 60
            exact = Decimal(number.numerator) / Decimal(number.denominator)
            rounded = exact.quantize(Decimal(1).scaleb(-self._places(exact)), ROUND_HALF_UP)
        text = f"{rounded:f}"
        if not self.fixed and "." in text:
            text = text.rstrip("0").rstrip(".")
        return text.removeprefix("-") if not rounded else text

    def half(self, text: str) -> Fraction:
        """How far at most a number is from what was written of it."""
        number = Decimal(text)
        return Fraction(1, 2) / Fraction(10) ** self._places(number)

    def _places(self, number: Decimal) -> int:
        first = number.adjusted() if number else 0
        return max(-12, min(self.decimals, self.digits - 1 - first))


@dataclass(frozen=True, slots=True)
class Proportion:
    """`factor · x + offset`, and how it is written."""

    factor: Fraction
    offset: Fraction
    written: Written
    cost: float

    def of(self, number: str) -> str:
        """What becomes of a number."""
        return self.written.write(self.factor * Fraction(number) + self.offset)


def proportions(inputs: Sequence[str], outputs: Sequence[str]) -> Iterator[Proportion]:
    """Every proportion that makes all the outputs, as they are written, of the inputs."""
    if len(set(inputs)) < 2 or len(set(outputs)) < 2 or any("," in one for one in outputs):
        return
    numbers = [Fraction(one) for one in inputs]
    for written, dear in _ways_of_writing(outputs):
        wanted = [Fraction(one) for one in outputs]
        halves = [written.half(one) for one in outputs]
        for factor, offset, cost in _relations(numbers, wanted, halves):
            found = Proportion(factor, offset, written, cost + dear)
            if all(found.of(one) == other for one, other in zip(inputs, outputs, strict=True)):
                yield found


def _ways_of_writing(outputs: Sequence[str]) -> Iterator[tuple[Written, float]]:
    """Not rounded at all, to the same number of decimals, to as many digits or decimals as the longest has."""
    decimals = [len(one.partition(".")[2]) for one in outputs]
    digits = [len(re.sub(r"\D", "", one).lstrip("0")) for one in outputs]
    yield Written(_DIGITS, _MOST_DECIMALS, False), 0.0
    if len(set(decimals)) == 1:
        yield Written(_DIGITS, decimals[0], True), 0.05
    # Whether decimals were cut as well shows where one has the most decimals, but fewer digits than another.
    most, longest = max(digits), max(decimals)
    cut = any(one < most and places == longest for one, places in zip(digits, decimals, strict=True))
    if most >= _FEWEST_DIGITS:
        yield Written(most, longest, False), 0.1 if cut else 0.25
        yield Written(most, _MOST_DECIMALS, False), 0.25 if cut else 0.1
    yield Written(_DIGITS, longest, False), 0.3


def _relations(
    inputs: Sequence[Fraction], outputs: Sequence[Fraction], halves: Sequence[Fraction]
) -> Iterator[tuple[Fraction, Fraction, float]]:
    """Factors and offsets with their costs."""
    low, high = _factor_between(inputs, outputs, halves)
    nothing = Fraction(0)
    if low <= high:
        yield from ((one, nothing, KNOWN) for one in known_factors() if low <= one <= high)
        shortest = shortest_decimal(low, high)
        dear = DIGIT * max(0, _digits_of(shortest) - _SHORT_DIGITS)
        yield shortest, nothing, SHORTEST + dear
        if low < high:
            nudge = (high - low) / 1000
            yield low + nudge, nothing, END + dear
            yield high - nudge, nothing, END + dear
    for factor, offset in _AFFINE:
        if all(abs(factor * x + offset - y) <= half for x, y, half in zip(inputs, outputs, halves, strict=True)):
            yield factor, offset, KNOWN
    distinct = sorted(set(zip(inputs, outputs, strict=True)))
    if len({x for x, _ in distinct}) >= 3:
        (first, one), (last, other) = distinct[0], distinct[-1]
        slack = 2 * max(halves) / (last - first) if last != first else nothing
        middle = (other - one) / (last - first) if last != first else nothing
        factor = shortest_decimal(middle - slack, middle + slack)
        offsets = [(y - half - factor * x, y + half - factor * x) for x, y, half in
                   zip(inputs, outputs, halves, strict=True)]  # fmt: skip
        bottom, top = max(lower for lower, _ in offsets), min(upper for _, upper in offsets)
        if bottom <= top and factor and not bottom <= 0 <= top:
            added = shortest_decimal(bottom, top)
            digits = _digits_of(factor) + _digits_of(added) - _SHORT_DIGITS
            yield factor, added, SHORTEST + 0.3 + DIGIT * max(0, digits)


def _factor_between(
    inputs: Sequence[Fraction], outputs: Sequence[Fraction], halves: Sequence[Fraction]
) -> tuple[Fraction, Fraction]:
    """The interval that all examples leave to a factor; empty (low above high) where they contradict."""
    low, high = Fraction(-(10**15)), Fraction(10**15)
    for x, y, half in zip(inputs, outputs, halves, strict=True):
        if x == 0:
            if abs(y) > half:
                return Fraction(1), Fraction(0)
            continue
        ends = sorted(((y - half) / x, (y + half) / x))
        low, high = max(low, ends[0]), min(high, ends[1])
    return low, high


def _digits_of(number: Fraction) -> int:
    """Digits of a decimal without zeros at its ends."""
    scaled = abs(number)
    while scaled.denominator > 1 and scaled < 10**_DIGITS:
        scaled *= 10
    return len(str(int(scaled)).strip("0"))


def shortest_decimal(low: Fraction, high: Fraction) -> Fraction:
    """The number of fewest decimals between two, the one nearest to their middle."""
    middle = (low + high) / 2
    for decimals in range(20):
        scale = Fraction(10) ** decimals
        found = Fraction(round(middle * scale)) / scale
        if low <= found <= high:
            return found
    return middle
