"""What `POST /v1/complete` asks of the engine, and how its answer reads in the contract's words."""

from __future__ import annotations

from typing import Any

import pytest

from service.engine import (
    Adaptation,
    AdaptationOptions,
    Cell,
    Completion,
    CompletionOptions,
    CompletionResult,
    CompletionTarget,
    Evidence,
    Outcome,
    RepairCandidate,
    Usage,
)
from tests.service.conftest import Client, FakeEngine

TABLE = {"columns": ["zip", "city"], "rows": [["02116", None], ["02116", "Bos"]]}
FILLED = Completion(
    Cell(0, 1), Outcome.FILLED, Evidence("context", (1,), "as there"), "Boston", 0.8, (RepairCandidate("Boston", 0.8),)
)


async def post(client: Client, **body: Any) -> Any:
    return await client.post("/v1/complete", json={"table": TABLE, **body})


async def test_the_answer_is_in_the_words_of_the_contract(client: Client, engine: FakeEngine) -> None:
    abstained = Completion(Cell(1, 0), Outcome.ABSTAINED, Evidence("model"))
    engine.answer = CompletionResult((FILLED, abstained), Usage(2, 10, 5, 0.1))
    response = await post(client)
    assert response.json() == {
        "completions": [
            {
                "row": 0,
                "column": "city",
                "outcome": "filled",
                "value": "Boston",
                "confidence": 0.8,
                "candidates": [{"value": "Boston", "confidence": 0.8}],
                "evidence": {"source": "context", "rows": [1], "detail": "as there"},
            },
            {
                "row": 1,
                "column": "zip",
                "outcome": "abstained",
                "value": None,
                "confidence": None,
                "candidates": [],
                "evidence": {"source": "model", "rows": [], "detail": None},
            },
        ],
        "model": {"name": "fake", "version": "1.0", "sha256": "ab" * 32},
        "usage": {"rows": 2, "encoder_tokens": 10, "decoder_tokens": 5, "seconds": 0.1, "adaptation": None},
    }


async def test_targets_and_options_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    engine.answer = CompletionResult(())
    targets = [{"row": 1, "column": "city", "prefix": "Bos"}, {"row": 0, "column": "zip"}]
    await post(client, targets=targets, min_confidence=0.9, max_candidates=1, practice=False)
    await post(client)
    first, second = (options for _, _, options in engine.asked)
    wanted = (CompletionTarget(Cell(1, 1), "Bos"), CompletionTarget(Cell(0, 0), None))
    assert first == CompletionOptions(wanted, 0.9, 1, practice=False)
    assert second == CompletionOptions(practice=True)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ({"row": 2, "column": "zip"}, {"pointer": "/targets/1/row", "row": 2}),
        ({"row": 0, "column": "street"}, {"pointer": "/targets/1/column", "column": "street"}),
        ({"row": 0, "column": "zip", "prefix": "x" * 201}, {"pointer": "/targets/1/prefix"}),
        ({"row": -1, "column": "zip"}, {"pointer": "/targets/1/row"}),
    ],
)
async def test_a_target_outside_the_table_is_refused(client: Client, target: object, place: dict[str, object]) -> None:
    response = await post(client, targets=[{"row": 0, "column": "zip"}, target])
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    error.pop("detail")
    assert error == place


async def test_adapt_reaches_the_engine_and_is_reported(client: Client, engine: FakeEngine) -> None:
    engine.answer = CompletionResult((), Usage(8, adaptation=Adaptation(20, 9_000, 4.5, "cd" * 32)))
    table = {"columns": ["zip"], "rows": [["02116"]] * 7 + [[None]]}
    response = await client.post("/v1/complete", json={"table": table, "adapt": True})
    ((_, _, options),) = engine.asked
    assert options == CompletionOptions(adapt=AdaptationOptions(max_steps=400))
    assert response.json()["usage"]["adaptation"]["steps"] == 20
