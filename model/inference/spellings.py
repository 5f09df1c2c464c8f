"""What the values of a column mean, and how the column usually writes them.

`6:55 a.m.`, `06:55` and `12/02/2011 6:55 a.m.` tell one time of day; `0.09%` and `0.0900` show one number; `Ames `
and `AMES` are one name. Values of one meaning form a class, so that they support each other in a vote, and each value
has a respelling: what it would be if it were written as most of the column is. A column is read as times, dates,
numbers or digit groups only where most of it is written so; a value that cannot be read is its own meaning.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ALIKE = 0.6
_LONGEST = 64
"""Longer values are read as text."""

_DOMINANT = 0.5
"""Share of a column that must be written one way before the others are read as the same thing written otherwise."""


_DIGITS_KEPT = 12
"""Significant digits of a number: `0.055999999999999994` is 0.056."""

_TIME = re.compile(
    r"(?<!\d)(\d{1,2}):(\d{2})(?::(\d{2}))?(?: ?([ap])\.?(?:m\b\.?|(?![a-z])|(?=[A-Z])))?", re.IGNORECASE
)
_NUMBER = re.compile(r"([^\d\-+.]{0,12}?)([-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,18})?(?:\.\d{1,18})?)([^\d]{0,24})")
_DIGIT_GROUPS = re.compile(r"\+?[(\d][\d ()./-]*\d")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_MONTH = "(?P<month>" + "|".join(f"{name}|{name[:3]}" for name in _MONTHS) + r"|sept)\.?"
_DATES = tuple(
    re.compile(pattern + r"(?![\d])", re.IGNORECASE)
    for pattern in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
        r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4})",
        r"(?P<day>\d{1,2})[ -]" + _MONTH + r"[ ,-]{1,2}(?P<year>\d{4})",
        _MONTH + r" (?P<day>\d{1,2}),? (?P<year>\d{4})",
    )
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one value can be read.

    Attributes:
        kind: `time`, `date`, `number`, `digits` or `text`.
        key: equal for values that mean the same.
        style: how it is written; equal for values that are written alike.
    """

    kind: str
    key: str
    style: str


class Spellings:
    """Meanings and usual spellings of the distinct values of one column.

    Attributes:
        classes: for each distinct value the number of its meaning, (distinct,).
        representatives: for each meaning its usual spelling; it may be a spelling that no cell holds.
        respelled: for each distinct value what it would be in the column's usual style.
        style_shares: share of the present cells that are written in the style of each value, (distinct,).
        kind: what the column is read as.
        is_usual_number: whether each distinct value is a number in the column's usual style, (distinct,).
    """

    def __init__(self, distinct: Sequence[str], counts: Ints) -> None:
        self.kind, readings = _read_column(distinct, counts)
        total = max(1, int(counts.sum()))
        styles: Counter[str] = Counter()
        for reading, count in zip(readings, counts.tolist(), strict=True):
            styles[reading.style] += count
        self.usual_style = min(styles, key=lambda style: (-styles[style], style), default="")
        self.style_shares: Floats = np.array([styles[one.style] / total for one in readings], dtype=np.float64)
        self.usual_share = styles[self.usual_style] / total if styles else 0.0
        self.is_usual_number = np.array(
            [one.kind == "number" and one.style == self.usual_style for one in readings], dtype=np.bool_
        )
        write = _writer(self.kind, self.usual_style) if self.usual_share >= _DOMINANT else None
        number_of_class: dict[tuple[str, str], int] = {}
        members: list[list[int]] = []
        for code, reading in enumerate(readings):
            place = number_of_class.setdefault((reading.kind, reading.key), len(members))
            if place == len(members):
                members.append([])
            members[place].append(code)
        self.classes: Ints = np.array(
            [number_of_class[reading.kind, reading.key] for reading in readings], dtype=np.int64
        )
        self.representatives = [self._representative(distinct, counts, readings, codes, write) for codes in members]
        self.respelled = [self.representatives[place] for place in self.classes.tolist()]

    def _representative(
        self,
        distinct: Sequence[str],
        counts: Ints,
        readings: Sequence[Reading],
        codes: Sequence[int],
        write: Callable[[str], str | None] | None,
    ) -> str:
        """The member in the usual style that most cells hold; else the key written so; else the commonest member."""
        best = min(codes, key=lambda code: (-int(counts[code]), distinct[code]))
        usual = [code for code in codes if readings[code].style == self.usual_style]
        if usual:
            return distinct[min(usual, key=lambda code: (-int(counts[code]), distinct[code]))]
        written = write(readings[best].key) if write is not None and readings[best].kind == self.kind else None
        return written or distinct[best]


def _read_column(distinct: Sequence[str], counts: Ints) -> tuple[str, list[Reading]]:
    """The kind that at least half of the column's cells show, and each value read as that kind or as text."""
    total = int(counts.sum())
    day_first = _is_day_first(distinct)
    readers: dict[str, Callable[[str, bool], Reading | None]] = {
        "time": _read_time,
        "date": partial(_read_date, day_first),
        "number": _read_number,
        "digits": _read_digits,
    }
    for kind, read in readers.items():
        strict = [read(value, True) if len(value) <= _LONGEST else None for value in distinct]
        shown = sum(int(count) for reading, count in zip(strict, counts, strict=True) if reading is not None)
        if total and shown >= _DOMINANT * total and (kind not in ("number", "digits") or _has_usual(strict, counts)):
            loose = [
                reading or (read(value, False) if len(value) <= _LONGEST else None) or _read_text(value)
                for reading, value in zip(strict, distinct, strict=True)
            ]
            return kind, _with_known_affixes(distinct, loose, counts) if kind == "number" else loose
    return "text", [_read_text(value) for value in distinct]


def _with_known_affixes(distinct: Sequence[str], readings: Sequence[Reading], counts: Ints) -> list[Reading]:
    """A number only where what stands around it is a habit: of the column, of two values at least, or no letters.

    `29 xatients` resembles the usual `29 patients` and `0.09%` has no letters, but `x5957` and `12 rue du Bac` would
    be numbers by chance.
    """
    held: Counter[str] = Counter()
    values: Counter[str] = Counter()
    for reading, count in zip(readings, counts.tolist(), strict=True):
        held[reading.style] += count
        values[reading.style] += 1
    usual = min(held, key=lambda style: (-held[style], style)).split("|")[1:3]

    def is_habit(reading: Reading) -> bool:
        affixes = reading.style.split("|")[1:3]
        letters = any(map(str.isalpha, "".join(affixes)))
        alike = OSA.normalized_similarity("|".join(affixes), "|".join(usual)) >= _ALIKE
        return not letters or affixes == usual or values[reading.style] > 1 or (alike and any(usual))

    return [
        reading if reading.kind != "number" or is_habit(reading) else _read_text(value)
        for value, reading in zip(distinct, readings, strict=True)
    ]


def _has_usual(readings: Sequence[Reading | None], counts: Ints) -> bool:
    """Whether one style holds half of what could be read: numbers of many units are no numbers of one kind."""
    styles: Counter[str] = Counter()
    for reading, count in zip(readings, counts.tolist(), strict=True):
        if reading is not None:
            styles[reading.style] += count
    return bool(styles) and max(styles.values()) >= _DOMINANT * sum(styles.values())


# Times ------------------------------------------------------------------------------------------------


def _read_time(value: str, strict: bool) -> Reading | None:
    found = list(_TIME.finditer(value))
    if len(found) != 1 or (strict and found[0].end() - found[0].start() != len(value)):
        return None
    hour, minute, second, half = found[0].groups()
    hours, minutes = int(hour), int(minute)
    if minutes > 59 or hours > (12 if half else 23) or (half and hours == 0) or (second and int(second) > 59):
        return None
    if half:
        hours = hours % 12 + (12 if half in "pP" else 0)
    key = f"{hours:02}:{minute}" + (f":{second}" if second and second != "00" else "")
    style = value if not strict else re.sub(r"\d\d?", lambda one: "9" * len(one[0]), found[0][0], count=1)
    if strict:
        style = re.sub(r"[ap](?=\.?m?\.?$)", "a", re.sub(r":\d\d", ":99", style))
        style = re.sub(r"[AP](?=\.?M?\.?$)", "A", style)
        style = (
            style.replace("99:", "9:", 1) if hours % 12 > 9 or hours % 12 == 0 or not hour.startswith("0") else style
        )
    return Reading("time", key, f"time {style}")


def _write_time(style: str, key: str) -> str | None:
    """`key` in a style such as `9:99 a.m.` or `09:99`."""
    hour, rest = int(key[:2]), key[3:]
    form = style.removeprefix("time ")
    head, _, tail = form.partition(":")
    half = re.search(r"[aA]\.?[mM]?\.?$", tail)
    seconds = tail.startswith("99:99")
    if len(rest) > 2 and not seconds:
        return None
    text = rest if len(rest) > 2 else rest + (":00" if seconds else "")
    if half is None:
        return f"{hour:02}:{text}" if head == "99" else f"{hour}:{text}"
    letter = "p" if hour >= 12 else "a"
    letter = letter.upper() if half[0][0] == "A" else letter
    blank = " " if tail[: half.start()].endswith(" ") else ""
    twelve = hour % 12 or 12
    written = f"{twelve:02}" if head == "99" else str(twelve)
    return f"{written}:{text}{blank}{letter}{half[0][1:]}"


# Dates ------------------------------------------------------------------------------------------------


def _is_day_first(distinct: Sequence[str]) -> bool:
    """Whether `a/b/yyyy` is day before month: told by the first part above 12 in either place."""
    for value in distinct:
        match = _DATES[1].match(value)
        if match and int(match["first"]) > 12:
            return True
        if match and int(match["second"]) > 12:
            return False
    return False


def _read_date(day_first: bool, value: str, strict: bool) -> Reading | None:
    for number, pattern in enumerate(_DATES):
        match = pattern.fullmatch(value) if strict else pattern.match(value)
        if match is None or (match.end() < len(value) and value[match.end()] not in " T,;"):
            continue
        parts = match.groupdict()
        if "first" in parts:
            parts["day"], parts["month"] = sorted_parts(parts["first"], parts["second"], day_first)
        month = parts["month"] if parts["month"].isdigit() else str(_month_number(parts["month"]))
        try:
            date = datetime.date(int(parts["year"]), int(month), int(parts["day"]))
        except ValueError:
            return None
        return Reading("date", date.isoformat(), _date_style(number, match[0], parts, day_first) if strict else value)
    return None


def moments(values: Iterable[str]) -> dict[str, float]:
    """When each value is that is a date, in days; a time of day behind the date counts.

    Whether `a/b/yyyy` is day before month follows from all values together.
    """
    short = sorted({value for value in values if len(value) <= _LONGEST})
    day_first = _is_day_first(short)
    found: dict[str, float] = {}
    for value in short:
        date = _read_date(day_first, value.strip(), False)
        if date is not None:
            time = _read_time(value, False)
            hours, minutes, *seconds = map(int, time.key.split(":")) if time else (0, 0)
            day = datetime.date.fromisoformat(date.key).toordinal()
            found[value] = day + (3600 * hours + 60 * minutes + sum(seconds)) / 86400
    return found


def sorted_parts(first: str, second: str, day_first: bool) -> tuple[str, str]:
    """Day and month of `first/second/year`."""
    return (first, second) if day_first else (second, first)


def _month_number(name: str) -> int:
    return next(number for number, full in enumerate(_MONTHS, start=1) if full.startswith(name.lower()[:3]))


def _date_style(number: int, text: str, parts: dict[str, str], day_first: bool) -> str:
    """Which of the four forms, its marks, whether days and months have a leading zero, how months are named."""
    if number < 2:
        padded = "padded" if text.count("0") and re.search(r"(?<!\d)0\d(?!\d)", text) else "bare"
        if padded == "bare" and all(len(part) == 2 for part in (parts["day"], parts["month"])):
            padded = "padded"
        return f"date {number} {parts['mark']} {padded} {day_first}"
    name = parts["month"]
    case = "upper" if name.isupper() else "lower" if name.islower() else "title"
    length = "short" if len(name) == 3 else "long"
    template = re.sub(r"\d+", "9", text.replace(name, "M"))
    return f"date {number} {template} {case} {length}"


def _write_date(style: str, key: str) -> str | None:
    date = datetime.date.fromisoformat(key)
    form, _, rest = style.removeprefix("date ").partition(" ")
    if form in "01":
        mark, padded, day_first = rest.split(" ")
        day, month = (f"{date.day:02}", f"{date.month:02}") if padded == "padded" else (str(date.day), str(date.month))
        if form == "0":
            return mark.join((f"{date.year:04}", month, day))
        first, second = (day, month) if day_first == "True" else (month, day)
        return mark.join((first, second, f"{date.year:04}"))
    template, case, length = rest.rsplit(" ", 2)
    name = _MONTHS[date.month - 1][: 3 if length == "short" else None]
    name = name.upper() if case == "upper" else name if case == "lower" else name.title()
    numbers = iter((str(date.day), f"{date.year:04}"))
    return re.sub("[9M]", lambda one: name if one[0] == "M" else next(numbers), template)


# Numbers ----------------------------------------------------------------------------------------------


def _read_number(value: str, strict: bool) -> Reading | None:
    """A number with what stands before and behind it; `strict` wants no blanks around and no leading zeros."""
    match = _NUMBER.fullmatch(value if strict else value.strip())
    if match is None:
        return None
    before, digits, behind = match.groups()
    bare = digits.replace(",", "")
    whole = bare.lstrip("+-").partition(".")[0]
    if not bare.strip("+-.") or (len(whole) > 1 and whole.startswith("0")):
        return None
    key = format(float(bare), f".{_DIGITS_KEPT}g")
    if "e" in key:
        key = bare
    grouping = "," if "," in digits else ""
    fraction = bare.partition(".")[2]
    places = "" if not fraction or fraction[-1] != "0" else str(len(fraction))  # a zero at the end shows a fixed width
    if fraction and len(fraction) > _DIGITS_KEPT:
        places = "long"
    return Reading("number", key, f"number|{before}|{behind}|{grouping}|{places}")


def _write_number(style: str, key: str) -> str | None:
    _, before, behind, grouping, places = style.split("|")
    if places == "long":
        return None
    whole, point, fraction = key.partition(".")
    if places and len(fraction) < int(places):
        point, fraction = ".", fraction.ljust(int(places), "0")
    if grouping and len(whole.lstrip("-")) > 3:
        whole = f"{int(whole):,}"
    return f"{before}{whole}{point}{fraction}{behind}"


# Digit groups and text --------------------------------------------------------------------------------


def _read_digits(value: str, strict: bool) -> Reading | None:
    """Digits with separators, seven or more, such as a phone number; the style is where the separators stand."""
    if not _DIGIT_GROUPS.fullmatch(value if strict else value.strip()):
        return None
    digits = re.sub(r"\D", "", value)
    if len(digits) < 7:
        return None
    return Reading("digits", digits, "digits " + re.sub(r"\d", "9", value))


def _write_digits(style: str, key: str) -> str | None:
    form = style.removeprefix("digits ")
    digits = key[1:] if len(key) == form.count("9") + 1 and key.startswith("1") else key
    if form.count("9") != len(digits):
        return None
    following = iter(digits)
    return re.sub("9", lambda _: next(following), form)


def _read_text(value: str) -> Reading:
    key = " ".join(value.casefold().split())
    return Reading("text", key.strip(".,;:!?") or key, f"text {_text_style(value)}")


def _text_style(value: str) -> str:
    """Blanks in order or not, and letters all lower, all upper or neither."""
    blanks = "odd" if value != " ".join(value.split()) else ""
    case = "none" if not any(map(str.isalpha, value)) else "lower" if value.islower() else "upper"
    return blanks + (case if case != "upper" or value.isupper() else "mixed")


def _write_text(style: str, key: str) -> str | None:
    form = style.removeprefix("text ")
    return {"lower": key.lower(), "upper": key.upper()}.get(form)


def _writer(kind: str, style: str) -> Callable[[str], str | None] | None:
    """What writes a key in `style`; None where the column's usual style is one that only its own values show."""
    writers = {
        "time": _write_time,
        "date": _write_date,
        "number": _write_number,
        "digits": _write_digits,
        "text": _write_text,
    }
    prefix = style.split(" ", 1)[0].split("|", 1)[0]
    return partial(writers[kind], style) if prefix == kind else None
