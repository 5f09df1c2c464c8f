"""What `POST /v1/normalize` asks of the engine, how its answer reads, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.engine import (
    Cell,
    Evidence,
    NormalizationExample,
    NormalizationOptions,
    NormalizationResult,
    NormalizedAttribute,
    NormalizedCell,
    Relation,
    Usage,
)
from service.engine import NormalizationOutcome as Outcome
from tests.service.conftest import Client, FakeEngine, MakeApp

TABLE = {"columns": ["day", "city"], "rows": [["2020-01-02", "Rome"], ["Jan 3, 2020", None]]}


async def post(client: Client, **body: Any) -> httpx.Response:
    return await client.post("/v1/normalize", json={"table": TABLE, **body})


async def test_the_answer_is_in_the_words_of_the_contract(client: Client, engine: FakeEngine) -> None:
    program = Evidence("program", (), "why")
    engine.answer = NormalizationResult(
        (
            NormalizedCell(Cell(1, 0), "Jan 3, 2020", Outcome.REWRITTEN, program, "2020-01-03", 0.9),
            NormalizedCell(Cell(1, 1), "x", Outcome.ABSTAINED, program),
        ),
        (NormalizedAttribute(0, "date: year"), NormalizedAttribute(1, None)),
        Usage(2, 0, 0, 0.5),
    )
    answer = (await post(client)).json()
    evidence = {"source": "program", "rows": [], "detail": "why"}
    assert answer["cells"] == [
        {"row": 1, "column": "day", "value": "Jan 3, 2020", "outcome": "rewritten", "normalized": "2020-01-03",
         "confidence": 0.9, "evidence": evidence},
        {"row": 1, "column": "city", "value": "x", "outcome": "abstained", "normalized": None, "confidence": None,
         "evidence": evidence},
    ]  # fmt: skip
    assert answer["columns"] == [
        {"column": "day", "format": "date: year", "rewritten": 1, "abstained": 0},
        {"column": "city", "format": None, "rewritten": 0, "abstained": 1},
    ]
    assert answer["usage"]["rows"] == 2 and answer["model"]["name"] == "fake"


async def test_table_columns_examples_and_options_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    engine.answer = NormalizationResult((), (), Usage(2))
    examples = [{"column": "city", "output": "ROME"}, {"column": "day", "output": "3.1.2020", "input": "2020-01-03"}]
    assert (await post(client, columns=["city"], examples=examples, min_confidence=0.8)).status_code == 200
    relation = Relation.of(("day", "city"), [("2020-01-02", "Rome"), ("Jan 3, 2020", None)])
    shown = (NormalizationExample(1, "ROME"), NormalizationExample(0, "3.1.2020", "2020-01-03"))
    assert engine.asked == [("normalize", relation, NormalizationOptions((1,), shown, 0.8))]
    await post(client)
    assert engine.asked[1][2] == NormalizationOptions()


PAIR = {"column": "day", "input": "a", "output": "b"}
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"columns": ["day", "nothing"]}, ["/columns/1"]),
    ({"examples": [{"column": "nothing", "output": "a"}]}, ["/examples/0/column"]),
    ({"examples": [PAIR, {**PAIR, "output": "c"}]}, ["/examples/0/output", "/examples/1/output"]),
    ({"examples": [{**PAIR, "output": "x" * 200}]}, ["/examples/0/output"]),
    ({"examples": [{**PAIR, "output": ""}]}, ["/examples/0/output"]),
    ({"examples": [{"column": "day", "input": "a"}]}, ["/examples/0/output"]),
    ({"min_confidence": 1.5}, ["/min_confidence"]),
    ({"unknown": 1}, ["/unknown"]),
]


@pytest.mark.parametrize(("body", "pointers"), REFUSED)
async def test_what_does_not_fit_is_refused_with_its_place(
    make_app: MakeApp, connect: Callable[..., Client], engine: FakeEngine, body: dict[str, Any], pointers: list[str]
) -> None:
    async with connect(make_app(max_cell_characters=100)) as client:
        response = await post(client, **body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert [one["pointer"] for one in response.json()["errors"]] == pointers
    assert engine.asked == []
