"""The format that a column's values have, and a value of another format rewritten into it.

A format is a program of atoms (`model.inference.synthesis`) that writes a value out of what it says: the same program
writes `2020-03-05` of `2020-03-05` and of `March 5, 2020`. Which format is the column's own is seen by what it leaves
as it is: programs are made of some values as examples of themselves, and those under which most values stay are kept.
A value is rewritten where all programs that keep its meaning write one and the same.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from model.inference.atoms import Taken, changed
from model.inference.columns import collapsed, pattern_of
from model.inference.meanings import (
    DAY_FIRST,
    KINDS,
    MONTH_FIRST,
    ORDERS,
    Kind,
    has_half,
    orders_of,
    runs_of,
    year_is_short,
)
from model.inference.synthesis import Synthesis, SynthesizedProgram

_SHAPES = 3
_EXAMPLES = 6
_JUDGED = 500
_FEWEST = 3
_KIND_SHARE = 0.8
_CODE_SHARE = 0.5
_JOINED_DIGITS = 7
_TEXT_SHARE = 0.75
_FEWEST_TEXTS = 5
_BLANKS = re.compile(r"[^\S\r\n]{2,}")
_LONGEST = 60
_READ = re.compile(r" of the date \(read [^()]*\)")
_CASES = ("upper", "lower", "title")
_CASE_WORDS = {"upper": "in upper case", "lower": "in lower case", "title": "with capital initials"}


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What becomes of a value; `output` is None where that is not certain."""

    output: str | None
    confidence: float | None
    detail: str


def succession(right: int) -> float:
    """How likely the next one is right where so many were and none was wrong (Laplace's rule of succession)."""
    return (right + 1) / (right + 2)


class ColumnFormat:
    """The formats of a column.

    Args:
        counts: how often each value stands in the column; missing ones are left out.
        shown: values in the wanted format; without any the column's own majority shows it.
    """

    def __init__(self, counts: Mapping[str, int], shown: Sequence[str] = ()) -> None:
        bare = Counter[str]()
        for value, count in counts.items():
            bare[single_blanks(value)] += count
        found = (FormatOfKind.find(kind, bare, shown) for kind in KINDS)
        self._formats = [one for one in found if one is not None]
        self._texts = _Texts(counts)

    @property
    def description(self) -> str | None:
        """The format in words; None where the column has none."""
        return self._formats[0].description if self._formats else None

    def rewrite(self, value: str) -> Rewriting | None:
        """What becomes of a value; None where it stays as it is."""
        blanks = self._texts.without_odd_blanks(value)
        text = value if blanks is None or blanks.output is None else blanks.output
        doubt: Rewriting | None = None
        for one in self._formats:
            if text in one.kept:
                return blanks
            made = one.rewrite(text)
            if made is not None and made.output is not None:
                return made
            doubt = made if one is self._formats[0] else doubt
        made = self._texts.in_usual_case(text) if not self._formats else None
        if made is not None and made.output is not None:
            return made
        return blanks or doubt or made


class FormatOfKind:
    """How a column writes values of one kind.

    Attributes:
        kept: values that are written so already.
    """

    def __init__(
        self,
        kind: Kind,
        counts: Mapping[str, int],
        printers: Sequence[Printer],
        kept: frozenset[str],
    ) -> None:
        self._kind = kind
        self._printers = printers
        self.kept = kept
        self._shapes: dict[str, list[str]] = defaultdict(list)
        for value in sorted(counts):
            self._shapes[_shape(value)].append(value)
        self._kept_shapes = {_shape(value) for value in kept}
        patterns = Counter(pattern_of(value) for value in sorted(kept))
        self._patterns = {one for one, count in patterns.items() if count >= _CODE_SHARE * len(kept)}
        self._years = sorted(year for value in kept if (year := _year(kind.meaning(value, printers[0][1]))) is not None)

    @property
    def description(self) -> str:
        """The format in words."""
        return f"{self._kind.name}: {_in_words(self._printers[0][0])}"

    @classmethod
    def find(cls, kind: Kind, counts: Mapping[str, int], shown: Sequence[str]) -> FormatOfKind | None:
        """The format of most values of a kind; None where most are of another kind, or no format is common enough."""
        said = {value: count for value, count in counts.items() if _says(kind, value)}
        if shown:
            if not all(_says(kind, value) for value in shown):
                return None
            judged = dict.fromkeys(shown, 1)
        else:
            if len(said) < _FEWEST or sum(said.values()) < _KIND_SHARE * sum(counts.values()):
                return None
            judged = dict(sorted(said.items(), key=lambda one: (-one[1], one[0]))[:_JUDGED])
        best, weight = _best_printers(kind, judged)
        if not best or weight < (1.0 if shown else kind.least_share) * sum(judged.values()):
            return None
        groups = _alike(kind, sorted({*said, *shown}))
        kept = frozenset(
            value for one, others in groups.items() if _keeps(kind, best[0], Taken(one)) for value in others
        )
        return cls(kind, said, best, kept) if shown or len(kept) >= _FEWEST else None

    def rewrite(self, value: str) -> Rewriting | None:
        """What becomes of a value; None where it says nothing of this kind."""
        if not _says(self._kind, value):
            return None
        order, deciding = self._order(value)
        if order is None:
            return Rewriting(None, None, "it can be read with the month first and with the day first")
        if self._invents_century(value):
            return Rewriting(None, None, "its year has two digits, and more than one century fits")
        taken, outputs = Taken(value), dict[str, SynthesizedProgram]()
        for program, usual in self._printers:
            made = _ordered(program, order).run(taken)
            if made is not None and self._says_the_same(value, order, made, usual):
                outputs.setdefault(made, program)
        if len(outputs) != 1:
            detail = "the format can be written in more than one way" if outputs else "it does not fit the format"
            return Rewriting(None, None, detail)
        ((output, program),) = outputs.items()
        if output == value:
            return None
        confidence = succession(len(self.kept)) * (succession(deciding) if deciding else 1.0)
        return Rewriting(output, round(confidence, 6), _in_words(program))

    def _order(self, value: str) -> tuple[str | None, int]:
        """How a value is read, and how many others show it, where others are needed."""
        meanings = {order: self._kind.meaning(value, order) for order in ORDERS}
        usual = {order for _, order in self._printers}
        first = next(order for order in ORDERS if order in usual)
        if meanings[MONTH_FIRST] == meanings[DAY_FIRST] or None in meanings.values():
            return (first if meanings[first] is not None else next(one for one in ORDERS if meanings[one])), 0
        orders = Counter(one for other in self._shapes[_shape(value)] if len(one := orders_of(other)) == 1)
        if len(orders) == 1:
            ((told, count),) = orders.items()
            return next(iter(told)), count
        if not orders and _shape(value) in self._kept_shapes and len(usual) == 1:
            return first, 0
        return None, 0

    def _invents_century(self, value: str) -> bool:
        """Whether a short year could be of two centuries among the column's years."""
        if self._kind.name != "date" or not year_is_short(value) or all(map(year_is_short, self.kept)):
            return False
        year = _year(self._kind.meaning(value, MONTH_FIRST) or self._kind.meaning(value, DAY_FIRST))
        fits = [year + more for more in (-100, 0, 100) if year and self._years[0] <= year + more <= self._years[-1]]
        return fits != [year]

    def _says_the_same(self, value: str, order: str, made: str, usual: str) -> bool:
        """Whether what was made means what the value means, and tells nothing that the value does not."""
        if self._kind.meaning(made, usual) != self._kind.meaning(value, order):
            return False
        if self._kind.name == "code":
            return self._splits_as(value, made)
        if self._kind.name in ("date", "time"):
            clock = value.count(":") >= made.count(":") or not made.count(":") or not value.count(":")
            return clock and (has_half(value) or not has_half(made) or _hour(self._kind.meaning(value, order)) > 12)
        return True

    def _splits_as(self, value: str, made: str) -> bool:
        """Whether a code of the usual pattern keeps every place at which the value is split.

        Long codes of digits may lose them all, as telephone numbers do; `1-234` and `12-34` are different.
        """
        if pattern_of(made) not in self._patterns:
            return False
        before, after = _splits(value), _splits(made)
        return before <= after or (not after and len(made) >= _JOINED_DIGITS)


class _Texts:
    """Blanks and case of a column whatever its values say."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        total = sum(counts.values())
        bare = {value: count for value, count in counts.items() if single_blanks(value) == value}
        weight = sum(bare.values())
        self._bare = weight if weight >= max(_FEWEST_TEXTS, _TEXT_SHARE * total) else 0
        letters = {value: count for value, count in bare.items() if any(map(str.isalpha, value))}
        self._case: str | None = None
        self._words: Counter[str] = Counter()
        for case in _CASES:
            kept = {value: count for value, count in letters.items() if changed(value, case) == value}
            if sum(kept.values()) >= max(_FEWEST_TEXTS, _TEXT_SHARE * sum(letters.values())):
                self._case = case
                for value, count in kept.items():
                    self._words.update(dict.fromkeys(value.split(), count))
                break

    def without_odd_blanks(self, value: str) -> Rewriting | None:
        """Single blanks and none at the ends, where the column has it so; line ends stay."""
        made = single_blanks(value)
        if not self._bare or made == value or not made:
            return None
        return Rewriting(made, round(succession(self._bare), 6), "the text with single blanks")

    def in_usual_case(self, value: str) -> Rewriting | None:
        """In the column's case, where other values have every one of its words so.

        Only for values that are throughout in another case: what is mixed, as `iPhone` is, may be meant.
        """
        made = changed(value, self._case) if self._case is not None and len(value) <= _LONGEST else None
        if made is None or made == value or made.casefold() != value.casefold():
            return None
        if value not in (value.upper(), value.lower(), value.title(), made.swapcase()):
            return None
        least = min(self._words[word] for word in made.split())
        if not least:
            return Rewriting(None, None, "no other value shows how its words are written")
        return Rewriting(made, round(succession(least), 6), f"the text {_CASE_WORDS[self._case or '']}")


def single_blanks(value: str) -> str:
    """A value without blanks at its ends and without two of them in a row."""
    return _BLANKS.sub(" ", value).strip()


Printer = tuple[SynthesizedProgram, str]
"""A program with the order in which it reads dates."""


def _alike(kind: Kind, values: Sequence[str]) -> dict[str, list[str]]:
    """Values by one of them that stands for all."""
    if not kind.by_pattern:
        return {value: [value] for value in values}
    groups: dict[str, list[str]] = defaultdict(list)
    for value in values:
        groups[pattern_of(value)].append(value)
    return {group[0]: group for group in groups.values()}


def _keeps(kind: Kind, printer: Printer, taken: Taken) -> bool:
    """Whether a program leaves a value as it is."""
    return printer[0].run(taken) == taken.text and kind.meaning(taken.text, printer[1]) is not None


def _best_printers(kind: Kind, judged: Mapping[str, int]) -> tuple[list[Printer], int]:
    """The programs, each with its order, that leave most values as they are, and how many values these are."""
    kept: dict[Printer, int] = {}
    weights = {
        Taken(one): sum(judged[value] for value in others) for one, others in _alike(kind, sorted(judged)).items()
    }
    for program in _programs(kind, judged):
        for order in ORDERS if kind.name == "date" else ORDERS[:1]:
            printer = _ordered(program, order), order
            if printer not in kept:
                kept[printer] = sum(count for taken, count in weights.items() if _keeps(kind, printer, taken))
    most = max(kept.values(), default=0)
    return [printer for printer, count in kept.items() if count == most], most


def _programs(kind: Kind, judged: Mapping[str, int]) -> Iterator[SynthesizedProgram]:
    """What makes values of the commonest shapes out of themselves."""
    shapes: dict[str, list[str]] = defaultdict(list)
    for value in sorted(judged):
        shapes[_shape(value)].append(value)
    weight = {shape: sum(judged[value] for value in values) for shape, values in shapes.items()}
    for shape in sorted(shapes, key=lambda one: (-weight[one], one))[:_SHAPES]:
        values = shapes[shape]
        some = values[:: max(1, len(values) // _EXAMPLES)][:_EXAMPLES]
        for allowed in kind.allowed:
            yield from Synthesis([(value, value) for value in some], allowed).programs


def _ordered(program: SynthesizedProgram, order: str) -> SynthesizedProgram:
    """The same program for dates that are read in this order."""
    atoms = tuple(
        replace(atom, arguments=(order, *atom.arguments[1:])) if atom.family == "date" else atom
        for atom in program.atoms
    )
    return replace(program, atoms=atoms)


def _in_words(program: SynthesizedProgram) -> str:
    """What a program writes; how the dates of its examples were read says nothing of others."""
    return _READ.sub("", program.description)


def _says(kind: Kind, value: str) -> bool:
    return any(kind.meaning(value, order) is not None for order in ORDERS)


def _shape(value: str) -> str:
    return collapsed(pattern_of(value))


def _splits(value: str) -> frozenset[int]:
    """After how many letters and digits a value is split."""
    return frozenset(list(accumulate(map(len, runs_of(value))))[:-1])


def _year(meaning: Hashable | None) -> int | None:
    return meaning[0][0] if isinstance(meaning, tuple) and isinstance(meaning[0], tuple) else None


def _hour(meaning: Hashable | None) -> int:
    """The hour of a moment or a time; 0 where there is none."""
    clock = meaning[1] if isinstance(meaning, tuple) and isinstance(meaning[0], tuple) else meaning
    return int(clock[0]) if isinstance(clock, tuple) else 0
