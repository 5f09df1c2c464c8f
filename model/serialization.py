"""A tuple and its context as encoder input: ids, and for each id its position, column and role.

    [T]  [A] name [V] value  [A] name [V] value …   [T] [V] value [=] …   [T] …
    └ target tuple, role 1 ───────────────────────┘ └ context 1, role 2 ┘

RPT (PVLDB 14(8), section 2) serializes `[A] name [V] value`; three things are ours. A position counts
within its cell and every `[V]` stands at the same position, so the order of attributes changes nothing.
A context tuple leaves the names out, because its column ids already say them. A context value equal to
the target's is the one token `[=]`: agreement is then a mark to look for, not a string to compare, and
a neighbour costs a fifth of its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.config import ModelConfig
from model.tokenizer import SpecialToken, TupleTokenizer

TARGET_ROLE = 1


class Mask:
    """Stands where a value or a name is hidden; a class of its own, so no text can be mistaken for it."""

    __slots__ = ("prefix", "suffix")

    def __init__(self, prefix: str = "", suffix: str = "") -> None:
        self.prefix = prefix
        self.suffix = suffix


Part = str | Mask | None
"""What a serialized name or value is made from: text, a mask (with the text left around it), or missing."""


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """One example for the encoder; the four arrays are int32 of shape (length,).

    Attributes:
        value_index: for each attribute of the target, the index of its `[V]` marker; -1 where it is not read.
        context_index: the same for each context tuple, shape (context tuples, attributes).
        column_ids: the column id that each attribute was given; a decoder query names an attribute by it.
    """

    ids: np.ndarray
    positions: np.ndarray
    columns: np.ndarray
    roles: np.ndarray
    value_index: np.ndarray
    context_index: np.ndarray
    column_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


class _Writer:
    """Collects tokens with their position, column and role."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.columns: list[int] = []
        self.roles: list[int] = []

    def write(self, ids: Sequence[int], position: int, column: int, role: int) -> int:
        """Append `ids` at consecutive positions; gives the index of the first."""
        start = len(self.ids)
        self.ids.extend(ids)
        self.positions.extend(range(position, position + len(ids)))
        self.columns.extend([column] * len(ids))
        self.roles.extend([role] * len(ids))
        return start


class TupleSerializer:
    """Turns tuples into encoder inputs and values into decoder targets, with one tokenizer and config."""

    def __init__(self, tokenizer: TupleTokenizer, config: ModelConfig) -> None:
        self.tokenizer = tokenizer
        self.config = config

    def part_ids(self, part: Part, limit: int) -> list[int]:
        """Ids of a name or a value, cut to `limit`; `[CUT]` ends what was cut."""
        if isinstance(part, Mask):
            head = self.tokenizer.encode(part.prefix) if part.prefix else ()
            tail = self.tokenizer.encode(part.suffix) if part.suffix else ()
            head = head[max(0, len(head) + 2 - limit) :]  # a cut at the end must not reach the mask
            ids = [*head, SpecialToken.MASK, *tail]
        elif part:
            ids = list(self.tokenizer.encode(part[: limit * 24]))
        else:
            ids = [SpecialToken.NULL]
        return [*ids[: limit - 1], SpecialToken.CUT] if len(ids) > limit else ids

    def serialize(
        self,
        names: Sequence[Part],
        target: Sequence[Part],
        context: Sequence[Sequence[Part]] = (),
        column_ids: Sequence[int] | None = None,
        value_limit: int | None = None,
    ) -> EncoderInput:
        """Serialize a target tuple with its context tuples, best first.

        Args:
            names: attribute names, as many as the target has values.
            target: values; `Mask` hides one, None or "" is missing.
            context: further tuples of the same attributes.
            column_ids: ids from 1 to `max_attributes`, one per attribute; default 1, 2, 3 …
            value_limit: tokens of a value that are read; default the config's.
        """
        writer, width = _Writer(), len(names)
        limit = value_limit or self.config.max_value_tokens
        ids = np.arange(1, width + 1, dtype=np.int32) if column_ids is None else np.asarray(column_ids, dtype=np.int32)
        value_index = self._write_target(writer, names, target, ids, limit)
        context_index = np.full((len(context), width), -1, dtype=np.int32)
        for rank, values in enumerate(context):
            context_index[rank] = self._write_context(writer, values, target, ids, TARGET_ROLE + 1 + rank, limit)
        written = np.asarray([writer.ids, writer.positions, writer.columns, writer.roles], dtype=np.int32)
        return EncoderInput(written[0], written[1], written[2], written[3], value_index, context_index, ids)

    def _write_target(
        self, writer: _Writer, names: Sequence[Part], target: Sequence[Part], column_ids: np.ndarray, limit: int
    ) -> np.ndarray:
        config = self.config
        writer.write([SpecialToken.TUPLE], 0, 0, TARGET_ROLE)
        index = np.empty(len(names), dtype=np.int32)
        for attribute, (name, value) in enumerate(zip(names, target, strict=True)):
            column = int(column_ids[attribute])
            name_ids = self.part_ids(name, config.max_name_tokens)
            writer.write([SpecialToken.ATTRIBUTE, *name_ids], 0, column, TARGET_ROLE)
            value_ids = self.part_ids(value, limit)
            index[attribute] = writer.write(
                [SpecialToken.VALUE, *value_ids], config.value_position, column, TARGET_ROLE
            )
        return index

    def _write_context(
        self,
        writer: _Writer,
        values: Sequence[Part],
        target: Sequence[Part],
        column_ids: np.ndarray,
        role: int,
        limit: int,
    ) -> np.ndarray:
        config = self.config
        writer.write([SpecialToken.TUPLE], 0, 0, role)
        index = np.empty(len(target), dtype=np.int32)
        for attribute, (value, observed) in enumerate(zip(values, target, strict=True)):
            if not isinstance(observed, Mask) and (value or None) == (observed or None):
                ids = [int(SpecialToken.SAME)]
            else:
                ids = [SpecialToken.VALUE, *self.part_ids(value, limit)]
            index[attribute] = writer.write(ids, config.value_position, int(column_ids[attribute]), role)
        return index

    def answer_ids(self, value: str | None) -> list[int] | None:
        """Decoder target of a value, `[END]` included; None where it is longer than the decoder writes."""
        ids = [int(SpecialToken.NULL)] if not value else list(self.tokenizer.encode(value))
        return [*ids, int(SpecialToken.END)] if len(ids) <= self.config.max_value_tokens else None
