"""A tuple is read with others that agree on what is rare, and with different ones about different attributes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.context import HUB_SIZE, select_context
from model.tuples import Relation

ROWS = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.tuples(*[st.sampled_from([None, "", "a", "b", "c"])] * width), min_size=1, max_size=12)
)


@settings(deadline=None, max_examples=150)
@given(rows=ROWS, size=st.integers(0, 14))
def test_context_is_never_the_target_nor_twice_the_same(rows: list[tuple[str | None, ...]], size: int) -> None:
    context = select_context(Relation.of([f"a{n}" for n in range(len(rows[0]))], rows), size)
    assert context.shape == (len(rows), min(size, len(rows) - 1))
    assert context.dtype == np.int32
    for target, chosen in enumerate(context.tolist()):
        assert target not in chosen
        assert len(set(chosen)) == len(chosen)
        assert set(chosen) <= set(range(len(rows)))


def test_a_rare_value_in_common_counts_more_than_a_frequent_one() -> None:
    rows = [["555-1", "NY"], *[[f"555-{n}", "NY"] for n in range(2, 8)], ["555-1", "LA"]]
    relation = Relation.of(["phone", "city"], rows)
    assert select_context(relation, 1)[0].tolist() == [7]
    assert select_context(relation, 1)[7].tolist() == [0]


def test_agreement_on_the_rarer_of_two_values_comes_first() -> None:
    rows = [
        ["z", "s", "0"],
        ["z", "o", "1"],
        ["z", "p", "2"],
        ["q", "s", "3"],
        *[["w", f"f{n}", "4"] for n in range(9)],
    ]
    relation = Relation.of(["zip", "state", "id"], rows)
    # Two agree on the zip and one on the rarer state.
    assert select_context(relation, 3)[0].tolist() == [3, 1, 2]


def test_the_next_tuple_brings_evidence_about_another_attribute() -> None:
    rows = [
        ["k", "m"],
        ["k", "1"],
        ["k", "2"],
        ["x", "m"],
        ["y", "m"],
        ["v", "m"],
        *[[f"u{n}", f"w{n}"] for n in range(20)],
    ]
    chosen = select_context(Relation.of(["a", "b"], rows), 3)[0].tolist()
    assert chosen[0] == 1  # three tuples hold k, four hold m: k is rarer
    assert chosen[1] == 3  # k counts half now
    assert chosen[2] == 2


def test_missing_values_are_no_agreement() -> None:
    rows: list[list[str | None]] = [[None, "x"], [None, "y"], ["", "z"], ["a", "x"]]
    assert select_context(Relation.of(["a", "b"], rows), 1)[0].tolist() == [3]


def test_tuples_without_agreement_are_near_in_the_relation() -> None:
    relation = Relation.of(["a"], [[f"v{number}"] for number in range(10)])
    assert set(select_context(relation, 2)[5].tolist()) == {4, 6}


def test_a_relation_of_missing_values_only_still_has_context() -> None:
    rows: list[list[str | None]] = [[None, ""]] * 5
    relation = Relation.of(["a", "b"], rows)
    assert select_context(relation, 3).shape == (5, 3)


@pytest.mark.parametrize(("count", "size", "shape"), [(0, 4, (0, 0)), (1, 4, (1, 0)), (2, 4, (2, 1)), (9, 0, (9, 0))])
def test_a_small_relation_gives_what_it_has(count: int, size: int, shape: tuple[int, int]) -> None:
    relation = Relation.of(["a"], [["x"]] * count)
    assert select_context(relation, size).shape == shape


def test_chosen_targets_get_the_same_context_as_all() -> None:
    rng = np.random.default_rng(0)
    relation = Relation.of(["a", "b", "c"], [[str(v) for v in rng.integers(0, 9, 3)] for _ in range(60)])
    every = select_context(relation, 4)
    chosen = np.array([40, 3, 3, 17])
    assert select_context(relation, 4, chosen).tolist() == every[chosen].tolist()
    assert select_context(relation, 4, np.array([], dtype=np.int64)).shape == (0, 4)


def test_a_value_that_most_tuples_hold_is_not_followed() -> None:
    count = HUB_SIZE + 50
    rows: list[list[str]] = [["same", f"v{number}"] for number in range(count)]
    rows[3][1] = rows[count - 1][1]
    context = select_context(Relation.of(["hub", "key"], rows), 2)
    assert context[3, 0] == count - 1
    assert context[count - 1, 0] == 3


def test_many_targets_are_chosen_in_parts_without_a_seam() -> None:
    rng = np.random.default_rng(1)
    relation = Relation.of(["a", "b"], [[str(v) for v in rng.integers(0, 40, 2)] for _ in range(300)])
    every = select_context(relation, 3)
    for target in (0, 255, 256, 299):
        assert select_context(relation, 3, np.array([target])).tolist() == [every[target].tolist()]


def test_equal_tuples_are_read_with_equal_context() -> None:
    rng = np.random.default_rng(2)
    rows = sorted([str(v) for v in rng.integers(0, 4, 3)] for _ in range(80))
    relation = Relation.of(["a", "b", "c"], rows)
    context = select_context(relation, 4)
    seen: dict[tuple[str, ...], list[list[str]]] = {}
    for target, chosen in enumerate(context.tolist()):
        content = [rows[row] for row in chosen]
        assert seen.setdefault(tuple(rows[target]), content) == content
