"""What `POST /v1/match-schema` asks of the engine, and how its answer reads in the contract's words."""

from __future__ import annotations

from typing import Any

import pytest

from model.inference.schema_matching import EvidenceSource, MatchEvidence, RankedTarget
from service.engine import (
    ColumnMatch,
    Relation,
    Schema,
    SchemaExample,
    SchemaMatchingOptions,
    SchemaMatchingResult,
    Usage,
)
from tests.service.conftest import Client, FakeEngine

SOURCE = {"columns": [{"name": "zip", "description": "postal code"}, "city"], "rows": [["02116", "Boston"]]}
TARGET = {"columns": ["town", "postcode", "x"], "rows": []}
MATCH = ColumnMatch(0, 1, 0.8, (MatchEvidence(EvidenceSource.NAMES, 2.5, "alike"),))


async def post(client: Client, **body: Any) -> Any:
    return await client.post("/v1/match-schema", json={"source": SOURCE, "target": TARGET, **body})


async def test_the_answer_is_in_the_words_of_the_contract(client: Client, engine: FakeEngine) -> None:
    ranked = ((RankedTarget(1, 0.8), RankedTarget(0, 0.1)), ())
    engine.answer = SchemaMatchingResult((MATCH,), ranked, Usage(1, seconds=0.1))
    response = await post(client)
    assert response.status_code == 200
    assert response.json() == {
        "matches": [
            {
                "source": "zip",
                "target": "postcode",
                "confidence": 0.8,
                "evidence": [{"source": "names", "weight": 2.5, "detail": "alike"}],
            }
        ],
        "ranked": {
            "zip": [{"target": "postcode", "confidence": 0.8}, {"target": "town", "confidence": 0.1}],
            "city": [],
        },
        "abstained": ["city"],
        "model": {"name": "fake", "version": "1.0", "sha256": "ab" * 32},
        "usage": {"rows": 1, "encoder_tokens": 0, "decoder_tokens": 0, "seconds": 0.1, "adaptation": None},
    }


async def test_defaults_and_descriptions_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    engine.answer = SchemaMatchingResult((), ((), ()))
    await post(client)
    ((task, schemas, options),) = engine.asked
    assert task == "match-schema"
    assert schemas[0] == Schema(Relation.of(("zip", "city"), [("02116", "Boston")]), ("postal code", None))
    assert schemas[1] == Schema(Relation.of(("town", "postcode", "x"), []), (None, None, None))
    assert options == SchemaMatchingOptions(True, 0.5, (), 100)


async def test_examples_become_places(client: Client, engine: FakeEngine) -> None:
    engine.answer = SchemaMatchingResult((), ((), ()))
    examples = [
        {"source": "city", "target": "town", "match": True},
        {"source": "zip", "target": "x", "match": False},
        {"source": "city", "target": "town", "match": True},
    ]
    response = await post(client, examples=examples, one_to_one=False, min_confidence=0.25, max_candidates=2)
    assert response.status_code == 200
    known = (SchemaExample(1, 0, True), SchemaExample(0, 2, False))
    assert engine.asked[0][2] == SchemaMatchingOptions(False, 0.25, known, 2)


def told(*pairs: tuple[str, str, bool]) -> dict[str, Any]:
    """A body with these examples."""
    return {"examples": [{"source": source, "target": target, "match": match} for source, target, match in pairs]}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (told(("street", "x", True)), "/examples/0/source"),
        (told(("zip", "y", True)), "/examples/0/target"),
        (told(("zip", "x", True), ("zip", "x", False)), "/examples/1"),
        (told(("zip", "x", True), ("zip", "town", True)), "/examples/1/source"),
        (told(("zip", "x", True), ("city", "x", True)), "/examples/1/target"),
        ({"source": {"columns": ["a", "a"], "rows": []}}, "/source/columns/1"),
        ({"target": {"columns": ["a", " "], "rows": []}}, "/target/columns/1"),
        ({"target": {"records": [{" ": 1}]}}, "/target/records"),
        ({"target": {"columns": ["a", ""], "rows": []}}, "/target/columns/1"),
        ({"min_confidence": 1.5}, "/min_confidence"),
        ({"threshold": 0.5}, "/threshold"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_named(
    client: Client, engine: FakeEngine, body: dict[str, Any], pointer: str
) -> None:
    response = await post(client, **body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert pointer in [one["pointer"] for one in response.json()["errors"]]
    assert engine.asked == []


async def test_two_matches_of_one_column_are_taken_where_columns_are_not_one_to_one(
    client: Client, engine: FakeEngine
) -> None:
    engine.answer = SchemaMatchingResult((), ((), ()))
    examples = [{"source": "zip", "target": name, "match": True} for name in ("x", "town")]
    assert (await post(client, examples=examples, one_to_one=False)).status_code == 200


async def test_outcomes_are_counted(client: Client, engine: FakeEngine) -> None:
    engine.answer = SchemaMatchingResult((MATCH,), ((), ()), Usage(1))
    await post(client)
    text = (await client.get("/metrics")).text
    assert 'rpt_cells_total{outcome="matched",task="match-schema"} 1.0' in text
    assert 'rpt_cells_total{outcome="abstained",task="match-schema"} 1.0' in text
