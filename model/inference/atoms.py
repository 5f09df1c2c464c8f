"""Parts of a text by rule: what the programs of a transformation are put together of.

An atom is a family with arguments and a change, as `Atom("token", ("word", -1), "upper")`: the last word in upper case.
A family lists all that it finds in a text, each with a cost: what people mean often is cheap, what explains an
example by chance easily is dear. An atom that finds nothing in a text gives None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, ROUND_UP, Decimal
from fractions import Fraction
from itertools import pairwise

from model.inference.moments import date_parts, span_parts, time_parts
from model.inference.proportions import NUMBER, Proportion, Written, proportions
from model.inference.terms import mixed_fraction, result_of
from model.inference.well_known import EQUIVALENTS

MAX_CHARACTERS = 600
"""Texts beyond this are not taken apart."""

Argument = str | int
Arguments = tuple[Argument, ...]
Part = tuple[Arguments, str, float]
"""Arguments, what they find in a text, and their cost."""

Family = Callable[[str, Sequence[str]], Iterator[Part]]
"""Parts of a text; the second argument are words that stand in all examples, to hold on to."""

_TOKENS = {
    "word": (re.compile(r"[^\W_]+"), 0.0),
    "piece": (re.compile(r"\S+"), 0.2),
    "number": (re.compile(r"\d+"), 0.0),
    "letters": (re.compile(r"[^\W\d_]+"), 0.3),
    "capitalized word": (re.compile(r"[A-Z][a-z]+"), 0.4),
    "upper-case letters": (re.compile(r"[A-Z]+"), 0.5),
    "upper-case word": (re.compile(r"\b[A-Z]{2,}\b"), 0.4),
    "lower-case letters": (re.compile(r"[a-z]+"), 0.7),
    "decimal number": (re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?"), 0.3),
    "name": (re.compile(r"[A-Z][\w'’.-]*(?: [A-Z][\w'’.-]*)+"), 0.6),
    "code": (re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])[\w-]+\b"), 0.5),
}
_MOST_PLACES = 9
_FIELD_PLACES = 7
_MARK = re.compile(r"[^\w]|_")
_MARKS = (", ", " - ", ": ", " (", "--", "://", "->", "; ", "</", "||")
_MOST_MARKS = 14
_BRACKETS = {
    "()": re.compile(r"\(([^()]*)\)"), "[]": re.compile(r"\[([^\[\]]*)\]"), "{}": re.compile(r"\{([^{}]*)\}"),
    "<>": re.compile(r"<([^<>]*)>"), '""': re.compile(r'"([^"]*)"'), "''": re.compile(r"'([^']*)'"),
    "><": re.compile(r">([^<>]+)<"),
}  # fmt: skip
_REMOVED = {
    "blanks": r"\s+", "digits": r"\d+", "everything but digits": r"\D+", "punctuation": r"[^\w\s]|_",
    "everything but letters and digits": r"[\W_]+", "letters": r"[^\W\d_]+", "everything but letters": r"[\W\d_]+",
    "what is in brackets": r"\s*[(\[{][^()\[\]{}]*[)\]}]", "vowels": r"[aeiouAEIOU]", "lower-case letters": r"[a-z]+",
    "everything but upper-case letters": r"[^A-Z]+", "tags": r"<[^<>]*>", "leading zeros": r"^0+(?=\d)",
    "marks at the ends": r"^\W+|\W+$", "everything but numbers": r"[^\d.]+", "trailing zeros": r"\.0+$|(?<=\.\d)0+$",
}  # fmt: skip
_REMOVERS = {name: re.compile(pattern) for name, pattern in _REMOVED.items()}
_NEW_MARKS = ("", " ", "-", "_", "/", ".", ",", ":", ", ", "; ", "|", "\n")
_JOINTS = ("", " ", "-", "_", ".", ", ", "/", ",", ". ")
_SLICES, _SLICE_LENGTHS = 18, 16
_WIDTHS = range(2, 13)
_STEPS = {
    "0.05": 0.4, "0.25": 0.4, "0.5": 0.1, "2": 0.4, "5": 0.1, "10": 0.0, "15": 0.4, "20": 0.2, "25": 0.2, "30": 0.4,
    "50": 0.2, "100": 0.0, "1000": 0.1,
}  # fmt: skip
_RANGE_JOINTS = ("-", " - ", " to ", "–")
_ORDINAL = {"1": "st", "2": "nd", "3": "rd"}


@dataclass(frozen=True, slots=True)
class Atom:
    """One part of a text, or a fixed text (family `text`)."""

    family: str
    arguments: Arguments = ()
    change: str = ""

    @property
    def description(self) -> str:
        """What it is, in words."""
        if self.family == "text":
            return repr(self.arguments[0])
        told = _DESCRIPTIONS[self.family](*self.arguments)
        return f"{told} {_CHANGES[self.change][2]}" if self.change else told


class Taken:
    """A text taken apart, each family when it is needed for the first time."""

    def __init__(self, text: str, anchors: Sequence[str] = ()) -> None:
        self.text = text
        self._anchors = anchors
        self._found: dict[str, dict[Arguments, tuple[str, float]]] = {}

    def family(self, name: str) -> dict[Arguments, tuple[str, float]]:
        """All that one family finds, with costs; the first of equal arguments counts."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = {}
            if 0 < len(self.text) <= MAX_CHARACTERS:
                for arguments, value, cost in FAMILIES[name](self.text, self._anchors):
                    found.setdefault(arguments, (value, cost))
        return found

    def value(self, atom: Atom) -> str | None:
        """What an atom is in this text."""
        if atom.family == "text":
            return str(atom.arguments[0])
        if atom.family == "proportion":
            return self._proportion(*atom.arguments)
        found = self.family(atom.family).get(atom.arguments)
        return None if found is None else changed(found[0], atom.change)

    def numbers(self) -> dict[int, str]:
        """The numbers of the text without separators, by place from the left and from the right."""
        found = NUMBER.findall(self.text) if len(self.text) <= MAX_CHARACTERS else []
        return {place: found[index].replace(",", "") for place, index in _places(len(found), 2)}

    def _proportion(self, place: Argument, factor: Argument, offset: Argument, *written: Argument) -> str | None:
        number = self.numbers().get(int(place))
        digits, decimals, fixed = written
        how = Written(int(digits), int(decimals), bool(fixed))
        return None if number is None else Proportion(Fraction(factor), Fraction(offset), how, 0.0).of(number)


def proportion_atoms(taken: Sequence[Taken], outputs: Sequence[str]) -> Iterator[tuple[tuple[str, ...], float, Atom]]:
    """A number of every output as a number of its input by one factor: values, cost and atom."""
    inputs = [one.numbers() for one in taken]
    made = [Taken(output).numbers() for output in outputs]
    for place in (0, 1, -1):
        for target in (0, -1):
            if all(place in one for one in inputs) and all(target in one for one in made):
                wanted = tuple(one[target] for one in made)
                for one in proportions([numbers[place] for numbers in inputs], wanted):
                    how = (one.written.digits, one.written.decimals, int(one.written.fixed))
                    arguments = (place, str(one.factor), str(one.offset), *how)
                    yield wanted, 2.2 + one.cost + 0.2 * _far(place), Atom("proportion", arguments)


def changes() -> Iterator[tuple[str, float]]:
    """Names and costs of all changes."""
    return ((name, cost) for name, (_, cost, _) in _CHANGES.items())


def changed(value: str, change: str) -> str | None:
    """A part with another case, or only its first or last letters; None where that is nothing."""
    return _CHANGES[change][0](value) or None


def _short(count: int) -> Callable[[str], str]:
    return lambda value: (value[:count] if count > 0 else value[count:]) if len(value) >= abs(count) else ""


_CHANGES: dict[str, tuple[Callable[[str], str], float, str]] = {
    "": (lambda value: value, 0.0, ""),
    "lower": (str.lower, 0.4, "in lower case"),
    "upper": (str.upper, 0.4, "in upper case"),
    "title": (str.title, 0.5, "with capital initials"),
    "capitalize": (lambda value: value[:1].upper() + value[1:], 0.6, "with its first letter in upper case"),
    "sentence": (str.capitalize, 0.5, "capitalized"),
    "first": (_short(1), 0.8, "by its first letter"),
    "first upper": (lambda value: value[:1].upper(), 1.0, "by its first letter in upper case"),
    "first lower": (lambda value: value[:1].lower(), 1.0, "by its first letter in lower case"),
    "first two": (_short(2), 1.5, "by its first two letters"),
    "first three": (_short(3), 1.4, "by its first three letters"),
    "first three upper": (lambda value: _short(3)(value).upper(), 1.7, "by its first three letters in upper case"),
    "first four": (_short(4), 1.7, "by its first four letters"),
    "last": (_short(-1), 1.5, "by its last letter"),
    "last two": (_short(-2), 1.5, "by its last two letters"),
    "last three": (_short(-3), 1.7, "by its last three letters"),
    "last four": (_short(-4), 1.6, "by its last four letters"),
    "but first": (lambda value: value[1:], 1.4, "without its first letter"),
    "but last": (lambda value: value[:-1], 1.6, "without its last letter"),
    "bare": (lambda value: value.strip(" \t.,;:!?-\"'()[]{}<>"), 0.7, "without marks at its ends"),
    "swap": (str.swapcase, 1.2, "with upper and lower case exchanged"),
}


def _whole(text: str, _: Sequence[str]) -> Iterator[Part]:
    yield ("",), text, 0.4
    yield ("without blanks at its ends",), text.strip(), 0.6
    yield ("with single blanks",), " ".join(text.split()), 0.8
    yield ("backwards",), text[::-1], 2.5


def _places(count: int, most: int) -> Iterator[tuple[int, int]]:
    """Places from the left and from the right, each with the index that it means."""
    for place in range(min(count, most)):
        yield place, place
        yield place - min(count, most), count - min(count, most) + place


def _tokens(text: str, _: Sequence[str]) -> Iterator[Part]:
    for kind, (pattern, dear) in _TOKENS.items():
        found = pattern.findall(text)
        for place, index in _places(len(found), _MOST_PLACES):
            yield (kind, place), found[index], 1.0 + dear + 0.12 * (place if place >= 0 else -0.8 - place)


def _runs(text: str, _: Sequence[str]) -> Iterator[Part]:
    """From one token to another, with what stands between."""
    for kind in ("word", "piece", "number"):
        pattern, dear = _TOKENS[kind]
        spans = [found.span() for found in pattern.finditer(text)]
        for first, start in _places(len(spans), 4):
            for last, end in _places(len(spans), 4):
                if end > start:
                    part = text[spans[start][0] : spans[end][1]]
                    yield (kind, first, last), part, 1.6 + dear + 0.1 * (_far(first) + _far(last))
        for first, start in _places(len(spans), 4):
            yield (kind, "to the end", first), text[spans[start][0] :], 1.6 + dear + 0.12 * _far(first)
            yield (kind, "from the start", first), text[: spans[start][1]], 1.6 + dear + 0.12 * _far(first)


def _far(place: int) -> int:
    return place if place >= 0 else -1 - place


def marks_of(text: str, anchors: Sequence[str]) -> list[str]:
    """What a text can be cut at: its marks, some pairs of marks, and given words."""
    single = list(dict.fromkeys(_MARK.findall(text)))[:_MOST_MARKS]
    return [*single, *(mark for mark in (*_MARKS, *anchors) if mark in text)]


def _occurrences(text: str, mark: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(mark), text)]


def _around(text: str, anchors: Sequence[str]) -> Iterator[Part]:
    """What stands before or after a mark."""
    for mark in marks_of(text, anchors):
        found = _occurrences(text, mark)
        dear = 0.3 if len(mark) > 1 else 0.0
        for place, index in _places(len(found), 5):
            for side, part in (("before", text[: found[index]]), ("after", text[found[index] + len(mark) :])):
                cost = 1.3 + dear + 0.15 * _far(place)
                yield (side, mark, place), part.strip(), cost
                yield (side, mark, place, "as it stands"), part, cost + 0.5
                if side == "before":
                    yield (side, mark, place, "with it"), part + mark, cost + 0.6
                else:
                    yield (side, mark, place, "with it"), mark + part, cost + 0.6


def _between(text: str, anchors: Sequence[str]) -> Iterator[Part]:
    """From one mark to the next of another kind."""
    marks = marks_of(text, anchors)
    for left in marks:
        found = _occurrences(text, left)
        for place, index in _places(len(found), 3):
            start = found[index] + len(left)
            for right in marks:
                end = text.find(right, start)
                if end > start:
                    dear = 0.2 * ((len(left) > 1) + (len(right) > 1)) + 0.15 * _far(place)
                    yield (left, place, right), text[start:end].strip(), 1.9 + dear
            end = next((one.start() for one in re.compile(r"[^\w\s]").finditer(text, start)), len(text))
            yield (left, place, "a mark"), text[start:end].strip(), 1.9 + 0.15 * _far(place)


def _fields(text: str, anchors: Sequence[str]) -> Iterator[Part]:
    """Fields between equal marks, and ranges of them."""
    for mark in marks_of(text, anchors):
        fields = text.split(mark)
        count = len(fields)
        if count < 2:
            continue
        dear = 0.2 if len(mark) > 1 else 0.0
        for place, index in _places(count, _FIELD_PLACES):
            yield (mark, place), fields[index].strip(), 1.2 + dear + 0.12 * _far(place)
        for first, start in _places(count, 4):
            for last, end in _places(count, 4):
                if end > start and end - start < count - 1:
                    cost = 1.8 + dear + 0.12 * (_far(first) + _far(last))
                    yield (mark, first, last), mark.join(fields[start : end + 1]).strip(), cost


def _slices(text: str, _: Sequence[str]) -> Iterator[Part]:
    """Characters counted from either end."""
    count = len(text)
    for length in range(1, min(_SLICE_LENGTHS, count) + 1):
        yield (0, length), text[:length], 2.6 + 0.1 * length
        yield (-length, length), text[-length:], 2.6 + 0.1 * length
    for start in range(1, min(_SLICES, count)):
        for length in range(1, min(_SLICE_LENGTHS, count - start) + 1):
            yield (start, length), text[start : start + length], 3.8 + 0.05 * (start + length)
    for start in range(1, min(_SLICES, count)):
        yield (start, 0), text[start:], 2.9 + 0.1 * start
        yield (0, -start), text[:-start], 2.9 + 0.1 * start
        for length in range(1, min(start, 8)):
            yield (-start, length), text[count - start :][:length], 3.9 + 0.05 * (start + length)
    middle = count // 2
    if count > 4:
        yield ("middle", 1), text[middle : middle + 1], 5.0


def _digits(text: str, _: Sequence[str]) -> Iterator[Part]:
    """Some of a text's digits, whatever stands between them."""
    digits = "".join(character for character in text if character.isdigit())
    count = len(digits)
    if not 3 <= count <= 24:
        return
    yield (0, 0), digits, 1.4
    for start in range(count):
        for length in range(1, min(8, count - start) + 1):
            dear = 0.03 * start + (0.0 if length in (2, 3, 4) else 0.4)
            yield (start, length), digits[start : start + length], 2.1 + dear
            yield (start - count, length), digits[start : start + length], 2.1 + dear + 0.02 * (count - start)
        if start:
            yield (start, 0), digits[start:], 2.3


def _in_brackets(text: str, _: Sequence[str]) -> Iterator[Part]:
    for name, pattern in _BRACKETS.items():
        found = pattern.findall(text)
        for place, index in _places(len(found), 4):
            yield (name, place), found[index].strip(), 1.1 + 0.12 * _far(place)


def _removed(text: str, _: Sequence[str]) -> Iterator[Part]:
    """The text without one kind of characters."""
    for name, pattern in _REMOVERS.items():
        made = pattern.sub("", text)
        if made != text:
            yield (name,), made, 1.5
            yield (name, "and blanks at the ends"), made.strip(), 1.6
            yield (name, "and double blanks"), " ".join(made.split()), 1.8


def _replaced(text: str, anchors: Sequence[str]) -> Iterator[Part]:
    """The text with one mark replaced by another, or several marks by one."""
    for old in marks_of(text, anchors):
        for new in _NEW_MARKS:
            if new != old:
                yield (old, new), text.replace(old, new), 1.6
    for new in _NEW_MARKS[1:]:
        yield ("all marks and blanks", new), re.sub(r"[\W_]+", new, text.strip()), 1.9
        yield ("blanks", new), re.sub(r"\s+", new, text.strip()), 1.7


def _joined(text: str, _: Sequence[str]) -> Iterator[Part]:
    """All tokens of a kind, whole or by their first letters, in their order or in the other."""
    for kind in ("word", "letters", "number", "capitalized word", "piece", "name", "upper-case word"):
        found = _TOKENS[kind][0].findall(text)
        if not 1 <= len(found) <= 24:
            continue
        initials = [one[:1] for one in found]
        for joint in _JOINTS:
            yield (kind, joint, ""), joint.join(found), 1.8
            yield (kind, joint, "initials"), joint.join(initials), 1.5
            yield (kind, joint, "initials upper"), joint.join(initials).upper(), 1.6
            yield (kind, joint, "initials lower"), joint.join(initials).lower(), 1.7
            yield (kind, joint, "backwards"), joint.join(found[::-1]), 2.2
            yield (kind, joint, "camel"), joint.join(one[:1].upper() + one[1:].lower() for one in found), 2.0
            if len(found) > 1:
                yield (kind, joint, "but first"), joint.join(found[1:]), 2.0
                yield (kind, joint, "but last"), joint.join(found[:-1]), 2.0
        for joint in (".", ". "):
            yield (kind, joint, "dotted initials"), joint.join(one.upper() for one in initials) + ".", 1.7
    found = _TOKENS["word"][0].findall(text)
    if 1 <= len(found) <= 24:
        lengths = "".join(str(len(one)) for one in found)
        yield ("word", "", "lengths"), lengths, 4.0
    small = frozenset(("of", "the", "and", "for", "in", "on", "a", "an", "to", "de", "&"))
    large = [one for one in found if one.lower() not in small]
    if len(large) < len(found):
        yield ("large word", "", "initials upper"), "".join(one[0] for one in large).upper(), 1.7


def _numbers(text: str, _: Sequence[str]) -> Iterator[Part]:
    """Forms of a number."""
    found = NUMBER.findall(text)
    for place, index in _places(len(found), 3):
        written = found[index]
        number = Decimal(written.replace(",", ""))
        dear = 1.5 + 0.15 * _far(place)
        for form, value, cost in _forms(written.replace(",", ""), number):
            yield (place, form), value, dear + cost
    yield ("count", "characters"), str(len(text)), 3.5
    yield ("count", "words"), str(len(text.split())), 3.5


def _forms(bare: str, number: Decimal) -> Iterator[tuple[str, str, float]]:
    unsigned = bare.lstrip("+-")
    yield "without separators", bare, 0.0
    yield "without sign", unsigned, 0.2
    yield "integer part", bare.partition(".")[0], 0.1
    yield "decimals", bare.partition(".")[2], 0.4
    yield "without needless zeros", _plain(number), 0.3
    yield "negative", _plain(-number), 1.0
    yield "times 100", _plain(number * 100), 1.0
    yield "by 100", _plain(number / 100), 1.2
    yield "times 1000", _plain(number * 1000), 1.5
    yield "by 1000", _plain(number / 1000), 1.5
    for digits in range(4):
        step = Decimal(1).scaleb(-digits)
        yield f"rounded to {digits} decimals", f"{number.quantize(step, ROUND_HALF_UP):f}", 0.6
        yield f"cut to {digits} decimals", f"{number.quantize(step, ROUND_DOWN):f}", 0.9
        yield f"rounded down to {digits} decimals", f"{number.quantize(step, ROUND_FLOOR):f}", 1.0
        yield f"rounded up to {digits} decimals", f"{number.quantize(step, ROUND_CEILING):f}", 1.0
        yield f"rounded away from zero to {digits} decimals", f"{number.quantize(step, ROUND_UP):f}", 1.0
        yield f"with thousands separators and {digits} decimals", f"{number.quantize(step, ROUND_HALF_UP):,f}", 0.8
    yield "with thousands separators", f"{number:,f}", 0.6
    for digits in (1, 2, 3):
        if number:
            step = Decimal(1).scaleb(number.adjusted() + 1 - digits)
            yield f"to {digits} significant digits", _plain(number.quantize(step, ROUND_HALF_UP)), 1.2
    for width in _WIDTHS:
        if "." not in unsigned and len(unsigned) <= width:
            yield f"with zeros to {width} digits", unsigned.zfill(width), 0.7
    for text, dear in _STEPS.items():
        yield from _steps(text, dear, number)
    if "." not in bare and len(unsigned) < 10:
        last = "th" if unsigned[-2:-1] == "1" else _ORDINAL.get(unsigned[-1], "th")
        yield "as an ordinal", f"{int(bare)}{last}", 0.9
        yield "ending of the ordinal", last, 1.0


def _steps(text: str, dear: float, number: Decimal) -> Iterator[tuple[str, str, float]]:
    """Multiples of a step that are near a number, and the range between two."""
    step = Decimal(text)
    down = (number / step).to_integral_value(ROUND_FLOOR) * step
    up = (number / step).to_integral_value(ROUND_CEILING) * step
    near = (number / step).to_integral_value(ROUND_HALF_UP) * step
    for name, value, cost in (
        (f"to a multiple of {text}", near, 1.3),
        (f"down to a multiple of {text}", down, 1.4),
        (f"up to a multiple of {text}", up, 1.6),
    ):
        yield name, _plain(value), cost + dear
        for digits in (1, 2):
            yield f"{name} with {digits} decimals", f"{value:.{digits}f}", cost + dear + 0.2
    yield f"above a multiple of {text}", _plain(down + step), 1.9 + dear
    yield f"below the next multiple of {text}", _plain(down + step - 1), 2.0 + dear
    for joint in _RANGE_JOINTS:
        yield f"range of {text}{joint}", f"{_plain(down)}{joint}{_plain(down + step)}", 1.3 + dear
        yield f"whole range of {text}{joint}", f"{_plain(down)}{joint}{_plain(down + step - 1)}", 1.3 + dear
        lower = (number / step).to_integral_value(ROUND_CEILING) * step - step
        yield f"range up to {text}{joint}", f"{_plain(lower + 1)}{joint}{_plain(lower + step)}", 1.5 + dear


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-0", "0" if number == 0 else "-0")


def _dates(text: str, _: Sequence[str]) -> Iterator[Part]:
    for reading, parts in date_parts(text):
        for name, value, cost in parts:
            yield (reading, name), value, 0.9 + cost


def _times(text: str, _: Sequence[str]) -> Iterator[Part]:
    for place, parts in time_parts(text):
        for name, value, cost in parts:
            yield (place, name), value, 1.0 + cost


def _spans(text: str, _: Sequence[str]) -> Iterator[Part]:
    """The stretch of the day that a time is in."""
    for arguments, value, cost in span_parts(text):
        yield arguments, value, 1.3 + cost


def _results(text: str, _: Sequence[str]) -> Iterator[Part]:
    """What a mixed fraction or an arithmetic term makes."""
    for kind, number, cost in (("fraction", mixed_fraction(text), 1.4), ("term", result_of(text), 1.2)):
        if number is not None:
            yield (kind,), Written(12, 8, False).write(number), cost


def _chunks(text: str, _: Sequence[str]) -> Iterator[Part]:
    """The text in groups of equal length, counted from either end."""
    bare = re.sub(r"\W", "", text)
    for length in (2, 3, 4):
        rest = len(bare) % length
        for joint in (" ", "-", ",", ".", ":"):
            yield (length, joint, "from the left"), joint.join(_cut(bare, length)), 1.8
            ending = [bare[:rest]] * (rest > 0) + _cut(bare[rest:], length)
            yield (length, joint, "from the right"), joint.join(ending), 1.9


def _cut(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text), length)]


_ADDRESS = re.compile(r"(?:(?P<scheme>[a-z]+)://)?(?P<host>(?:[\w-]+\.)+[a-z]{2,})(?::(?P<port>\d+))?(?P<path>/[^\s?#]*)?"
                      r"(?:\?(?P<query>[^\s#]*))?", re.IGNORECASE)  # fmt: skip
_MAIL = re.compile(r"([\w.+-]+)@((?:[\w-]+\.)+[a-z]{2,})", re.IGNORECASE)


def _addresses(text: str, _: Sequence[str]) -> Iterator[Part]:
    """Parts of an address of the web, of an e-mail address, or of a path."""
    mail = _MAIL.search(text)
    if mail:
        yield ("mail", "address"), mail[0], 1.0
        yield ("mail", "name"), mail[1], 1.1
        yield ("mail", "domain"), mail[2], 1.1
        yield ("mail", "domain without ending"), mail[2].partition(".")[0], 1.3
    address = _ADDRESS.search(text)
    if address and not mail:
        host = address["host"]
        bare = re.sub(r"^www\d?\.", "", host, flags=re.IGNORECASE)
        yield ("web", "whole"), address[0], 1.0
        yield ("web", "host"), host, 1.1
        yield ("web", "host without www"), bare, 1.0
        yield ("web", "domain"), ".".join(host.split(".")[-2:]), 1.1
        yield ("web", "domain of three"), ".".join(host.split(".")[-3:]), 1.4
        yield ("web", "name"), bare.partition(".")[0], 1.3
        yield ("web", "ending"), host.rpartition(".")[2], 1.3
        path = (address["path"] or "").strip("/")
        yield ("web", "path"), path, 1.3
        yield ("web", "last of the path"), path.rpartition("/")[2], 1.2
        yield ("web", "query"), address["query"] or "", 1.4
    name = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    if "/" in text or "\\" in text or "." in name:
        yield ("path", "folder"), text[: len(text.rstrip("/\\")) - len(name)].rstrip("/\\"), 1.2
        yield ("path", "file"), name, 1.1
        yield ("path", "file without ending"), name.rpartition(".")[0] or name, 1.2
        yield ("path", "ending"), name.rpartition(".")[2] if "." in name else "", 1.2


def _known(text: str, _: Sequence[str]) -> Iterator[Part]:
    """Other names of what the text is, or of the first thing of that kind in it."""
    words = _TOKENS["word"][0].findall(text)[:40]
    whole = text.strip().lower()
    phrases = [*words, *map(" ".join, pairwise(words)), *(" ".join(words[at : at + 3]) for at in range(len(words) - 2))]
    lowered = [phrase.lower() for phrase in phrases]
    for name, table in EQUIVALENTS.items():
        if whole in table:
            yield (name,), table[whole], 0.8
        found = [table[phrase] for phrase in lowered if phrase in table]
        if found:
            yield (name, "first"), found[0], 1.4
            yield (name, "last"), found[-1], 1.6


FAMILIES: dict[str, Family] = {
    "whole": _whole,
    "token": _tokens,
    "run": _runs,
    "around": _around,
    "between": _between,
    "field": _fields,
    "slice": _slices,
    "digits": _digits,
    "brackets": _in_brackets,
    "removed": _removed,
    "replaced": _replaced,
    "joined": _joined,
    "number": _numbers,
    "date": _dates,
    "time": _times,
    "span": _spans,
    "result": _results,
    "chunks": _chunks,
    "address": _addresses,
    "known": _known,
}
"""All families by name."""

UNCHANGED = frozenset({"slice", "digits", "number", "time", "span", "result", "chunks"})
"""Families whose parts are taken as they are: another case of them would explain much by chance."""


def _side(place: Argument) -> str:
    number = int(place)
    return f"{number + 1} from the left" if number >= 0 else f"{-number} from the right"


def _around_words(side: Argument, mark: Argument, place: Argument, more: Argument = "") -> str:
    return f"what stands {side} {mark!r} ({_side(place)}){f' {more}' if more else ''}"


def _slice_words(start: Argument, length: Argument) -> str:
    return f"characters from {start}, {length} of them" if length else f"characters from {start} on"


def _shown(number: Argument) -> str:
    return f"{float(Fraction(number)):.10g}"


def _listed(what: str) -> Callable[..., str]:
    return lambda *arguments: f"{what} ({', '.join(str(one) for one in arguments)})"


_DESCRIPTIONS: dict[str, Callable[..., str]] = {
    "whole": lambda how: f"the text {how}".strip(),
    "token": lambda kind, place: f"{kind} {_side(place)}",
    "run": _listed("from token to token"),
    "around": _around_words,
    "between": lambda left, place, right: f"what stands between {left!r} ({_side(place)}) and {right!r}",
    "field": lambda mark, first, *last: (
        f"field {_side(first)}{f' to field {_side(last[0])}' if last else ''}, cut at {mark!r}"
    ),
    "slice": _slice_words,
    "digits": _listed("digits of the text"),
    "brackets": lambda kind, place: f"what is in {kind} ({_side(place)})",
    "removed": lambda what, *more: f"the text without {' '.join((what, *more))}",
    "replaced": lambda old, new: f"the text with {new!r} for {old!r}",
    "joined": lambda kind, joint, how: f"each {kind}{f' ({how})' if how else ''} joined by {joint!r}",
    "number": _listed("number"),
    "date": lambda reading, part: f"{part} of the date (read {reading})",
    "time": lambda place, part: f"{part} of time {_side(place)}",
    "address": lambda kind, part: f"{part} of the {kind} address",
    "span": _listed("stretch of the day"),
    "result": lambda what: f"result of the {what}",
    "chunks": _listed("groups of characters"),
    "proportion": lambda place, factor, offset, *_: (
        f"number {_side(place)} times {_shown(factor)}{f' plus {_shown(offset)}' if offset != '0' else ''}"
    ),
    "known": lambda name, *which: f"{name} of the {' '.join((*which, 'name'))}",
}


def shared_words(texts: Iterable[str]) -> list[str]:
    """Words that stand in every text, in order of the first, at most eight: something to hold on to."""
    every = [set(_TOKENS["word"][0].findall(text[:MAX_CHARACTERS])) for text in texts]
    common = set.intersection(*every) if len(every) > 1 else set()
    return sorted(word for word in common if len(word) > 1 and not word.isdigit())[:8]
