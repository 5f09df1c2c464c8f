"""What `POST /v1/transform` asks of the engine, how its answer reads, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.engine import (
    Evidence,
    RepairCandidate,
    Transformation,
    TransformationOptions,
    TransformationOutcome,
    TransformationResult,
    TransformExample,
    Usage,
)
from tests.service.conftest import Client, FakeEngine, MakeApp

SHOWN = {"input": "Ada Lovelace", "output": "A. Lovelace"}


async def post(client: Client, **body: Any) -> httpx.Response:
    return await client.post("/v1/transform", json={"examples": [SHOWN], "inputs": ["Alan Turing"], **body})


async def test_the_answer_is_in_the_words_of_the_contract(client: Client, engine: FakeEngine) -> None:
    candidates = (RepairCandidate("A. Turing", 0.9), RepairCandidate("Turing", 0.05))
    engine.answer = TransformationResult(
        (
            Transformation(TransformationOutcome.VALUE, Evidence("program", (), "why"), "A. Turing", 0.9, candidates),
            Transformation(TransformationOutcome.ABSTAINED, Evidence("model")),
            Transformation(TransformationOutcome.ERROR, Evidence("model")),
        ),
        Usage(3, 40, 0, 0.5),
    )
    answer = (await post(client)).json()
    nothing: dict[str, Any] = {"source": "model", "rows": [], "detail": None}
    assert answer["outputs"] == [
        {"outcome": "value", "output": "A. Turing", "confidence": 0.9,
         "candidates": [{"value": "A. Turing", "confidence": 0.9}, {"value": "Turing", "confidence": 0.05}],
         "evidence": {"source": "program", "rows": [], "detail": "why"}},
        {"outcome": "abstained", "output": None, "confidence": None, "candidates": [], "evidence": nothing},
        {"outcome": "error", "output": None, "confidence": None, "candidates": [], "evidence": nothing},
    ]  # fmt: skip
    assert answer["usage"]["rows"] == 3 and answer["model"]["name"] == "fake"


async def test_examples_inputs_and_options_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    engine.answer = TransformationResult((), Usage(0))
    assert (await post(client, min_confidence=0.8, max_candidates=1, inputs=["a\x00b", ""])).status_code == 200
    example = TransformExample("Ada Lovelace", "A. Lovelace")
    assert engine.asked == [("transform", ([example], ["a\x00b", ""]), TransformationOptions(0.8, 1))]


async def test_a_named_model_answers_and_is_told(client: Client, engine: FakeEngine) -> None:
    engine.answer = TransformationResult((), Usage(0))
    for name, told in ((None, "fake"), ("default", "fake"), ("shoes", "shoes")):
        assert (await post(client, model=name)).json()["model"]["name"] == told
    assert engine.named == [None, "default", "shoes"]
    refused = await post(client, model="hats")
    assert refused.status_code == 404 and refused.json()["type"] == "urn:rpt:problem:unknown-model"
    assert len(engine.asked) == 3


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"examples": []}, ["/examples"]),
    ({"examples": [SHOWN, {"input": "b", "output": "c"}, {**SHOWN, "output": "x"}]},
     ["/examples/0/output", "/examples/2/output"]),
    ({"examples": [{"input": "x" * 200, "output": ""}]}, ["/examples/0/input"]),
    ({"examples": [{"input": "", "output": "x" * 200}]}, ["/examples/0/output"]),
    ({"examples": [{"input": "a"}]}, ["/examples/0/output"]),
    ({"inputs": ["fine", "x" * 200]}, ["/inputs/1"]),
    ({"inputs": ["a"] * 5}, ["/inputs"]),
    ({"inputs": [5]}, ["/inputs/0"]),
    ({"min_confidence": 1.5}, ["/min_confidence"]),
    ({"unknown": 1}, ["/unknown"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "pointers"), REFUSED)
async def test_what_does_not_fit_is_refused_with_its_place(
    make_app: MakeApp, connect: Callable[..., Client], engine: FakeEngine, body: dict[str, Any], pointers: list[str]
) -> None:
    async with connect(make_app(max_rows=4, max_cells=8, max_cell_characters=100)) as client:
        response = await post(client, **body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert [one["pointer"] for one in response.json()["errors"]] == pointers
    assert engine.asked == []


async def test_contradicting_examples_are_both_named(client: Client) -> None:
    response = await post(client, examples=[SHOWN, {**SHOWN, "output": "x"}])
    assert response.json()["detail"] == "examples 0 and 1 have one input and different outputs"
