"""Programs by example: sequences of atoms that make the output of every example.

The search goes through all outputs at the same time (Gulwani, POPL 2011, made a program for each example and
intersected them): a state is how far each output is written, an atom leads on where its values come next in every
output, and so does a fixed text. The cheapest programs come first; what is bounded is counted work, never time.
"""

from __future__ import annotations

import heapq
import os.path
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from operator import itemgetter

from model.inference.atoms import FAMILIES, UNCHANGED, Atom, Taken, changed, changes, proportion_atoms, shared_words

PROGRAMS = 12
"""Programs that are kept."""

SEARCHED = 8
"""Examples that a program is searched on; it is checked on all."""

_STATES = 6000
_LEADS = 60_000
_WAYS = 5
_SAME = 6
_SAME_FAMILY = 3
_MOST_ATOMS = 7
_LONGEST_OUTPUT = 300
_ATOM_COST = 0.35
_FIXED_LETTER, _FIXED_MARK, _FIXED_START = 1.1, 0.35, 0.35

Example = tuple[str, str]
Places = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SynthesizedProgram:
    """Atoms whose values, one behind the other, are the output."""

    atoms: tuple[Atom, ...]
    cost: float

    @property
    def description(self) -> str:
        """What it does, in words."""
        return " + ".join(atom.description for atom in self.atoms)

    @property
    def fixed_characters(self) -> int:
        """Letters and digits that it writes whatever the input is."""
        fixed = [str(atom.arguments[0]) for atom in self.atoms if atom.family == "text"]
        return sum(character.isalnum() for text in fixed for character in text)

    def run(self, taken: Taken) -> str | None:
        """The output of a text; None where one of its atoms finds nothing."""
        made = []
        for atom in self.atoms:
            value = taken.value(atom)
            if value is None:
                return None
            made.append(value)
        return "".join(made)


@dataclass(frozen=True, slots=True)
class AllowedAtoms:
    """Atoms that programs may have, beside fixed texts: of some families, and of these such that `allows` says."""

    families: tuple[str, ...]
    allows: Callable[[Atom], bool] = lambda _: True


_ALL = AllowedAtoms((*FAMILIES, "proportion"))


class Synthesis:
    """The programs that explain some examples.

    Args:
        allowed: which atoms a program may have.

    Attributes:
        examples: distinct examples in an order of their own.
    """

    def __init__(self, examples: Sequence[Example], allowed: AllowedAtoms = _ALL) -> None:
        self.examples = sorted(set(examples))
        self._allowed = allowed
        self._anchors = shared_words(text for text, _ in self.examples)

    @cached_property
    def programs(self) -> tuple[SynthesizedProgram, ...]:
        """The cheapest programs that make every output of its input, cheapest first."""
        if not self.examples or any(not output or len(output) > _LONGEST_OUTPUT for _, output in self.examples):
            return ()
        searched = self.examples[:SEARCHED]
        taken = [self.take(text) for text, _ in searched]
        steps = _Steps(taken, [output for _, output in searched], self._allowed)
        others = [(self.take(text), output) for text, output in self.examples[SEARCHED:]]
        fits = (one for one in _search(steps) if all(one.run(text) == output for text, output in others))
        return tuple(one for one, _ in zip(fits, range(PROGRAMS), strict=False))

    def take(self, text: str) -> Taken:
        """A text, ready for these programs."""
        return Taken(text, self._anchors)


class _Steps:
    """What can be written next."""

    def __init__(self, taken: Sequence[Taken], outputs: Sequence[str], allowed: AllowedAtoms) -> None:
        self.outputs = outputs
        self._by_first: dict[str, list[tuple[float, tuple[str, ...], Atom]]] = defaultdict(list)
        self._longest = 0
        seen: dict[tuple[str, ...], list[tuple[float, Atom]]] = defaultdict(list)
        proportions = proportion_atoms(taken, outputs) if "proportion" in allowed.families else ()
        for values, cost, atom in (*_all_atoms(taken, allowed), *proportions):
            if all(value in output for value, output in zip(values, outputs, strict=True)):
                seen[values].append((cost, atom))
        for values, ways in seen.items():
            self._by_first[values[0]] += [(cost, values, atom) for cost, atom in _different(ways)]
            self._longest = max(self._longest, len(values[0]))

    def after(self, places: Places, fixed: bool) -> Iterator[tuple[float, Places, Atom]]:
        """Atoms that lead on from a state, and fixed texts unless the last step was one."""
        first, start = self.outputs[0], places[0]
        for end in range(start + 1, min(len(first), start + self._longest) + 1):
            for cost, values, atom in self._by_first.get(first[start:end], ()):
                if all(
                    output.startswith(value, place)
                    for output, value, place in zip(self.outputs, values, places, strict=True)
                ):
                    reached = tuple(place + len(value) for place, value in zip(places, values, strict=True))
                    yield cost + _ATOM_COST, reached, atom
        if fixed:
            return
        text, cost = "", _FIXED_START
        for character in self._shared(places):
            text += character
            cost += _FIXED_LETTER if character.isalnum() else _FIXED_MARK
            yield cost, tuple(place + len(text) for place in places), Atom("text", (text,))

    def _shared(self, places: Places) -> str:
        """What all outputs have in common from here on."""
        return os.path.commonprefix([output[place:] for output, place in zip(self.outputs, places, strict=True)])


def _different(ways: Sequence[tuple[float, Atom]]) -> list[tuple[float, Atom]]:
    """The cheapest ways to make the same, few of a family: many factors would leave no room for a rounding."""
    kept: list[tuple[float, Atom]] = []
    families: dict[str, int] = defaultdict(int)
    for cost, atom in sorted(ways, key=itemgetter(0)):
        if len(kept) < _SAME and families[atom.family] < _SAME_FAMILY:
            kept.append((cost, atom))
            families[atom.family] += 1
    return kept


def _all_atoms(taken: Sequence[Taken], allowed: AllowedAtoms) -> Iterator[tuple[tuple[str, ...], float, Atom]]:
    """Every allowed atom that finds something in all texts, with its values."""
    for family in (family for family in FAMILIES if family in allowed.families):
        found = [one.family(family) for one in taken]
        for arguments, (_, cost) in found[0].items():
            if any(arguments not in one for one in found[1:]):
                continue
            values = tuple(one[arguments][0] for one in found)
            for change, dear in changes():
                if change and family in UNCHANGED:
                    break
                made = [changed(value, change) for value in values]
                if change and all(one == value for one, value in zip(made, values, strict=True)):
                    continue
                atom = Atom(family, arguments, change)
                if all(made) and allowed.allows(atom):
                    yield tuple(one for one in made if one), cost + dear, atom


def _search(steps: _Steps) -> Iterator[SynthesizedProgram]:
    """Programs from the cheapest on (Dijkstra with a few ways to each state)."""
    goal = tuple(len(output) for output in steps.outputs)
    start = tuple(0 for _ in steps.outputs)
    numbers = count()  # among equally dear ways the one that was found first
    waiting: list[tuple[float, int, tuple[Atom, ...], Places]] = [(0.0, next(numbers), (), start)]
    ways: dict[tuple[Places, bool], int] = defaultdict(int)
    taken = 0
    for _ in range(_STATES):
        if not waiting or taken > _LEADS:
            return
        cost, _, atoms, places = heapq.heappop(waiting)
        if places == goal:
            yield SynthesizedProgram(atoms, cost)
            continue
        fixed = bool(atoms) and atoms[-1].family == "text"
        if ways[places, fixed] >= _WAYS or len(atoms) >= _MOST_ATOMS:
            continue
        ways[places, fixed] += 1
        for dear, reached, atom in steps.after(places, fixed):
            taken += 1
            if ways[reached, atom.family == "text"] < _WAYS:
                heapq.heappush(waiting, (round(cost + dear, 6), next(numbers), (*atoms, atom), reached))
