"""What `POST /v1/extract` asks of the engine, how its answer reads, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.engine import (
    AskedAttribute,
    Evidence,
    Extraction,
    ExtractionExample,
    ExtractionOutcome,
    ExtractionResult,
    Usage,
)
from tests.service.conftest import Client, FakeEngine, MakeApp

NOTHING = ExtractionResult((), Usage(0))
COLOR = {"name": "color", "description": "of the cup", "examples": [{"text": "a red mug", "value": "red"}]}


async def post(client: Client, **body: Any) -> httpx.Response:
    return await client.post("/v1/extract", json={"texts": ["a blue cup"], "attributes": [COLOR], **body})


async def test_the_answer_is_in_the_words_of_the_contract(client: Client, engine: FakeEngine) -> None:
    model = Evidence("model", (), "why")
    engine.answer = ExtractionResult(
        (
            Extraction(0, 0, ExtractionOutcome.VALUE, model, "blue", 2, 6, 0.75),
            Extraction(1, 0, ExtractionOutcome.NONE, model, confidence=0.5),
            Extraction(2, 0, ExtractionOutcome.ERROR, model),
        ),
        Usage(3, 40, 0, 0.5),
    )
    answer = (await post(client)).json()
    evidence = {"source": "model", "rows": [], "detail": "why"}
    blank = {"value": None, "start": None, "end": None}
    assert answer["results"] == [
        {"text": 0, "attribute": "color", "outcome": "value", "value": "blue", "start": 2, "end": 6, "confidence": 0.75,
         "evidence": evidence},
        {"text": 1, "attribute": "color", "outcome": "none", **blank, "confidence": 0.5, "evidence": evidence},
        {"text": 2, "attribute": "color", "outcome": "error", **blank, "confidence": None, "evidence": evidence},
    ]  # fmt: skip
    assert answer["usage"]["rows"] == 3 and answer["model"]["name"] == "fake"


async def test_texts_and_attributes_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    engine.answer = NOTHING
    twice = {**COLOR, "examples": [*COLOR["examples"], {"text": "a mug", "value": None}, *COLOR["examples"]]}
    await post(client, attributes=[twice, {"name": "size"}])
    examples = (ExtractionExample("a red mug", "red"), ExtractionExample("a mug", None))
    wanted = [AskedAttribute("color", "of the cup", examples), AskedAttribute("size", None, ())]
    assert engine.asked == [("extract", ["a blue cup"], wanted)]


async def test_a_column_of_a_table_is_texts(client: Client, engine: FakeEngine) -> None:
    engine.answer = NOTHING
    table = {"columns": ["id", "title"], "rows": [[1, "a cup"], [2, None], [3, 4.5]]}
    assert (await post(client, texts={"table": table, "column": "title"})).status_code == 200
    assert engine.asked[0][1] == ["a cup", None, "4.5"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"attributes": [COLOR, COLOR]}, "/attributes/1/name"),
    ({"attributes": [{"name": "  "}]}, "/attributes/0/name"),
    ({"attributes": []}, "/attributes"),
    ({"attributes": [{"name": "a", "examples": [{"text": "t", "value": "v"}]}]}, "/attributes/0/examples/0/value"),
    ({"attributes": [{"name": "a", "examples": [{"text": " t", "value": " "}]}]}, "/attributes/0/examples/0/value"),
    (
        {"attributes": [{"name": "a", "examples": [{"text": "t", "value": "t"}, {"text": "t", "value": None}]}]},
        "/attributes/0/examples/1",
    ),
    (
        {"attributes": [{"name": "a", "examples": [{"text": "x" * 200, "value": None}]}]},
        "/attributes/0/examples/0/text",
    ),
    ({"texts": {"table": {"records": [{"a": "b"}]}, "column": "c"}}, "/texts/column"),
    ({"texts": ["fine", "x" * 200]}, "/texts/1"),
    ({"texts": ["a"] * 5}, "/texts"),
    ({"texts": ["a"] * 3, "attributes": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}, "/attributes"),
    ({"texts": ["a", 5]}, "/texts/1"),
    ({"unknown": 1}, "/unknown"),
]


@pytest.mark.parametrize(("body", "pointer"), REFUSED)
async def test_what_does_not_fit_is_refused_with_its_place(
    make_app: MakeApp, connect: Callable[..., Client], engine: FakeEngine, body: dict[str, Any], pointer: str
) -> None:
    async with connect(make_app(max_rows=4, max_cells=8, max_cell_characters=100)) as client:
        response = await post(client, **body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["pointer"] == pointer
    assert engine.asked == []


async def test_a_request_may_name_a_fine_tuned_model(client: Client, engine: FakeEngine) -> None:
    engine.answer = NOTHING
    assert (await post(client, model="shoes")).json()["model"]["name"] == "shoes"
    assert (await post(client, model="default")).json()["model"]["name"] == "fake"
    assert (await post(client)).json()["model"]["name"] == "fake"
    assert engine.named == ["shoes", "default", None]


@pytest.mark.parametrize("name", ["boots", "../shoes", "Shoes", "a/b"])
async def test_a_model_that_is_not_there_is_a_problem(client: Client, engine: FakeEngine, name: str) -> None:
    response = await post(client, model=name)
    assert (response.status_code, response.json()["type"]) == (404, "urn:rpt:problem:unknown-model")
    assert engine.asked == []
