"""What `POST /v1/match` asks of the engine, how its answer reads, and what it refuses, with the place."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from model.inference.pairs import AttributeSimilarity
from model.tuples import Decision
from service.engine import (
    ComparedPair,
    MatchingResult,
    NotReadyError,
    PairOptions,
    QueueFullError,
    TaughtPair,
    Usage,
)
from tests.service.conftest import Client, FakeEngine

LEFT = {"records": [{"name": "Anna Weber", "city": "Boston"}, {"name": "Otto Klein"}]}
RIGHT = {"columns": ["town", "Name"], "records": [["Boston", "A. Weber"], [None, "O. Klein"]]}


async def post(client: Client, **body: Any) -> httpx.Response:
    return await client.post("/v1/match", json={"left": LEFT, "right": RIGHT, **body})


async def test_the_answer_is_in_the_words_of_the_contract(client: Client, engine: FakeEngine) -> None:
    similarities = (AttributeSimilarity("name", 0.7), AttributeSimilarity("city", None))
    pair = ComparedPair(1, 0, 0.93, Decision.MATCH, similarities, ("weber",), ("anna",), ("a",))
    engine.answer = MatchingResult((pair,), ("red",), Usage(4, seconds=0.2))
    answer = (await post(client, pairs=[[1, 0]])).json()
    assert answer["pairs"] == [
        {
            "left": 1,
            "right": 0,
            "probability": 0.93,
            "decision": "match",
            "evidence": [{"column": "name", "similarity": 0.7}, {"column": "city", "similarity": None}],
            "words_in_common": ["weber"],
            "words_only_left": ["anna"],
            "words_only_right": ["a"],
        }
    ]
    assert answer["ignored_words"] == ["red"]
    assert answer["usage"]["rows"] == 4
    assert answer["model"]["name"] == "fake"


async def test_records_pairs_and_examples_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    engine.answer = MatchingResult(())
    examples = [{"left": 1, "right": {"NAME": "O. Klein"}, "match": True}]
    await post(client, pairs=[[0, 1], [1, 1]], examples=examples, review_band=[0.2, 0.6])
    ((task, (aligned, pairs), options),) = engine.asked
    assert task == "match"
    places = [aligned.place(name) for name in ("name", "city", "town")]
    assert [[row[place] for place in places] for row in aligned.rows[0]] == [
        ["Anna Weber", "Boston", None],
        ["Otto Klein", None, None],
    ]
    assert [[row[place] for place in places] for row in aligned.rows[1]] == [
        ["A. Weber", None, "Boston"],
        ["O. Klein", None, None],
    ]
    assert pairs == [(0, 1), (1, 1)]
    name = places[0]
    (example,) = options.examples
    assert options == PairOptions((0.2, 0.6), (TaughtPair(example.left, example.right, True),))
    assert name is not None
    assert (example.left[name], example.right[name]) == ("Otto Klein", "O. Klein")
    assert [value for value in example.right if value] == ["O. Klein"]


async def test_without_pairs_the_first_goes_with_the_first(client: Client, engine: FakeEngine) -> None:
    engine.answer = MatchingResult(())
    await post(client)
    assert engine.asked[0][1][1] == [(0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"right": {"records": [{"name": "x"}]}}, "/pairs"),
        ({"pairs": [[0, 0], [0, 2]]}, "/pairs/1/1"),
        ({"pairs": [[2, 0]]}, "/pairs/0/0"),
        ({"pairs": [[0]]}, "/pairs/0"),
        ({"pairs": [[0, -1]]}, "/pairs/0/1"),
        ({"review_band": [0.7, 0.3]}, "/review_band"),
        ({"left": {"records": []}}, "/left"),
        ({"left": {"records": [["a"]]}}, "/left"),
        ({"left": {"columns": ["a"], "records": [["a", "b"]]}}, "/left"),
        ({"left": {"columns": ["a", "a"], "records": [["a", "b"]]}}, "/left"),
        ({"left": {"columns": ["a"], "records": [{"b": "x"}]}}, "/left/records/0"),
        ({"examples": [{"left": 2, "right": 0, "match": True}]}, "/examples/0/left"),
        ({"examples": [{"left": 0, "right": {"nothing": "x"}, "match": True}]}, "/examples/0/right"),
        (
            {"examples": [{"left": 0, "right": 0, "match": True}, {"left": 0, "right": 0, "match": False}]},
            "/examples/1",
        ),
        ({"examples": [{"left": 0, "right": {"Name": "x", "NAME ": "y"}, "match": True}]}, "/examples/0/right"),
        ({"unknown": 1}, "/unknown"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_place(
    client: Client, engine: FakeEngine, change: dict[str, Any], pointer: str
) -> None:
    response = await post(client, **change)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert pointer in [error["pointer"] for error in response.json()["errors"]]
    assert engine.asked == []


@pytest.mark.parametrize(
    ("refusal", "status"), [(QueueFullError(7), 429), (NotReadyError("the model is being loaded"), 503)]
)
async def test_a_busy_or_loading_service_says_so(
    client: Client, engine: FakeEngine, refusal: Exception, status: int
) -> None:
    engine.refusal = refusal
    assert (await post(client)).status_code == status
