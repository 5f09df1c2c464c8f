"""Cuts of tables know which columns are one, whatever they are called; the same randomness gives the same cut."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from model.corpus import CorpusTable
from model.finetuning import schema_cuts
from model.finetuning.schema_cuts import SchemaCut, cut, cut_several
from model.inference.schema_matching import Schema
from model.tuples import Relation

RELATION = Relation.of(
    [f"column name {letter}" for letter in "abcdef"],
    [[f"{letter}{row:02d}" for letter in "abcdef"] for row in range(60)],
)
"""The first letter of a value tells its column."""


def letters(relation: Relation, place: int) -> str:
    """Which column the values are of; most are clean."""
    found = [value[0] for value in relation.column(place) if value and value[0] in "abcdef"]
    return max(set(found), key=found.count)


def test_columns_that_are_one_hold_values_of_one_column() -> None:
    for seed in range(40):
        made = cut(RELATION, random.Random(seed))
        assert made.truth
        for source, target in made.truth:
            assert letters(made.source.relation, source) == letters(made.target.relation, target)
        assert len({source for source, _ in made.truth}) == len({target for _, target in made.truth}) == len(made.truth)


def test_names_are_rewritten_and_columns_are_left_out() -> None:
    made = [cut(RELATION, random.Random(seed)) for seed in range(40)]
    renamed = [
        one.source.relation.attributes[source] != one.target.relation.attributes[target]
        for one in made
        for source, target in one.truth
    ]
    assert 0.4 < sum(renamed) / len(renamed) < 1.0
    assert any(len(one.truth) < len(one.source.relation.attributes) for one in made)
    assert {one.source.descriptions[0] is None for one in made} == {True, False}


def test_the_same_randomness_gives_the_same_cut() -> None:
    assert cut(RELATION, random.Random(7)) == cut(RELATION, random.Random(7))
    assert cut(RELATION, random.Random(7)) != cut(RELATION, random.Random(8))


def test_several_tables_become_two_schemas_without_rows(tables: list[CorpusTable]) -> None:
    named = [("people", tables[0].relation), ("staff", tables[1].relation), ("people", tables[2].relation)]
    separated = 0
    for seed in range(20):
        made = cut_several(named, random.Random(seed))
        names = made.source.names(), made.target.names()
        separated += all(one.table for side in names for one in side)
        if not len(made.source.relation):
            assert len(made.target.relation) == 0
    assert separated >= 10


def test_the_truth_of_several_tables_is_that_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(names: Sequence[str]) -> Schema:
        return Schema(Relation.of(names, []), (None,) * len(names))

    def cut_by_name(relation: Relation, rng: random.Random) -> SchemaCut:
        a, b = relation.attributes[:2]
        return SchemaCut(told([a, "left", b]), told([b, a]), frozenset({(0, 1), (2, 0)}))

    monkeypatch.setattr(schema_cuts, "cut", cut_by_name)
    named = [(f"table{number}", Relation.of([f"x{number}", f"y{number}"], [])) for number in range(3)]
    both = 0
    for seed in range(20):
        made = cut_several(named, random.Random(seed))
        source, target = made.source.relation.attributes, made.target.relation.attributes
        columns = [
            [name.replace(":", ".").replace("/", ".").replace("-", ".").split(".")[-1] for name in side]
            for side in (source, target)
        ]
        found = {(columns[0][one], columns[1][other]) for one, other in made.truth}
        shared = (set(columns[0]) & set(columns[1])) - {"left"}
        assert found == {(name, name) for name in shared}
        both += len(shared) > 2
    assert both > 3
