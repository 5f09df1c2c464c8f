"""Edit programs: what was done to corrected cells of a column, in a form that can be done to its other cells.

A pair of an observed and a true value is explained in every way that a small family of edits can: cut off a prefix,
keep some of the words, keep the number, write it in another order, and so on (Baran's value models, Mahdavi and
Abedjan, PVLDB 2020, and the string programs of Gulwani, POPL 2011). One pair has many explanations and most of them are
wrong; the other examples of the column tell them apart. How far a program is believed is how often it was right on
examples other than those that taught it, smoothed, first over the whole column and then over values of one shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from model.inference.columns import collapsed, pattern_of

_MAX_CHARACTERS = 200
_MAX_TOKENS = 16
_DIGITS_KEPT = 10
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_TOKEN = re.compile(r"\d+|[^\W\d_]+|\s+|.", re.DOTALL)
_PARTS = (" ", ",", ";", "/", "|", "-", "_", ":", "(")
_FACTORS = (1.0, 100.0, 0.01, 1000.0, 0.001)
_KEPT = 3
_MAX_TAUGHT, _MAX_CHECKED, _MAX_PROGRAMS = 48, 192, 48
_CONFIRMED_WEIGHT = 0.25
_COLUMN_PRIOR, _SHAPE_PRIOR = 1.5, 1.0
_EDIT_PRIOR = {"value": 0.7, "case": 0.6, "number": 0.6, "part": 0.4, "template": 0.4, "replace": 0.2}
_OTHER_PRIOR = 0.3
_ROUNDED = 0.9
"""Rounding loses digits, so it comes after what explains as much without it."""

T = TypeVar("T")
Edit = Callable[..., str | None]

_DESCRIPTIONS = {
    "value": "this value is replaced",
    "empty": "values of this shape stand for a missing one",
    "suffix": "{0!r} is cut off the end",
    "prefix": "{0!r} is cut off the beginning",
    "prepend": "{0!r} is put before the value",
    "append": "{0!r} is put behind the value",
    "zeros": "zeros are put before the value",
    "replace": "{0!r} becomes {1!r}",
    "case": "case or blanks change",
    "part": "a part of the value is kept",
    "number": "the number is kept",
    "template": "the parts are put in another order",
}


@dataclass(frozen=True, slots=True, order=True)
class Program:
    """One edit with its arguments, as `Program("suffix", (" oz",))`: cut `" oz"` off the end."""

    edit: str
    arguments: tuple[str | int | float, ...] = ()

    @property
    def description(self) -> str:
        """What it does, in words."""
        return _DESCRIPTIONS[self.edit].format(*self.arguments)

    def __call__(self, value: str) -> str | None:
        """What becomes of a value; None where the program does not apply, or changes nothing."""
        if not value or len(value) > _MAX_CHARACTERS:
            return None
        made = _EDITS[self.edit](value, *self.arguments)
        return None if made == value else made


@dataclass(frozen=True, slots=True)
class Proposal:
    """A value that a program makes of an observed one.

    Attributes:
        confidence: how likely it is the true value, given that the observed one is wrong.
        tuple_ids: examples that the program explains.
    """

    value: str
    confidence: float
    program: Program
    tuple_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """An example of one column: the observed and the true value of a tuple; equal where it is confirmed."""

    observed: str
    true: str
    tuple_id: int


@dataclass(slots=True)
class _Record:
    """Where a program was right and where wrong: tuples by the shape of the value that it was applied to."""

    right: dict[int, str] = field(default_factory=dict)
    wrong: dict[int, str] = field(default_factory=dict)
    confirmed: set[int] = field(default_factory=set)


class ColumnPrograms:
    """The programs that the examples of one column teach, and how far each is to be believed."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        present = [pair for pair in pairs if pair.observed]
        corrected = [pair for pair in present if pair.observed != pair.true]
        learned = {
            program
            for observed, true in _spread(sorted({(pair.observed, pair.true) for pair in corrected}), _MAX_TAUGHT)
            for program in explanations(observed, true)
        }
        checked = _spread(present, _MAX_CHECKED)
        records = {program: _record(program, checked) for program in sorted(learned)}
        best = sorted(records, key=lambda program: (-_trust(program, records[program]), program))
        self._records = {program: records[program] for program in best[:_MAX_PROGRAMS]}
        self._replaced = _replacements(corrected)
        self._cache: dict[tuple[str, int | None], tuple[Proposal, ...]] = {}

    def proposals(self, value: str, left_out: int | None = None) -> tuple[Proposal, ...]:
        """At most three values that `value` could be repaired to, surest first.

        Args:
            left_out: an example that does not count, so that it can be asked about itself.
        """
        key = (value, left_out)
        if key not in self._cache:
            self._cache[key] = self._propose(value, left_out)
        return self._cache[key]

    def _propose(self, value: str, left_out: int | None) -> tuple[Proposal, ...]:
        best: dict[str, Proposal] = {}
        shape = collapsed(pattern_of(value))
        for program, record in (*self._records.items(), *self._replaced.get(value, {}).items()):
            made = program(value) if len(record.right) > (left_out in record.right) else None
            if made is None:
                continue
            confidence = _confidence(program, record, shape, left_out)
            if made not in best or confidence > best[made].confidence:
                taught = tuple(sorted(set(record.right) - {left_out}))
                best[made] = Proposal(made, confidence, program, taught)
        ranked = sorted(best.values(), key=lambda one: (-one.confidence, one.value))
        return tuple(ranked[:_KEPT])


def _spread(items: Sequence[T], most: int) -> Sequence[T]:
    """At most so many items, evenly from the whole."""
    return [items[place * len(items) // most] for place in range(most)] if len(items) > most else items


def _replacements(corrected: Sequence[Pair]) -> dict[str, dict[Program, _Record]]:
    """For each corrected value what it became: the same value is likely to be wrong in the same way again."""
    found: dict[str, dict[Program, _Record]] = {}
    for pair in corrected:
        of_value = found.setdefault(pair.observed, {})
        of_value.setdefault(Program("value", (pair.observed, pair.true)), _Record())
    for pair in corrected:
        shape = collapsed(pattern_of(pair.observed))
        for program, record in found[pair.observed].items():
            told = record.right if program.arguments[1] == pair.true else record.wrong
            told[pair.tuple_id] = shape
    return found


def _trust(program: Program, record: _Record) -> float:
    """Smoothed share of all examples that a program was right on, whatever the shape of their values."""
    return _confidence(program, record, "", None)


def _record(program: Program, pairs: Sequence[Pair]) -> _Record:
    record = _Record()
    for pair in pairs:
        made = program(pair.observed)
        if made is None:
            continue
        if pair.observed == pair.true:
            record.confirmed.add(pair.tuple_id)
        else:
            told = record.right if made == pair.true else record.wrong
            told[pair.tuple_id] = collapsed(pattern_of(pair.observed))
    return record


def _confidence(program: Program, record: _Record, shape: str, left_out: int | None) -> float:
    """Smoothed share of examples that a program was right on: of the column, then of values of this shape."""
    right = [its for tuple_id, its in record.right.items() if tuple_id != left_out]
    wrong = [its for tuple_id, its in record.wrong.items() if tuple_id != left_out]
    confirmed = _CONFIRMED_WEIGHT * len(record.confirmed - {left_out})
    prior = _EDIT_PRIOR.get(program.edit, _OTHER_PRIOR)
    prior *= _ROUNDED if program.edit == "number" and program.arguments[2] != -1 else 1.0
    # The example that taught a program agrees with it whatever it says, and so counts for nothing but the prior.
    taught = max(0, len(right) - 1)
    column = (taught + _COLUMN_PRIOR * prior) / (taught + len(wrong) + confirmed + _COLUMN_PRIOR)
    alike = max(0, right.count(shape) - (len(right) == right.count(shape)))
    return (alike + _SHAPE_PRIOR * column) / (alike + wrong.count(shape) + _SHAPE_PRIOR)


def explanations(observed: str, true: str) -> Iterator[Program]:
    """Every program of the family that makes `true` of `observed`; the same one may come twice."""
    if not observed or max(len(observed), len(true)) > _MAX_CHARACTERS:
        return
    for explain in _EXPLANATIONS:
        for program in explain(observed, true):
            if program(observed) == true:
                yield program


def _of_shape(observed: str, true: str) -> Iterator[Program]:
    """All values of one shape stand for a missing one."""
    if not true:
        yield Program("empty", (collapsed(pattern_of(observed)),))


def _of_ends(observed: str, true: str) -> Iterator[Program]:
    """Something cut off or added at either end."""
    if observed.startswith(true):
        yield Program("suffix", (observed[len(true) :],))
    if observed.endswith(true):
        yield Program("prefix", (observed[: len(observed) - len(true)],))
    if true.endswith(observed):
        yield Program("prepend", (true[: len(true) - len(observed)],))
        if set(true[: len(true) - len(observed)]) == {"0"}:
            yield Program("zeros", (len(true),))
    if true.startswith(observed):
        yield Program("append", (true[len(observed) :],))


def _of_middle(observed: str, true: str) -> Iterator[Program]:
    """One stretch of characters, wherever it stands, becomes another."""
    start = next((n for n, (a, b) in enumerate(zip(observed, true, strict=False)) if a != b), None)
    start = min(len(observed), len(true)) if start is None else start
    most = min(len(observed), len(true)) - start
    end = next((n for n in range(most) if observed[-1 - n] != true[-1 - n]), most)
    old, new = observed[start : len(observed) - end], true[start : len(true) - end]
    if old:
        yield Program("replace", (old, new))
    differing = {(a, b) for a, b in zip(observed, true, strict=False) if a != b}
    if len(observed) == len(true) and len(differing) == 1:
        yield Program("replace", differing.pop())
    missing = set(observed) - set(true)
    if len(missing) == 1:
        yield Program("replace", (missing.pop(), ""))


def _of_case(observed: str, true: str) -> Iterator[Program]:
    if " ".join(observed.casefold().split()) == " ".join(true.casefold().split()):
        yield from (Program("case", (name,)) for name in _CASES)


def _of_parts(observed: str, true: str) -> Iterator[Program]:
    """Some of the words, or of the parts between other marks, counted from either end."""
    for mark in _PARTS:
        parts = _split(observed, mark)
        wanted = _split(true, mark)
        if not true or not len(wanted) < len(parts) <= _MAX_TOKENS:
            continue
        for start in range(len(parts) - len(wanted) + 1):
            if parts[start : start + len(wanted)] == wanted:
                back = start - len(parts)
                stop = start + len(wanted) - len(parts)
                yield Program("part", (mark, start, len(wanted), 0))
                yield Program("part", (mark, start, 0, stop))
                yield Program("part", (mark, back, len(wanted), 0))


def _of_numbers(observed: str, true: str) -> Iterator[Program]:
    """The first or last number, perhaps in another unit, without needless digits or with as many as there are."""
    if not _NUMBER.fullmatch(true):
        return
    decimals = len(true.partition(".")[2])
    for place in (0, -1):
        for factor in _FACTORS:
            yield Program("number", (place, factor, -1))
            yield Program("number", (place, factor, decimals))
            yield Program("number", (place, factor, decimals - 100))


def _of_template(observed: str, true: str) -> Iterator[Program]:
    """Runs of digits and letters in another order and between other marks, counted from the start."""
    kinds: dict[str, str] = {}
    for kind, tokens in _tokens(observed).items():
        for place, token in enumerate(tokens):
            kinds.setdefault(token, f"{kind}{place}")
    pieces = _TOKEN.findall(true)
    if not 1 < len(pieces) <= _MAX_TOKENS:
        return
    parts = tuple(kinds.get(piece, f"={piece}") for piece in pieces)
    if any(part[0] != "=" for part in parts) and not any(part[0] == "=" and part[1].isalnum() for part in parts):
        yield Program("template", (len(_TOKEN.findall(observed)), *parts))


_EXPLANATIONS: tuple[Callable[[str, str], Iterator[Program]], ...] = (
    _of_shape,
    _of_ends,
    _of_middle,
    _of_case,
    _of_parts,
    _of_numbers,
    _of_template,
)


def _tokens(value: str) -> dict[str, list[str]]:
    """Runs of digits `d` and of letters `a` in order."""
    found: dict[str, list[str]] = {"d": [], "a": []}
    for token in _TOKEN.findall(value):
        if token.isdigit() or token.isalpha():
            found["d" if token.isdigit() else "a"].append(token)
    return found


def _split(value: str, mark: str) -> list[str]:
    return value.split() if mark == " " else [part.strip() for part in value.split(mark)]


def _part(value: str, mark: str, start: int, count: int, stop: int) -> str | None:
    parts = _split(value, mark)
    if start < -len(parts) or start >= len(parts):
        return None
    kept = parts[start:][:count] if count else parts[start : len(parts) + stop]
    return mark.join(kept) if 0 < len(kept) < len(parts) and (not count or len(kept) == count) else None


def _number(value: str, place: int, factor: float, decimals: int) -> str | None:
    """`decimals` of -1 drops needless digits, other negative ones, less by 100, round to so many and then drop them."""
    found = _NUMBER.findall(value)
    if not found:
        return None
    number = float(found[place]) * factor
    if abs(number) >= 1e15:
        return None
    if decimals >= 0:
        return f"{number:.{decimals}f}"
    written = f"{number:.{_DIGITS_KEPT if decimals == -1 else decimals + 100}f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _template(value: str, count: int, *parts: str) -> str | None:
    if len(_TOKEN.findall(value)) != count:
        return None
    tokens = _tokens(value)
    made = []
    for part in parts:
        if part[0] == "=":
            made.append(part[1:])
        elif int(part[1:]) < len(tokens[part[0]]):
            made.append(tokens[part[0]][int(part[1:])])
        else:
            return None
    return "".join(made)


_CASES: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
    "sentence": str.capitalize,
    "blanks": lambda value: " ".join(value.split()),
}

_EDITS: dict[str, Edit] = {
    "value": lambda value, old, new: new if value == old else None,
    "empty": lambda value, shape: "" if collapsed(pattern_of(value)) == shape else None,
    "suffix": lambda value, end: value.removesuffix(end),
    "prefix": lambda value, start: value.removeprefix(start),
    "prepend": lambda value, start: start + value,
    "append": lambda value, end: value + end,
    "zeros": lambda value, width: value.zfill(width),
    "replace": lambda value, old, new: value.replace(old, new),
    "case": lambda value, name: _CASES[name](value),
    "part": _part,
    "number": _number,
    "template": _template,
}
