"""What a value says, whatever way it is written: a date, a time, a quantity, a code.

Two values of one kind say the same where their meanings are equal. A value of which anything is left over, a word or
a number that its kind does not explain, has no meaning of that kind: `2020-03-05 (draft)` is no date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction

from model.inference.atoms import Atom
from model.inference.formats import CURRENCY
from model.inference.moments import DAYS, MONTHS, date_parts, time_parts
from model.inference.synthesis import AllowedAtoms

MONTH_FIRST, DAY_FIRST = "with the month first", "with the day first"
ORDERS = (MONTH_FIRST, DAY_FIRST)
"""The two ways to read a date of numbers whose year is not first."""

_STRICT = {"month-day-year": MONTH_FIRST, "day-month-year": DAY_FIRST}
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_MONTH_WORDS = {word.lower() for name in MONTHS for word in (name, name[:3])} | {"sept"}
_DAY_WORDS = {word.lower(): number for number, name in enumerate(DAYS) for word in (name, name[:3])}
_OTHER_DATE_WORDS = frozenset(("st", "nd", "rd", "th", "of", "t"))
_CLOCK_WORDS = frozenset(("a", "p", "m", "am", "pm"))
_HALF = re.compile(r"\d\s*[ap](?:\.?m)?\b", re.IGNORECASE)
_QUANTITY = re.compile(
    rf"(?P<before>(?:{CURRENCY})?)\s?(?P<sign>[-+]?)"
    r"(?P<whole>[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d*|0)(?:\.(?P<decimals>\d+))?\s?(?P<unit>[^\d\s,.][^\d\s]{0,11})?",
    re.IGNORECASE,
)
_FEWEST_DIGITS = 3
_LONGEST = 60
_LONGEST_LETTERS = 4


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of values.

    Attributes:
        meaning: what a value says, read in one of `ORDERS`; None where it says nothing of this kind.
        allowed: atoms that write such values out of what they say, never by copying them as they stand; programs are
            searched for each set of them by itself.
        least_share: share of a column's values that a format must have to be the column's own.
        by_pattern: whether values of one pattern of letters and digits are all in a format, or none is.
    """

    name: str
    meaning: Callable[[str, str], Hashable | None]
    allowed: tuple[AllowedAtoms, ...]
    least_share: float
    by_pattern: bool = False


def moment(text: str, order: str) -> Hashable | None:
    """Year, month and day, and hour, minute and second where a time is told.

    None for a date in part, and for one of three short numbers, which could be read in any order.
    """
    tokens = _tokens(text)
    named = [parts for reading, parts in date_parts(text) if reading == order]
    if not tokens or not named or _half_is_lost(text):
        return None
    told = {name: value for name, value, _ in named[0]}
    if not {"year", "month", "day", "weekday"} <= told.keys():
        return None
    times = list(time_parts(text))
    clock = {name: value for name, value, _ in times[0][1]} if len(times) == 1 else {}
    words = [word for word in tokens if not word.isdigit()]
    weekdays = {DAYS[_DAY_WORDS[word]] for word in words if word in _DAY_WORDS}
    explained = _MONTH_WORDS | _DAY_WORDS.keys() | _OTHER_DATE_WORDS | (_CLOCK_WORDS if clock else frozenset())
    if any(word not in explained for word in words) or not weekdays <= {told["weekday"]} or len(times) > 1:
        return None
    numbers = len(tokens) - len(words)
    months = sum(word in _MONTH_WORDS for word in words)
    of_date = 3 - months if months or not any(len(word) == 8 for word in tokens) else 1
    seconds = bool(clock) and numbers == of_date + 3
    if months > 1 or (not months and year_is_short(text)) or (numbers != of_date + (2 if clock else 0) and not seconds):
        return None
    date = (int(told["year"]), int(told["month"]), int(told["day"]))
    return date, (_clock(clock) if clock else None)


def orders_of(text: str) -> frozenset[str]:
    """In which of `ORDERS` a date of numbers can be read; both where its year or its month's name settles it."""
    strict = {_STRICT[reading] for reading, _ in date_parts(text) if reading in _STRICT}
    return frozenset(strict or ORDERS)


def year_is_short(text: str) -> bool:
    """Whether a date leaves its century out."""
    return not any(len(token) in (4, 8) and token.isdigit() for token in _tokens(text))


def time_of_day(text: str, _: str) -> Hashable | None:
    """Hour, minute and second."""
    tokens = _tokens(text)
    times = list(time_parts(text))
    if (
        len(times) != 1
        or _half_is_lost(text)
        or any(token not in _CLOCK_WORDS for token in tokens if not token.isdigit())
    ):
        return None
    clock = {name: value for name, value, _ in times[0][1]}
    return _clock(clock) if sum(token.isdigit() for token in tokens) <= 3 else None


def has_half(text: str) -> bool:
    """Whether a time says which half of the day it is in."""
    return any(token in _CLOCK_WORDS for token in _tokens(text))


def _half_is_lost(text: str) -> bool:
    """Whether a text names a half of the day that does not stand right behind its time."""
    return has_half(text) and _HALF.search(text) is None


def quantity(text: str, _: str) -> Hashable | None:
    """A number with its unit or currency; none of leading zeros, which numbers do not have, or of odd separators."""
    found = _QUANTITY.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if found is None:
        return None
    number = Fraction(f"{found['whole'].replace(',', '')}.{found['decimals'] or '0'}")
    unit = (found["unit"] or "").rstrip(".").casefold()
    return found["sign"] == "-", number, found["before"].casefold() + unit


def code(text: str, _: str) -> Hashable | None:
    """Letters and digits in their order, whatever stands between them; words are none of a code's letters."""
    if len(text) > _LONGEST:
        return None
    plain = "".join(character for character in text if character.isalnum()).casefold()
    digits = sum(character.isdigit() for character in plain)
    letters = max((len(run) for run in re.findall(r"[^\W\d_]+", text)), default=0)
    return plain if digits >= _FEWEST_DIGITS and letters <= _LONGEST_LETTERS and len(plain) <= _LONGEST // 2 else None


def runs_of(text: str) -> list[str]:
    """Letters and digits as they stand together, in lower case."""
    return [run for run in re.split(r"[\W_]+", text.casefold()) if run]


def _tokens(text: str) -> list[str]:
    return [token.lower() for token in _TOKEN.findall(text)] if len(text) <= _LONGEST else []


def _clock(named: dict[str, str]) -> tuple[int, int, int]:
    return int(named["two-digit hour"]), int(named["minute"]), int(named["second"])


def _reads_in_order(atom: Atom) -> bool:
    return atom.family == "time" or atom.arguments[0] in ORDERS


def _is_letters(atom: Atom) -> bool:
    return atom.family == "token" and atom.arguments[0] == "letters" and atom.change in ("", "lower", "upper")


def _is_number(atom: Atom) -> bool:
    forms = ("without separators", "with thousands separators")
    return _is_letters(atom) or (atom.family == "number" and atom.arguments[0] == 0 and atom.arguments[1] in forms)


def _is_run(atom: Atom) -> bool:
    return _is_letters(atom) or (atom.arguments[0] == "number" and not atom.change)


def _is_digits(atom: Atom) -> bool:
    return _is_letters(atom) or (atom.family == "digits" and int(atom.arguments[0]) >= 0)


KINDS = (
    Kind("date", moment, (AllowedAtoms(("date", "time"), _reads_in_order),), 0.5),
    Kind("time", time_of_day, (AllowedAtoms(("time",)),), 0.5),
    Kind("quantity", quantity, (AllowedAtoms(("token", "number"), _is_number),), 0.6, by_pattern=True),
    Kind(
        "code",
        code,
        (AllowedAtoms(("token",), _is_run), AllowedAtoms(("token", "digits"), _is_digits)),
        0.8,
        by_pattern=True,
    ),
)
"""Kinds in the order in which they are tried."""
