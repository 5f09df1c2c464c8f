"""How a relation is read: groups of attributes that fit one encoder input, each tuple with its context.

A wide tuple is read in groups of attributes, because the encoder's cost grows with the square of its
input. A tuple that is still too long loses context first, then the ends of its longest values.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from model.checkpoint import Checkpoint
from model.inference.context import select_context
from model.serialization import EncoderInput, Mask, Part
from model.tuples import Relation

CONTEXT_SIZE = 4
"""Context tuples behind each target."""

_GROUP_ATTRIBUTES = 24
_GROUP_TOKENS = 360
_TARGET_TOKENS = 512
_LONGEST = 1024


class Reader:
    """Encoder inputs for the tuples of one relation.

    Attributes:
        groups: attribute indices that are read together, each array int64.
        context: context tuples of every tuple, best first, int32 (tuples, k).
    """

    def __init__(self, checkpoint: Checkpoint, relation: Relation, context_size: int = CONTEXT_SIZE) -> None:
        self.relation = relation
        self.serializer = checkpoint.serializer
        self.groups = self._group()
        self.context = select_context(relation, min(context_size, checkpoint.config.max_context))
        self._group_of = {int(a): number for number, group in enumerate(self.groups) for a in group}

    def group_of(self, attribute: int) -> int:
        """Number of the group that an attribute is read in."""
        return self._group_of[attribute]

    def encoder_input(self, tuple_id: int, group: int, masks: Mapping[int, Mask] | None = None) -> EncoderInput:
        """The input of one tuple and one group of attributes; `masks` hides values by attribute index."""
        attributes = [int(attribute) for attribute in self.groups[group]]
        hidden = masks or {}
        names: list[Part] = [self.relation.attributes[attribute] for attribute in attributes]
        own = self.relation.tuples[tuple_id]
        target: list[Part] = [hidden.get(attribute, own[attribute]) for attribute in attributes]
        rows = [[self.relation.tuples[row][attribute] for attribute in attributes] for row in self.context[tuple_id]]
        while True:
            encoder_input = self.serializer.serialize(names, target, rows)
            if len(encoder_input) <= _TARGET_TOKENS or not rows:
                break
            rows.pop()
        limit = self.serializer.config.max_value_tokens
        while len(encoder_input) > _LONGEST:
            limit //= 2
            encoder_input = self.serializer.serialize(names, target, rows, value_limit=limit)
        return encoder_input

    def place(self, attribute: int) -> int:
        """Position of an attribute within its group; its column id is one more."""
        return int(np.nonzero(self.groups[self.group_of(attribute)] == attribute)[0][0])

    def _group(self) -> list[np.ndarray]:
        """Consecutive attributes up to a number of attributes and of expected tokens."""
        config = self.serializer.config
        most = min(_GROUP_ATTRIBUTES, config.max_attributes)
        sample = self.relation.tuples[:: max(1, len(self.relation) // 100)]
        groups: list[list[int]] = [[]]
        used = 0.0
        for attribute, name in enumerate(self.relation.attributes):
            lengths = [len(self.serializer.part_ids(values[attribute], config.max_value_tokens)) for values in sample]
            tokens = 2 + len(self.serializer.part_ids(name, config.max_name_tokens)) + float(np.mean(lengths or [0]))
            if groups[-1] and (len(groups[-1]) == most or used + tokens > _GROUP_TOKENS):
                groups.append([])
                used = 0.0
            groups[-1].append(attribute)
            used += tokens
        return [np.asarray(group, dtype=np.int64) for group in groups]
