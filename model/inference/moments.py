"""Dates and times that stand in a text, in parts.

A date of numbers alone can be read in more ways than one; each is a reading of its own, and examples decide.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

NamedParts = list[tuple[str, str, float]]
"""Name, text and cost of each part."""

_NAMES = {name[:length].lower(): number for number, name in enumerate(MONTHS, 1) for length in (3, len(name))}
_NAMES["sept"] = 9
# ASCII letters alone: elsewhere a dotless i or a long s would match as well, and be no name in lower case.
_MONTH = "(?a:(?P<month>" + "|".join(sorted(_NAMES, key=lambda name: -len(name))) + "))"
_YEAR = r"'?(?P<year>\d{4}|\d{2})"
_NUMERIC = re.compile(r"(?<!\d)(\d{1,4})([-/.\s])(\d{1,2})\2(\d{1,4})(?!\d)")
_COMPACT = re.compile(r"(?<!\d)(\d{2})(\d{2})(\d{2})(\d{2})(?:\d{6})?(?!\d)")
_WRITTEN = (
    re.compile(rf"\b{_MONTH}\b\.?[\s,-]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b[\s,-]+{_YEAR}\b", re.IGNORECASE),
    re.compile(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s-]*(?:of )?{_MONTH}\b\.?[\s,-]*{_YEAR}\b", re.IGNORECASE),
    re.compile(rf"\b(?P<year>\d{{4}})[\s,-]*{_MONTH}\b\.?[\s,-]*(?P<day>\d{{1,2}})\b", re.IGNORECASE),
)
_PARTIAL = (
    re.compile(rf"\b{_MONTH}\b\.?[\s,-]*(?P<year>\d{{4}})\b", re.IGNORECASE),
    re.compile(rf"\b{_MONTH}\b\.?[\s,-]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b", re.IGNORECASE),
    re.compile(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s-]*{_MONTH}\b", re.IGNORECASE),
)
_TIME = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?(?:\s*([ap])(?:\.?m)?\b\.?)?", re.IGNORECASE)
_HOUR = re.compile(r"(?<![\d:])(\d{1,2})\s*([ap])\.?m\b\.?", re.IGNORECASE)
_PIVOT = 40
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_MOST_TIMES = 2


def date_parts(text: str) -> Iterator[tuple[str, NamedParts]]:
    """The first date of a text by each reading that makes one, with its parts."""
    found = list(_readings(text))
    for usual, other in (("month", "month-day-year"), ("day", "day-month-year")):
        # One reading for texts that write their dates differently: by name, the year first, or else in this order.
        order = {"by name": 0, "year-month-day": 1, other: 2, "year-month-day without marks": 3,
                 f"{other} without marks": 4, "in part": 5}  # fmt: skip
        known = sorted((order[one[0]], one[1:]) for one in found if one[0] in order)
        if known:
            found.append((f"with the {usual} first", *known[0][1]))
    for reading, year, month, day in found:
        parts = _month_parts(month) if month else []
        if year:
            short = f"{year % 100:02d}"
            parts += [("year", str(year), 0.0), ("short year", short, 0.3)]
        if day:
            parts += _day_parts(day)
        if year and month and day:
            try:
                parts += _calendar_parts(datetime.date(year, month, day))
            except ValueError:
                continue
        dear = 0.3 if reading.startswith("with") else 0.0
        yield reading, [(name, value, cost + dear) for name, value, cost in parts]


def _readings(text: str) -> Iterator[tuple[str, int, int, int]]:
    """Reading, year, month and day; 0 where there is none."""
    for pattern in _WRITTEN:
        if found := pattern.search(text):
            yield "by name", _year(found["year"]), _NAMES[found["month"].lower()], int(found["day"])
            return
    if found := _NUMERIC.search(text):
        first, second, third = found[1], found[3], found[4]
        orders = {
            "year-month-day": (first, second, third), "month-day-year": (third, first, second),
            "day-month-year": (third, second, first),
        }  # fmt: skip
        for reading, (year, month, day) in orders.items():
            if len(year) in (2, 4) and len(month) <= 2 and len(day) <= 2 and 1 <= int(month) <= 12:
                if len(first) == 4 and reading != "year-month-day":
                    continue
                yield reading, _year(year), int(month), int(day)
    for found in (_COMPACT.search(text),):
        if found:
            digits = found[0][:8]
            for reading, year, month, day in (
                ("year-month-day", digits[:4], digits[4:6], digits[6:]),
                ("day-month-year", digits[4:], digits[2:4], digits[:2]),
                ("month-day-year", digits[4:], digits[:2], digits[2:4]),
            ):
                if 1 <= int(month) <= 12 and 1800 <= int(year) <= 2200:
                    yield f"{reading} without marks", int(year), int(month), int(day)
    for pattern in _PARTIAL:
        if found := pattern.search(text):
            told = found.groupdict()
            yield "in part", int(told.get("year") or 0), _NAMES[found["month"].lower()], int(told.get("day") or 0)
            return


def _year(text: str) -> int:
    number = int(text)
    return number if len(text) == 4 else number + (2000 if number < _PIVOT else 1900)


def _month_parts(month: int) -> NamedParts:
    name = MONTHS[month - 1]
    return [
        ("two-digit month", f"{month:02d}", 0.1),
        ("month", str(month), 0.2),
        ("month name", name, 0.0),
        ("short month name", name[:3], 0.1),
        ("quarter", str((month + 2) // 3), 1.0),
    ]


def _day_parts(day: int) -> NamedParts:
    ending = "th" if 10 < day < 20 else _ENDINGS.get(day % 10, "th")
    return [("two-digit day", f"{day:02d}", 0.1), ("day", str(day), 0.2), ("ordinal day", f"{day}{ending}", 0.5)]


def _calendar_parts(date: datetime.date) -> NamedParts:
    name = DAYS[date.weekday()]
    return [
        ("weekday", name, 0.3),
        ("short weekday", name[:3], 0.4),
        ("day of the year", f"{date.timetuple().tm_yday:03d}", 1.5),
        ("week", f"{date.isocalendar().week:02d}", 1.5),
    ]


def time_parts(text: str) -> Iterator[tuple[int, NamedParts]]:
    """The first times of a text, by place from the left, with their parts."""
    found = [(one[1], one[2], one[3] or "", one[4] or "") for one in _TIME.finditer(text)]
    found = found or [(one[1], "00", "", one[2]) for one in _HOUR.finditer(text)]
    for place, (hour, minute, second, half) in enumerate(found[:_MOST_TIMES]):
        number = int(hour)
        if number > 24 or int(minute) > 59 or (half and not 1 <= number <= 12):
            continue
        if half:
            number = number % 12 + (12 if half.lower() == "p" else 0)
        yield place, _clock_parts(number % 24, minute, second)


def _clock_parts(hour: int, minute: str, second: str) -> NamedParts:
    twelve = (hour + 11) % 12 + 1
    half = "am" if hour < 12 else "pm"
    parts = [
        ("two-digit hour", f"{hour:02d}", 0.1), ("hour", str(hour), 0.2),
        ("hour of twelve", str(twelve), 0.2), ("two-digit hour of twelve", f"{twelve:02d}", 0.3),
        ("minute", minute, 0.1), ("am or pm", half, 0.2), ("AM or PM", half.upper(), 0.2),
        ("a.m. or p.m.", f"{half[0]}.m.", 0.4), ("second", second or "00", 0.3 if second else 0.8),
        ("clock", f"{hour:02d}:{minute}", 0.3), ("short clock", f"{hour}:{minute}", 0.3),
        ("clock of twelve", f"{twelve}:{minute} {half.upper()}", 0.3),
        ("clock of twelve without a blank", f"{twelve}:{minute}{half.upper()}", 0.4),
        ("next hour", str((hour + 1) % 24), 1.2), ("two-digit next hour", f"{(hour + 1) % 24:02d}", 1.2),
        ("next hour of twelve", str(hour % 12 + 1), 1.4),
    ]  # fmt: skip
    return parts


_SPANS = {10: 0.3, 15: 0.1, 20: 0.3, 30: 0.0, 60: 0.0, 90: 0.4, 120: 0.0, 180: 0.2, 240: 0.2, 360: 0.3, 720: 0.3}
_SPAN_JOINTS = ("-", " - ", " and ", " to ")
_MINUTES = 24 * 60


def span_parts(text: str) -> Iterator[tuple[tuple[str | int, ...], str, float]]:
    """The stretch of the day that the first time of a text is in: its start, its end, both, and the nearest bound."""
    found = _TIME.search(text) or _HOUR.search(text) or _BARE_HOUR.fullmatch(text)
    if found is None:
        return
    named = dict(enumerate(found.groups()))
    half = (named.get(3) or "") if found.re is _TIME else (named.get(1) or "")
    minute = int(named[1] or 0) if found.re is _TIME else 0
    hour = int(named[0])
    if hour > 24 or minute > 59 or (half and not 1 <= hour <= 12):
        return
    if half:
        hour = hour % 12 + (12 if half.lower() == "p" else 0)
    now = (hour * 60 + minute) % _MINUTES
    for length, dear in _SPANS.items():
        for shift in (0, length // 2):
            start = (now - shift) // length * length + shift
            end = start + length
            near = (now + length // 2 - shift) // length * length + shift
            cost = dear + (0.9 if shift else 0.0)
            for form, write in _FORMS.items():
                key = (length, shift, form)
                first, last = write(start), write(end)
                yield (*key, "start"), first, 1.0 + cost
                yield (*key, "end"), last, 1.1 + cost
                yield (*key, "nearest"), write(near), 0.9 + cost
                for joint in _SPAN_JOINTS:
                    yield (*key, joint), f"{first}{joint}{last}", cost
                    yield (*key, joint, "inclusive"), f"{first}{joint}{write(end - 1)}", 0.2 + cost


_BARE_HOUR = re.compile(r"(\d{1,2})")


def _twelve(minutes: int) -> tuple[int, int, str]:
    hour, minute = divmod(minutes % _MINUTES, 60)
    return (hour + 11) % 12 + 1, minute, "AM" if hour < 12 else "PM"


def _clock(form: str) -> Callable[[int], str]:
    def write(minutes: int) -> str:
        hour, minute, half = _twelve(minutes)
        whole = minutes % _MINUTES // 60 if minutes != _MINUTES else 24
        return form.format(H=whole, h=hour, m=minute, p=half, q=half.lower())

    return write


_FORMS = {
    form: _clock(form)
    for form in ("{H}", "{H:02d}", "{H}:{m:02d}", "{H:02d}:{m:02d}", "{h}{p}", "{h}{q}", "{h} {p}", "{h}:{m:02d}{p}",
                 "{h}:{m:02d} {p}", "{h}:{m:02d}{q}", "{h}", "{m}", "{m:02d}")
}  # fmt: skip
