"""Bad input gets a problem document that names the place; here each has its exact text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.engine import InputError, NotReadyError, QueueFullError
from service.errors import KINDS
from tests.service.conftest import Client, FakeEngine

JSON = {"content-type": "application/json", "x-request-id": "r1"}


def problem(word: str, title: str, status: int, detail: str, errors: list[dict[str, Any]] | None = None) -> object:
    """A problem document of request r1."""
    document: dict[str, Any] = {
        "type": f"urn:rpt:problem:{word}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": "r1",
    }
    return document | ({"errors": errors} if errors else {})


def invalid(detail: str, **place: Any) -> object:
    """A 422 with one place."""
    return problem("invalid-request", "The request is not valid", 422, detail, [{"detail": detail, **place}])


CELL = "a cell is valid Unicode text, a finite number, true, false or null"
TABLE = {"columns": ["a", "b"], "rows": [["1", "2"]]}
BAD_REQUESTS: dict[str, tuple[object, object]] = {
    "no table": ({}, invalid("Field required", pointer="/table")),
    "no columns": (
        {"table": {"columns": [], "rows": []}},
        invalid("a table needs at least one column", pointer="/table"),
    ),
    "ragged row": (
        {"table": {"columns": ["a", "b"], "rows": [["1", "2"], ["1"]]}},
        invalid("row 1 has 1 cells, the table has 2 columns", pointer="/table/rows/1", row=1),
    ),
    "duplicate column": (
        {"table": {"columns": ["a", "a"], "rows": []}},
        invalid("columns 0 and 1 have the same name", pointer="/table/columns/1"),
    ),
    "empty column name": (
        {"table": {"columns": ["a", ""], "rows": []}},
        invalid("String should have at least 1 character", pointer="/table/columns/1"),
    ),
    "empty name in an object": (
        {"table": {"columns": [{"name": ""}], "rows": []}},
        invalid("String should have at least 1 character", pointer="/table/columns/0/name"),
    ),
    "object as a cell": (
        {"table": {"columns": ["a", "b"], "rows": [["1", {"x": 1}]]}},
        invalid(CELL, pointer="/table/rows/0/1", row=0, column="b"),
    ),
    "list in a record": (
        {"table": {"records": [{"a": 1}, {"a/b": [1]}]}},
        invalid(CELL, pointer="/table/records/1/a~1b", row=1, column="a/b"),
    ),
    "half a surrogate pair": (
        {"table": {"columns": ["a", "b"], "rows": [["1", "\ud800"]]}},
        invalid(CELL, pointer="/table/rows/0/1", row=0, column="b"),
    ),
    "both forms": (
        {"table": {**TABLE, "records": []}},
        invalid("a table is either 'columns' with 'rows', or 'records'", pointer="/table"),
    ),
    "unknown field": ({"table": TABLE, "colour": "red"}, invalid("Extra inputs are not permitted", pointer="/colour")),
    "unknown column": (
        {"table": TABLE, "columns": ["a", "c"]},
        invalid("the table has no such column", pointer="/columns/1", column="c"),
    ),
    "unknown column in an example": (
        {"table": TABLE, "examples": [{"row": 0, "column": "c", "value": "x"}]},
        invalid("the table has no such column", pointer="/examples/0/column", column="c"),
    ),
    "row beyond the end": (
        {"table": TABLE, "examples": [{"row": 1, "column": "a", "value": "x"}]},
        invalid("the table has 1 rows, numbered from 0", pointer="/examples/0/row", row=1),
    ),
    "confidence above one": (
        {"table": TABLE, "min_confidence": 1.5},
        invalid("Input should be less than or equal to 1", pointer="/min_confidence"),
    ),
    "confidence as text": (
        {"table": TABLE, "min_confidence": "0.5"},
        invalid("Input should be a valid number", pointer="/min_confidence"),
    ),
    "rule without a regex": (
        {"table": TABLE, "rules": [{"type": "pattern", "column": "a"}]},
        invalid("Field required", pointer="/rules/0/regex"),
    ),
    "dependent that is no column": (
        {"table": TABLE, "rules": [{"type": "functional_dependency", "determinants": ["a"], "dependent": "c"}]},
        invalid("the table has no such column", pointer="/rules/0/dependent", column="c"),
    ),
    "pattern that is none": (
        {"table": TABLE, "rules": [{"type": "pattern", "column": "b", "regex": "("}]},
        invalid("a pattern is no regular expression: missing ) at position 1", pointer="/rules/0/regex", column="b"),
    ),
    "dependent among the determinants": (
        {"table": TABLE, "rules": [{"type": "functional_dependency", "determinants": ["a"], "dependent": "a"}]},
        invalid("a dependency needs determinants, and the dependent cannot be one", pointer="/rules/0"),
    ),
    "two examples for one cell": (
        {"table": TABLE, "examples": [{"row": 0, "column": "a", "value": value} for value in ("x", "y")]},
        invalid("there are two examples for one cell", pointer="/examples/1", row=0, column="a"),
    ),
    "a cell in two examples of its row": (
        {"table": TABLE, "examples": [{"row": 0, "values": {"a": "x"}}, {"row": 0, "values": {"b": "y", "a": "x"}}]},
        invalid("there are two examples for one cell", pointer="/examples/1", row=0, column="a"),
    ),
    "example of a column that is not there": (
        {"table": TABLE, "examples": [{"row": 0, "values": {"c": "x"}}]},
        invalid("the table has no such column", pointer="/examples/0/values", column="c"),
    ),
    "example longer than a cell": (
        {"table": TABLE, "examples": [{"row": 0, "column": "a", "value": "x" * 100_001}]},
        invalid("a value has 100001 characters, at most 100000 are taken", pointer="/examples/0/value", column="a"),
    ),
    "list instead of an object": (
        [],
        problem(
            "invalid-request",
            "The request is not valid",
            422,
            "Input should be a valid dictionary or object to extract fields from",
            [{"detail": "Input should be a valid dictionary or object to extract fields from", "pointer": ""}],
        ),
    ),
}


@pytest.mark.parametrize(("body", "expected"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_a_bad_request_is_refused_with_its_place(
    client: Client, engine: FakeEngine, body: object, expected: object
) -> None:
    response = await client.post("/v1/clean", content=json.dumps(body), headers=JSON)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == expected
    assert engine.asked == []


MALFORMED: dict[str, tuple[bytes, str]] = {
    "cut off": (b'{"table": ', "Expecting value at character 10"),
    "not JSON": (b"a,b\n1,2\n", "Expecting value at character 0"),
    "not UTF-8": (b'{"table": "\xff"}', "There was an error parsing the body"),
    "UTF-16 with a text in it": ('{"a": 1'.encode("utf-16"), "Expecting ',' delimiter at character 7"),
    "nested without end": (b"[" * 100_000, "There was an error parsing the body"),
    "number without end": (b'{"table": ' + b"1" * 5_000 + b"}", "There was an error parsing the body"),
}


@pytest.mark.parametrize(("content", "detail"), MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_is_not_json_is_malformed(client: Client, content: bytes, detail: str) -> None:
    response = await client.post("/v1/clean", content=content, headers=JSON)
    assert (response.status_code, response.json()) == (
        400,
        problem("malformed-body", "The body is not JSON", 400, detail),
    )


async def test_a_number_that_is_not_finite_is_refused_at_its_cell(client: Client) -> None:
    body = b'{"table": {"columns": ["a"], "rows": [["x"], [NaN]]}}'
    response = await client.post("/v1/clean", content=body, headers=JSON)
    assert (response.status_code, response.json()) == (
        422,
        invalid(CELL, pointer="/table/rows/1/0", row=1, column="a"),
    )


@pytest.mark.parametrize("form", ["rows", "records"])
async def test_a_table_full_of_faults_names_the_first(client: Client, form: str) -> None:
    cells: list[object] = [[[], []] for _ in range(50_000)]
    records: list[object] = [{"a": [], "b": 1}] * 50_000
    table = {"columns": ["a", "b"], "rows": cells} if form == "rows" else {"records": records}
    errors = (await client.post("/v1/clean", json={"table": table})).json()["errors"]
    assert [(error["row"], error["column"]) for error in errors] == [(0, "a")]


async def test_many_faults_of_a_request_name_twenty_places(client: Client) -> None:
    examples = [{"row": -1, "column": "a", "value": "x"}] * 500
    errors = (await client.post("/v1/clean", json={"table": TABLE, "examples": examples})).json()["errors"]
    assert [error["pointer"] for error in errors] == [f"/examples/{place}/row" for place in range(20)]


async def test_paths_and_methods_that_do_not_exist_are_problems_too(client: Client) -> None:
    nowhere = await client.get("/v1/nothing", headers=JSON)
    assert (nowhere.status_code, nowhere.json()) == (
        404,
        {
            "type": "urn:rpt:problem:not-found",
            "title": "There is nothing here",
            "status": 404,
            "request_id": "r1",
        },
    )
    wrong = await client.put("/v1/clean", headers=JSON)
    assert (wrong.status_code, wrong.json()["type"]) == (405, "urn:rpt:problem:method-not-allowed")
    assert wrong.headers["allow"] == "POST"


async def test_an_input_error_of_the_model_names_field_and_row(client: Client, engine: FakeEngine) -> None:
    engine.answer = InputError("the pattern is too long", tuple_id=3, field="rules")
    response = await client.post("/v1/clean", json={"table": TABLE}, headers=JSON)
    assert response.json() == invalid("the pattern is too long", pointer="/rules", row=3)


@pytest.mark.parametrize(
    ("refusal", "status", "word", "wait"),
    [(QueueFullError(9), 429, "queue-full", "9"), (NotReadyError("the model is being loaded"), 503, "not-ready", "5")],
)
async def test_a_refusal_says_when_to_come_back(
    client: Client, engine: FakeEngine, refusal: Exception, status: int, word: str, wait: str
) -> None:
    engine.refusal = refusal
    response = await client.post("/v1/clean", json={"table": TABLE}, headers=JSON)
    document = response.json()
    assert (response.status_code, document["type"]) == (status, f"urn:rpt:problem:{word}")
    assert document["detail"] == str(refusal)
    assert response.headers["retry-after"] == wait


async def test_an_unexpected_error_tells_nothing(client: Client, engine: FakeEngine) -> None:
    engine.answer = RuntimeError("a secret cell")
    response = await client.post("/v1/clean", json={"table": TABLE}, headers=JSON)
    assert (response.status_code, response.json()) == (
        500,
        {
            "type": "urn:rpt:problem:internal-error",
            "title": "Something went wrong here",
            "status": 500,
            "request_id": "r1",
        },
    )


def test_words_of_problems_are_told_apart_by_what_they_mean() -> None:
    words = {(kind.word, kind.status, kind.title) for kind in KINDS.values()}
    assert len({word for word, _, _ in words}) == len(words)
