"""The records of one table, or of two to be linked, in one numbering with their attributes aligned.

Records are put in the order of their content and attributes in the order of their names, so that nothing that is
computed of them depends on the order in which they came. Records that hold the same are interchangeable.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.inference.columns import Column, Floats, Ints, number_of
from model.tuples import RecordPlace, Relation, Value

_WORD = re.compile(r"[^\W_]+")
_CODE_PART = re.compile(r"\w+(?:[.\-/]\w+)*")
_SEPARATOR = re.compile(r"[\W_]+")
_NUMERIC_SHARE = 0.9
_EXACT = 2.0**53
READ_CHARACTERS = 1000
"""Of a value so much is compared."""


@dataclass(frozen=True)
class Records:
    """Records of one relation or two.

    Attributes:
        attributes: the aligned attributes' names, folded, in their order.
        names: the same as they are written in the first relation that has them.
        values: (records, attributes); None where a value is missing, or the relation lacks the attribute.
        sides: which relation each record is from, int64 (records,).
        places: where each record stands.
        is_link: whether two relations are linked, be one of them empty; else one is deduplicated.
    """

    attributes: tuple[str, ...]
    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    sides: Ints
    places: tuple[RecordPlace, ...]
    is_link: bool

    @classmethod
    def of(cls, relations: Sequence[Relation]) -> Records:
        """Align the attributes of `relations` by name, without regard to case, blanks and punctuation.

        Where two attributes of one relation differ in no more than that, those names are taken to the letter in both
        relations. A value of blanks alone is missing.
        """
        told_apart = {name for relation in relations for name in _ambiguous(relation.attributes)}
        keyed = [[_key(name, told_apart) for name in relation.attributes] for relation in relations]
        written: dict[str, str] = {}
        for relation, keys in zip(relations, keyed, strict=True):
            for key, name in zip(keys, relation.attributes, strict=True):
                written.setdefault(key, name)
        names = sorted(written)
        found: list[tuple[int, tuple[Value, ...], RecordPlace]] = []
        for side, (relation, keys) in enumerate(zip(relations, keyed, strict=True)):
            places = {key: attribute for attribute, key in enumerate(keys)}
            columns = [places.get(name) for name in names]
            for tuple_id, row in enumerate(relation.tuples):
                held = tuple(
                    row[attribute] if attribute is not None and _holds(row[attribute]) else None
                    for attribute in columns
                )
                found.append((side, held, RecordPlace(side, tuple_id)))
        found.sort(key=lambda one: (one[0], [value or "" for value in one[1]], one[2].tuple_id))
        sides = np.array([side for side, _, _ in found], dtype=np.int64)
        shown = tuple(written[name] for name in names)
        values, where = tuple(held for _, held, _ in found), tuple(place for _, _, place in found)
        return cls(tuple(names), shown, values, sides, where, len(relations) > 1)

    def __len__(self) -> int:
        return len(self.values)

    def attribute(self, name: str) -> int | None:
        """The place of the attribute that some relation calls `name`, to the letter or but for case, blanks and
        punctuation; None where there is none."""
        keys = (key for key in (_key(name, (folded(name),)), folded(name)) if key in self.attributes)
        return next((self.attributes.index(key) for key in keys), None)

    @cached_property
    def texts(self) -> list[str]:
        """Each record's values in one line, folded; what is missing leaves no trace."""
        return [" ".join(value[:READ_CHARACTERS] for value in row if value).casefold() for row in self.values]

    def attribute_texts(self, attribute: int) -> list[str]:
        """The values of one attribute, folded; the empty string where there is none."""
        return [(row[attribute] or "")[:READ_CHARACTERS].casefold() for row in self.values]

    @cached_property
    def columns(self) -> list[Column]:
        """The values by attribute."""
        return [Column([row[attribute] for row in self.values]) for attribute in range(len(self.attributes))]

    @cached_property
    def contents(self) -> Ints:
        """A number for what each record holds, the same for records that hold the same, int64 (records,)."""
        number: dict[tuple[Value, ...], int] = {}
        return np.array([number.setdefault(row, len(number)) for row in self.values], dtype=np.int64)

    def numbers(self, attribute: int) -> Floats | None:
        """The values of an attribute of numbers, NaN where there is none; None for any other attribute.

        Whole numbers that a float does not hold exactly, such as those of cards and accounts, are no numbers here.
        """
        column = self.columns[attribute]
        numbers = np.array([number_of(value) for value in column.distinct], dtype=np.float64)
        numbers[np.abs(numbers) >= _EXACT] = np.nan
        known = int(column.counts[~np.isnan(numbers)].sum())
        if not known or known < _NUMERIC_SHARE * column.present:
            return None
        return np.append(numbers, np.nan)[column.codes]


def folded(name: str) -> str:
    """A name without differences of case, blanks and punctuation; one that has nothing else keeps its punctuation."""
    return _SEPARATOR.sub(" ", name.casefold()).strip() or name.strip()


def _ambiguous(names: Sequence[str]) -> set[str]:
    """Folded names that more than one of the names has."""
    return {name for name, count in Counter(folded(name) for name in names).items() if count > 1}


def _key(name: str, told_apart: Collection[str]) -> str:
    """What an attribute is aligned by: its folded name, and to the letter where that name is ambiguous."""
    return f"{folded(name)}\x1f{name}" if folded(name) in told_apart else folded(name)


def words(text: str) -> list[str]:
    """The words and numbers of a folded text, in order."""
    return _WORD.findall(text)


def codes(text: str) -> set[str]:
    """What may be model numbers or other codes in a folded text: with a digit, and a letter or four characters."""
    return set(words_of_codes(text))


def words_of_codes(text: str) -> dict[str, tuple[str, ...]]:
    """The codes of a folded text without blanks and punctuation, each with the words it is written in."""
    parts = {_SEPARATOR.sub("", part): part for part in _CODE_PART.findall(text) if _has_digit(part)}
    return {code: tuple(words(part)) for code, part in parts.items()
            if len(code) >= 3 and (len(code) > 3 or not code.isdigit())}  # fmt: skip


def squash(text: str) -> str:
    """A folded text without blanks and punctuation."""
    return _SEPARATOR.sub("", text)


def _holds(value: Value) -> bool:
    return value is not None and bool(value) and not value.isspace()


def _has_digit(text: str) -> bool:
    return not text.isalpha() and any(map(str.isdigit, text))
