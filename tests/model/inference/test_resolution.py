"""Entities of one table and of two: found, explained, and the same in every order."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.errors import CheckpointError, InputError, OptionError
from model.inference.batching import StepCall, run_task
from model.inference.clustering import Cardinality
from model.inference.matching import RIVAL_FEATURES
from model.inference.resolution import (
    CALIBRATOR,
    Method,
    NamedPreference,
    ResolutionOptions,
    ResolutionResult,
    plan_resolution,
    resolve,
)
from model.tuples import Decision, PairExample, RecordPlace, Relation
from tests.conftest import MakeCalibrator


@pytest.fixture(scope="module")
def matcher(checkpoint: Checkpoint, make_calibrator: MakeCalibrator) -> Checkpoint:
    """The tiny model with a calibrator of pairs made by hand."""
    weights = {"odds_of_left_if_mutual": 0.5, "odds_of_right_if_mutual": 0.5, "is_mutual": 2.0}
    return replace(checkpoint, calibration=Calibration({CALIBRATOR: make_calibrator(RIVAL_FEATURES, weights, -2.0)}))


def thing(rng: random.Random) -> list[str]:
    words = ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(3)]
    return [" ".join(words), f"{rng.randint(10, 99)}.50"]


@pytest.fixture(scope="module")
def tables() -> tuple[Relation, Relation]:
    """Sixty and sixty things, forty of which are the same: row n of the second is row n + 20 of the first."""
    rng = random.Random(0)
    things = [thing(rng) for _ in range(80)]
    second = [[f"{one[0]} new", one[1] if number % 4 else None] for number, one in enumerate(things[20:])]
    return Relation.of(["name", "price"], things[:60]), Relation.of(["Price", "Name"], [row[::-1] for row in second])


def linked(result: ResolutionResult) -> set[tuple[int, int]]:
    return {
        (entity.members[0].tuple_id, entity.members[1].tuple_id)
        for entity in result.entities
        if [place.relation for place in entity.members] == [0, 1]
    }


TRUTH = {(row + 20, row) for row in range(40)}


def test_two_tables_are_linked_by_rivals(matcher: Checkpoint, tables: tuple[Relation, Relation]) -> None:
    result = run_task(matcher, resolve(matcher, tables))
    assert result.method is Method.RIVALS
    assert len(linked(result) & TRUTH) >= 38 and len(linked(result) - TRUTH) <= 2
    assert sorted(place for entity in result.entities for place in entity.members) == [
        RecordPlace(side, row) for side in (0, 1) for row in range(60)
    ]
    pair = result.pairs[0]
    assert pair.decision is Decision.MATCH and pair.left.relation == 0 and pair.right.relation == 1
    assert {one.attribute for one in pair.agreements} == {"name", "price"}
    assert abs(pair.agreements[0].weight) >= abs(pair.agreements[1].weight)
    assert [one.probability for one in result.pairs] == sorted((one.probability for one in result.pairs), reverse=True)
    assert result.usage.tuples == 120


def test_the_order_of_rows_and_columns_changes_nothing(matcher: Checkpoint, tables: tuple[Relation, Relation]) -> None:
    rows = list(range(60))
    random.Random(3).shuffle(rows)
    turned = Relation.of(["price", "name"], [tables[0].tuples[row][::-1] for row in rows])
    result = run_task(matcher, resolve(matcher, tables))
    again = run_task(matcher, resolve(matcher, [turned, tables[1]]))
    back = {new: old for new, old in enumerate(rows)}
    assert {(back[left], right) for left, right in linked(again)} == linked(result)
    assert {entity.id for entity in again.entities} == {entity.id for entity in result.entities}
    assert sorted(pair.probability for pair in again.pairs) == sorted(pair.probability for pair in result.pairs)


def test_examples_are_taken_as_given_and_named_no_question(
    matcher: Checkpoint, tables: tuple[Relation, Relation]
) -> None:
    apart = PairExample(RecordPlace(0, 20), RecordPlace(1, 0), False)
    together = PairExample(RecordPlace(0, 0), RecordPlace(1, 50), True)
    result = run_task(matcher, resolve(matcher, tables, ResolutionOptions(examples=(apart, together))))
    assert (20, 0) not in linked(result) and (0, 50) in linked(result)
    probabilities = {(pair.left, pair.right): pair.probability for pair in result.pairs}
    assert probabilities[together.left, together.right] == 1.0
    assert all((one.left, one.right) != (apart.left, apart.right) for one in result.questions)


def test_duplicates_of_one_table_are_found_by_agreement(checkpoint: Checkpoint) -> None:
    rng = random.Random(4)
    things = [[*thing(rng), str(rng.randint(10**6, 10**7))] for _ in range(60)]
    rows = [*things, *([one[0].upper(), one[1], one[2]] for one in things[:15])]
    relation = Relation.of(["name", "price", "code"], rows)
    options = ResolutionOptions(preferences=(NamedPreference("Name", "table:0"),))
    result = run_task(checkpoint, resolve(checkpoint, [relation], options))
    assert result.method is Method.AGREEMENT
    together = {tuple(place.tuple_id for place in one.members) for one in result.entities if len(one.members) > 1}
    assert together == {(row, 60 + row) for row in range(15)}
    (first,) = [one for one in result.entities if one.members[0].tuple_id == 0]
    assert first.record is not None
    chosen = {one.attribute: one for one in first.record}
    assert chosen["code"].value == things[0][2] and len(chosen["code"].places) == 2
    assert {chosen["name"].value, *(lost.value for lost in chosen["name"].lost)} == {things[0][0], things[0][0].upper()}


def test_one_to_one_gives_every_record_at_most_one_partner(
    matcher: Checkpoint, tables: tuple[Relation, Relation]
) -> None:
    doubled = Relation.of(tables[1].attributes, [*tables[1].tuples, *tables[1].tuples[:20]])
    many = run_task(matcher, resolve(matcher, [tables[0], doubled], ResolutionOptions(threshold=0.1)))
    one = run_task(
        matcher,
        resolve(matcher, [tables[0], doubled], ResolutionOptions(threshold=0.1, cardinality=Cardinality.ONE_TO_ONE)),
    )
    assert all(len(entity.members) <= 2 for entity in one.entities)
    assert len(one.entities) >= len(many.entities)


def test_thousands_of_equal_records_are_one_entity_and_few_pairs(checkpoint: Checkpoint) -> None:
    relation = Relation.of(["name"], [["john smith"]] * 2000)
    result = run_task(checkpoint, resolve(checkpoint, [relation], ResolutionOptions(consolidate=False)))
    assert result.plan.candidate_pairs <= 20 * 2000
    assert [len(entity.members) for entity in result.entities] == [2000]  # nothing tells them apart


def test_others_get_their_turn_between_the_stages(matcher: Checkpoint, tables: tuple[Relation, Relation]) -> None:
    told: list[str] = []
    task = resolve(matcher, tables, progress=lambda stage, done, total: told.append(f"{stage} {done}/{total}"))
    calls, turns = next(task), 0
    with pytest.raises(StopIteration):
        while True:
            (call,) = calls
            assert isinstance(call, StepCall)
            call.run()
            turns += 1
            calls = task.send([[]])
    assert turns > 4
    assert told == ["block 1/5", "compare 2/5", "judge 3/5", "cluster 4/5", "consolidate 5/5"]


def test_a_plan_is_made_before_anything_is_compared(tables: tuple[Relation, Relation]) -> None:
    plan = plan_resolution(tables, ResolutionOptions(candidates=2))
    assert (plan.records, plan.possible_pairs, plan.candidate_pairs) == (120, 3600, 240)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ResolutionOptions(candidates=0), "candidates"),
        (ResolutionOptions(threshold=2.0), "threshold"),
        (ResolutionOptions(examples=(PairExample(RecordPlace(0, 60), RecordPlace(1, 0), True),)), "no row 60"),
        (ResolutionOptions(examples=(PairExample(RecordPlace(0, 1), RecordPlace(0, 2), True),)), "one table"),
        (ResolutionOptions(examples=(PairExample(RecordPlace(0, 1), RecordPlace(0, 1), True),)), "itself"),
        (
            ResolutionOptions(
                examples=tuple(PairExample(RecordPlace(0, 1), RecordPlace(1, 1), one) for one in (True, False))
            ),
            "differently",
        ),
        (ResolutionOptions(preferences=(NamedPreference("street", "longest"),)), "no table has a column"),
        (ResolutionOptions(preferences=(NamedPreference("name", "finest"),)), "finest"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tables: tuple[Relation, Relation], options: ResolutionOptions, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        plan_resolution(tables, options)


def test_three_tables_and_a_checkpoint_without_calibrator_are_refused(
    bare_checkpoint: Checkpoint, tables: tuple[Relation, Relation]
) -> None:
    with pytest.raises(InputError, match="not 3"):
        plan_resolution([*tables, tables[0]])
    with pytest.raises(CheckpointError, match="no calibrators"):
        run_task(bare_checkpoint, resolve(bare_checkpoint, tables))
