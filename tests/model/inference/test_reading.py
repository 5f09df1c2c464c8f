"""A relation is read in groups of attributes that fit, each tuple with its context, never too long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.inference.batching import BUCKETS
from model.inference.reading import CONTEXT_SIZE, Reader
from model.serialization import Mask, TupleSerializer
from model.tokenizer import SpecialToken
from model.tuples import Relation


def shaped(checkpoint: Checkpoint, config: ModelConfig) -> Checkpoint:
    """The checkpoint's tokenizer with other limits."""
    return replace(checkpoint, config=config, serializer=TupleSerializer(checkpoint.serializer.tokenizer, config))


def test_a_narrow_relation_is_read_whole_with_its_context(bare_checkpoint: Checkpoint, people: Relation) -> None:
    reader = Reader(bare_checkpoint, people)
    assert [group.tolist() for group in reader.groups] == [[0, 1, 2, 3, 4, 5]]
    assert reader.context.shape == (40, CONTEXT_SIZE)
    one = reader.encoder_input(3, 0)
    rows = [list(people.tuples[row]) for row in reader.context[3]]
    wanted = bare_checkpoint.serializer.serialize(list(people.attributes), list(people.tuples[3]), rows)
    assert one.ids.tolist() == wanted.ids.tolist()
    assert set(one.roles.tolist()) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(("size", "shown"), [(0, 0), (2, 2), (50, 8)])
def test_context_has_the_size_asked_for_as_far_as_there_are_roles(
    bare_checkpoint: Checkpoint, people: Relation, size: int, shown: int
) -> None:
    one = Reader(bare_checkpoint, people, size).encoder_input(0, 0)
    assert len(set(one.roles.tolist())) == 1 + shown
    assert bare_checkpoint.config.max_context == 8


def test_masks_hide_values_of_the_target(bare_checkpoint: Checkpoint, people: Relation) -> None:
    reader = Reader(bare_checkpoint, people)
    one = reader.encoder_input(0, 0, {1: Mask(), 3: Mask("Bir")})
    assert (one.ids == SpecialToken.MASK).sum() == 2
    for attribute in (1, 3):
        assert SpecialToken.SAME not in one.ids[one.columns == reader.place(attribute) + 1]


def test_a_wide_relation_is_read_in_groups_that_hold_every_attribute_once(bare_checkpoint: Checkpoint) -> None:
    width = 60
    relation = Relation.of([f"n{number}" for number in range(width)], [[str(n) for n in range(width)]] * 3)
    reader = Reader(bare_checkpoint, relation)
    assert [a for group in reader.groups for a in group.tolist()] == list(range(width))
    assert max(len(group) for group in reader.groups) == 24
    for attribute in range(width):
        group, place = reader.group_of(attribute), reader.place(attribute)
        assert reader.groups[group][place] == attribute
        one = reader.encoder_input(1, group)
        marker = one.value_index[place]
        assert one.columns[marker] == place + 1 == one.column_ids[place]


def test_groups_are_no_wider_than_the_model_has_columns(bare_checkpoint: Checkpoint) -> None:
    narrow = shaped(bare_checkpoint, replace(bare_checkpoint.config, max_attributes=5))
    relation = Relation.of([f"n{number}" for number in range(12)], [["1"] * 12] * 3)
    reader = Reader(narrow, relation)
    assert max(len(group) for group in reader.groups) == 5
    for group in range(len(reader.groups)):
        assert reader.encoder_input(0, group).columns.max() <= 5


def test_long_values_make_small_groups(bare_checkpoint: Checkpoint) -> None:
    relation = Relation.of([f"n{number}" for number in range(24)], [["7" * 40] * 24] * 3)
    reader = Reader(bare_checkpoint, relation)
    # 360 tokens hold 16 attributes of 2 marks, about 3 tokens of a name and 16 of a value.
    assert 1 < len(reader.groups[0]) < 20


def _ragged(count: int, width: int, long: int) -> Relation:
    """Short values everywhere but in one tuple that the sample of lengths does not see."""
    rows = [["7"] * width for _ in range(count)]
    rows[long] = ["7" * 400] * width
    return Relation.of([f"n{number}" for number in range(width)], rows)


def test_context_is_dropped_before_the_target_is_cut(bare_checkpoint: Checkpoint) -> None:
    relation = _ragged(400, 24, 1)
    reader = Reader(bare_checkpoint, relation)
    short, long = reader.encoder_input(8, 0), reader.encoder_input(1, 0)
    assert len(set(short.roles.tolist())) == 1 + CONTEXT_SIZE
    assert len(set(long.roles.tolist())) < 1 + CONTEXT_SIZE
    assert len(long) <= 512
    own = (long.roles == 1) & (long.columns == 1) & (long.positions > bare_checkpoint.config.value_position)
    assert own.sum() == bare_checkpoint.config.max_value_tokens  # uncut beyond the usual limit


def test_no_input_is_longer_than_the_longest_batch(bare_checkpoint: Checkpoint) -> None:
    large = shaped(bare_checkpoint, ModelConfig())
    reader = Reader(large, _ragged(400, 24, 1))
    assert len(reader.groups) == 1
    one = reader.encoder_input(1, 0)
    assert 512 < len(one) <= BUCKETS[-1]
    assert (one.ids == SpecialToken.CUT).sum() == 24
    assert set(one.roles.tolist()) == {1}


def test_an_empty_relation_has_groups_and_no_context(bare_checkpoint: Checkpoint) -> None:
    reader = Reader(bare_checkpoint, Relation.of(["a", "b"], []))
    assert [group.tolist() for group in reader.groups] == [[0, 1]]
    assert reader.context.shape == (0, 0)


def test_groups_depend_on_the_relation_alone(bare_checkpoint: Checkpoint, people: Relation) -> None:
    once, again = Reader(bare_checkpoint, people), Reader(bare_checkpoint, people)
    assert np.array_equal(once.context, again.context)
    assert [g.tolist() for g in once.groups] == [g.tolist() for g in again.groups]
