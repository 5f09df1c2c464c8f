"""What `POST /v1/clean` asks of the engine, and how its answer reads in the contract's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from service.engine import (
    Adaptation,
    AdaptationOptions,
    Cell,
    CellExample,
    CleaningOptions,
    CleaningResult,
    DomainRule,
    Evidence,
    FunctionalDependency,
    Outcome,
    PatternRule,
    Repair,
    RepairCandidate,
    Suggestion,
    Usage,
)
from tests.service.conftest import Client, FakeEngine, MakeApp

TABLE = {"name": "t", "columns": ["zip", "city"], "rows": [["02116", "Bostn"], [2116, None], ["02116", "Boston"]]}
CANDIDATES = (RepairCandidate("Boston", 0.9), RepairCandidate("Austin", 0.05))
REPAIRED = Repair(
    Cell(0, 1), "Bostn", 0.97, Outcome.REPAIRED, Evidence("dependency", (2,), "rows agree"), "Boston", 0.9, CANDIDATES
)
ABSTAINED = Repair(Cell(1, 0), "2116", 0.6, Outcome.ABSTAINED, Evidence("model"))


async def post(client: Client, **body: Any) -> dict[str, Any]:
    response = await client.post("/v1/clean", json={"table": TABLE, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_the_answer_is_in_the_words_of_the_contract(client: Client, engine: FakeEngine) -> None:
    engine.answer = CleaningResult((REPAIRED, ABSTAINED), Usage(3, 100, 20, 0.5))
    assert await post(client) == {
        "cells": [
            {
                "row": 0,
                "column": "city",
                "value": "Bostn",
                "error_probability": 0.97,
                "outcome": "repaired",
                "repair": "Boston",
                "confidence": 0.9,
                "candidates": [{"value": "Boston", "confidence": 0.9}, {"value": "Austin", "confidence": 0.05}],
                "evidence": {"source": "dependency", "rows": [2], "detail": "rows agree"},
            },
            {
                "row": 1,
                "column": "zip",
                "value": "2116",
                "error_probability": 0.6,
                "outcome": "abstained",
                "repair": None,
                "confidence": None,
                "candidates": [],
                "evidence": {"source": "model", "rows": [], "detail": None},
            },
        ],
        "suggestions": [],
        "summary": {
            "rows": 3,
            "cells": 6,
            "flagged": 2,
            "repaired": 1,
            "abstained": 1,
            "by_column": {
                "city": {"flagged": 1, "repaired": 1, "abstained": 0},
                "zip": {"flagged": 1, "repaired": 0, "abstained": 1},
            },
        },
        "model": {"name": "fake", "version": "1.0", "sha256": "ab" * 32},
        "usage": {"rows": 3, "encoder_tokens": 100, "decoder_tokens": 20, "seconds": 0.5, "adaptation": None},
    }


async def test_a_clean_table_is_an_answer_without_cells(client: Client) -> None:
    answer = await post(client)
    assert answer["cells"] == []
    assert answer["summary"] == {"rows": 3, "cells": 6, "flagged": 0, "repaired": 0, "abstained": 0, "by_column": {}}


async def test_the_engine_is_asked_with_text_and_defaults(client: Client, engine: FakeEngine) -> None:
    await post(client)
    ((task, relation, options),) = engine.asked
    assert task == "clean"
    assert (relation.attributes, relation.name) == (("zip", "city"), "t")
    assert relation.tuples == (("02116", "Bostn"), ("2116", None), ("02116", "Boston"))
    assert options == CleaningOptions()


async def test_every_option_reaches_the_engine_with_columns_by_index(client: Client, engine: FakeEngine) -> None:
    await post(
        client,
        columns=["city"],
        detect_only=True,
        min_confidence=0.8,
        max_error_rate=0.02,
        max_candidates=5,
        examples=[{"row": 1, "column": "city", "value": "Boston"}, {"row": 0, "column": "zip", "value": None}],
        rules=[
            {"type": "functional_dependency", "determinants": ["zip"], "dependent": "city"},
            {"type": "pattern", "column": "zip", "regex": "[0-9]{5}"},
            {"type": "domain", "column": "city", "values": ["Boston", "Austin"]},
        ],
    )
    ((_, _, options),) = engine.asked
    assert options == CleaningOptions(
        attributes=frozenset({1}),
        detect_only=True,
        min_confidence=0.8,
        max_error_rate=0.02,
        max_candidates=5,
        examples=(CellExample(Cell(1, 1), "Boston"), CellExample(Cell(0, 0), None)),
        rules=(
            FunctionalDependency((0,), 1),
            PatternRule(0, "[0-9]{5}"),
            DomainRule(1, frozenset({"Boston", "Austin"})),
        ),
    )


async def test_answers_are_counted(client: Client, engine: FakeEngine) -> None:
    engine.answer = CleaningResult((REPAIRED, ABSTAINED), Usage(3, 100, 20, 0.5))
    await post(client)
    await post(client)
    text = (await client.get("/metrics")).text
    assert 'rpt_rows_total{task="clean"} 6.0' in text
    assert 'rpt_cells_total{outcome="repaired",task="clean"} 2.0' in text
    assert 'rpt_tokens_total{part="encoder"} 200.0' in text
    assert "Bost" not in text


LONG = {"columns": ["zip", "city"], "rows": [["02116", "Boston"]] * 8}


async def test_adapt_reaches_the_engine_with_the_bound_of_the_settings(
    make_app: MakeApp, connect: Callable[[FastAPI], Client], engine: FakeEngine
) -> None:
    async with connect(make_app(adapt_max_steps=30, adapt_max_cells=16)) as client:
        await post(client, table=LONG, adapt=True)
        await post(client, table=LONG, adapt=False)
    first, second = (options for _, _, options in engine.asked)
    assert first == CleaningOptions(adapt=AdaptationOptions(max_steps=30))
    assert second == CleaningOptions()


@pytest.mark.parametrize(
    ("settings", "rows", "detail"),
    [
        ({"adapt_max_steps": 0}, 8, "this service does not adapt its model"),
        ({}, 7, "the table has 7 rows, adapt needs 8 or more"),
        ({"adapt_max_cells": 15}, 8, "the table has 16 cells, adapt takes 15 or fewer"),
    ],
)
async def test_adapt_is_refused_with_its_place_and_the_reason(
    make_app: MakeApp,
    connect: Callable[[FastAPI], Client],
    engine: FakeEngine,
    settings: dict[str, int],
    rows: int,
    detail: str,
) -> None:
    table = {"columns": ["zip", "city"], "rows": [["02116", "Boston"]] * rows}
    async with connect(make_app(**settings)) as client:
        for path in ("/v1/clean", "/v1/complete"):
            response = await client.post(path, json={"table": table, "adapt": True})
            assert response.status_code == 422
            assert response.json()["type"] == "urn:rpt:problem:invalid-request"
            assert response.json()["errors"] == [{"detail": detail, "pointer": "/adapt"}]
    assert engine.asked == []


async def test_what_adapting_took_is_reported_and_counted(client: Client, engine: FakeEngine) -> None:
    adaptation = Adaptation(25, 20_000, 12.5, "cd" * 32)
    engine.answer = CleaningResult((), Usage(8, 100, 20, 13.0, adaptation))
    answer = await post(client, table=LONG, adapt=True)
    assert answer["usage"]["seconds"] == 13.0
    assert answer["usage"]["adaptation"] == {
        "steps": 25,
        "encoder_tokens": 20_000,
        "seconds": 12.5,
        "sha256": "cd" * 32,
    }
    assert 'rpt_tokens_total{part="adaptation"} 20000.0' in (await client.get("/metrics")).text


async def test_an_example_of_a_row_is_one_for_each_of_its_columns(client: Client, engine: FakeEngine) -> None:
    examples = [{"row": 2, "values": {"zip": "02116", "city": None}}, {"row": 0, "column": "city", "value": "Boston"}]
    await post(client, examples=examples)
    _, _, options = engine.asked[0]
    assert options.examples == (
        CellExample(Cell(2, 0), "02116"),
        CellExample(Cell(2, 1), None),
        CellExample(Cell(0, 1), "Boston"),
    )


async def test_rows_to_label_are_asked_for_and_told(client: Client, engine: FakeEngine) -> None:
    engine.answer = CleaningResult((), suggestions=(Suggestion(2, "stands for 9 cells"), Suggestion(0, "why not")))
    answer = await post(client, suggest_labels=2)
    assert engine.asked[0][2].suggest_labels == 2
    assert answer["suggestions"] == [{"row": 2, "reason": "stands for 9 cells"}, {"row": 0, "reason": "why not"}]
