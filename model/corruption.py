"""The corruption catalogue: what happens to real tables, done to clean ones, so that the truth is known.

A table is corrupted as a whole, because real errors are correlated: one source writes `N/A`, one column
drifts to another format, one keyboard slips again and again. `corrupt_relation` draws an episode (how
dirty, which few kinds of error, which columns) and applies operators to cells. Operators work on text,
never on token ids, where attribute and value still mean something.

    OPERATORS         one value of one column  -> another value      (typos, formats, slips, swaps)
    TUPLE_OPERATORS   one tuple of the window  -> several changes    (swaps, joins, violated dependencies)
    mask_…            RPT's three masks, which hide rather than change
"""

from __future__ import annotations

import datetime
import html
import math
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeVar

from model.config import CorruptionConfig
from model.inference.moments import MONTHS
from model.serialization import Mask, Part
from model.tuples import Relation, Value

# ---------------------------------------------------------------------------------------------- masks

MASK: Final = Mask()
"""Hides a whole name or value. An object, not text: no value of a table can forge it."""

_TOKEN = re.compile(r"\w+|[^\w\s]")


def mask_attribute_name(attributes: Sequence[str], attribute: int) -> tuple[Part, ...]:
    """The attribute names with one of them hidden."""
    return (*attributes[:attribute], MASK, *attributes[attribute + 1 :])


def mask_value(values: Sequence[Value], attribute: int) -> tuple[Part, ...]:
    """The values with one of them hidden: ONE mask, whatever the length, so that length is not given away."""
    return (*values[:attribute], MASK, *values[attribute + 1 :])


def mask_token(value: str, rng: random.Random) -> Mask | None:
    """Hide one word, number or punctuation mark inside `value`; None where it has none."""
    tokens = list(_TOKEN.finditer(value))
    if not tokens:
        return None
    token = rng.choice(tokens)
    return Mask(value[: token.start()], value[token.end() :])


def mask_span(value: str, rng: random.Random) -> tuple[str, str]:
    """What is left before and after ONE hidden span of `value`; the span is never empty unless `value` is.

    Half of the spans end where tokens do, half anywhere; one in four reaches the end, which is what
    completing a half-typed value asks for.
    """
    if not value:
        return "", ""
    starts, ends = range(len(value)), range(1, len(value) + 1)
    tokens = list(_TOKEN.finditer(value)) if rng.random() < 0.5 else []
    start = rng.choice([token.start() for token in tokens] or starts)
    later = [token.end() for token in tokens if token.end() > start] or [end for end in ends if end > start]
    end = len(value) if rng.random() < 0.25 else rng.choice(later)
    return value[:start], value[end:]


# ------------------------------------------------------------------------------------------- operators


@dataclass(frozen=True, slots=True)
class ColumnView:
    """What an operator may know about the column of its value.

    Attributes:
        name: the attribute's name.
        values: all values of the window in tuple order, "" where one is missing.
        habit: a number drawn once per column and episode: whoever makes an error tends to make it the same way.
        counts: the values that are not missing, with how often they occur.
    """

    name: str
    values: tuple[str, ...]
    habit: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, values: Sequence[Value], habit: int = 0) -> ColumnView:
        """The view of one column, missing values in either spelling."""
        texts = tuple(value or "" for value in values)
        counts = Counter(texts)
        counts.pop("", None)
        return cls(name, texts, habit, counts)


Operator = Callable[[str, ColumnView, random.Random], str | None]
"""Gives another value than the one it was given, or None where it does not apply."""

T = TypeVar("T")
_HABIT_SHARE = 0.75
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _habitual(choices: Sequence[T], column: ColumnView, rng: random.Random) -> T:
    """One of `choices`: mostly the one that is the habit of this column, else any."""
    if rng.random() < _HABIT_SHARE:
        return choices[column.habit % len(choices)]
    return rng.choice(choices)


def _rewritten(choices: Sequence[str | None], value: str, column: ColumnView, rng: random.Random) -> str | None:
    """One other way to write `value`: the habitual one where it applies, else the next that does.

    A way that the column uses anyway is no error, so values that the column holds are left out.
    """
    start = column.habit if rng.random() < _HABIT_SHARE else rng.randrange(len(choices))
    for shift in range(len(choices)):
        choice = choices[(start + shift) % len(choices)]
        if choice and choice != value and choice not in column.counts:
            return choice
    return None


def _index(value: str, accept: Callable[[str], bool], rng: random.Random) -> int | None:
    """A random index whose character is accepted; a few throws first, as most characters of a value are."""
    if not value:
        return None
    for _ in range(6):
        index = rng.randrange(len(value))
        if accept(value[index]):
            return index
    indices = [index for index, character in enumerate(value) if accept(character)]
    return rng.choice(indices) if indices else None


def _like(character: str, model: str) -> str:
    """`character` in the case of `model`."""
    return character.upper() if model.isupper() else character


# Letters --------------------------------------------------------------------------------------------

_KEYBOARD_ROWS = ("1234567890-", "qwertyuiop", "asdfghjkl", "zxcvbnm")


def _keyboard_neighbours() -> dict[str, str]:
    """Each key's neighbours on a QWERTY keyboard, whose rows are each shifted half a key to the right."""
    places = {key: (line, place) for line, keys in enumerate(_KEYBOARD_ROWS) for place, key in enumerate(keys)}
    near = {(0, -1), (0, 1), (-1, 0), (-1, 1), (1, 0), (1, -1)}
    return {
        key: "".join(other for other, (row, place) in places.items() if (row - line, place - column) in near)
        for key, (line, column) in places.items()
    }


KEYBOARD_NEIGHBOURS: Final = _keyboard_neighbours()


def keyboard_typo(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """One character replaced by a neighbouring key, in the same case."""
    index = _index(value, lambda character: character.lower() in KEYBOARD_NEIGHBOURS, rng)
    if index is None:
        return None
    wrong = rng.choice(KEYBOARD_NEIGHBOURS[value[index].lower()])
    return value[:index] + _like(wrong, value[index]) + value[index + 1 :]


def letter_inserted(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """One character too many: a neighbouring key, or any letter (a digit among digits)."""
    index = _index(value, str.isalnum, rng)
    if index is None:
        return None
    beside = value[index]
    near = KEYBOARD_NEIGHBOURS.get(beside.lower(), "") if rng.random() < 0.5 else ""
    extra = _like(rng.choice(near or ("0123456789" if beside.isdigit() else _LETTERS)), beside)
    place = index + rng.randrange(2)
    return value[:place] + extra + value[place:]


def letter_deleted(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """One character too few; never the only one."""
    index = _index(value, str.isalnum, rng)
    return None if index is None or len(value) < 2 else value[:index] + value[index + 1 :]


def letters_transposed(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """Two neighbouring letters or digits exchanged."""
    places = [place for place in range(len(value) - 1) if value[place] != value[place + 1]]
    places = [place for place in places if value[place].isalnum() and value[place + 1].isalnum()]
    if not places:
        return None
    place = rng.choice(places)
    return value[:place] + value[place + 1] + value[place] + value[place + 2 :]


def letter_repeated(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """One character written twice, rarely more often."""
    index = _index(value, str.isalnum, rng)
    if index is None:
        return None
    return value[:index] + value[index] * rng.choice((2, 2, 2, 2, 3)) + value[index + 1 :]


def letter_replaced(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """The same wrong letter for one character throughout, or at several places: `hoxpixal` and the like."""
    wrong = _habitual(_LETTERS, column, rng)
    index = _index(value, lambda character: character != wrong and character.isprintable(), rng)
    if index is None:
        return None
    if value.isupper() and rng.random() < 0.7:
        wrong = wrong.upper()
    if rng.random() < 0.5:
        changed = value.replace(value[index], wrong)
    else:
        share = rng.choice((0.0, 0.1, 0.2, 0.4))
        hit = (
            place == index or (character.isalnum() and rng.random() < share) for place, character in enumerate(value)
        )
        changed = "".join(wrong if is_hit else character for is_hit, character in zip(hit, value, strict=True))
    return changed if changed != value else None


_LOOKALIKES = (
    ("0", "O"), ("O", "0"), ("o", "0"), ("1", "l"), ("1", "I"), ("l", "1"), ("l", "I"), ("I", "l"), ("I", "1"),
    ("i", "l"), ("5", "S"), ("S", "5"), ("s", "5"), ("8", "B"), ("B", "8"), ("2", "Z"), ("Z", "2"), ("6", "G"),
    ("G", "6"), ("9", "g"), ("g", "9"), ("rn", "m"), ("m", "rn"), ("cl", "d"), ("d", "cl"), ("vv", "w"), ("w", "vv"),
    ("nn", "m"), ("h", "b"), ("e", "c"), ("c", "e"), ("u", "ii"), ("D", "O"), ("E", "F"), ("3", "8"), ("7", "1"),
)  # fmt: skip


def ocr_confusion(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """Characters read as others that look alike, once or throughout."""
    pairs = [pair for pair in _LOOKALIKES if pair[0] in value]
    if not pairs:
        return None
    seen, read = rng.choice(pairs)
    if rng.random() < 0.3:
        return value.replace(seen, read)
    place = rng.choice([match.start() for match in re.finditer(seen, value)])
    return value[:place] + read + value[place + len(seen) :]


# Words and writing ----------------------------------------------------------------------------------


def case_changed(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """Upper, lower, title or sentence case, or the case of one letter."""
    index = _index(value, str.isalpha, rng)
    if index is None:
        return None
    one_letter = value[:index] + value[index].swapcase() + value[index + 1 :]
    return _rewritten(
        (value.upper(), value.lower(), value.title(), value.swapcase(), value.capitalize(), one_letter),
        value, column, rng,
    )  # fmt: skip


def blanks_changed(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """Leading, trailing, doubled, lost or strange blanks."""
    if not value.strip():
        return None
    choices = [" " + value, value + " ", value + "  "]
    blanks = [place for place, character in enumerate(value) if character == " "]
    if blanks:
        head, tail = value[: (place := rng.choice(blanks))], value[place + 1 :]
        choices += [f"{head}  {tail}", head + tail, value.replace(" ", ""), value.replace(" ", "  ")]
        choices += [f"{head}\u00a0{tail}", value.replace(" ", "_"), f"{head}\t{tail}"]
    return _rewritten(choices, value, column, rng)


_PUNCTUATION = re.compile(r"[^\w\s]")


def punctuation_changed(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """Punctuation lost (one mark, one kind, all), exchanged, or added at the end or around."""
    if not any(map(str.isalnum, value)):
        return None
    choices = [value + ".", value + ",", f'"{value}"', f"'{value}'", value.replace(" ", "-"), f"{value};"]
    marks = [match.start() for match in _PUNCTUATION.finditer(value)]
    if marks:
        place = rng.choice(marks)
        mark, head, tail = value[place], value[:place], value[place + 1 :]
        lost = [head + tail, value.replace(mark, ""), value.replace(mark, " "), _PUNCTUATION.sub("", value)]
        choices = [*lost, *lost, head + rng.choice(".,-/;:'") + tail, *choices]
    return _rewritten(choices, value, column, rng)


def words_changed(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """Words exchanged, dropped, written twice; `First Last` as `Last, First` and back."""
    words = value.split(" ")
    if len(words) < 2 or not all(words):
        return None
    place = rng.randrange(len(words) - 1)
    exchanged = [*words[:place], words[place + 1], words[place], *words[place + 2 :]]
    dropped = rng.randrange(len(words))
    turned = f"{words[-1]}, {' '.join(words[:-1])}"
    if words[0].endswith(",") and len(words[0]) > 1:
        turned = f"{' '.join(words[1:])} {words[0][:-1]}"
    choices = (
        " ".join(exchanged), " ".join(words[:dropped] + words[dropped + 1 :]),
        " ".join([*words[: place + 1], *words[place:]]), turned,
    )  # fmt: skip
    return _rewritten(choices, value, column, rng)


_WORD_FORMS = (
    ("street", "st"), ("avenue", "ave"), ("road", "rd"), ("boulevard", "blvd"), ("drive", "dr"), ("lane", "ln"),
    ("highway", "hwy"), ("square", "sq"), ("court", "ct"), ("place", "pl"), ("parkway", "pkwy"), ("saint", "st"),
    ("mount", "mt"), ("fort", "ft"), ("north", "n"), ("south", "s"), ("east", "e"), ("west", "w"),
    ("northeast", "ne"), ("northwest", "nw"), ("southeast", "se"), ("southwest", "sw"), ("suite", "ste"),
    ("apartment", "apt"), ("building", "bldg"), ("floor", "fl"), ("company", "co"), ("corporation", "corp"),
    ("incorporated", "inc"), ("limited", "ltd"), ("brothers", "bros"), ("department", "dept"), ("center", "ctr"),
    ("centre", "ctr"), ("university", "univ"), ("institute", "inst"), ("international", "intl"), ("national", "natl"),
    ("association", "assn"), ("government", "govt"), ("management", "mgmt"), ("manager", "mgr"), ("doctor", "dr"),
    ("professor", "prof"), ("mister", "mr"), ("junior", "jr"), ("senior", "sr"), ("and", "&"), ("number", "no"),
    ("edition", "ed"), ("volume", "vol"), ("versus", "vs"), ("county", "cty"), ("mountain", "mtn"), ("point", "pt"),
    ("january", "jan"), ("february", "feb"), ("march", "mar"), ("april", "apr"), ("june", "jun"), ("july", "jul"),
    ("august", "aug"), ("september", "sep"), ("october", "oct"), ("november", "nov"), ("december", "dec"),
    ("monday", "mon"), ("tuesday", "tue"), ("wednesday", "wed"), ("thursday", "thu"), ("friday", "fri"),
    ("saturday", "sat"), ("sunday", "sun"), ("medical", "med"), ("hospital", "hosp"), ("district", "dist"),
    ("minutes", "min"), ("hours", "hrs"), ("yes", "y"), ("no", "n"), ("true", "t"), ("false", "f"), ("male", "m"),
    ("female", "f"),
)  # fmt: skip


def _word_forms() -> dict[str, list[str]]:
    """Each word or abbreviation with the other ways to write it."""
    forms: dict[str, list[str]] = {}
    for word, short in _WORD_FORMS:
        forms.setdefault(word, []).append(short)
        if len(word) > 4 and short != "&":
            forms[word].append(short + ".")
        forms.setdefault(short, []).append(word)
    return forms


WORD_FORMS: Final = _word_forms()
_FLAGS = frozenset("yntfm")  # stand for yes, no, true, false, male, female only where they are the whole value
_WORDS = re.compile(r"(?<![\w&'./-])(?:[A-Za-z]+\b\.?|&)(?![\w&'/-])")


def abbreviation(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """One word abbreviated or written out, in its case."""
    found = [match for match in _WORDS.finditer(value) if match[0].rstrip(".").lower() in WORD_FORMS]
    found = [match for match in found if match[0].lower() not in _FLAGS or match[0] == value]
    if not found:
        return None
    match = rng.choice(found)
    word = match[0].rstrip(".")
    form = rng.choice(WORD_FORMS[word.lower()])
    if word.isupper() and (len(word) > 1 or value.isupper()):
        form = form.upper()
    elif word[0].isupper():
        form = form[0].upper() + form[1:]
    changed = value[: match.start()] + form + value[match.end() :]
    return changed if changed not in column.counts and changed != value else None


def truncated(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """Cut to the width of a field, by some characters or a word at the end, or by the first character."""
    if len(value) < 4:
        return None
    width = 4 + column.habit % 21
    choices = (
        value[:width], value[: -rng.randrange(1, 1 + max(1, len(value) // 3))], value.rsplit(" ", 1)[0],
        value[:width] + ("..." if len(value) > width + 3 else ""), value[1:],
    )  # fmt: skip
    return _rewritten([choice for choice in choices if choice.strip()] or [None], value, column, rng)


_NOTES = (
    " (est.)", "*", " *", "?", " (approx.)", " [1]", " (revised)", " (new)", " (old)", " - TBC", " ***", "!", " (?)",
    " - check", " (copy)", " [citation needed]", " approx", "+", " etc.", " (see note)",
)  # fmt: skip


def note_appended(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """A remark, a footnote mark or a doubt behind the value, rarely before it."""
    if not value.strip():
        return None
    if rng.random() < 0.15:
        return rng.choice(("ca. ", "~", "approx. ", "*", "# ", "re: ")) + value
    return value + _habitual(_NOTES, column, rng)


def _misdecoded(value: str) -> str | None:
    """UTF-8 bytes read as a Windows code page, or as Latin-1 where that one has no character."""
    try:
        raw = value.encode("utf-8")
    except UnicodeEncodeError:
        return None
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def mojibake(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """Text read with the wrong encoding (once, twice), replaced, stripped of accents, or escaped."""
    printed = value.replace("'", "\u2019").replace(" - ", " \u2013 ")
    choices: list[str | None] = [html.escape(value), _misdecoded(printed)]
    if not value.isascii():
        once = _misdecoded(value)
        plain = "".join(c for c in unicodedata.normalize("NFKD", value) if not unicodedata.combining(c))
        lost = [re.sub(r"[^\x00-\x7f]", sign, value) for sign in ("?", "\ufffd", "")]
        choices = [once, once and _misdecoded(once), plain, *lost, *choices, once]
    return _rewritten(choices, value, column, rng)


# Wrong, lost and invented values ----------------------------------------------------------------------


def row_swap(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """The value of another tuple, by frequency or each distinct one alike; None where all are the same."""
    if not value or len(column.counts) < 2:
        return None
    for _ in range(4 if rng.random() < 0.5 else 0):
        other = rng.choice(column.values)
        if other and other != value:
            return other
    return rng.choice([other for other in column.counts if other != value])


MISSING_SPELLINGS: Final = (
    "N/A", "n/a", "NA", "null", "NULL", "-", "--", "?", "unknown", "Unknown", "none", "None", "missing",
    "not available", "#N/A", "nan", "NaN", "n.a.", "TBD", ".", "x", "(blank)",
)  # fmt: skip
PLACEHOLDERS: Final = (
    "N/A", "n/a", "NA", "null", "NULL", "-", "--", "?", "#N/A", "nan", "NaN", "n.a.", "not available",
)  # fmt: skip
"""Those that stand for nothing else; a word such as "none" or "unknown" may be a value where it is frequent."""

MISSING_NUMBERS: Final = ("999", "0000", "-1", "9999", "99", "-999", "0")
_SPELLINGS = frozenset(spelling.lower() for spelling in MISSING_SPELLINGS)
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?P<currency>[$€£]?) ?(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,18})"
    r"(?:\.(?P<fraction>[0-9]{1,18}))? ?(?P<percent>%?)"
)


def missing(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """The value lost: mostly nothing is left, else a spelling; a value that was missing gets a spelling."""
    if value.lower() in _SPELLINGS:
        return None
    empty: tuple[str, ...] = ("",) * (2 * len(MISSING_SPELLINGS)) if value else ()
    numbers = MISSING_NUMBERS if _NUMBER.fullmatch(value) else ()
    spelled = MISSING_SPELLINGS[:8] * 2 + MISSING_SPELLINGS[8:] + numbers
    lost = _habitual(empty + spelled, column, rng)
    return lost if lost != value else None


_DIGITS = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")


def _with_digit_changed(number: str, rng: random.Random) -> str:
    place = rng.choice([place for place, character in enumerate(number) if character != "."])
    digit = rng.choice([digit for digit in "0123456789" if digit != number[place]])
    return number[:place] + digit + number[place + 1 :]


def _with_digits_exchanged(number: str, rng: random.Random) -> str:
    places = [place for place in range(len(number) - 1) if number[place].isdigit() and number[place + 1].isdigit()]
    if not places:
        return number
    place = rng.choice(places)
    return number[:place] + number[place + 1] + number[place] + number[place + 2 :]


def _with_point_moved(number: str, rng: random.Random) -> str:
    whole, point, fraction = number.partition(".")
    if rng.random() < 0.5:
        return f"{whole}{fraction[0]}.{fraction[1:]}".rstrip(".") if point else whole + "0"
    if whole == "0" or (not point and len(whole) == 1):
        return f"0.0{fraction or whole}"
    if not point and whole.endswith("0"):
        return whole[:-1]
    return f"{whole[:-1] or '0'}.{whole[-1]}{fraction}"


def _with_small_difference(number: str, rng: random.Random) -> str:
    """Off by a few units of the last place, or a few percent, written with the same number of places."""
    whole, _, fraction = number.partition(".")
    units = int(whole + fraction)
    span = rng.choice((1, 2, 3, 5, 10, max(1, units // 50), max(1, units // 10)))
    changed = units + rng.choice((-1, 1)) * rng.randint(1, span)
    digits = str(max(0, changed)).zfill(len(fraction) + 1 if not whole.startswith("0") else len(whole + fraction))
    return f"{digits[: -len(fraction)]}.{digits[-len(fraction) :]}" if fraction else digits


def _with_zeros_changed(number: str, rng: random.Random) -> str:
    """A whole number with a zero more, or all the last ones less; after the point zeros change nothing."""
    if "." in number:
        return number
    return number.rstrip("0") if number.endswith("00") and number.strip("0") else number + "0"


_SLIPS = (
    _with_digit_changed, _with_digits_exchanged, _with_point_moved, _with_small_difference, _with_small_difference,
    _with_zeros_changed,
)  # fmt: skip


def number_slip(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """A number inside the value with a wrong digit, exchanged digits, moved point, wrong sign or a small difference."""
    found = list(_DIGITS.finditer(value))
    if not found:
        return None
    match = rng.choice(found)
    if match.start() == 0 and match.end() == len(value) and rng.random() < 0.05:
        return "-" + value
    changed = rng.choice(_SLIPS)(match[0], rng)
    return value[: match.start()] + changed + value[match.end() :] if changed != match[0] else None


# Formats: numbers and units ---------------------------------------------------------------------------

_UNITS = (
    (("oz", "oz.", "ounce", "ounces", "OUNCE", "OZ"), "ounce|volume|size"),
    (("lb", "lbs", "lbs.", "pounds", "LB"), "pound|weight"),
    (("kg", "KG", "kilograms", "kilos", "kgs"), "mass|kilo"),
    (("g", "gr", "grams", "G"), "gram|protein|sugar|fat|carb"),
    (("mg", "milligrams"), "sodium|dose"),
    (("cm", "CM", "centimeters", "cms"), "height|length|width"),
    (("m", "meters", "metres", "mtr"), "elev|depth|altitude"),
    (("km", "kms", "kilometers", "KM"), "distance|range"),
    (("mi", "miles", "mi."), "mile"),
    (("ft", "ft.", "feet", "'"), "feet|foot"),
    (("in", "in.", "inches", '"'), "inch|screen|diameter"),
    (("min", "mins", "minutes", "m", "min."), "duration|runtime|minute"),
    (("s", "sec", "secs", "seconds"), "second|time"),
    (("h", "hrs", "hours", "hr"), "hour"),
    (("years", "yrs", "y", "yo"), "age|year"),
    (("%", " %", "percent", "pct"), "percent|rate|pct|ratio|share"),
    (("USD", "$", "dollars", "US$"), "price|cost|amount|salary|revenue|fee|value"),
    (("EUR", "€", "euros"), "euro"),
    (("pcs", "pieces", "units", "pc", "ea"), "quantity|qty|count|stock"),
    (("ml", "mL", "ML", "milliliters"), "ml|liquid"),
    (("L", "l", "liters", "litres"), "liter|capacity"),
    (("°C", "C", "degrees", "° C"), "temp"),
    (("mph", "MPH", "miles/h"), "speed"),
    (("people", "persons", "residents"), "population"),
    (("pts", "points", "pt"), "score|point"),
)
_UNIT_HINTS = tuple((spellings, re.compile(hint, re.IGNORECASE)) for spellings, hint in _UNITS)
_UNIT_SPELLINGS = {spelling.strip(): spellings for spellings, _ in _UNITS for spelling in spellings}
_MEASURE = re.compile(r"(?P<number>[-+]?[0-9][0-9,]*(?:\.[0-9]+)?)(?P<blank> ?)(?P<unit>[^0-9\s][^0-9\s]*)")


def _column_unit(column: ColumnView) -> Sequence[str]:
    """The spellings of the one unit a column is measured in: by its name, else by its habit."""
    hinted = [spellings for spellings, hint in _UNIT_HINTS if hint.search(column.name)]
    return hinted[0] if hinted else _UNITS[column.habit % len(_UNITS)][0]


def unit_changed(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """A unit behind a bare number, or a unit dropped or spelled another way."""
    measure = _MEASURE.fullmatch(value)
    if measure and measure["unit"] in _UNIT_SPELLINGS:
        number, others = measure["number"], _UNIT_SPELLINGS[measure["unit"]]
        respelled = [f"{number}{measure['blank']}{unit}" for unit in others if unit != measure["unit"]]
        return _rewritten([number, number, *respelled], value, column, rng)
    number_match = _NUMBER.fullmatch(value)
    if number_match is None or number_match["percent"] or number_match["currency"]:
        return None
    unit = _habitual(_column_unit(column), column, rng)
    longer = value if number_match["fraction"] else value + ".0"
    return _rewritten((f"{value} {unit}", f"{longer} {unit}", f"{value}{unit}"), value, column, rng)


def _grouped(whole: str, separator: str) -> str:
    """`1234567` as `1,234,567`; numbers of up to three digits have nothing to group."""
    return f"{int(whole):,}".replace(",", separator) if len(whole) > 3 and whole[0] != "0" else ""


def _scaled(text: str, places: int) -> str:
    """A decimal number moved by `places`, without exponent or needless zeros."""
    moved = format(Decimal(text).scaleb(places), "f")
    return moved.rstrip("0").rstrip(".") if "." in moved else moved


def _whole_formats(whole: str) -> list[str]:
    """Other ways to write a number without a fraction."""
    bare = whole.replace(",", "")
    ways = [whole + ".0", whole + ".00", bare if bare != whole else _grouped(bare, ",")]
    ways += [_grouped(bare, " "), _grouped(bare, "."), bare.lstrip("0"), bare.zfill(len(bare) + 1 + len(bare) % 3)]
    if len(bare) > 6:
        ways += [f"{float(bare):.5E}", f"{float(bare):.2e}"]
    if len(bare) > 3 and bare.endswith("00"):
        ways.append(f"{_scaled(bare, -3)}k")
    return ways


def _fraction_formats(whole: str, fraction: str) -> list[str]:
    """Other ways to write a number with a fraction."""
    number, bare = f"{whole}.{fraction}", whole.replace(",", "")
    ways = [f"{bare},{fraction}", number + "0", number.rstrip("0").rstrip(".")]
    if grouped := _grouped(bare, ","):
        ways.append(f"{grouped}.{fraction}")
    ways += [f"{bare}.{fraction}{'0' * (15 - len(fraction))}{1 + len(whole + fraction) % 9}", f"{bare} .{fraction}"]
    if len(fraction) > 1 and bare != "0":
        ways += [f"{Decimal(f'{bare}.{fraction}'):.{len(fraction) - 1}f}", f"{Decimal(f'{bare}.{fraction}'):.0f}"]
    if bare in ("0", "1"):
        ways += [f".{fraction}", f"{number}%", f"{_scaled(f'{bare}.{fraction}', 2)}%", f"{number} %"]
    return ways


def number_format(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """The same number with other separators, zeros, signs, currency, percent or exponent."""
    match = _NUMBER.fullmatch(value)
    if match is None:
        return None
    whole, fraction = match["whole"], match["fraction"]
    number = f"{whole}.{fraction}" if fraction else whole
    sign = match["sign"]
    if match["percent"]:
        ways = [number, f"{number} %", _scaled(number.replace(",", ""), -2), f"{number} percent"]
    elif match["currency"]:
        ways = [number, f"{number} {match['currency']}", f"{number} USD", f"{match['currency']} {number}"]
    else:
        ways = _fraction_formats(whole, fraction) if fraction else _whole_formats(whole)
        if fraction is None or len(fraction) <= 2:
            ways += [f"${number}", f"{number} USD", f"€{number}"]
        ways.append(f"+{number}")
    return _rewritten([sign + way if way else None for way in ways], value, column, rng)


# Formats: dates, times, phones ------------------------------------------------------------------------

_MONTH_NUMBERS = {name[:length].lower(): number for number, name in enumerate(MONTHS, 1) for length in (3, len(name))}
_MONTH_NUMBERS["sept"] = 9
_NAMED_MONTH = "(?P<month>" + "|".join(sorted(_MONTH_NUMBERS, key=len, reverse=True)) + r")\.?"
_ISO_DATE = re.compile(r"(?P<year>[0-9]{4})(?P<mark>[-/.]?)(?P<month>[0-9]{2})(?P=mark)(?P<day>[0-9]{2})")
_NUMBER_DATE = re.compile(r"(?P<first>[0-9]{1,2})(?P<mark>[-/.])(?P<second>[0-9]{1,2})(?P=mark)(?P<year>[0-9]{4})")
_DAY_FIRST_DATE = re.compile(r"(?P<day>[0-9]{1,2})[ -]" + _NAMED_MONTH + r"[ ,-]{1,2}(?P<year>[0-9]{4})", re.IGNORECASE)
_MONTH_FIRST_DATE = re.compile(_NAMED_MONTH + r" (?P<day>[0-9]{1,2}),? (?P<year>[0-9]{4})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _DateText:
    """A date found at the start of a value: what it says, and where its parts stand in the text."""

    date: datetime.date
    spans: Mapping[str, tuple[int, int]]
    end: int


def _day_first(column: ColumnView) -> bool:
    """Whether `a/b/yyyy` is day before month in this column: told by any part above 12, else by habit."""
    for value in column.values[:60]:
        match = _NUMBER_DATE.match(value)
        if match and int(match["first"]) > 12:
            return True
        if match and int(match["second"]) > 12:
            return False
    return column.habit % 2 == 1


def _date_at_start(value: str, column: ColumnView) -> _DateText | None:
    """The date with which `value` starts, if it does and such a day exists."""
    match = _ISO_DATE.match(value) or _NUMBER_DATE.match(value) or _DAY_FIRST_DATE.match(value)
    match = match or _MONTH_FIRST_DATE.match(value)
    if match is None or (match.end() < len(value) and value[match.end()] not in " T,;"):
        return None
    names = match.groupdict()
    spans = {name: match.span(name) for name in names if name in ("year", "month", "day")}
    if "first" in names:
        day, month = ("first", "second") if _day_first(column) else ("second", "first")
        spans |= {"day": match.span(day), "month": match.span(month)}
    parts = {name: value[start:end] for name, (start, end) in spans.items()}
    month_number = _MONTH_NUMBERS.get(parts["month"].lower()) or int(parts["month"])
    try:
        date = datetime.date(int(parts["year"]), month_number, int(parts["day"]))
    except ValueError:
        return None
    return _DateText(date, spans, match.end())


def _date_formats(date: datetime.date) -> tuple[str, ...]:
    """A date in the formats that tables are seen to use, information lost in the last ones."""
    year, month, day = f"{date.year:04}", f"{date.month:02}", f"{date.day:02}"
    name = MONTHS[date.month - 1]
    return (
        f"{year}-{month}-{day}", f"{day}/{month}/{year}", f"{month}/{day}/{year}", f"{name} {date.day}, {year}",
        f"{date.month}/{date.day}/{year}", f"{day}.{month}.{year}", f"{date.day} {name[:3]} {year}",
        f"{year}/{month}/{day}", f"{year}{month}{day}", f"{day}-{name[:3]}-{year[2:]}", f"{date.day} {name} {year}",
        f"{month}/{day}/{year[2:]}", f"{name[:3]} {date.day}, {year}", f"{year}-{month}-{day} 00:00:00",
        f"{day}-{month}-{year}", f"{year}-{month}-{day}T00:00:00Z", f"{month}-{day}-{year}",
        str((date - datetime.date(1899, 12, 30)).days), f"{name} {year}", year,
    )  # fmt: skip


def date_format(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """A date written another way; a time behind it is kept or lost."""
    found = _date_at_start(value, column)
    if found is None:
        return None
    rest = value[found.end :]
    choices = [text + rest if len(text) <= 18 else text for text in _date_formats(found.date)]
    if rest:
        choices += [value[: found.end]] * 4
    return _rewritten(choices, value, column, rng)


def _day_in_month(year: int, month: int, day: int) -> datetime.date:
    """That day, or the last one of a shorter month."""
    for last in (day, 30, 29, 28):
        if last <= day:
            try:
                return datetime.date(year, month, last)
            except ValueError:
                continue
    raise ValueError(f"no such month: {year}-{month}")


def _another_date(date: datetime.date, rng: random.Random) -> datetime.date | None:
    """Some days, a month or a year off, or day and month exchanged."""
    kind = rng.random()
    try:
        if kind < 0.5:
            return date + datetime.timedelta(days=rng.choice((-1, 1)) * rng.choice((1, 1, 1, 2, 3, 5, 7, 10, 14)))
        if kind < 0.7:
            return _day_in_month(date.year, 1 + (date.month - 1 + rng.choice((-1, 1))) % 12, date.day)
        if kind < 0.9:
            return _day_in_month(date.year + rng.choice((-10, -2, -1, -1, 1, 1, 2, 10)), date.month, date.day)
        return date.replace(month=date.day, day=date.month)
    except (ValueError, OverflowError):
        return None


def date_slip(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """Another date near by, written as this one is."""
    found = _date_at_start(value, column)
    other = _another_date(found.date, rng) if found else None
    if found is None or other is None or other == found.date:
        return None
    written = {"year": other.year, "month": other.month, "day": other.day}
    changed = value
    for part, (start, end) in sorted(found.spans.items(), key=lambda item: -item[1][0]):
        text, old = str(written[part]).zfill(end - start), value[start:end]
        if not old.isdigit():
            name = MONTHS[written[part] - 1]
            name = name[:3] if len(old) <= 4 and old.lower() != "june" and old.lower() != "july" else name
            text = name.upper() if old.isupper() else name
        changed = changed[:start] + text + changed[end:]
    return changed if changed != value else None


_TIME = re.compile(
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?(?P<blank> ?)(?P<half>[ap]\.?m\.?)?",
    re.IGNORECASE,
)


def _minutes(match: re.Match[str]) -> int | None:
    """Minutes since midnight of a matched time of day; None if there is no such time."""
    hour, minute = int(match["hour"]), int(match["minute"])
    if minute > 59 or hour > (12 if match["half"] else 23) or (match["half"] and hour == 0):
        return None
    if match["half"]:
        hour = hour % 12 + (12 if match["half"][0] in "pP" else 0)
    return 60 * hour + minute


def _day_of_habit(column: ColumnView, rng: random.Random) -> datetime.date:
    """The day that stands before a column's times: one for the column, some times the next."""
    day = datetime.date(1995, 1, 1) + datetime.timedelta(days=column.habit % 10_000)
    return day + datetime.timedelta(days=1 if rng.random() < 0.1 else 0)


def time_format(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """A time of day on the other clock, in another spelling, or with a date or a remark beside it."""
    match = _TIME.fullmatch(value)
    minutes = _minutes(match) if match else None
    if minutes is None:
        return None
    hour, minute = minutes // 60, f"{minutes % 60:02}"
    twelve, half = hour % 12 or 12, "p" if hour >= 12 else "a"
    day = _day_of_habit(column, rng)
    month, name = f"{day.month:02}/{day.day:02}/{day.year}", MONTHS[day.month - 1][:3]
    choices = (
        f"{hour:02}:{minute}", f"{twelve}:{minute} {half}.m.", f"{month} {value}", f"{twelve}:{minute} {half.upper()}M",
        f"{value} {name} {day.day:02}", f"{twelve}:{minute}{half}m", f"{name} {day.day:02} {value}",
        f"{hour:02}:{minute}:00", f"{twelve}:{minute}{half}{name} {day.day}", f"{day.isoformat()} {hour:02}:{minute}",
        f"{hour:02}{minute}", f"{hour:02}.{minute}", f"{hour}h{minute}", f"{value} ({half}m)", f"{twelve}:{minute}",
        f"{day.isoformat()}T{hour:02}:{minute}:00",
    )  # fmt: skip
    return _rewritten(choices, value, column, rng)


def time_slip(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """A time of day off by some minutes, an hour or half a day, written as this one is."""
    match = _TIME.search(value)
    minutes = _minutes(match) if match else None
    if match is None or minutes is None:
        return None
    near = rng.choice((1, 1, 2, 3, 5, 10, 15, 30, 60))
    late = (minutes + (720 if rng.random() < 0.08 else rng.choice((-1, 1, 1)) * rng.randint(1, near))) % 1440
    hour, half = late // 60, match["half"] or ""
    if half:
        letter = "p" if hour >= 12 else "a"
        half, hour = (letter.upper() if half[0].isupper() else letter) + half[1:], hour % 12 or 12
    padded = match["hour"][0] == "0" or (not half and len(match["hour"]) == 2)
    second = f":{match['second']}" if match["second"] else ""
    text = f"{hour:02}" if padded else str(hour)
    return f"{value[: match.start()]}{text}:{late % 60:02}{second}{match['blank']}{half}{value[match.end() :]}"


_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{5,18}[0-9]|\([0-9][0-9 ()./-]{5,18}[0-9]")
_PHONE_NAME = re.compile(r"phone|tel|fax|mobile|cell", re.IGNORECASE)


def phone_format(value: str, column: ColumnView, rng: random.Random) -> str | None:
    """A phone number with other separators, brackets or country code; long bare numbers only in phone columns."""
    if not _PHONE.fullmatch(value) or _ISO_DATE.fullmatch(value) or _NUMBER_DATE.fullmatch(value):
        return None
    digits = re.sub(r"[^0-9]", "", value)
    named = _PHONE_NAME.search(column.name) is not None
    if not named and (len(digits) not in (10, 11) or _NUMBER.fullmatch(value)):
        return None
    choices = [digits, re.sub(r"[ ()./-]+", "-", value).strip("-"), re.sub(r"[()./-]+", " ", value).strip()]
    if len(digits) in (10, 11):
        area, office, line = digits[-10:-7], digits[-7:-4], digits[-4:]
        choices += [f"({area}) {office}-{line}", f"{area}-{office}-{line}", f"{area}.{office}.{line}"]
        choices += [f"+1 {area} {office} {line}", f"{area} {office} {line}", f"1-{area}-{office}-{line}"]
        choices += [f"({area}){office}-{line}", f"{office}-{line}", f"+1{area}{office}{line}"]
    return _rewritten(choices, value, column, rng)


OPERATORS: Final[dict[str, Operator]] = {
    operator.__name__: operator
    for operator in (
        keyboard_typo, letter_inserted, letter_deleted, letters_transposed, letter_repeated, letter_replaced,
        ocr_confusion, case_changed, blanks_changed, punctuation_changed, words_changed, row_swap, missing,
        unit_changed, number_format, date_format, time_format, phone_format, abbreviation, truncated, note_appended,
        mojibake, number_slip, date_slip, time_slip,
    )
}  # fmt: skip
"""What can happen to one value. The names are the kinds in `CorruptedRelation` and the weights in the config."""

# ------------------------------------------------------------------------------------- tuple operators

TupleOperator = Callable[[Sequence[Value], int, Sequence[ColumnView], random.Random], Mapping[int, str] | None]
"""Takes a tuple's values, the attribute to spoil and the columns; gives changed values by attribute, or None."""

_LONGEST_JOINED = 40


def _other_attribute(attribute: int, width: int, rng: random.Random) -> int:
    """Another attribute, more often than not a neighbour; a table of one attribute gives that one."""
    beside = [other for other in (attribute - 1, attribute + 1) if 0 <= other < width]
    return rng.choice(beside if beside and rng.random() < 0.6 else range(width))


def column_swap(
    values: Sequence[Value], attribute: int, columns: Sequence[ColumnView], rng: random.Random
) -> Mapping[int, str] | None:
    """Two values of one tuple exchanged; beside a missing value, the value slips into the empty place."""
    other = _other_attribute(attribute, len(values), rng)
    value, exchanged = values[attribute] or "", values[other] or ""
    return {attribute: exchanged, other: value} if value and value != exchanged else None


def value_appended(
    values: Sequence[Value], attribute: int, columns: Sequence[ColumnView], rng: random.Random
) -> Mapping[int, str] | None:
    """The value of another attribute joined to this one, and half of the time lost from its own place."""
    other = _other_attribute(attribute, len(values), rng)
    value, joined = values[attribute] or "", values[other] or ""
    if other == attribute or not value or not joined or joined in value or len(joined) > _LONGEST_JOINED:
        return None
    separator = _habitual((" ", ", ", " - ", "/", " (", ";", ""), columns[attribute], rng)
    text = f"{value}{separator}{joined}" + (")" if separator == " (" else "")
    return {attribute: text, other: ""} if columns[attribute].habit % 2 else {attribute: text}


def _determines(determinant: ColumnView, dependent: ColumnView) -> bool:
    """Whether tuples that agree on one column nearly always agree on the other, with enough of them to tell."""
    groups = len(set(determinant.values))
    if not 1 < groups <= 0.7 * len(determinant.values):
        return False
    return len(set(zip(determinant.values, dependent.values, strict=True))) <= 1.08 * groups


def violated_dependency(
    values: Sequence[Value], attribute: int, columns: Sequence[ColumnView], rng: random.Random
) -> Mapping[int, str] | None:
    """Another group's value where some other column determines this one, so that its neighbours contradict it."""
    value, dependent = values[attribute] or "", columns[attribute]
    if not value or len(dependent.counts) < 2 or dependent.counts.get(value, 0) < 2:
        return None
    for determinant in rng.sample(range(len(values)), min(5, len(values))):
        group = values[determinant] or ""
        if determinant == attribute or columns[determinant].counts.get(group, 0) < 3:
            continue
        if _determines(columns[determinant], dependent):
            other = row_swap(value, dependent, rng)
            return None if other is None else {attribute: other}
    return None


TUPLE_OPERATORS: Final[dict[str, TupleOperator]] = {
    operator.__name__: operator for operator in (column_swap, value_appended, violated_dependency)
}
"""What can happen to one tuple as a whole; names as in `OPERATORS`."""

# -------------------------------------------------------------------------------------------- episodes


@dataclass(frozen=True, slots=True)
class CorruptedRelation:
    """A dirty relation with its truth, cell by cell.

    Attributes:
        dirty: what a user would have.
        clean: the true value of every cell of `dirty`; as many tuples, the same attributes.
        kinds: for each tuple and attribute the operator's name, "" where (and only where) the value is true, and
            `RETOLD` where a duplicate says the same in other words, which is neither true nor wrong.
        entities: for each tuple the number of the entity that it tells of; duplicates share one.
    """

    dirty: Relation
    clean: Relation
    kinds: tuple[tuple[str, ...], ...]
    entities: tuple[int, ...] = ()


RETOLD: Final = "retold"
"""Kind of a cell that a duplicate tells in other words."""


def is_error(kind: str) -> bool:
    """Whether a cell of this kind is wrong: neither true nor retold."""
    return kind not in ("", RETOLD)


_DEFAULT: Final = CorruptionConfig()
_DRIFTS = (
    "unit_changed", "number_format", "date_format", "time_format", "phone_format", "abbreviation", "case_changed",
    "blanks_changed", "punctuation_changed", "words_changed", "truncated", "mojibake", "note_appended", "missing",
    "value_appended",
)  # fmt: skip
_DISAGREEMENTS = {
    "missing": 3.0, "time_slip": 4.0, "date_slip": 4.0, "number_slip": 2.0, "row_swap": 1.0, "time_format": 0.7,
    "date_format": 0.7, "number_format": 0.4, "note_appended": 0.4, "abbreviation": 0.6, "truncated": 0.4,
    "case_changed": 0.3, "keyboard_typo": 0.4, "words_changed": 0.3,
}  # fmt: skip
_RETELLINGS = {
    "words_changed": 3.0, "abbreviation": 2.0, "truncated": 2.0, "missing": 3.0, "punctuation_changed": 2.0,
    "case_changed": 1.5, "number_format": 1.5, "date_format": 1.5, "phone_format": 1.5, "time_format": 1.0,
    "unit_changed": 1.5, "number_slip": 1.0, "keyboard_typo": 1.0, "letter_deleted": 0.5, "note_appended": 1.0,
    "blanks_changed": 0.7, "value_appended": 1.5, "mojibake": 0.3,
}  # fmt: skip


class _Window:
    """A relation in the course of its corruption: true values, values so far, and what was done to each."""

    def __init__(self, relation: Relation, rng: random.Random) -> None:
        self.clean = relation
        self.rows: list[list[Value]] = [list(values) for values in relation.tuples]
        self.kinds = [[""] * len(relation.attributes) for _ in relation.tuples]
        habit = rng.randrange(1 << 30)  # one author of errors for the table, another for every second column
        habits = [habit if rng.random() < 0.5 else rng.randrange(1 << 30) for _ in relation.attributes]
        self.columns = [
            ColumnView.of(name, relation.column(attribute), habits[attribute])
            for attribute, name in enumerate(relation.attributes)
        ]
        cells = [value for values in relation.tuples for value in values if not value]
        self.missing: Value = None if cells and all(value is None for value in cells) else ""
        self.entities = tuple(range(len(relation)))

    def changes(self, kind: str, tuple_id: int, attribute: int, rng: random.Random) -> Mapping[int, str] | None:
        """What operator `kind` would do here; None where it does not apply or a cell is no longer true."""
        values = self.rows[tuple_id]
        if kind in OPERATORS:
            changed = OPERATORS[kind](values[attribute] or "", self.columns[attribute], rng)
            changes: Mapping[int, str] | None = None if changed is None else {attribute: changed}
        else:
            changes = TUPLE_OPERATORS[kind](values, attribute, self.columns, rng)
        if not changes:
            return None
        kinds = self.kinds[tuple_id]
        if any(kinds[place] or (values[place] or "") == value for place, value in changes.items()):
            return None
        return changes

    def write(self, kind: str, tuple_id: int, changes: Mapping[int, str]) -> None:
        """Make `changes`, all of them in cells that still hold the truth."""
        for attribute, value in changes.items():
            self.rows[tuple_id][attribute] = value or self.missing
            self.kinds[tuple_id][attribute] = kind

    def corrupt(self, kind: str, tuple_id: int, attribute: int, rng: random.Random) -> bool:
        """Apply operator `kind` to one cell; False where it does not apply."""
        changes = self.changes(kind, tuple_id, attribute, rng)
        if changes:
            self.write(kind, tuple_id, changes)
        return bool(changes)

    def result(self) -> CorruptedRelation:
        """The corrupted relation, frozen."""
        dirty = Relation.of(self.clean.attributes, self.rows, self.clean.name)
        return CorruptedRelation(dirty, self.clean, tuple(map(tuple, self.kinds)), self.entities)


def corrupt_relation(relation: Relation, rng: random.Random, config: CorruptionConfig = _DEFAULT) -> CorruptedRelation:
    """Corrupt a window of one table as a whole; the same `rng` state gives the same result.

    Where sources conflict, tuples are repeated, so the result may have more tuples and another order than
    `relation`; `clean` is then the true version of what `dirty` holds.
    """
    if not relation.tuples or rng.random() < config.clean_table_rate:
        return _Window(relation, rng).result()
    weights = {kind: float(getattr(config, kind)) for kind in (*OPERATORS, *TUPLE_OPERATORS)}
    weights = {kind: weight for kind, weight in weights.items() if weight > 0}
    conflicting = rng.random() < config.conflict_rate
    reports = _reports(relation, rng, config) if conflicting else []
    if reports:
        relation = _reported(relation, reports, rng)
        if rng.random() < config.named_source_rate:
            relation = _with_sources(relation, reports, rng)
    twice = [] if reports or not config.duplicate_rate else _told_twice(relation, rng, config)
    if twice:
        relation = _reported(relation, [_Report(place, -1) for place, _ in twice], rng)
    window = _Window(relation, rng)
    if reports:
        window.entities = tuple(report.entity for report in reports)
        _disagree(window, reports, weights, rng, config)
    if twice:
        window.entities = tuple(entity for entity, _ in twice)
        _retell(window, [place for place, (_, again) in enumerate(twice) if again], rng)
    if rng.random() < config.placeholder_rate and config.missing:
        _write_placeholders(window, rng)
    if rng.random() < config.drift_rate:
        _drift(window, weights, rng, config)
    _scatter(window, weights, rng, config)
    return window.result()


def _shuffled(weights: Mapping[str, float], rng: random.Random) -> list[str]:
    """Names in random order, heavy ones early (Efraimidis and Spirakis: sort by u^(1/w))."""
    keys = {name: rng.random() ** (1.0 / weight) for name, weight in weights.items()}
    return sorted(keys, key=lambda name: -keys[name])


# Errors one by one and in runs ------------------------------------------------------------------------


def _error_rate(rng: random.Random, config: CorruptionConfig) -> float:
    """The share of wrong cells of one episode: log-uniform, mostly within the typical band."""
    low, high = config.min_error_rate, config.max_error_rate
    if rng.random() < config.typical_share:
        low, high = config.typical_min_error_rate, config.typical_max_error_rate
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _active_kinds(
    window: _Window, weights: Mapping[str, float], rng: random.Random, config: CorruptionConfig
) -> dict[str, float]:
    """The few kinds of error of one episode with their weights, each tried on some cells first."""
    wanted = rng.randint(config.min_operators, config.max_operators)
    active: dict[str, float] = {}
    for kind in _shuffled(weights, rng):
        if len(active) == wanted:
            break
        cells = ((rng.randrange(len(window.rows)), rng.randrange(len(window.columns))) for _ in range(16))
        if any(window.changes(kind, tuple_id, attribute, rng) for tuple_id, attribute in cells):
            active[kind] = 0.1 + rng.expovariate(1.0)
    return active


def _column_rates(width: int, rate: float, rng: random.Random, config: CorruptionConfig) -> list[float]:
    """Error rates of the columns, some of them 0, whose mean is at most `rate`."""
    shares = [0.0 if rng.random() < config.clean_column_rate else rng.expovariate(1.0) for _ in range(width)]
    if not any(shares):
        shares[rng.randrange(width)] = 1.0
    scale = rate * width / sum(shares)
    return [min(0.9, share * scale) for share in shares]


def _scatter(window: _Window, weights: Mapping[str, float], rng: random.Random, config: CorruptionConfig) -> None:
    """Errors of a few kinds over the columns, each cell for itself or in runs of consecutive tuples."""
    rates = _column_rates(len(window.columns), _error_rate(rng, config), rng, config)
    active = _active_kinds(window, weights, rng, config)
    run_length = 1.0 + config.run_rate * config.max_run / 2
    for attribute, rate in enumerate(rates):
        if not rate or not active:
            continue
        favoured = {kind: weight * (0.1 + rng.expovariate(1.0)) for kind, weight in active.items()}
        for tuple_id in range(len(window.rows)):
            if rng.random() < rate / run_length:
                length = rng.randint(2, config.max_run) if rng.random() < config.run_rate else 1
                _run(window, favoured, tuple_id, attribute, length, rng)


def _run(
    window: _Window, favoured: Mapping[str, float], tuple_id: int, attribute: int, length: int, rng: random.Random
) -> None:
    """One error that goes on over `length` tuples; a value of another tuple is then the same in all of them."""
    for kind in _shuffled(favoured, rng):
        if window.corrupt(kind, tuple_id, attribute, rng):
            break
    else:
        return
    value = window.rows[tuple_id][attribute] or ""
    for later in range(tuple_id + 1, min(tuple_id + length, len(window.rows))):
        if kind != "row_swap":
            window.corrupt(kind, later, attribute, rng)
        elif not window.kinds[later][attribute] and (window.rows[later][attribute] or "") not in ("", value):
            window.write(kind, later, {attribute: value})


# Drift ------------------------------------------------------------------------------------------------


def _drift(window: _Window, weights: Mapping[str, float], rng: random.Random, config: CorruptionConfig) -> None:
    """One column written in another way for many tuples, scattered or in one block."""
    chosen = _drifting(window, weights, rng)
    if chosen is None:
        return
    kind, attribute = chosen
    count = len(window.rows)
    length = max(1, round(count * rng.uniform(config.min_drift, config.max_drift)))
    start = rng.randrange(count - length + 1)
    affected = range(start, start + length) if rng.random() < 0.4 else sorted(rng.sample(range(count), length))
    for tuple_id in affected:
        if kind != "missing" or not window.rows[tuple_id][attribute]:
            window.corrupt(kind, tuple_id, attribute, rng)


def _write_placeholders(window: _Window, rng: random.Random) -> None:
    """An export that writes every missing value of some columns, or of all, as one and the same placeholder."""
    placeholder = rng.choice(PLACEHOLDERS)
    everywhere = rng.random() < 0.6
    for attribute in range(len(window.columns)):
        if everywhere or rng.random() < 0.4:
            for tuple_id, values in enumerate(window.rows):
                if not values[attribute] and not window.kinds[tuple_id][attribute]:
                    window.write("missing", tuple_id, {attribute: placeholder})


def _drifting(window: _Window, weights: Mapping[str, float], rng: random.Random) -> tuple[str, int] | None:
    """A kind of drift and a column to which it applies; `missing` only respells what is missing already."""
    drifts = {kind: weights[kind] for kind in _DRIFTS if kind in weights}
    attributes = rng.sample(range(len(window.columns)), min(4, len(window.columns)))
    tuple_ids = [rng.randrange(len(window.rows)) for _ in range(3)]
    for kind in _shuffled(drifts, rng):
        for attribute in attributes:
            fits = [window.changes(kind, tuple_id, attribute, rng) for tuple_id in tuple_ids]
            empty = [not window.rows[tuple_id][attribute] for tuple_id in tuple_ids]
            if sum(map(bool, fits)) >= 2 and (kind != "missing" or sum(empty) >= 2):
                return kind, attribute
    return None


# Conflicting copies -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Report:
    """One tuple of the window: which entity (tuple of the relation) it tells of, and which source tells it.

    Source -1 is a tuple that nobody else reports.
    """

    entity: int
    source: int


def _reports(relation: Relation, rng: random.Random, config: CorruptionConfig) -> list[_Report]:
    """Which source reports which entity: a few entities among others, or a window made of nothing else."""
    sources = rng.randint(config.min_sources, config.max_sources)
    only_copies = rng.random() < 0.6
    entities = max(1, len(relation) // sources) if only_copies else rng.randint(1, 4)
    chosen = rng.sample(range(len(relation)), min(entities, len(relation)))
    coverage = rng.uniform(0.6, 1.0)
    reports = []
    for entity in chosen:
        telling = [source for source in range(sources) if rng.random() < coverage]
        telling += [source for source in range(2) if source not in telling and len(telling) < 2]
        reports += [_Report(entity, source) for source in telling]
    if not only_copies:
        reports += [_Report(entity, -1) for entity in sorted(set(range(len(relation))) - set(chosen))]
    order = rng.random()
    if order < 0.4:
        reports.sort(key=lambda report: report.source)
    elif order < 0.7:
        rng.shuffle(reports)
    return reports


def _reported(relation: Relation, reports: Sequence[_Report], rng: random.Random) -> Relation:
    """The truth of what is reported; a running number counts the reports, as each is a tuple of its own."""
    rows = [list(relation.tuples[report.entity]) for report in reports]
    for attribute in range(len(relation.attributes)):
        column = relation.column(attribute)
        if _is_running_number(column) and rng.random() < 0.7:
            first = int(column[0] or 0)
            for place, row in enumerate(rows):
                row[attribute] = str(first + place)
    return Relation.of(relation.attributes, rows, relation.name)


SOURCE_NAMES = ("source", "src", "provider", "site", "reported_by", "feed", "website", "vendor", "sensor", "store")
_SYLLABLES = ("ka", "lo", "mer", "tri", "ven", "sol", "dat", "air", "fly", "nor", "web", "quo", "hub", "tel", "max")


def _with_sources(relation: Relation, reports: Sequence[_Report], rng: random.Random) -> Relation:
    """The reports with an attribute that names their sources; what nobody else reports comes from any of them."""
    count = max(report.source for report in reports) + 1
    numbered = rng.random() < 0.3
    names = [
        f"S{source + 1}"
        if numbered
        else "".join(rng.sample(_SYLLABLES, 2)) + rng.choice(("", ".com", "-air", str(source)))
        for source in range(count)
    ]
    place = rng.randint(0, len(relation.attributes))
    attributes = list(relation.attributes)
    attributes.insert(place, rng.choice(SOURCE_NAMES))
    rows = [list(values) for values in relation.tuples]
    for row, report in zip(rows, reports, strict=True):
        row.insert(place, names[report.source if report.source >= 0 else rng.randrange(count)])
    return Relation.of(attributes, rows, relation.name)


def _is_running_number(column: Sequence[Value]) -> bool:
    """Whether a column counts its tuples one by one."""
    if len(column) < 2 or not all(value and re.fullmatch("[1-9][0-9]{0,8}|0", value) for value in column[:3]):
        return False
    first = int(column[0] or 0)
    return all(value == str(first + place) for place, value in enumerate(column))


def _conflicting_attributes(window: _Window, rng: random.Random) -> list[int]:
    """The attributes on which sources disagree: never the one that tells entities apart best, nor counts."""
    running = {place for place, view in enumerate(window.columns) if _is_running_number(view.values)}
    running |= {place for place, name in enumerate(window.clean.attributes) if name in SOURCE_NAMES}
    attributes = [place for place in range(len(window.columns)) if place not in running]
    if len(attributes) > 1:
        attributes.remove(max(attributes, key=lambda place: len(window.columns[place].counts)))
    return rng.sample(attributes, rng.randint(1, max(1, len(attributes) * 2 // 3))) if attributes else []


def _write_own_way(
    window: _Window,
    reports: Sequence[_Report],
    attributes: Sequence[int],
    weights: Mapping[str, float],
    rng: random.Random,
) -> None:
    """Let up to two sources write one attribute each in a format of their own, or leave it out."""
    kinds = {kind: weights[kind] for kind in _DRIFTS if kind in weights}
    sources = sorted({report.source for report in reports if report.source >= 0})
    for source in rng.sample(sources, min(rng.randint(0, 2), len(sources))):
        if not attributes:
            return
        attribute, share = rng.choice(attributes), rng.uniform(0.3, 1.0)
        own = [tuple_id for tuple_id, report in enumerate(reports) if report.source == source]
        applying = (kind for kind in _shuffled(kinds, rng) if window.changes(kind, own[0], attribute, rng))
        if kind := next(applying, ""):
            for tuple_id in own:
                if rng.random() < share:
                    window.corrupt(kind, tuple_id, attribute, rng)


def _disagree(
    window: _Window,
    reports: Sequence[_Report],
    weights: Mapping[str, float],
    rng: random.Random,
    config: CorruptionConfig,
) -> None:
    """Let sources report wrong and missing values, some of them often, some repeating each other's mistakes."""
    kinds = {kind: share for kind, share in _DISAGREEMENTS.items() if kind in weights}
    unreliable = {report.source: rng.betavariate(0.7, 1.4) for report in reports}
    attributes = _conflicting_attributes(window, rng)
    _write_own_way(window, reports, attributes, weights, rng)
    for attribute in attributes:
        favoured = {kind: share * (0.1 + rng.expovariate(1.0)) for kind, share in kinds.items()}
        rate = config.max_conflict * rng.random()
        mistakes: dict[int, tuple[str, str]] = {}
        for tuple_id, report in enumerate(reports):
            if report.source < 0 or rng.random() > min(0.95, 3.0 * rate * unreliable[report.source]):
                continue
            if report.entity in mistakes and rng.random() < config.copied_error_rate:
                kind, value = mistakes[report.entity]
                if not window.kinds[tuple_id][attribute]:
                    window.write(kind, tuple_id, {attribute: value})
                continue
            _run(window, favoured, tuple_id, attribute, 1, rng)
            if kind := window.kinds[tuple_id][attribute]:
                mistakes[report.entity] = kind, window.rows[tuple_id][attribute] or ""


# Duplicates -------------------------------------------------------------------------------------------


def _told_twice(relation: Relation, rng: random.Random, config: CorruptionConfig) -> list[tuple[int, bool]]:
    """Which tuple stands where, and whether it is there for the second time; none where nothing is told twice."""
    count = len(relation)
    if rng.random() >= config.duplicate_rate:
        return []
    again = rng.sample(range(count), max(1, round(count * config.max_duplicates * rng.random())))
    order = [(place, False) for place in range(count)] + [(place, True) for place in again]
    if rng.random() < 0.5:
        rng.shuffle(order)
    return order


def _retell(window: _Window, places: Sequence[int], rng: random.Random) -> None:
    """Say in other words what some tuples say: each has its own share of changed cells, all of them a few habits."""
    favoured = {kind: share * (0.1 + rng.expovariate(1.0)) for kind, share in _RETELLINGS.items()}
    for place in places:
        share = rng.betavariate(1.2, 1.6)
        for attribute in range(len(window.columns)):
            if rng.random() < share:
                before = list(window.kinds[place])
                applying = (kind for kind in _shuffled(favoured, rng) if window.corrupt(kind, place, attribute, rng))
                next(applying, None)
                window.kinds[place] = [
                    RETOLD if kind and not earlier else earlier
                    for kind, earlier in zip(window.kinds[place], before, strict=True)
                ]
