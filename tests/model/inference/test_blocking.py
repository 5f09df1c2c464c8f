"""Each record keeps the few that are most like it, whatever the table holds, and the plan says what that costs."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pytest

from model.inference.blocking import Blocking
from model.inference.records import Records
from model.tuples import Relation, Value


class TruePairs(Protocol):
    @property
    def relations(self) -> Sequence[Relation]: ...
    @property
    def pairs(self) -> frozenset[tuple[int, int]]: ...


def table(*rows: Sequence[Value] | str) -> Relation:
    listed = [[row] if isinstance(row, str) else row for row in rows]
    return Relation.of([f"a{number}" for number in range(len(listed[0]) if listed else 1)], listed)


def blocked(relations: Sequence[Relation], candidates: int = 10, **options: int) -> list[tuple[int, int]]:
    """Candidate pairs as tuple numbers, the first relation's first, or the lesser first."""
    records = Records.of(relations)
    left, right = Blocking(records, candidates, **options).pairs()
    found = [(records.places[a], records.places[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert all(a < b for a, b in zip(left, right, strict=True))
    return sorted((min(pair).tuple_id, max(pair).tuple_id) for pair in found)


def test_records_that_share_letters_are_compared_and_others_are_not() -> None:
    names = table("Anna Weber", "Ana Weber", "Zoltán Kiss", "Zoltán Kis")
    assert blocked([table("abc", "xyz")]) == blocked([table("abc"), table("xyz")]) == []
    assert blocked([names]) == [(0, 1), (2, 3)]
    assert blocked([table("Anna Weber", "Zoltán Kiss"), table("Zoltán Kis", "Ana Weber", "xyz")]) == [(0, 1), (1, 0)]


def test_nearly_all_true_pairs_are_candidates(linked: TruePairs, duplicated: TruePairs) -> None:
    assert linked.pairs <= set(blocked(linked.relations, 5))
    assert duplicated.pairs <= set(blocked(duplicated.relations, 5))


@pytest.mark.parametrize("candidates", [1, 2, 5])
def test_pairs_are_at_most_as_many_as_candidates_of_all_records(
    linked: TruePairs, duplicated: TruePairs, candidates: int
) -> None:
    for relations in (linked.relations, duplicated.relations):
        records = Records.of(relations)
        blocking = Blocking(records, candidates)
        left, right = blocking.pairs()
        plan = blocking.plan()
        assert len(records) / 2 <= len(left) <= plan.candidate_pairs <= candidates * len(records)
        assert plan.possible_pairs == (300 * 300 if records.is_link else 400 * 399 // 2)
        assert blocking.plan(len(left)).reduction_ratio == 1 - len(left) / plan.possible_pairs


@pytest.mark.parametrize("candidates", [1, 3])
def test_each_record_keeps_its_own_best(linked: TruePairs, duplicated: TruePairs, candidates: int) -> None:
    for relations in (linked.relations, duplicated.relations):
        records = Records.of(relations)
        blocking = Blocking(records, candidates)
        found = set(zip(*(side.tolist() for side in blocking.pairs()), strict=True))
        vectors = blocking.vectors.of_texts[blocking.vectors.text_of]
        likeness = (vectors @ vectors.T).toarray()
        same_side = records.sides[:, None] == records.sides[None, :]
        likeness[same_side if records.is_link else np.eye(len(records), dtype=bool)] = -1
        for record, best in enumerate(likeness.argmax(axis=1).tolist()):
            assert (min(record, best), max(record, best)) in found


def test_permuted_rows_and_columns_have_the_permuted_pairs(duplicated: TruePairs) -> None:
    relation, rng = duplicated.relations[0], random.Random(0)
    plain = blocked([relation], 4)
    assert len(plain) > 400
    rows, columns = rng.sample(range(400), 400), rng.sample(range(5), 5)
    moved = Relation.of(
        [relation.attributes[column] for column in columns],
        [[relation.tuples[row][column] for column in columns] for row in rows],
    )
    again = [(rows[left], rows[right]) for left, right in blocked([moved], 4)]
    assert held(relation, again) == held(relation, plain)


def held(relation: Relation, pairs: Sequence[tuple[int, int]]) -> Counter[frozenset[tuple[Value, ...]]]:
    """What the records of pairs hold: those that hold the same are interchangeable."""
    return Counter(frozenset(relation.tuples[row] for row in pair) for pair in pairs)


def test_missing_values_block_nothing() -> None:
    assert blocked([table(*[[None, ""]] * 50)]) == []
    assert blocked([table(*[[None, f"{letter * 4}"] for letter in "abcdef"])]) == []
    assert blocked([table(*[[None, None]] * 3, ["x", None], ["x", ""])]) == [(3, 4)]


def test_an_attribute_without_values_changes_no_pair(duplicated: TruePairs) -> None:
    relation = duplicated.relations[0]
    wider = Relation.of((*relation.attributes, "empty"), [(*row, None) for row in relation.tuples])
    assert blocked([wider], 4) == blocked([relation], 4)


@pytest.mark.parametrize(
    "relations", [[table()], [table("x")], [table(), table("x")], [table("x", "x"), table()], [table(), table()]]
)
def test_no_records_one_record_and_an_empty_side_have_no_pairs(relations: list[Relation]) -> None:
    assert blocked(relations) == []
    plan = Blocking(Records.of(relations)).plan()
    assert (plan.possible_pairs, plan.candidate_pairs, plan.reduction_ratio) == (0, 0, 0.0)
    assert plan.records == sum(map(len, relations))


def test_ten_thousand_records_of_one_name_are_connected_by_few_pairs_for_each() -> None:
    began = time.perf_counter()
    records = Records.of([table(*["Jonathan Smithers"] * 10_000)])
    blocking = Blocking(records, 20)
    left, right = blocking.pairs()
    assert len(left) == 10 * 10_000 - 55  # each with the next ten, the last ten with those that are left
    assert np.array_equal(np.unique(right[right - left == 1]), np.arange(1, 10_000))
    assert np.bincount(np.concatenate((left, right))).max() == 20
    assert blocking.plan().dropped_blocks == 0
    assert blocking.plan().largest_blocks[0].records == 10_000
    assert time.perf_counter() - began < 5


def test_copies_leave_room_for_what_is_spelled_otherwise() -> None:
    found = blocked([table(*["Jonathan Smithers"] * 500, *["Jonathan Smithres"] * 500)], 10)
    across = [pair for pair in found if pair[0] < 500 <= pair[1]]
    assert {one for pair in across for one in pair} == set(range(1000))
    assert max(Counter(one for pair in found for one in pair).values()) <= 20
    assert len(found) <= 10 * 1000


def test_copies_of_two_tables_are_linked_one_with_another() -> None:
    found = blocked([table(*["Anna Weber"] * 200), table(*["Anna Weber"] * 200)], 4)
    assert {(one, one) for one in range(200)} <= {(left, right) for left, right in found}
    assert len(found) <= 4 * 400


def test_the_work_limit_drops_the_most_frequent_letters_and_says_so() -> None:
    rng = random.Random(0)
    rows = [f"common {''.join(rng.choice('bcdfghjklmn') for _ in range(6))}" for _ in range(300)]
    rows += [row + "x" for row in rows[:50]]
    free, tight = (Blocking(Records.of([table(*rows)]), 3, work) for work in (10**9, 60_000))
    assert free.plan().dropped_blocks == 0
    plan = tight.plan()
    assert 10 < plan.dropped_blocks < 200
    assert plan.seconds < free.plan().seconds or plan.seconds == 0.1 == free.plan().seconds
    assert plan.largest_blocks[0].records == 350
    assert set(plan.largest_blocks[0].sample) <= set(rows)
    assert plan.largest_blocks[0].key == " c"
    found = set(blocked([table(*rows)], 3, work=60_000))
    assert {(one, 300 + one) for one in range(50)} <= found
    nothing = Blocking(Records.of([table(*rows)]), 3, 0)
    assert len(nothing.pairs()[0]) == 0


@pytest.mark.parametrize(
    ("text", "alike", "other"),
    [
        ("北京市朝阳区建国路", "北京市朝阳区建国路八十八号", "上海市浦东新区"),
        ("Мария Иванова", "Мария Иваноба", "Жуткий"),
        ("हिन्दी भाषा", "हिन्दी भाषाएँ", "தமிழ் மொழி"),
        ("an\x00na web\x00er", "an\x00na weber", "zzz"),
        ("bro\ud800ken te\udfffxt", "bro\ud800ken text", "zzz"),
        ("x1", "X1", "99"),
    ],
)
def test_any_text_blocks(text: str, alike: str, other: str) -> None:
    assert blocked([table(text, other, alike)]) == [(0, 2)]


def test_huge_cells_cost_no_more_than_their_beginning() -> None:
    began = time.perf_counter()
    huge = ["Anna Weber " + "x" * 10_000_000, "Anna Weber " + "y" * 10_000_000, "Zoltán Kiss"]
    assert blocked([table(*huge)]) == [(0, 1)]
    assert time.perf_counter() - began < 3


def test_what_stands_beyond_the_beginning_of_a_record_blocks_nothing() -> None:
    assert blocked([table("q" * 400 + " Anna Weber", "z" * 400 + " Anna Weber")]) == []


def test_the_plan_shows_texts_that_can_be_written() -> None:
    plan = Blocking(Records.of([table("bro\ud800ken", "bro\ud800ken too")])).plan()
    assert all(block.key.encode() and "".join(block.sample).encode() for block in plan.largest_blocks)


def test_many_copies_of_the_nearest_do_not_crowd_out_the_next() -> None:
    rows = ["Jonathan Smithers", *["Jonathan Smithers jr"] * 50, "Jonathan Smith", *["Jonathan Smithers sr"] * 50]
    beside = {right for left, right in blocked([table(*rows)], 10) if left == 0}
    assert beside & set(range(1, 51)) and beside & set(range(52, 102))
