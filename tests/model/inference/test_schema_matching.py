"""Columns are matched by names, values and rivals; examples pin, bar and teach; order changes nothing."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoint import Checkpoint
from model.errors import OptionError, RelationError
from model.inference.batching import run_task
from model.inference.column_names import ColumnName
from model.inference.schema_matching import (
    MAX_LEAD,
    Schema,
    SchemaExample,
    SchemaMatchingOptions,
    SchemaMatchingResult,
    judge_pairs,
    learned_words,
    match_schema,
    observe_pairs,
    with_rivals,
)
from model.tuples import Relation

ROWS = [["1", "Anna", "Boston", "02116"], ["2", "Otto", "Denver", "80202"], ["3", "Eve", "Austin", "73301"]]
SOURCE = Schema(Relation.of(["id", "first name", "city", "zip"], ROWS))
TARGET = Schema(Relation.of(["code", "town", "FirstName"], [["80202", "Denver", "Otto"], ["02116", "Boston", "Zoe"]]))


def match(
    checkpoint: Checkpoint, source: Schema, target: Schema, options: SchemaMatchingOptions | None = None
) -> SchemaMatchingResult:
    return run_task(checkpoint, match_schema(checkpoint, source, target, options))


def pairs_of(result: SchemaMatchingResult, source: Schema = SOURCE, target: Schema = TARGET) -> dict[str, str]:
    return {source.relation.attributes[one.source]: target.relation.attributes[one.target] for one in result.matches}


def bare(*names: str) -> Schema:
    return Schema(Relation.of(names, []))


def test_names_and_values_find_their_columns_and_the_rest_abstains(checkpoint: Checkpoint) -> None:
    result = match(checkpoint, SOURCE, TARGET)
    assert pairs_of(result) == {"first name": "FirstName", "city": "town", "zip": "code"}
    assert [len(ranked) for ranked in result.ranked] == [3, 3, 3, 3]
    assert [result.ranked[place][0].target for place in (1, 2, 3)] == [2, 1, 0]
    assert result.usage.tuples == 5


def test_many_columns_are_compared_in_parts_as_they_are_at_once(checkpoint: Checkpoint) -> None:
    rng = random.Random(2)
    names = [f"column {rng.randrange(10**6)} {letter}" for letter in "abcdefghijklmnopqrstuvwxyz" * 2]
    rows = [[f"{rng.choice(names)} {rng.randrange(50)}" for _ in names] for _ in range(6)]
    schema = Schema(Relation.of(names, rows))
    assert checkpoint.calibration is not None
    at_once = judge_pairs(checkpoint.calibration, observe_pairs(schema, schema)).confidences
    result = match(checkpoint, schema, schema)
    order = schema.order
    for row, source in enumerate(order):
        found = {one.target: one.confidence for one in result.ranked[source]}
        assert [found[target] for target in order] == at_once[row].tolist()


def test_evidence_says_what_names_values_and_rivals_add(checkpoint: Checkpoint) -> None:
    by_source = {one.source: one for one in match(checkpoint, SOURCE, TARGET).matches}
    town = {said.source.value: said for said in by_source[2].evidence}
    assert set(town) == {"names", "values", "rivals"}
    assert town["values"].weight > town["names"].weight
    assert town["values"].detail == "100% of the distinct values of one are in the other"
    assert town["rivals"].detail.startswith("ahead of")
    same = {said.source.value: said for said in by_source[1].evidence}
    assert same["names"].detail == "the same name"
    weights = [abs(said.weight) for said in by_source[1].evidence]
    assert weights == sorted(weights, reverse=True)


def test_nothing_is_said_of_rivals_that_are_not_there(checkpoint: Checkpoint) -> None:
    (only,) = match(checkpoint, bare("city"), bare("city")).matches
    assert [said.source.value for said in only.evidence] == ["names"]
    several = match(checkpoint, SOURCE, TARGET, SchemaMatchingOptions(one_to_one=False)).matches
    told = {said.detail for one in several for said in one.evidence if said.source.value == "rivals"}
    assert told == {"no worse than the best other pair of the two columns"}


def test_tables_without_rows_are_matched_by_names_and_descriptions(checkpoint: Checkpoint) -> None:
    result = match(checkpoint, bare("first_name", "city"), bare("City", "FirstName", "x"))
    assert {(one.source, one.target) for one in result.matches} == {(0, 1), (1, 0)}
    assert {said.source.value for one in result.matches for said in one.evidence} == {"names", "rivals"}


def test_columns_that_fit_nothing_are_not_matched(checkpoint: Checkpoint) -> None:
    assert match(checkpoint, bare("alpha"), bare("quux", "zzz")).matches == ()


def test_a_column_is_matched_once_unless_it_may_be_in_several(checkpoint: Checkpoint) -> None:
    source, target = bare("start date"), bare("start_date", "StartDate")
    assert len(match(checkpoint, source, target, SchemaMatchingOptions(min_confidence=0.05)).matches) == 1
    many = SchemaMatchingOptions(one_to_one=False, min_confidence=0.05)
    assert [one.target for one in match(checkpoint, source, target, many).matches] == [0, 1]


def test_the_assignment_serves_both_columns_rather_than_one(checkpoint: Checkpoint) -> None:
    options = SchemaMatchingOptions(min_confidence=0.0)
    result = match(checkpoint, bare("name", "name first"), bare("name first", "zz"), options)
    assert {(one.source, one.target) for one in result.matches} == {(0, 1), (1, 0)}


def test_examples_pin_and_bar_pairs(checkpoint: Checkpoint) -> None:
    pinned = SchemaMatchingOptions(examples=(SchemaExample(0, 1, True), SchemaExample(1, 2, False)))
    result = match(checkpoint, SOURCE, TARGET, pinned)
    assert pairs_of(result) == {"id": "town", "zip": "code"}
    first = result.matches[0]
    assert (first.confidence, [said.source.value for said in first.evidence]) == (1.0, ["example"])
    assert {one.target: one.confidence for one in result.ranked[1]}[2] == 0.0


def test_a_match_teaches_what_words_are_called_in_the_other_table(checkpoint: Checkpoint) -> None:
    source, target = bare("cust id", "cust name", "price"), bare("kd nr", "kd bez", "foo bar")
    assert match(checkpoint, source, target).matches == ()
    told = SchemaMatchingOptions(examples=(SchemaExample(0, 0, True),))
    before = {one.target: one.confidence for one in match(checkpoint, source, target).ranked[1]}
    after = {one.target: one.confidence for one in match(checkpoint, source, target, told).ranked[1]}
    assert after[1] > 3 * before[1] and after[2] <= before[2]


def test_words_are_learned_where_pairs_agree() -> None:
    one = ColumnName("", ("cust", "id")), ColumnName("", ("kd", "id"))
    other = ColumnName("", ("cust", "name")), ColumnName("", ("client", "name"))
    assert learned_words([one]) == {"cust": ("kd",)}
    assert learned_words([one, other]) == {}
    assert learned_words([one, one, other]) == {"cust": ("kd",)}
    assert learned_words([(ColumnName("", ("a", "b")), ColumnName("", ("c",)))]) == {}


def test_leads_are_taken_over_the_best_other_pair() -> None:
    features = with_rivals([np.array([[3.0, 1.0], [0.5, 2.0]])])
    assert features[0, 0].tolist() == [3.0, 2.0, 2.5, 2.0]
    assert features[1, 0].tolist() == [0.5, -1.5, -2.5, -2.5]
    alone = with_rivals([np.array([[3.0]])])
    assert alone[0, 0].tolist() == [3.0, MAX_LEAD, MAX_LEAD, MAX_LEAD]
    barred = with_rivals([np.array([[3.0, 1.0], [0.5, 2.0]])], np.array([[False, True], [False, False]]))
    assert barred[0, 0, 1] == MAX_LEAD
    many = with_rivals([np.array([[3.0, 3.0], [0.5, 2.0]])], many=True)
    assert many[:, :, 1].tolist() == [[0.0, 0.0], [-1.5, 0.0]]  # twins are nobody's rivals, and nobody is ahead


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_and_columns_changes_nothing(checkpoint: Checkpoint, seed: int) -> None:
    rng = random.Random(seed)
    expected = match(checkpoint, SOURCE, TARGET, SchemaMatchingOptions(min_confidence=0.1))
    turned, orders = [], []
    for schema in (SOURCE, TARGET):
        width, height = len(schema.relation.attributes), len(schema.relation)
        columns, rows = rng.sample(range(width), width), rng.sample(range(height), height)
        relation = Relation.of(
            [schema.relation.attributes[column] for column in columns],
            [[schema.relation.tuples[row][column] for column in columns] for row in rows],
        )
        turned.append(Schema(relation))
        orders.append(columns)
    result = match(checkpoint, turned[0], turned[1], SchemaMatchingOptions(min_confidence=0.1))
    back = [replace(one, source=orders[0][one.source], target=orders[1][one.target]) for one in result.matches]
    assert sorted(back, key=lambda one: one.source) == list(expected.matches)
    for place, ranked in enumerate(result.ranked):
        found = [replace(one, target=orders[1][one.target]) for one in ranked]
        assert tuple(found) == expected.ranked[orders[0][place]]


def test_targets_that_are_level_are_chosen_by_their_names(checkpoint: Checkpoint) -> None:
    source = Schema(Relation.of(["zip"], [["02116"], ["80202"]]))
    rows = [["02116", "02116"], ["80202", "80202"]]
    for names in (["qqq", "www"], ["www", "qqq"]):
        target = Schema(Relation.of(names, rows))
        result = match(checkpoint, source, target, SchemaMatchingOptions(min_confidence=0.01))
        assert result.ranked[0][0].confidence == result.ranked[0][1].confidence
        assert pairs_of(result, source, target) == {"zip": "qqq"}
        assert names[result.ranked[0][0].target] == "qqq"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SchemaMatchingOptions(min_confidence=1.5), "outside 0 to 1"),
        (SchemaMatchingOptions(max_candidates=0), "below 1"),
        (SchemaMatchingOptions(examples=(SchemaExample(9, 0, True),)), "the source does not have"),
        (SchemaMatchingOptions(examples=(SchemaExample(0, 9, True),)), "the target does not have"),
        (SchemaMatchingOptions(examples=(SchemaExample(0, 0, True), SchemaExample(0, 0, False))), "differently"),
        (SchemaMatchingOptions(examples=(SchemaExample(0, 0, True), SchemaExample(0, 1, True))), "match one column"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    checkpoint: Checkpoint, options: SchemaMatchingOptions, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        match(checkpoint, SOURCE, TARGET, options)


def test_columns_are_told_apart_by_their_names() -> None:
    with pytest.raises(RelationError, match="columns 0 and 2 have the same name") as duplicate:
        bare("a", "b", "a")
    assert duplicate.value.attribute == 2
    with pytest.raises(RelationError, match="column 1 has no name"):
        bare("a", " ")
    with pytest.raises(RelationError, match="2 descriptions of 1 columns"):
        Schema(Relation.of(["a"], []), ("one", "two"))


def test_a_checkpoint_without_calibrators_of_columns_says_so(bare_checkpoint: Checkpoint) -> None:
    with pytest.raises(OptionError, match=r"model\.finetuning\.schema_matching"):
        match(bare_checkpoint, SOURCE, TARGET)
