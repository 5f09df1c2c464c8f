"""One table or two become entities: every record in one, the same for the same content, whatever order it comes in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pytest

from model.calibration import Calibration, Calibrator
from model.checkpoint import Checkpoint
from model.errors import InputError, OptionError
from model.inference import resolution
from model.inference.batching import ModelTask, StepCall, TaskPool, run_task
from model.inference.clustering import Cardinality
from model.inference.matching import RIVAL_FEATURES
from model.inference.resolution import (
    CALIBRATOR,
    Method,
    NamedPreference,
    NamedPreferenceExample,
    ResolutionOptions,
    ResolutionResult,
    plan_resolution,
    resolve,
)
from model.tuples import Decision, PairExample, RecordPlace, Relation, Value

MakeCalibrator = Callable[[Sequence[str], Mapping[str, float], float], Calibrator]


class TruePairs(Protocol):
    @property
    def relations(self) -> Sequence[Relation]: ...
    @property
    def pairs(self) -> frozenset[tuple[int, int]]: ...


@pytest.fixture(scope="module")
def linking(checkpoint: Checkpoint, make_calibrator: MakeCalibrator) -> Checkpoint:
    """The tiny checkpoint with a calibrator of pairs that believes what the standings say."""
    weights = {"odds_of_left_if_mutual": 0.4, "odds_of_right_if_mutual": 0.4, "is_mutual": 2.0}
    return replace(checkpoint, calibration=Calibration({CALIBRATOR: make_calibrator(RIVAL_FEATURES, weights, -2.5)}))


def resolved(checkpoint: Checkpoint, relations: Sequence[Relation], **options: Any) -> ResolutionResult:
    return run_task(checkpoint, resolve(checkpoint, relations, ResolutionOptions(**options)))


def joined(result: ResolutionResult) -> set[tuple[RecordPlace, RecordPlace]]:
    """Pairs of records that are in one entity."""
    return {(a, b) for one in result.entities for a in one.members for b in one.members if a < b}


def within(pairs: frozenset[tuple[int, int]]) -> set[tuple[RecordPlace, RecordPlace]]:
    return {(RecordPlace(0, a), RecordPlace(0, b)) for a, b in pairs}


def across(pairs: frozenset[tuple[int, int]]) -> set[tuple[RecordPlace, RecordPlace]]:
    return {(RecordPlace(0, a), RecordPlace(1, b)) for a, b in pairs}


def shuffled(relation: Relation, seed: int) -> tuple[Relation, list[int]]:
    """A relation with rows and columns in another order, and which row stands at each place."""
    rng = random.Random(seed)
    rows = rng.sample(range(len(relation)), len(relation))
    columns = rng.sample(range(len(relation.attributes)), len(relation.attributes))
    values = [[relation.tuples[row][column] for column in columns] for row in rows]
    return Relation.of([relation.attributes[column] for column in columns], values), rows


# One table --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(linking: Checkpoint, duplicated: TruePairs) -> ResolutionResult:
    return resolved(linking, duplicated.relations)


def test_records_of_one_table_become_their_entities(found: ResolutionResult, duplicated: TruePairs) -> None:
    truth = within(duplicated.pairs)
    assert found.method is Method.AGREEMENT
    assert len(joined(found) & truth) >= 122
    assert len(joined(found) - truth) <= 2
    assert sorted(member for one in found.entities for member in one.members) == [
        RecordPlace(0, row) for row in range(400)
    ]
    assert [one.members for one in found.entities] == sorted(one.members for one in found.entities)
    assert found.usage.tuples == 400


def test_pairs_say_what_each_attribute_says_the_weightiest_first(found: ResolutionResult) -> None:
    assert [pair.probability for pair in found.pairs] == sorted((p.probability for p in found.pairs), reverse=True)
    assert found.pairs[-1].probability >= 0.3
    assert len(found.histogram) == 20 and sum(found.histogram) == found.plan.candidate_pairs
    assert sum(found.histogram[6:]) == len(found.pairs)  # those from .3 on are told
    first = found.pairs[0]
    assert first.decision is Decision.MATCH
    assert first.left < first.right
    assert {one.attribute for one in first.agreements} == {"name", "street", "city", "phone", "queue"}
    weights = [abs(one.weight) for one in first.agreements]
    assert weights == sorted(weights, reverse=True)
    assert all(one.weight == 0 for pair in found.pairs for one in pair.agreements if one.similarity is None)
    assert any(one.similarity is None for pair in found.pairs for one in pair.agreements)


def test_permuted_rows_and_columns_give_the_permuted_entities(
    found: ResolutionResult, linking: Checkpoint, duplicated: TruePairs
) -> None:
    relation = duplicated.relations[0]
    moved, rows = shuffled(relation, 1)
    again = resolved(linking, [moved])

    def content(result: ResolutionResult, at: Sequence[int]) -> Counter[Any]:
        """Entities by what their records hold: those that hold the same are interchangeable."""
        return Counter(
            (
                one.id,
                round(one.confidence, 9),
                one.is_capped,
                tuple(sorted((relation.tuples[at[member.tuple_id]] for member in one.members), key=str)),
                tuple((value.attribute, value.value, value.reason) for value in one.record or ()),
            )
            for one in result.entities
        )

    assert content(again, rows) == content(found, range(400))
    assert [pair.probability for pair in again.pairs] == [pair.probability for pair in found.pairs]


def test_an_attribute_without_values_changes_nothing_else(
    found: ResolutionResult, linking: Checkpoint, duplicated: TruePairs
) -> None:
    relation = duplicated.relations[0]
    rows = [(*row[:2], "" if number % 2 else None, *row[2:]) for number, row in enumerate(relation.tuples)]
    again = resolved(linking, [Relation.of((*relation.attributes[:2], "empty", *relation.attributes[2:]), rows)])
    assert [(one.id, one.members, one.confidence) for one in again.entities] == [
        (one.id, one.members, one.confidence) for one in found.entities
    ]
    assert [pair.probability for pair in again.pairs] == [pair.probability for pair in found.pairs]
    assert again.conflicts == found.conflicts and again.questions == found.questions


def test_ten_thousand_records_of_one_name_alone_are_one_entity_by_few_pairs(linking: Checkpoint) -> None:
    result = resolved(linking, [Relation.of(("name",), [["Jonathan Smithers"]] * 10_000)], max_questions=3)
    assert [len(one.members) for one in result.entities] == [10_000]
    assert result.entities[0].record is not None
    assert [value.value for value in result.entities[0].record] == ["Jonathan Smithers"]
    assert result.plan.candidate_pairs < 10 * 10_000
    assert (result.conflicts, result.questions) == ((), ())


def test_copies_become_one_entity_beside_others(linking: Checkpoint, duplicated: TruePairs) -> None:
    relation = duplicated.relations[0]
    copy: tuple[Value, ...] = ("Jonathan Smithers", "Mill Lane 3", "Leeds", "555-1234", "a")
    near: tuple[Value, ...] = ("Jonathan Smitherz", "Mill Lane 3", "Leeds", None, "b")
    result = resolved(linking, [Relation.of(relation.attributes, [*relation.tuples[:200], *[copy] * 1000, near])])
    largest = max(result.entities, key=lambda one: len(one.members))
    assert {member.tuple_id for member in largest.members} == set(range(200, 1201))
    assert result.plan.candidate_pairs <= 20 * 1201


@pytest.mark.parametrize("rows", [[], [["x", None]], [[None, None]], [[None, None]] * 3])
def test_tables_with_nothing_to_compare_have_each_record_alone(
    linking: Checkpoint, rows: list[Sequence[Value]]
) -> None:
    result = resolved(linking, [Relation.of(("a", "b"), rows)])
    assert [one.members for one in result.entities] == [(RecordPlace(0, row),) for row in range(len(rows))]
    assert (result.pairs, result.conflicts, result.questions) == ((), (), ())
    assert result.plan.candidate_pairs == 0


# Two tables -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matched(linking: Checkpoint, linked: TruePairs) -> ResolutionResult:
    return resolved(linking, linked.relations)


def test_two_tables_are_linked_by_rivals(matched: ResolutionResult, linked: TruePairs) -> None:
    truth = across(linked.pairs)
    said = {(pair.left, pair.right) for pair in matched.pairs if pair.decision is Decision.MATCH}
    assert matched.method is Method.RIVALS
    assert len(said & truth) >= 194
    assert len(said - truth) <= 8
    assert len(joined(matched) & truth) >= 194
    assert matched.plan.records == 600
    assert matched.plan.possible_pairs == 90_000
    assert 2000 < matched.plan.candidate_pairs <= 6000


def test_permuted_tables_are_linked_the_same(matched: ResolutionResult, linking: Checkpoint, linked: TruePairs) -> None:
    both = [shuffled(relation, seed) for seed, relation in enumerate(linked.relations)]
    again = resolved(linking, [relation for relation, _ in both])
    back = {
        tuple(sorted(RecordPlace(one.relation, both[one.relation][1][one.tuple_id]) for one in entity.members)): (
            entity.id,
            entity.confidence,
        )
        for entity in again.entities
    }
    assert back == {entity.members: (entity.id, entity.confidence) for entity in matched.entities}


@pytest.mark.parametrize("empty", [0, 1])
def test_a_link_with_an_empty_table_joins_nothing(linking: Checkpoint, empty: int) -> None:
    tables = [Relation.of(("a",), [["Anna Weber"], ["Anna Weber"]]), Relation.of(("a",), [])]
    result = resolved(linking, tables[::-1] if not empty else tables, cardinality=Cardinality.ONE_TO_ONE)
    assert [len(one.members) for one in result.entities] == [1, 1]
    assert (result.plan.possible_pairs, result.plan.candidate_pairs) == (0, 0)


def test_small_tables_are_linked_by_agreement_and_need_no_calibrator(checkpoint: Checkpoint) -> None:
    first = Relation.of(("Name", "City"), [["Anna Weber", "Bern"], ["Bob O'Neil", "Rome"], ["Eve Adams", "Lima"]])
    second = Relation.of(("city", "name"), [["Rome", "Bob ONeil"], ["Bern", "Anna Weber"], ["Oslo", "Farid Khan"]])
    result = resolved(checkpoint, [first, second])
    assert result.method is Method.AGREEMENT
    assert joined(result) == across(frozenset({(0, 1), (1, 0)}))


def test_rivals_need_the_checkpoints_calibrator(
    checkpoint: Checkpoint, bare_checkpoint: Checkpoint, linked: TruePairs
) -> None:
    for one in (checkpoint, bare_checkpoint):
        with pytest.raises(OptionError, match="calibrator") as caught:
            resolved(one, linked.relations)
        assert caught.value.field == "tables"


def test_one_to_one_gives_each_record_one_partner_at_most(linking: Checkpoint) -> None:
    rng = random.Random(1)
    names = ["".join(rng.choice("bcdfglmnprst") + rng.choice("aeiou") for _ in range(5)) for _ in range(40)]
    first = Relation.of(("name",), [[name] for name in names])
    second = Relation.of(("name",), [[name] for name in [*names, *names[:10]]])
    for cardinality, sizes in (
        (Cardinality.ONE_TO_ONE, {1: 10, 2: 40}),
        (Cardinality.ONE_TO_MANY, {2: 30, 3: 10}),
        (None, {2: 30, 3: 10}),
    ):
        result = resolved(linking, [first, second], cardinality=cardinality, threshold=0.2)
        assert Counter(len(one.members) for one in result.entities) == sizes


# Examples ---------------------------------------------------------------------------------------------


def example(left: int, right: int, is_match: bool, sides: tuple[int, int] = (0, 0)) -> PairExample:
    return PairExample(RecordPlace(sides[0], left), RecordPlace(sides[1], right), is_match)


def test_examples_are_taken_as_they_are_even_where_blocking_found_no_pair(
    found: ResolutionResult, linking: Checkpoint, duplicated: TruePairs
) -> None:
    multiple = {one for one in joined(found) if sum(one[0] in other for other in joined(found)) == 1}
    true = next(pair for pair in sorted(multiple) if (pair[0].tuple_id, pair[1].tuple_id) in duplicated.pairs)
    alone = [one.members[0].tuple_id for one in found.entities if len(one.members) == 1]
    told = (example(true[1].tuple_id, true[0].tuple_id, False), example(alone[0], alone[-1], True))
    result = resolved(linking, duplicated.relations, examples=told)
    by_place = {
        (pair.left, pair.right): pair
        for pair in resolved(linking, duplicated.relations, examples=told, threshold=0.0).pairs  # all of them
    }
    assert by_place[true].probability == 0.0
    assert by_place[true].decision is Decision.NO_MATCH
    far = RecordPlace(0, alone[0]), RecordPlace(0, alone[-1])
    assert by_place[far].probability == 1.0
    assert far in joined(result)
    assert true not in joined(result)


def test_examples_teach_about_other_pairs_of_one_table(linking: Checkpoint, duplicated: TruePairs) -> None:
    """Households: told that people of one street and city are one entity, or not, others of one street follow."""
    rng = random.Random(2)
    relation = duplicated.relations[0]
    rows: list[list[Value]] = []
    for row in relation.tuples[:80]:
        where, city = f"{rng.choice('BCDFGH')}{rng.random()} road", row[2]
        rows += [[row[0], where, city, None, "a"], [row[0] and row[0][::-1].upper(), where, city, None, "b"]]
    table = Relation.of(relation.attributes, rows)
    counts = []
    for is_match in (False, True):
        told = tuple(example(2 * one, 2 * one + 1, is_match) for one in range(20))
        pairs = joined(resolved(linking, [table], examples=told))
        counts.append(sum((RecordPlace(0, 2 * one), RecordPlace(0, 2 * one + 1)) in pairs for one in range(20, 80)))
    assert counts[0] <= 10
    assert counts[1] >= 50


def test_examples_teach_two_tables(matched: ResolutionResult, linking: Checkpoint, linked: TruePairs) -> None:
    told = tuple(example(left, right, False, (0, 1)) for left, right in sorted(linked.pairs)[:60])
    result = resolved(linking, linked.relations, examples=told)
    assert not joined(result) & across(frozenset(sorted(linked.pairs)[:60]))
    others = {pair: p.probability for p in result.pairs for pair in [(p.left, p.right)]}
    before = {pair: p.probability for p in matched.pairs for pair in [(p.left, p.right)]}
    assert any(others.get(pair) != one for pair, one in before.items() if pair[0].tuple_id > 200)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ((example(0, 1, True), example(0, 400, True)), "example 1: table 0 has no row 400"),
        ((example(0, 1, True, (0, 1)),), "example 0: table 1 has no row 1"),
        ((example(-1, 1, True),), "example 0: table 0 has no row -1"),
        ((example(3, 3, True),), "example 0 compares a record with itself"),
        ((example(0, 1, True), example(1, 0, False)), "example 1 answers a pair differently"),
        ((example(0, 1, True),) * 1001, "more than 1000 examples"),
    ],
)
def test_wrong_examples_name_their_place(
    linking: Checkpoint, duplicated: TruePairs, examples: tuple[PairExample, ...], message: str
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        resolved(linking, duplicated.relations, examples=examples)
    assert caught.value.field == "examples"


def test_an_example_of_one_table_is_none_for_two(linking: Checkpoint, linked: TruePairs) -> None:
    with pytest.raises(OptionError, match="example 0 compares two records of one table"):
        resolved(linking, linked.relations, examples=(example(0, 1, True, (1, 1)),))


def test_the_same_answer_twice_is_one(linking: Checkpoint, duplicated: TruePairs) -> None:
    once = resolved(linking, duplicated.relations, examples=(example(0, 1, True),))
    twice = resolved(linking, duplicated.relations, examples=(example(0, 1, True), example(1, 0, True)))
    assert once.entities == twice.entities


# Golden records ---------------------------------------------------------------------------------------

PEOPLE = Relation.of(
    ("Name", "City", "Phone", "Updated"),
    [
        ["Anna Weber", "Bern", "555-1234", "2020-01-05"],
        ["Anna Webber", "Bern", "555-1234", "2023-07-01"],
        ["Bob O'Neil", "Rome", "555-9999", "2021-01-01"],
        ["Chloé Martin", "Lima", "444-1212", None],
        ["Dmitri Ivanov", "Oslo", None, "2021-05-06"],
    ],
)
SAME = (example(0, 1, True),)


def golden(result: ResolutionResult, tuple_id: int) -> dict[str, Any]:
    entity = next(one for one in result.entities if RecordPlace(0, tuple_id) in one.members)
    assert entity.record is not None
    return {one.attribute: one for one in entity.record}


def test_a_golden_record_keeps_what_it_did_not_choose(linking: Checkpoint) -> None:
    result = resolved(linking, [PEOPLE], examples=SAME)
    anna = golden(result, 0)
    assert anna["City"].value == "Bern"
    assert anna["City"].places == (RecordPlace(0, 0), RecordPlace(0, 1))
    assert {anna["Name"].value, anna["Name"].lost[0].value} == {"Anna Weber", "Anna Webber"}
    assert len(anna["Name"].lost[0].places) == 1
    assert golden(result, 4)["Phone"].value is None
    assert golden(result, 4)["Phone"].reason == "missing"


def test_preferences_choose_and_name_attributes_however_they_are_written(linking: Checkpoint) -> None:
    for rule, name in (("shortest", "Anna Weber"), ("longest", "Anna Webber"), ("newest:updated", "Anna Webber")):
        chosen = golden(resolved(linking, [PEOPLE], examples=SAME, preferences=(NamedPreference("NAME", rule),)), 0)
        assert chosen["Name"].value == name
        assert chosen["Name"].reason == "preference"
    oldest = (NamedPreferenceExample("updated", "2020-01-05", "2023-07-01"),)
    assert golden(resolved(linking, [PEOPLE], examples=SAME, preference_examples=oldest), 0)["Updated"].value == (
        "2020-01-05"
    )


def test_preferred_tables_win_in_a_link(linking: Checkpoint) -> None:
    other = Relation.of(PEOPLE.attributes, [["Anna Wéber", "Bern", "555-1234", None]])
    told = (example(0, 0, True, (0, 1)),)
    for table, name in ((0, "Anna Weber"), (1, "Anna Wéber")):
        rule = (NamedPreference("name", f"table:{table}"),)
        assert golden(resolved(linking, [PEOPLE, other], examples=told, preferences=rule), 0)["Name"].value == name


def test_no_golden_record_is_made_where_none_is_asked_for(linking: Checkpoint) -> None:
    assert {one.record for one in resolved(linking, [PEOPLE], consolidate=False).entities} == {None}


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"preferences": (NamedPreference("nme", "longest"),)}, "preferences", "no table has a column 'nme'"),
        ({"preferences": (NamedPreference("name", "best"),)}, "preferences", "no rule"),
        ({"preferences": (NamedPreference("name", "newest:when"),)}, "preferences", "no table has a column 'when'"),
        ({"preference_examples": (NamedPreferenceExample("nme", "a", "b"),)}, "preference_examples", "'nme'"),
        ({"candidates": 0}, "candidates", "candidates 0"),
        ({"candidates": 101}, "candidates", "candidates 101"),
        ({"threshold": 1.5}, "threshold", "threshold"),
        ({"review_band": (0.7, 0.3)}, "review_band", "review_band"),
        ({"max_cluster_size": 1}, "max_cluster_size", "max_cluster_size"),
        ({"cardinality": Cardinality.ONE_TO_ONE}, "cardinality", "one_to_one"),
    ],
)
def test_options_that_do_not_fit_are_refused_by_name(
    linking: Checkpoint, options: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        resolved(linking, [PEOPLE], **options)
    assert caught.value.field == field
    with pytest.raises(OptionError, match=message):
        plan_resolution([PEOPLE], ResolutionOptions(**options))


@pytest.mark.parametrize("count", [0, 3])
def test_one_table_or_two_are_resolved(linking: Checkpoint, count: int) -> None:
    with pytest.raises(InputError, match=f"one table or two are resolved, not {count}") as caught:
        resolved(linking, [PEOPLE] * count)
    assert caught.value.field == "tables"


# Review -----------------------------------------------------------------------------------------------


def test_conflicts_and_questions_are_told_and_answered_pairs_are_not_asked(
    linking: Checkpoint, duplicated: TruePairs
) -> None:
    options = {"review_band": (0.001, 0.9999), "max_questions": 5}
    first = resolved(linking, duplicated.relations, **options)
    assert 0 < len(first.questions) <= 5
    assert all(one.kind in ("joined", "separated", "uncertain") for one in first.questions)
    assert all(one.left < one.right for one in first.questions)
    told = tuple(
        PairExample(one.left, one.right, (one.left.tuple_id, one.right.tuple_id) in duplicated.pairs)
        for one in first.questions
    )
    second = resolved(linking, duplicated.relations, examples=told, **options)
    assert not {(one.left, one.right) for one in second.questions} & {(one.left, one.right) for one in first.questions}
    assert resolved(linking, duplicated.relations, max_questions=0).questions == ()


def test_contradicting_answers_are_conflicts(linking: Checkpoint) -> None:
    told = (example(0, 1, True), example(1, 2, True), example(0, 2, False))
    result = resolved(linking, [PEOPLE], examples=told)
    assert {one.kind for one in result.conflicts} <= {"joined", "separated"}
    assert len([one for one in result.conflicts if {one.left.tuple_id, one.right.tuple_id} <= {0, 1, 2}]) == 1
    assert not [one for one in result.questions if {one.left.tuple_id, one.right.tuple_id} <= {0, 1, 2}]


def test_decisions_follow_the_review_band(linking: Checkpoint, duplicated: TruePairs) -> None:
    result = resolved(linking, duplicated.relations, review_band=(0.01, 0.99), threshold=0.0)
    judged = result.pairs
    assert len(judged) == result.plan.candidate_pairs > 400
    assert {one.decision for one in judged} == {Decision.MATCH, Decision.REVIEW, Decision.NO_MATCH}
    for one in judged:
        expected = Decision.NO_MATCH if one.probability < 0.01 else Decision.REVIEW
        assert one.decision is (Decision.MATCH if one.probability > 0.99 else expected)


def test_max_cluster_size_caps_entities(linking: Checkpoint) -> None:
    result = resolved(linking, [Relation.of(("a",), [["Jonathan Smithers"]] * 6)], max_cluster_size=4)
    assert max(len(one.members) for one in result.entities) <= 4
    assert any(one.is_capped for one in result.entities)


# Plan and turns ---------------------------------------------------------------------------------------


def test_the_plan_before_bounds_the_plan_after(found: ResolutionResult, duplicated: TruePairs) -> None:
    before = plan_resolution(duplicated.relations)
    assert before.records == found.plan.records == 400
    assert before.possible_pairs == found.plan.possible_pairs == 400 * 399 // 2
    assert 400 < found.plan.candidate_pairs < before.candidate_pairs == 20 * 400
    assert found.plan.seconds <= before.seconds
    assert 0 < before.reduction_ratio < found.plan.reduction_ratio < 1
    assert plan_resolution(duplicated.relations, ResolutionOptions(candidates=3)).candidate_pairs == 1200
    assert plan_resolution([duplicated.relations[0]] * 2).candidate_pairs == 10 * 800


def test_progress_is_told_stage_by_stage(linking: Checkpoint) -> None:
    heard: list[tuple[str, int, int]] = []
    task = resolve(linking, [PEOPLE], None, lambda *one: heard.append(one))
    run_task(linking, task)
    assert heard == [
        (name, number + 1, 5) for number, name in enumerate(("block", "compare", "judge", "cluster", "consolidate"))
    ]


def test_others_get_their_turns_between_and_within_stages(
    linking: Checkpoint, duplicated: TruePairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = resolved(linking, duplicated.relations)
    monkeypatch.setattr(resolution, "_PAIRS_PER_STEP", 1000)
    monkeypatch.setattr(resolution, "_ENTITIES_PER_STEP", 50)
    turns: list[str] = []

    def other() -> ModelTask[None]:
        while True:
            yield [StepCall(lambda: turns.append("other"))]

    def told() -> ModelTask[ResolutionResult]:
        task = resolve(linking, duplicated.relations, None, lambda name, *_: turns.append(name))
        result: ResolutionResult = yield from task
        return result

    pool = TaskPool(linking)
    resolving, _ = pool.add(told()), pool.add(other())
    finished: list[Any] = []
    while not finished:
        finished = pool.step()
    assert finished[0].task_id == resolving and finished[0].error is None
    assert (finished[0].result.entities, finished[0].result.pairs) == (whole.entities, whole.pairs)
    places = [turns.index(name) for name in ("block", "compare", "judge", "cluster", "consolidate")]
    between = [turns[a:b].count("other") for a, b in zip([0, *places], [*places, len(turns)], strict=False)]
    assert between[1] >= whole.plan.candidate_pairs // 1000 > 3
    assert min(between[:5]) >= 1
    assert between[4] >= len(whole.entities) // 50 > 3


def test_odd_texts_pass_through_unharmed(linking: Checkpoint) -> None:
    odd: list[list[Value]] = [
        ["an\x00na weber", "x" * 2_000_000],
        ["bro\ud800ken te\udfffxt", None],
        ["北京市朝阳区", "\x00\x1f"],
    ]
    result = resolved(linking, [Relation.of(("a", "b"), [*odd, *odd])])
    assert [one.members for one in result.entities] == [(RecordPlace(0, n), RecordPlace(0, n + 3)) for n in range(3)]
    kept = [{value.attribute: value.value for value in one.record or ()} for one in result.entities]
    assert kept == [dict(zip("ab", row, strict=True)) for row in odd]


def test_a_probability_is_the_same_alone_and_in_company(linking: Checkpoint, duplicated: TruePairs) -> None:
    alone = resolved(linking, duplicated.relations)
    pool = TaskPool(linking)
    ids = [pool.add(resolve(linking, duplicated.relations)) for _ in range(2)]
    finished: dict[int, Any] = {}
    while len(pool):
        finished |= {one.task_id: one.result for one in pool.step()}
    for one in ids:
        assert finished[one].pairs == alone.pairs
        assert np.array_equal([e.confidence for e in finished[one].entities], [e.confidence for e in alone.entities])
