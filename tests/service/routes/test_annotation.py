"""What `POST /v1/annotate` asks of the engine, how its answer reads, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.engine import (
    BUILT_IN_LABELS,
    Annotation,
    AnnotationOptions,
    AnnotationResult,
    LabelCandidate,
    LabelledColumn,
    Relation,
    Usage,
)
from tests.service.conftest import Client, FakeEngine

TABLE = {"columns": ["a", "b"], "rows": [["Boston", 1], [None, 2]]}


async def post(client: Client, **body: Any) -> httpx.Response:
    return await client.post("/v1/annotate", json={"table": TABLE, **body})


async def test_the_answer_is_in_the_words_of_the_contract(client: Client, engine: FakeEngine) -> None:
    candidates = (LabelCandidate("city", 0.75), LabelCandidate("state", 0.125))
    engine.answer = AnnotationResult(
        (Annotation(0, candidates, "city", "by values"), Annotation(1, candidates[1:], None, "by nothing")), Usage(2)
    )
    answer = (await post(client)).json()
    assert answer["columns"] == [
        {
            "column": "a",
            "outcome": "labelled",
            "label": "city",
            "candidates": [{"label": "city", "confidence": 0.75}, {"label": "state", "confidence": 0.125}],
            "detail": "by values",
        },
        {
            "column": "b",
            "outcome": "abstained",
            "label": None,
            "candidates": [{"label": "state", "confidence": 0.125}],
            "detail": "by nothing",
        },
    ]
    assert answer["usage"]["rows"] == 2


async def test_table_and_options_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    engine.answer = AnnotationResult((), Usage(2))
    example = {"values": [1, "x", None], "label": "city"}
    await post(client, labels=["city", "id"], min_confidence=0.25, max_candidates=5, examples=[example])
    await post(client)
    relation = Relation.of(("a", "b"), [("Boston", "1"), (None, "2")])
    learned = (LabelledColumn(("1", "x", None), "city"),)
    assert engine.asked == [
        ("annotate", relation, AnnotationOptions(("city", "id"), 0.25, 5, learned)),
        ("annotate", relation, AnnotationOptions(BUILT_IN_LABELS)),
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"labels": ["a", "b", "a"]}, "/labels/2"),
        ({"labels": [" "]}, "/labels/0"),
        ({"labels": []}, "/labels"),
        ({"labels": ["a"], "examples": [{"values": ["x"], "label": "b"}]}, "/examples/0/label"),
        ({"labels": ["a"], "examples": [{"values": [], "label": "a"}]}, "/examples/0/values"),
        ({"min_confidence": 2}, "/min_confidence"),
        ({"unknown": 1}, "/unknown"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_place(
    client: Client, engine: FakeEngine, body: dict[str, Any], pointer: str
) -> None:
    response = await post(client, **body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert engine.asked == []
