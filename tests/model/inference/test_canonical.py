"""Every permutation of rows and columns is the same relation, and answers find their way back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.canonical import Canonical
from model.tuples import Cell, DomainRule, FunctionalDependency, PatternRule, Relation, Value

VALUES = st.sampled_from([None, "a", "b", "B", "é", " "])


@st.composite
def relations(draw: st.DrawFn) -> tuple[Relation, list[int], list[int]]:
    """A relation with a permutation of its rows and one of its columns."""
    names = draw(st.lists(st.text("abc", max_size=3), min_size=1, max_size=4, unique=True))
    rows = draw(st.lists(st.tuples(*[VALUES] * len(names)), max_size=6))
    return Relation.of(names, rows), draw(st.permutations(range(len(rows)))), draw(st.permutations(range(len(names))))


def permuted(relation: Relation, rows: list[int], columns: list[int]) -> Relation:
    return Relation.of(
        [relation.attributes[column] for column in columns],
        [[relation.tuples[row][column] for column in columns] for row in rows],
        relation.name,
    )


@settings(deadline=None, max_examples=200)
@given(drawn=relations())
def test_a_permuted_relation_has_the_same_canonical_form(drawn: tuple[Relation, list[int], list[int]]) -> None:
    relation, rows, columns = drawn
    assert Canonical.of(permuted(relation, rows, columns)).relation == Canonical.of(relation).relation


@settings(deadline=None, max_examples=200)
@given(drawn=relations())
def test_cells_find_their_way_there_and_back(drawn: tuple[Relation, list[int], list[int]]) -> None:
    relation = permuted(*drawn)
    canonical = Canonical.of(relation)
    for tuple_id in range(len(relation)):
        for attribute in range(len(relation.attributes)):
            cell = Cell(tuple_id, attribute)
            place = canonical.place(cell)
            assert canonical.original(place) == cell
            assert canonical.relation.value(place) == relation.value(cell)
            assert canonical.relation.attributes[place.attribute] == relation.attributes[attribute]


def test_attributes_are_sorted_by_name_and_tuples_by_content() -> None:
    relation = Relation.of(["zip", "city"], [["2", "b"], ["1", "b"], ["3", None], ["3", "a"]])
    canonical = Canonical.of(relation)
    assert canonical.relation.attributes == ("city", "zip")
    assert canonical.relation.tuples == ((None, "3"), ("a", "3"), ("b", "1"), ("b", "2"))
    assert canonical.tuple_ids == (2, 3, 1, 0)
    assert canonical.attributes == (1, 0)


def test_equal_names_are_told_apart_by_content() -> None:
    rows: list[list[Value]] = [["1", "x", "9"], ["2", "y", "8"], ["3", None, "7"]]
    relation = Relation.of(["a", "a", "b"], rows)
    wanted = Canonical.of(relation).relation
    for columns in ([1, 0, 2], [2, 1, 0], [0, 2, 1]):
        for order in ([0, 1, 2], [2, 0, 1]):
            assert Canonical.of(permuted(relation, order, columns)).relation == wanted


def test_equal_names_with_equal_sets_of_values_are_told_apart_by_their_rows() -> None:
    relation = Relation.of(["a", "a", "b"], [["1", "2", "x"], ["2", "1", "y"]])
    wanted = Canonical.of(relation).relation
    assert Canonical.of(permuted(relation, [0, 1], [1, 0, 2])).relation == wanted
    assert Canonical.of(permuted(relation, [1, 0], [2, 1, 0])).relation == wanted


def test_missing_and_empty_sort_alike() -> None:
    relation = Relation.of(["a", "b"], [["", "2"], [None, "1"], ["", "3"]])
    assert Canonical.of(relation).tuple_ids == (1, 0, 2)


def test_rules_are_translated() -> None:
    canonical = Canonical.of(Relation.of(["c", "b", "a"], []))
    assert canonical.rule(FunctionalDependency((0, 1), 2)) == FunctionalDependency((1, 2), 0)
    assert canonical.rule(PatternRule(0, "x+")) == PatternRule(2, "x+")
    domain = frozenset({"u"})
    assert canonical.rule(DomainRule(2, domain)) == DomainRule(0, domain)
