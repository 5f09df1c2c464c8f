"""One golden record for each entity: for every attribute the value to believe, who says so, and what lost.

Values that differ in case, blanks and punctuation alone are spellings of one value. What most tuples hold wins, and a
truncated or misspelled form supports the fuller one, so that it need not be outvoted. A person may say which values are
preferred: by a plain rule, or by a few examples, from which the comparison that explains all of them is inferred (the
consolidator of RPT, Tang et al., PVLDB 2021: "iPhone 12" rather than "iPhone 10" says that larger numbers win). Nothing
is invented and nothing is lost: the winner is a value that stands in a member, and all others are kept beside it.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from itertools import permutations

import regex
from rapidfuzz.distance import OSA

from model.errors import InputError, OptionError
from model.inference.spellings import moments
from model.tuples import Value

Score = Callable[[int, Sequence[str]], Sequence[float]]
"""How plausible values of an attribute are beside each other: larger is better, as a log-likelihood; all finite."""

MODEL_WEIGHT = 0.5
"""What a score counts beside the votes of all tuples together: it decides where they are nearly even."""

TRUNCATED_SUPPORT = 0.6
"""What a tuple that holds the beginning of a value counts for it, beside 1 for one that holds all of it."""

MISSPELLED_SUPPORT = 0.5
"""What a tuple that holds nearly the same value counts for it."""

_ALIKE = 0.85
_COMPARED = 50
"""Values of an attribute that may support one another, the most frequent ones; the others count for themselves."""

_READ_CHARACTERS = 10_000
"""A longer value has no other spellings and supports no other value."""

_COMPARED_CHARACTERS = 200
_LEAST_PREFIX = 3
_LEAST_SHARE = 0.6
_NUMBER_CHARACTERS = 200
_RULE_DIGITS = 10
_MARKS = regex.compile(r"[[\p{P}\p{Z}\p{C}]--[#%&@]]+", regex.V1)
_WORD = regex.compile(r"\w+")
_NUMBER = regex.compile(r"(?:(?<![\w.])[-+])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")


class Reason(StrEnum):
    """What decided: the first of these in which the winner differs from the best other value.

    MISSING: no tuple has a value. ONLY_VALUE: no other value. PREFERENCE: a rule or examples. FREQUENCY: more tuples
    hold it. MODEL: the score, against or without the votes. RECENCY: it stands in the newer tuple. COMPLETENESS: it is
    the fuller form. TIE: nothing tells them apart, and the first in the order of text is taken.
    """

    MISSING = "missing"
    ONLY_VALUE = "only_value"
    PREFERENCE = "preference"
    FREQUENCY = "frequency"
    MODEL = "model"
    RECENCY = "recency"
    COMPLETENESS = "completeness"
    TIE = "tie"


@dataclass(frozen=True, slots=True)
class Preference:
    """A rule about one attribute.

    Attributes:
        rule: `newest`, `oldest` (dates), `largest`, `smallest` (numbers), `longest`, `shortest`, `most_words`,
            `fewest_words`, `most_frequent`, `table:1` (values of that table), or `newest:3` (the value of the tuple
            with the newest date in attribute 3). A value that it cannot read loses to one that it can; what it does
            not tell apart is chosen as without it.
    """

    attribute: int
    rule: str


@dataclass(frozen=True, slots=True)
class PreferenceExample:
    """Two values of one attribute, and which of them a person would keep."""

    attribute: int
    preferred: str
    other: str


@dataclass(frozen=True, slots=True)
class ConsolidationOptions:
    """Options of one consolidation.

    Attributes:
        preferences: at most one rule for each attribute; it comes before what examples say.
        examples: a comparison holds for an attribute if it explains all examples of it.
        date_attribute: the attribute that dates a tuple; among values as frequent as each other the newest wins.
        score: weighed in with MODEL_WEIGHT; asked once for each attribute with several values.
    """

    preferences: tuple[Preference, ...] = ()
    examples: tuple[PreferenceExample, ...] = ()
    date_attribute: int | None = None
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class LosingValue:
    """A value that was not chosen; `agrees` if it is but another spelling of the one that was."""

    value: str
    members: tuple[int, ...]
    agrees: bool


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the value of one attribute comes from.

    Attributes:
        members: the tuples that hold the value or another spelling of it, ascending.
        confidence: 1 where there is no other value and for a rule; (n + 1) / (n + 2) for a comparison that explains n
            examples; else the part of the tuples that hold it or support it, with the score weighed in; 0 if missing.
        detail: the comparison that was used, or that none explains the examples.
        losing: all other values, those with most tuples first.
    """

    attribute: int
    value: Value
    members: tuple[int, ...]
    reason: Reason
    confidence: float
    detail: str | None
    losing: tuple[LosingValue, ...]


@dataclass(frozen=True, slots=True)
class GoldenRecord:
    """One tuple for all members; `values[i]` and `provenance[i]` belong to attribute i."""

    values: tuple[Value, ...]
    provenance: tuple[Provenance, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """Spellings of one value, each with the tuples that hold it.

    Attributes:
        best: the usual spelling.
        key: letters, digits and symbols alone.
        words: of the usual spelling, in small letters.
        numbers: those of the words that have a digit.
    """

    key: str
    best: str
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    spellings: Mapping[str, tuple[int, ...]]

    @property
    def members(self) -> tuple[int, ...]:
        return tuple(sorted(member for members in self.spellings.values() for member in members))

    @property
    def count(self) -> int:
        return sum(map(len, self.spellings.values()))


@dataclass(frozen=True, slots=True)
class _Choice:
    """A value with all that ranks it, most important first; the larger wins."""

    value: str
    group: _Group
    preference: tuple[float, ...]
    belief: float
    recency: float
    completeness: int
    spelling: tuple[int, bool, bool, int]

    def rank(self) -> tuple[object, ...]:
        return self.preference, self.belief, self.recency, self.completeness, self.spelling


@dataclass(frozen=True, slots=True)
class _Comparison:
    """How values of an attribute are preferred: larger keys win, None is not comparable."""

    name: str
    key: Callable[[_Group, str], float | None]


@dataclass(frozen=True, slots=True)
class _Wish:
    """The comparisons of one attribute, most important first, and how sure and why they hold."""

    comparisons: tuple[_Comparison, ...] = ()
    confidence: float = 1.0
    detail: str | None = None


class Consolidator:
    """Golden records of entities whose tuples are all known.

    Args:
        attributes: their names.
        tuples: all tuples, each as long as `attributes`.
        tables: the table of each tuple; None where there is only one.

    Raises:
        InputError: a tuple of another length, or as many tables as there are not tuples.
        OptionError: an attribute out of range, an unknown rule, or two rules for one attribute.
    """

    def __init__(
        self,
        attributes: Sequence[str],
        tuples: Sequence[tuple[Value, ...]],
        tables: Sequence[int] | None = None,
        options: ConsolidationOptions | None = None,
    ) -> None:
        self._width = len(attributes)
        self._tuples = tuples
        self._tables = tables
        self._options = options or ConsolidationOptions()
        self._moments: dict[int, dict[str, float]] = {}
        for tuple_id, values in enumerate(tuples):
            if len(values) != self._width:
                raise InputError(f"a tuple has {len(values)} values, not {self._width}", tuple_id=tuple_id)
        if tables is not None and len(tables) != len(tuples):
            raise InputError(f"{len(tuples)} tuples need as many tables, not {len(tables)}")
        self._check(self._options)
        self._wishes = [self._wish(attribute) for attribute in range(self._width)]

    def consolidate(self, members: Iterable[int]) -> GoldenRecord:
        """The golden record of some tuples, at least one; their order changes nothing.

        Raises:
            InputError: no members, one that is no tuple, or a score that is not one finite number for each value.
        """
        own = sorted(set(members))
        if not own or own[0] < 0 or own[-1] >= len(self._tuples):
            raise InputError(f"members are one or more of the {len(self._tuples)} tuples")
        provenance = tuple(self._provenance(attribute, own) for attribute in range(self._width))
        return GoldenRecord(tuple(one.value for one in provenance), provenance)

    def _provenance(self, attribute: int, members: Sequence[int]) -> Provenance:
        groups = _groups((self._tuples[member][attribute], member) for member in members)
        wish = self._wishes[attribute]
        if not groups:
            return Provenance(attribute, None, (), Reason.MISSING, 0.0, None, ())
        choices = self._choices(attribute, groups, wish)
        best = choices[0]
        reason = _reason(choices)
        confidence = {Reason.ONLY_VALUE: 1.0, Reason.PREFERENCE: wish.confidence}.get(reason, best.belief)
        losing = (
            LosingValue(value, holders, group is best.group)
            for group in groups
            for value, holders in group.spellings.items()
            if value != best.value
        )
        detail = wish.detail if reason is Reason.PREFERENCE or not wish.comparisons else None
        return Provenance(
            attribute,
            best.value,
            best.group.members,
            reason,
            round(confidence, 6),
            detail,
            tuple(sorted(losing, key=lambda one: (-len(one.members), one.value))),
        )

    def _choices(self, attribute: int, groups: Sequence[_Group], wish: _Wish) -> list[_Choice]:
        """All values, best first."""
        beliefs = _supports(groups)
        if self._options.score is not None and len(groups) > 1:
            scored = _scored(self._options.score, attribute, groups)
            beliefs = [
                (belief + MODEL_WEIGHT * share) / (1 + MODEL_WEIGHT)
                for belief, share in zip(beliefs, scored, strict=True)
            ]
        choices = [
            _Choice(
                value,
                group,
                tuple(_or_least(comparison.key(group, value)) for comparison in wish.comparisons),
                round(belief, 9),
                _or_least(self._newest(self._options.date_attribute, group)),
                len(group.key),
                _spelling_rank(value, len(holders)),
            )
            for group, belief in zip(groups, beliefs, strict=True)
            for value, holders in group.spellings.items()
        ]
        choices.sort(key=lambda choice: choice.value)
        choices.sort(key=_Choice.rank, reverse=True)  # stable: the first text among equals
        return choices

    # Preferences ---------------------------------------------------------------------------------------

    def _check(self, options: ConsolidationOptions) -> None:
        named = [*((one.attribute, "preferences") for one in options.preferences)]
        named += [(one.attribute, "examples") for one in options.examples]
        named += [(options.date_attribute, "date_attribute")] if options.date_attribute is not None else []
        for attribute, field in named:
            if not 0 <= attribute < self._width:
                raise OptionError(f"attribute {attribute} is not one of the {self._width}", field=field)
        ruled = [one.attribute for one in options.preferences]
        if len(set(ruled)) < len(ruled):
            raise OptionError("an attribute has two rules", field="preferences")

    def _wish(self, attribute: int) -> _Wish:
        """What the rule and the examples of one attribute ask for."""
        rule = next((one.rule for one in self._options.preferences if one.attribute == attribute), None)
        examples = sorted({(one.preferred, one.other) for one in self._options.examples if one.attribute == attribute})
        inferred = self._inferred(attribute, examples) if examples else _Wish()
        if rule is None:
            return inferred
        return _Wish((self._ruled(attribute, rule), *inferred.comparisons), 1.0, rule)

    def _inferred(self, attribute: int, examples: Sequence[tuple[str, str]]) -> _Wish:
        """All comparisons that explain every example, the likeliest meaning first."""
        read = self._values_and(attribute, examples)
        comparisons = [self._comparison(name, read) for name in _inferable(examples)]
        comparisons += [self._from_table(table, attribute) for table in sorted(set(self._tables or ()))]
        explaining = tuple(one for one in comparisons if all(_explains(one, *example) for example in examples))
        if not explaining:
            return _Wish(detail="no comparison explains the examples")
        detail = f"{', '.join(one.name for one in explaining)}: explains {len(examples)} examples"
        return _Wish(explaining, (len(examples) + 1) / (len(examples) + 2), detail)

    def _ruled(self, attribute: int, rule: str) -> _Comparison:
        name, _, digits = rule.partition(":")
        number = int(digits) if digits.isdecimal() and len(digits) < _RULE_DIGITS else -1
        if rule in _KEYS or rule in ("newest", "oldest"):
            return self._comparison(rule, self._dates(attribute) if rule in ("newest", "oldest") else {})
        if name == "table" and number >= 0 and self._tables is not None:
            return self._from_table(number, attribute)
        if name == "newest" and 0 <= number < self._width:
            return _Comparison(rule, lambda group, _: self._newest(number, group))
        raise OptionError(f"there is no rule {rule[:40]!r} here", field="preferences")

    def _comparison(self, name: str, dates: Mapping[str, float]) -> _Comparison:
        if name in ("newest", "oldest"):
            sign = 1 if name == "newest" else -1
            return _Comparison(name, lambda _, value: sign * dates[value] if value in dates else None)
        return _Comparison(name, _KEYS[name])

    def _from_table(self, table: int, attribute: int) -> _Comparison:
        """Prefers what stands in one table; between two values of an example, what stands there alone."""

        def key(group: _Group, value: str) -> float | None:
            members = group.members or self._holders(attribute).get(value, ())
            return float(any(self._table(one) == table for one in members)) if members else None

        return _Comparison(f"table:{table}", key)

    def _holders(self, attribute: int) -> Mapping[str, Sequence[int]]:
        """The tuples that hold each value of an attribute that has examples."""
        if attribute not in self._held:
            held: dict[str, list[int]] = {}
            wanted = {text for one in self._options.examples for text in (one.preferred, one.other)}
            for member, values in enumerate(self._tuples):
                value = values[attribute]
                if value in wanted and value is not None:
                    held.setdefault(value, []).append(member)
            self._held[attribute] = held
        return self._held[attribute]

    @cached_property
    def _held(self) -> dict[int, Mapping[str, Sequence[int]]]:
        return {}

    def _table(self, member: int) -> int | None:
        return self._tables[member] if self._tables is not None else None

    def _dates(self, attribute: int) -> Mapping[str, float]:
        if attribute not in self._moments:
            self._moments[attribute] = moments(values[attribute] or "" for values in self._tuples)
        return self._moments[attribute]

    def _values_and(self, attribute: int, examples: Sequence[tuple[str, str]]) -> Mapping[str, float]:
        """Dates of the attribute's values and of examples, which need not stand in the table."""
        texts = {text for example in examples for text in example}
        return moments([*(values[attribute] or "" for values in self._tuples), *texts])

    def _newest(self, attribute: int | None, group: _Group) -> float | None:
        if attribute is None:
            return None
        dates = self._dates(attribute)
        found = (dates.get(self._tuples[member][attribute] or "") for member in group.members)
        return max((one for one in found if one is not None), default=None)


# Comparisons ------------------------------------------------------------------------------------------


def _number(sign: int, _: _Group, value: str) -> float | None:
    """The number in a value that holds exactly one."""
    found = _NUMBER.findall(value) if len(value) <= _NUMBER_CHARACTERS else []
    return sign * float(found[0].replace(",", "")) if len(found) == 1 else None


def _length(sign: int, _: _Group, value: str) -> float:
    return sign * len(value.strip())


def _word_count(sign: int, _: _Group, value: str) -> float:
    return sign * len(value.split())


_KEYS: dict[str, Callable[[_Group, str], float | None]] = {
    "largest": partial(_number, 1),
    "smallest": partial(_number, -1),
    "longest": partial(_length, 1),
    "shortest": partial(_length, -1),
    "most_words": partial(_word_count, 1),
    "fewest_words": partial(_word_count, -1),
    "most_frequent": lambda group, _: group.count,
}
_BY_SIZE = ("largest", "smallest")
_BY_LENGTH = ("longest", "shortest", "most_words", "fewest_words")


def _inferable(examples: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Comparisons that examples can mean, likeliest first: numbers before lengths where only digits differ."""
    alike = all(_NUMBER.sub("0", one) == _NUMBER.sub("0", other) for one, other in examples)
    sizes, lengths = (_BY_SIZE, _BY_LENGTH) if alike else (_BY_LENGTH, _BY_SIZE)
    return ("newest", "oldest", *sizes, *lengths)


def _explains(comparison: _Comparison, preferred: str, other: str) -> bool:
    better, worse = comparison.key(_NOBODY, preferred), comparison.key(_NOBODY, other)
    return better is not None and worse is not None and better > worse


_NOBODY = _Group("", "", (), (), {})
"""The group of a value that stands in an example only."""


def _or_least(key: float | None) -> float:
    return -math.inf if key is None else key


# Groups -----------------------------------------------------------------------------------------------


def _groups(cells: Iterable[tuple[Value, int]]) -> list[_Group]:
    """Values by what they mean, missing ones left out, in the order of their keys."""
    holders: dict[str, list[int]] = {}
    for value, member in cells:
        if value:
            holders.setdefault(value, []).append(member)
    by_key: dict[str, dict[str, tuple[int, ...]]] = {}
    for value in sorted(holders):
        by_key.setdefault(_key(value), {})[value] = tuple(sorted(holders[value]))
    return [_group(key, spellings) for key, spellings in sorted(by_key.items())]


def _group(key: str, spellings: Mapping[str, tuple[int, ...]]) -> _Group:
    best = max(spellings, key=lambda value: _spelling_rank(value, len(spellings[value])))  # of equals the first text
    words = tuple(_WORD.findall(best.casefold())) if len(best) <= _COMPARED_CHARACTERS else ()
    return _Group(key, best, words, tuple(word for word in words if any(map(str.isdigit, word))), spellings)


def _key(value: str) -> str:
    """Letters, digits and symbols in small letters; marks that make a number another number stay."""
    if len(value) > _READ_CHARACTERS:
        return value
    text = unicodedata.normalize("NFC", value.casefold())
    return _MARKS.sub(lambda found: _kept(text, found.start(), found.end()), text) or value.strip() or value


def _kept(text: str, start: int, end: int) -> str:
    """What stays of the marks between two characters: `1.5` is not 15, 10-12 not 1012, and -5 not 5."""
    marks, after = text[start:end], text[end : end + 1].isdigit()
    if start and text[start - 1].isdigit() and after:
        return marks if marks in (".", ",", ":") else " "
    is_sign = after and marks[-1] in "-." and not (start and text[start - 1].isalnum())
    return marks[-1] if is_sign else ""


def _spelling_rank(value: str, count: int) -> tuple[int, bool, bool, int]:
    """The commonest spelling, without odd blanks and control characters, in mixed case, the longest."""
    tidy = len(value) <= _READ_CHARACTERS and value == " ".join(value.split()) and value.isprintable()
    return count, tidy, not (value.islower() or value.isupper()), len(value)


def _supports(groups: Sequence[_Group]) -> list[float]:
    """The part of the tuples that hold or support each value; forms that support each other count in part."""
    total = sum(group.count for group in groups)
    support = [float(group.count) for group in groups]
    compared = sorted(range(len(groups)), key=lambda place: (-groups[place].count, groups[place].key))[:_COMPARED]
    for place, other in permutations(sorted(compared), 2):
        support[place] += groups[other].count * _support(groups[other], groups[place])
    return [min(1.0, one / total) for one in support]


def _support(other: _Group, group: _Group) -> float:
    """What each tuple of `other` counts for `group`: as its beginning, or as nearly the same."""
    if max(len(other.best), len(group.best)) > _READ_CHARACTERS:
        return 0.0
    if _is_beginning(other, group):
        return TRUNCATED_SUPPORT
    if max(len(other.best), len(group.best)) > _COMPARED_CHARACTERS or _is_beginning(group, other):
        return 0.0
    if other.numbers != group.numbers:
        return 0.0
    if sorted(other.words) == sorted(group.words):
        return MISSPELLED_SUPPORT
    similarity = OSA.normalized_similarity(other.key, group.key, score_cutoff=_ALIKE)
    return MISSPELLED_SUPPORT if similarity >= _ALIKE else 0.0


def _is_beginning(short: _Group, full: _Group) -> bool:
    """Whether a value is the other, broken off: between words, or late, and not within a number."""
    length = len(short.key)
    if not _LEAST_PREFIX <= length < len(full.key) or not full.key.startswith(short.key):
        return False
    if short.key[-1].isdigit() and (full.key[length].isdigit() or full.key[length] in ".,:"):
        return False
    whole = bool(short.words) and short.words == full.words[: len(short.words)]
    return whole or length >= _LEAST_SHARE * len(full.key)


def _scored(score: Score, attribute: int, groups: Sequence[_Group]) -> list[float]:
    """The score's share for each value, all together 1."""
    scores = [float(one) for one in score(attribute, [group.best for group in groups])]
    if len(scores) != len(groups) or not all(map(math.isfinite, scores)):
        raise InputError("a score is one finite number for each value", attribute=attribute)
    powers = [math.exp(one - max(scores)) for one in scores]
    return [power / sum(powers) for power in powers]


def _reason(choices: Sequence[_Choice]) -> Reason:
    """In what the best differs from the best value of another group; where there is none, from its next spelling."""
    best = choices[0]
    if len(choices) == 1:
        return Reason.ONLY_VALUE
    rival = next((choice for choice in choices if choice.group is not best.group), choices[1])
    if best.preference != rival.preference:
        return Reason.PREFERENCE
    if best.belief != rival.belief:
        return _reason_of_belief(best.group, rival.group)
    if best.recency != rival.recency:
        return Reason.RECENCY
    if best.completeness == rival.completeness and best.spelling[0] != rival.spelling[0]:
        return Reason.FREQUENCY
    return Reason.COMPLETENESS if best.rank() != rival.rank() else Reason.TIE


def _reason_of_belief(best: _Group, rival: _Group) -> Reason:
    """The votes, or the forms that support the winner, or else it was the score."""
    if best.count > rival.count:
        return Reason.FREQUENCY
    own, others = _supports((best, rival))
    return Reason.COMPLETENESS if own > others else Reason.MODEL
