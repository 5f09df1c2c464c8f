"""What a resolution may be asked, and what is refused before any table is looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from api_schemas.resolution import MAX_EXAMPLES, MAX_PREFERENCES, PairExample, RecordPlace, ResolutionRequest

TABLE = {"columns": ["name", "age"], "rows": [["Anna", 7], [None, True]]}
EXAMPLE = {"left": {"table": 0, "row": 0}, "right": {"table": 1, "row": 3}, "match": True}


def read(**fields: Any) -> ResolutionRequest:
    return ResolutionRequest.model_validate(json.loads(json.dumps({"tables": [TABLE], **fields})))


def fault(**fields: Any) -> tuple[str, tuple[int | str, ...]]:
    """Type and place of the first error."""
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    error = caught.value.errors()[0]
    return error["type"], error["loc"]


def test_the_defaults_are_those_of_the_contract() -> None:
    request = read()
    assert request.tables[0].texts() == [("Anna", "7"), (None, "true")]
    assert (request.threshold, request.review_band) == (0.5, [0.3, 0.7])
    assert (request.cardinality, request.consolidate, request.max_questions) == ("many_to_many", True, 10)
    assert (request.max_cluster_size, request.candidates) == (None, None)
    assert (request.examples, request.preferences) == ([], [])


def test_every_option_is_read() -> None:
    request = read(
        tables=[TABLE, TABLE],
        threshold=1,
        review_band=[0, 1],
        examples=[EXAMPLE],
        max_cluster_size=2,
        cardinality="one_to_many",
        consolidate=False,
        preferences=[
            {"column": "name", "rule": "newest:age"},
            {"column": "age", "preferred": "8", "other": "7"},
        ],
        candidates=100,
        max_questions=0,
    )
    places = RecordPlace(table=0, row=0), RecordPlace(table=1, row=3)
    assert request.examples == [PairExample(left=places[0], right=places[1], match=True)]
    assert (request.threshold, request.review_band, request.cardinality) == (1.0, [0.0, 1.0], "one_to_many")
    assert [one.rule for one in request.preferences] == ["newest:age", None]
    assert (request.preferences[1].preferred, request.preferences[1].other) == ("8", "7")
    assert (request.max_cluster_size, request.candidates, request.max_questions) == (2, 100, 0)


@pytest.mark.parametrize(
    "rule",
    ["newest", "oldest", "largest", "smallest", "longest", "shortest", "most_words", "fewest_words", "most_frequent",
     "table:0", "table:1", "newest:last update"],
)  # fmt: skip
def test_every_rule_is_read(rule: str) -> None:
    assert read(preferences=[{"column": "name", "rule": rule}]).preferences[0].rule == rule


@pytest.mark.parametrize(
    "rule", ["", "finest", "Newest", "newest:", "table:2", "table:", "oldest:age", "newest:\ud800"]
)
def test_a_rule_that_is_none_is_refused(rule: str) -> None:
    assert fault(preferences=[{"column": "name", "rule": rule}])[1] == ("preferences", 0, "rule")


@pytest.mark.parametrize(
    ("fields", "kind", "place"),
    [
        ({"tables": []}, "too_short", ("tables",)),
        ({"tables": [TABLE] * 3}, "too_long", ("tables",)),
        ({"threshold": 1.01}, "less_than_equal", ("threshold",)),
        ({"threshold": -0.01}, "greater_than_equal", ("threshold",)),
        ({"threshold": "0.5"}, "float_type", ("threshold",)),
        ({"review_band": [0.5]}, "too_short", ("review_band",)),
        ({"review_band": [0.1, 0.5, 0.9]}, "too_long", ("review_band",)),
        ({"review_band": [0.1, 1.5]}, "less_than_equal", ("review_band", 1)),
        ({"max_cluster_size": 1}, "greater_than_equal", ("max_cluster_size",)),
        ({"candidates": 0}, "greater_than_equal", ("candidates",)),
        ({"candidates": 101}, "less_than_equal", ("candidates",)),
        ({"max_questions": -1}, "greater_than_equal", ("max_questions",)),
        ({"cardinality": "many_to_one"}, "literal_error", ("cardinality",)),
        ({"consolidate": 1}, "bool_type", ("consolidate",)),
        ({"colour": 1}, "extra_forbidden", ("colour",)),
        ({"examples": [{**EXAMPLE, "weight": 1}]}, "extra_forbidden", ("examples", 0, "weight")),
        ({"examples": [{**EXAMPLE, "match": "yes"}]}, "bool_type", ("examples", 0, "match")),
        ({"examples": [{**EXAMPLE, "left": {"table": 2, "row": 0}}]}, "less_than_equal",
         ("examples", 0, "left", "table")),
        ({"examples": [{**EXAMPLE, "right": {"table": 0, "row": -1}}]}, "greater_than_equal",
         ("examples", 0, "right", "row")),
        ({"examples": [EXAMPLE] * (MAX_EXAMPLES + 1)}, "too_long", ("examples",)),
        ({"preferences": [{"column": "a"}] * (MAX_PREFERENCES + 1)}, "too_long", ("preferences",)),
        ({"preferences": [{"rule": "longest"}]}, "missing", ("preferences", 0, "column")),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused_where_it_stands(
    fields: dict[str, Any], kind: str, place: tuple[int | str, ...]
) -> None:
    assert fault(**fields) == (kind, place)
