"""Candidates are few, contain the most similar record, and are known to cost what they cost."""

from __future__ import annotations

import numpy as np
import pytest

from model.inference.blocking import Blocking
from model.inference.records import Records
from model.tuples import Relation


def of(*tables: list[list[str | None]]) -> Records:
    return Records.of([Relation.of([f"c{n}" for n in range(len(rows[0]))], rows) for rows in tables])


def named(records: Records, pairs: tuple[np.ndarray, np.ndarray]) -> set[frozenset[str | None]]:
    return {
        frozenset((records.values[one][0], records.values[other][0]))
        for one, other in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True)
    }


def test_the_most_similar_record_of_the_other_table_is_a_candidate() -> None:
    left: list[list[str | None]] = [[f"thing number {n * 7919}"] for n in range(40)]
    right: list[list[str | None]] = [[f"thing {n * 7919}"] for n in range(40)]
    records = of(left, right)
    one, other = Blocking(records, 1).pairs()
    assert len(one) <= 80
    assert (records.sides[one] == 0).all() and (records.sides[other] == 1).all()
    found = named(records, (one, other))
    assert all(frozenset((left[n][0], right[n][0])) in found for n in range(40))


def test_a_record_is_never_its_own_candidate_and_pairs_stand_once() -> None:
    records = of([["anna weber"], ["anna webar"], ["otto klein"], ["anna weber"]])
    one, other = Blocking(records, 3).pairs()
    assert (one < other).all()
    assert len({*zip(one.tolist(), other.tolist(), strict=True)}) == len(one)
    assert frozenset(("anna weber", "anna webar")) in named(records, (one, other))


def test_ten_thousand_equal_records_have_few_candidates_each() -> None:
    records = of([["john smith"]] * 10_000)
    one, other = Blocking(records, 5).pairs()
    assert 0 < len(one) <= 5 * 10_000
    assert (one != other).all()


def test_missing_values_block_nothing() -> None:
    records = of([[None, "x1"], [None, "y2"], ["", "z3"]])
    assert not len(Blocking(records).pairs()[0])
    empty = of([[None]], [[None]])
    assert not len(Blocking(empty).pairs()[0])
    assert Blocking(empty).plan().candidate_pairs == 1


@pytest.mark.parametrize("text", ["日本語の本", "\x00\x01ab", "a\ud800b", "x" * 200_000])
def test_odd_texts_block_as_others_do(text: str) -> None:
    records = of([[text], ["something else"]], [[text], ["quite different"]])
    found = named(records, Blocking(records, 1).pairs())
    assert frozenset((text,)) in found


def test_the_plan_is_known_before_and_exact_afterwards() -> None:
    records = of([[f"record {n * 31}"] for n in range(50)], [[f"record {n * 17}"] for n in range(30)])
    blocking = Blocking(records, 4)
    before, found = blocking.plan(), len(blocking.pairs()[0])
    after = blocking.plan(found)
    assert (before.records, before.possible_pairs, before.candidate_pairs) == (80, 1500, 4 * 80)
    assert after.candidate_pairs == found <= before.candidate_pairs
    assert after.reduction_ratio == pytest.approx(1 - found / 1500)
    assert before.largest_blocks[0].records == 80 and before.dropped_blocks == 0
    assert "record" in before.largest_blocks[0].sample[0]


def test_work_is_bounded_by_leaving_out_what_too_many_share() -> None:
    records = of([[f"common prefix {n * 104729:x}"] for n in range(200)])
    free, bound = Blocking(records, 3), Blocking(records, 3, work=40_000)
    assert bound.plan().dropped_blocks > 0 == free.plan().dropped_blocks
    assert bound.plan().seconds <= free.plan().seconds
    assert len(bound.pairs()[0]) > 0


def test_no_records_have_no_pairs() -> None:
    for tables in ([Relation.of(["a"], [])], [Relation.of(["a"], [["x"]]), Relation.of(["a"], [])]):
        blocking = Blocking(Records.of(tables))
        assert not len(blocking.pairs()[0])
        assert blocking.plan().possible_pairs == 0 and blocking.plan().reduction_ratio == 0.0
