"""The nouns: a relation refuses ragged tuples and gives back exactly what was put in."""

from __future__ import annotations

import dataclasses

import pytest

from model.errors import InputError, RelationError
from model.tuples import Cell, DataTuple, Relation


def test_a_relation_gives_back_values_columns_and_tuples_as_they_came() -> None:
    relation = Relation.of(["a", "a"], [["007", None], ["", " x\x00"]], "t")
    assert len(relation) == 2
    assert relation.name == "t"
    assert relation.value(Cell(0, 0)) == "007"
    assert relation.value(Cell(1, 1)) == " x\x00"
    assert relation.column(1) == [None, " x\x00"]
    assert relation.data_tuple(1) == DataTuple(1, ("a", "a"), ("", " x\x00"))


def test_a_relation_copies_the_lists_that_it_is_made_from() -> None:
    rows = [["1"]]
    relation = Relation.of(["a"], rows)
    rows[0][0] = "2"
    assert relation.tuples == (("1",),)
    with pytest.raises(dataclasses.FrozenInstanceError):
        relation.name = "other"  # type: ignore[misc]


def test_a_ragged_tuple_is_refused_by_its_number() -> None:
    with pytest.raises(RelationError, match="row 1 has 1 values, the table has 2 columns") as caught:
        Relation.of(["a", "b"], [["1", "2"], ["3"]])
    assert caught.value.tuple_id == 1
    assert isinstance(caught.value, InputError)


def test_a_relation_without_attributes_is_refused() -> None:
    with pytest.raises(RelationError, match="at least one column"):
        Relation.of([], [])


def test_a_relation_without_tuples_is_allowed() -> None:
    assert len(Relation.of(["a"], [])) == 0
