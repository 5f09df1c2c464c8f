"""A tuple becomes ids that can be read back, whatever its order and whatever its text says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ModelConfig
from model.serialization import EncoderInput, Mask, Part, TupleSerializer
from model.tokenizer import SpecialToken

MARKS = {
    SpecialToken.TUPLE: "[T]",
    SpecialToken.ATTRIBUTE: "[A]",
    SpecialToken.VALUE: "[V]",
    SpecialToken.MASK: "[M]",
    SpecialToken.NULL: "[NULL]",
    SpecialToken.SAME: "[=]",
    SpecialToken.CUT: "[CUT]",
}
MARKER_NAMES = ("[V]", "[M]", "[A]", "[NULL]", "[=]", "[T]", "[CUT]", "<pad>", "[END]", "[PAD]", "<mask>")
VALUES = st.one_of(st.none(), st.text(st.one_of(st.characters(), st.characters(categories=["Cs"])), max_size=12))


def readable(serializer: TupleSerializer, encoder_input: EncoderInput) -> list[tuple[str, int, int]]:
    """Marks and runs of text, each with column and role."""
    tokens = zip(encoder_input.ids.tolist(), encoder_input.columns.tolist(), encoder_input.roles.tolist(), strict=True)
    shown = []
    for (is_text, column, role, _), run in groupby(
        enumerate(tokens), lambda one: (one[1][0] >= len(SpecialToken), one[1][1], one[1][2], -1)
    ):
        ids = [token_id for _, (token_id, _, _) in run]
        texts = [serializer.tokenizer.decode(ids)] if is_text else [MARKS[SpecialToken(one)] for one in ids]
        shown += [(text, column, role) for text in texts]
    return shown


def read_back(serializer: TupleSerializer, encoder_input: EncoderInput) -> list[str | None]:
    """The target's values, from ids alone; "[M]" stands for a mask that hides all."""
    values: list[str | None] = []
    ids = encoder_input.ids.tolist()
    for start in encoder_input.value_index.tolist():
        assert ids[start] == SpecialToken.VALUE
        stop = start + 1
        while stop < len(ids) and ids[stop] not in (SpecialToken.ATTRIBUTE, SpecialToken.TUPLE):
            stop += 1
        own = ids[start + 1 : stop]
        if own == [SpecialToken.NULL]:
            values.append(None)
        elif own == [SpecialToken.MASK]:
            values.append("[M]")
        else:
            assert min(own) >= len(SpecialToken)
            values.append(serializer.tokenizer.decode(own))
    return values


def structure(encoder_input: EncoderInput) -> Counter[SpecialToken]:
    """How often each special token occurs."""
    ids = encoder_input.ids.tolist()
    return Counter(SpecialToken(token_id) for token_id in ids if token_id < len(SpecialToken))


def test_a_small_tuple_with_two_context_tuples_reads_as_documented(serializer: TupleSerializer) -> None:
    context: list[list[Part]] = [["Ann", "94107"], ["Bob", None]]
    encoder_input = serializer.serialize(["name", "zip"], ["Ann", None], context, column_ids=[7, 3])
    assert readable(serializer, encoder_input) == [
        ("[T]", 0, 1),
        *[("[A]", 7, 1), ("name", 7, 1), ("[V]", 7, 1), ("Ann", 7, 1)],
        *[("[A]", 3, 1), ("zip", 3, 1), ("[V]", 3, 1), ("[NULL]", 3, 1)],
        *[("[T]", 0, 2), ("[=]", 7, 2), ("[V]", 3, 2), ("94107", 3, 2)],
        *[("[T]", 0, 3), ("[V]", 7, 3), ("Bob", 7, 3), ("[=]", 3, 3)],
    ]


def test_positions_count_within_a_cell_and_every_value_marker_stands_at_the_same_one(
    serializer: TupleSerializer, config: ModelConfig
) -> None:
    encoder_input = serializer.serialize(["zip", "a"], ["12", "3"], [["4", "3"]])
    start = config.value_position
    assert start == 10
    zip_name = list(range(1, 1 + len(serializer.tokenizer.encode("zip"))))
    assert encoder_input.positions.tolist() == [
        *[0, 0, *zip_name, start, start + 1, start + 2],  # [T] [A] zip [V] 1 2
        *[0, 1, start, start + 1],  # [A] a [V] 3
        *[0, start, start + 1, start],  # [T] [V] 4 [=]
    ]


def test_indices_point_at_the_markers_of_cells(serializer: TupleSerializer) -> None:
    encoder_input = serializer.serialize(["a", "b"], ["1", "2"], [["1", "5"], [None, "2"]])
    ids = encoder_input.ids
    assert ids[encoder_input.value_index].tolist() == [SpecialToken.VALUE] * 2
    assert encoder_input.columns[encoder_input.value_index].tolist() == [1, 2]
    same, value = SpecialToken.SAME, SpecialToken.VALUE
    assert ids[encoder_input.context_index].tolist() == [[same, value], [value, same]]
    assert encoder_input.roles[encoder_input.context_index].tolist() == [[2, 2], [3, 3]]
    assert encoder_input.column_ids.tolist() == [1, 2]
    arrays = (ids, encoder_input.positions, encoder_input.columns, encoder_input.roles)
    assert {array.dtype for array in arrays} == {np.dtype(np.int32)}
    assert {len(array) for array in arrays} == {len(encoder_input)}


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_order_of_attributes_only_permutes_the_tokens(serializer: TupleSerializer, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 5))
    names = data.draw(st.lists(st.text("abc z", max_size=6), min_size=width, max_size=width))
    rows = data.draw(st.lists(st.lists(VALUES, min_size=width, max_size=width), min_size=1, max_size=3))
    column_ids = data.draw(st.permutations(range(1, 10)))[:width]
    order = data.draw(st.permutations(range(width)))

    def bag(order: Sequence[int]) -> Counter[tuple[int, ...]]:
        parts: list[list[Part]] = [[row[place] for place in order] for row in rows]
        one = serializer.serialize([names[p] for p in order], parts[0], parts[1:], [column_ids[p] for p in order])
        columns = (one.ids.tolist(), one.positions.tolist(), one.columns.tolist(), one.roles.tolist())
        return Counter(zip(*columns, strict=True))

    assert bag(order) == bag(range(width))


def test_a_missing_value_is_not_a_mask(serializer: TupleSerializer) -> None:
    missing = serializer.serialize(["a"], [None])
    empty = serializer.serialize(["a"], [""])
    masked = serializer.serialize(["a"], [Mask()])
    assert missing.ids.tolist() == empty.ids.tolist()
    assert readable(serializer, missing)[-1] == ("[NULL]", 1, 1)
    assert readable(serializer, masked)[-1] == ("[M]", 1, 1)


def test_a_mask_is_one_token_and_shows_what_is_left_around_it(serializer: TupleSerializer) -> None:
    whole = serializer.serialize([Mask()], [Mask()])
    assert [text for text, _, _ in readable(serializer, whole)] == ["[T]", "[A]", "[M]", "[V]", "[M]"]
    inside = serializer.serialize(["a"], [Mask("San ", "cisco")])
    assert [text for text, _, _ in readable(serializer, inside)][-3:] == ["San ", "[M]", "cisco"]
    assert structure(inside)[SpecialToken.MASK] == 1


@pytest.mark.parametrize("mask", [Mask("x7" * 500, ""), Mask("", "x7" * 500), Mask("x7" * 500, "y8" * 500)])
def test_a_mask_inside_a_long_value_is_never_cut_away(
    serializer: TupleSerializer, config: ModelConfig, mask: Mask
) -> None:
    ids = serializer.part_ids(mask, config.max_value_tokens)
    assert ids.count(SpecialToken.MASK) == 1
    assert len(ids) <= config.max_value_tokens


def test_a_masked_value_is_the_same_as_nothing_in_the_context(serializer: TupleSerializer) -> None:
    masked = serializer.serialize(["a"], [Mask()], [["x"], [None]])
    assert SpecialToken.SAME not in structure(masked)
    assert structure(masked)[SpecialToken.NULL] == 1


def test_agreement_on_a_missing_value_is_the_same_mark(serializer: TupleSerializer) -> None:
    assert structure(serializer.serialize(["a"], [None], [[""]]))[SpecialToken.SAME] == 1


@pytest.mark.parametrize(("length", "is_cut"), [(15, False), (16, False), (17, True), (5000, True)])
def test_a_value_is_cut_at_the_limit_with_a_mark(
    serializer: TupleSerializer, config: ModelConfig, length: int, is_cut: bool
) -> None:
    assert config.max_value_tokens == 16
    ids = serializer.part_ids("7" * length, config.max_value_tokens)  # a digit is a token
    seven = serializer.tokenizer.encode("7")[0]
    assert ids == ([seven] * 15 + [SpecialToken.CUT] if is_cut else [seven] * length)


def test_a_cut_value_is_not_the_same_as_another_with_its_beginning(serializer: TupleSerializer) -> None:
    encoder_input = serializer.serialize(["a"], ["7" * 30], [["7" * 31]])
    assert SpecialToken.SAME not in structure(encoder_input)


def test_names_have_a_limit_of_their_own(serializer: TupleSerializer, config: ModelConfig) -> None:
    encoder_input = serializer.serialize(["7" * 9], ["1"])
    assert structure(encoder_input)[SpecialToken.CUT] == 1
    assert encoder_input.value_index.tolist() == [2 + config.max_name_tokens]
    assert encoder_input.positions.max() <= config.positions - 1


def test_the_caller_can_cut_values_shorter(serializer: TupleSerializer) -> None:
    encoder_input = serializer.serialize(["a"], ["77777"], value_limit=3)
    assert readable(serializer, encoder_input)[-2:] == [("77", 1, 1), ("[CUT]", 1, 1)]


@settings(deadline=None, max_examples=100)
@given(values=st.lists(VALUES, min_size=1, max_size=6))
def test_a_tuple_survives_serialize_then_read_back(
    config: ModelConfig, serializer: TupleSerializer, values: list[str | None]
) -> None:
    wide = TupleSerializer(serializer.tokenizer, ModelConfig(max_value_tokens=200))
    encoder_input = wide.serialize([f"column {number}" for number in range(len(values))], values)
    assert read_back(wide, encoder_input) == [value or None for value in values]


def test_no_cell_text_can_forge_a_marker(serializer: TupleSerializer) -> None:
    width = len(MARKER_NAMES)
    others = [name + "!" for name in MARKER_NAMES]
    encoder_input = serializer.serialize(MARKER_NAMES, MARKER_NAMES, [others])
    assert structure(encoder_input) == {
        SpecialToken.TUPLE: 2,
        SpecialToken.ATTRIBUTE: width,
        SpecialToken.VALUE: 2 * width,
    }
    assert read_back(serializer, encoder_input) == [*MARKER_NAMES]


@settings(deadline=None, max_examples=100)
@given(name=st.text(max_size=5), value=VALUES.filter(bool))
def test_structure_depends_on_no_text(serializer: TupleSerializer, name: str, value: str) -> None:
    found = structure(serializer.serialize([f"a{name}"], [value]))
    found.pop(SpecialToken.CUT, None)
    assert found == {SpecialToken.TUPLE: 1, SpecialToken.ATTRIBUTE: 1, SpecialToken.VALUE: 1}


def test_an_answer_ends_with_its_mark(serializer: TupleSerializer) -> None:
    encode = serializer.tokenizer.encode
    assert serializer.answer_ids("Denver") == [*encode("Denver"), SpecialToken.END]
    assert serializer.answer_ids(None) == serializer.answer_ids("") == [SpecialToken.NULL, SpecialToken.END]


def test_an_answer_that_is_too_long_to_write_is_none(serializer: TupleSerializer, config: ModelConfig) -> None:
    longest = serializer.answer_ids("7" * config.max_value_tokens)
    assert longest is not None
    assert len(longest) == config.max_value_tokens + 1
    assert serializer.answer_ids("7" * (config.max_value_tokens + 1)) is None


def test_as_many_values_as_names_are_needed(serializer: TupleSerializer) -> None:
    with pytest.raises(ValueError):
        serializer.serialize(["a", "b"], ["1"])
