"""What is too large, of the wrong kind or too much is refused early, and a table over a limit is told where."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fastapi import FastAPI

from api_schemas.errors import ErrorDetail
from api_schemas.tables import Table
from service.engine import NotReadyError, QueueFullError
from service.errors import InvalidRequestError
from service.limits import check_table
from service.settings import Settings
from tests.service.conftest import Body, Client, FakeEngine, MakeApp

Connect = Callable[[FastAPI], Client]

JSON = {"content-type": "application/json", "x-request-id": "r1"}
REQUEST = json.dumps({"table": {"columns": ["a", "b"], "rows": [["1", "2"]]}}).encode()


def problem(word: str, title: str, status: int, detail: str, **more: object) -> dict[str, object]:
    """A problem document of request r1."""
    kind = {"type": f"urn:rpt:problem:{word}", "title": title, "status": status}
    return {**kind, "detail": detail, "request_id": "r1", **more}


def too_large(limit: int) -> dict[str, object]:
    """The answer to a body over the limit."""
    return problem("body-too-large", "The body is too large", 413, f"a request body may have {limit} bytes")


@pytest.mark.parametrize("length", ["101", "0101", "9" * 30, "9" * 5_000])
@pytest.mark.parametrize("path", ["/v1/clean", "/v1/complete", "/v1/nothing"])
async def test_a_length_over_the_limit_is_refused_before_the_body_is_read(
    make_app: MakeApp, connect: Connect, path: str, length: str
) -> None:
    body = Body(REQUEST)
    async with connect(make_app(max_body_bytes=100)) as client:
        response = await client.post(path, content=body, headers={**JSON, "content-length": length})
    assert (response.status_code, response.json()) == (413, too_large(100))
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"
    assert body.read == 0


async def test_a_body_that_grows_too_long_is_read_no_further(
    make_app: MakeApp, connect: Connect, engine: FakeEngine
) -> None:
    body = Body(*[b" " * 40] * 5, REQUEST)
    async with connect(make_app(max_body_bytes=100)) as client:
        response = await client.post("/v1/clean", content=body, headers=JSON)
    assert (response.status_code, response.json()) == (413, too_large(100))
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"
    assert body.read == 3
    assert engine.asked == []


async def test_a_length_that_lies_does_not_get_a_longer_body_in(
    make_app: MakeApp, connect: Connect, engine: FakeEngine
) -> None:
    body = Body(REQUEST, b" " * 100)
    async with connect(make_app(max_body_bytes=100)) as client:
        response = await client.post("/v1/clean", content=body, headers={**JSON, "content-length": "5"})
    assert (response.status_code, response.json()) == (413, too_large(100))
    assert engine.asked == []


@pytest.mark.parametrize("content", [REQUEST, Body(REQUEST[:9], REQUEST[9:])], ids=["declared", "chunked"])
async def test_a_body_as_long_as_the_limit_is_taken(
    make_app: MakeApp, connect: Connect, engine: FakeEngine, content: Any
) -> None:
    async with connect(make_app(max_body_bytes=len(REQUEST))) as client:
        response = await client.post("/v1/clean", content=content, headers=JSON)
    assert response.status_code == 200
    assert [relation.tuples for _, relation, _ in engine.asked] == [(("1", "2"),)]


NOT_JSON = "send the body as application/json"
NOT_UTF8 = "send the body in UTF-8"


@pytest.mark.parametrize(
    ("media_type", "detail"),
    [
        (None, NOT_JSON),
        ("", NOT_JSON),
        ("text/plain", NOT_JSON),
        ("text/json", NOT_JSON),
        ("application/jsonx", NOT_JSON),
        ("application/x-www-form-urlencoded", NOT_JSON),
        ("multipart/form-data; boundary=application/json", NOT_JSON),
        ("model/x+json", NOT_JSON),
        ("application/json; charset=latin-1", NOT_UTF8),
        ("application/json; charset=UTF-16", NOT_UTF8),
        ('application/vnd.x+json; version=1; charset="iso-8859-1"', NOT_UTF8),
    ],
)
@pytest.mark.parametrize("path", ["/v1/clean", "/v1/complete"])
async def test_a_body_that_is_not_declared_as_json_is_not_read(
    client: Client, engine: FakeEngine, path: str, media_type: str | None, detail: str
) -> None:
    body = Body(REQUEST)
    headers = {"x-request-id": "r1"} | ({} if media_type is None else {"content-type": media_type})
    response = await client.post(path, content=body, headers=headers)
    expected = problem("unsupported-media-type", "The body is not declared as JSON", 415, detail)
    assert (response.status_code, response.json()) == (415, expected)
    assert body.read == 0
    assert engine.asked == []


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON",
        "application/vnd.x+json",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        'application/json; charset="utf-8"',
        'application/json; charset="utf-8"; version=1',
        "application/json; charset=utf-8 ; version=1",
        "application/vnd.x+json; version=1; charset=us-ascii",
    ],
)
async def test_json_is_taken_under_each_of_its_names(client: Client, engine: FakeEngine, media_type: str) -> None:
    response = await client.post("/v1/clean", content=REQUEST, headers={"content-type": media_type})
    assert response.status_code == 200
    assert [relation.tuples for _, relation, _ in engine.asked] == [(("1", "2"),)]


FULL = problem("queue-full", "Too many requests are at work", 429, "too many requests are at work")
LOADING = problem("not-ready", "The model does not take requests now", 503, "the model is being loaded")


@pytest.mark.parametrize(
    ("refusal", "expected", "wait"),
    [(QueueFullError(7), FULL, "7"), (NotReadyError("the model is being loaded"), LOADING, "5")],
)
@pytest.mark.parametrize("path", ["/v1/clean", "/v1/complete"])
async def test_an_engine_without_room_refuses_before_the_body_is_read(
    client: Client, engine: FakeEngine, path: str, refusal: Exception, expected: dict[str, object], wait: str
) -> None:
    engine.refusal = refusal
    body = Body(REQUEST)
    response = await client.post(path, content=body, headers=JSON)
    assert (response.status_code, response.json()) == (expected["status"], expected)
    assert response.headers["retry-after"] == wait
    assert body.read == 0


async def test_models_are_listed_while_the_queue_is_full(client: Client, engine: FakeEngine) -> None:
    engine.refusal = QueueFullError(7)
    response = await client.get("/v1/models")
    assert (response.status_code, [model["name"] for model in response.json()["models"]]) == (200, ["fake", "shoes"])


def settings(**limits: int) -> Settings:
    """Settings with these limits and the defaults."""
    return Settings(_env_file=None, **limits)  # type: ignore[arg-type]


ROWS = Table.model_validate({"columns": ["a", {"name": "b/c~d"}], "rows": [["x", 1], [None, "four"], ["xyz", True]]})
RECORDS = Table.model_validate({"records": [{"a": "x", "b/c~d": 1}, {"b/c~d": "four"}, {"a": "xyz", "b/c~d": True}]})
TEXTS = [("x", "1"), (None, "four"), ("xyz", "true")]
FORMS = pytest.mark.parametrize("table", [ROWS, RECORDS], ids=["rows", "records"])


@FORMS
def test_a_table_at_its_limits_is_text(table: Table) -> None:
    limits = settings(max_rows=3, max_columns=2, max_cells=6, max_cell_characters=4)
    assert check_table(table, limits) == TEXTS


@FORMS
@pytest.mark.parametrize(
    ("limits", "detail"),
    [
        ({"max_rows": 2}, "the table has 3 rows, at most 2 are taken in one request"),
        ({"max_columns": 1}, "the table has 2 columns, at most 1 are taken in one request"),
        ({"max_cells": 5}, "the table has 6 cells, at most 5 are taken in one request"),
    ],
)
def test_a_table_over_a_limit_is_refused_as_a_whole(table: Table, limits: Mapping[str, int], detail: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_table(table, settings(**limits), "/here")
    assert caught.value.detail == detail
    assert caught.value.errors == (ErrorDetail(detail=detail, pointer="/here"),)


@pytest.mark.parametrize(
    ("table", "most", "characters", "pointer", "row", "column"),
    [
        (ROWS, 3, 4, "/table/rows/1/1", 1, "b/c~d"),
        (RECORDS, 3, 4, "/table/records/1/b~1c~0d", 1, "b/c~d"),
        (Table(columns=["a", "b"], rows=[["xx", "xxx"], ["xxxx", None]]), 2, 3, "/table/rows/0/1", 0, "b"),
        (Table(columns=["a"], rows=[["x"], [-1234]]), 4, 5, "/table/rows/1/0", 1, "a"),
        (Table(records=[{"a": "x"}, {"~1": "éé"}]), 1, 2, "/table/records/1/~01", 1, "~1"),
    ],
)
def test_a_cell_that_is_too_long_is_named(
    table: Table, most: int, characters: int, pointer: str, row: int, column: str
) -> None:
    detail = f"a cell has {characters} characters, at most {most} are taken"
    with pytest.raises(InvalidRequestError) as caught:
        check_table(table, settings(max_cell_characters=most))
    assert caught.value.detail == detail
    assert caught.value.errors == (ErrorDetail(detail=detail, pointer=pointer, row=row, column=column),)


@pytest.mark.parametrize("path", ["/v1/clean", "/v1/complete"])
async def test_the_limits_of_the_settings_hold_for_requests(
    make_app: MakeApp, connect: Connect, engine: FakeEngine, path: str
) -> None:
    table = {"records": [{"b/c~d": "four"}]}
    async with connect(make_app(max_cell_characters=3)) as client:
        response = await client.post(path, json={"table": table}, headers=JSON)
    detail = "a cell has 4 characters, at most 3 are taken"
    place = {"detail": detail, "pointer": "/table/records/0/b~1c~0d", "row": 0, "column": "b/c~d"}
    expected = problem("invalid-request", "The request is not valid", 422, detail, errors=[place])
    assert (response.status_code, response.json()) == (422, expected)
    assert engine.asked == []
