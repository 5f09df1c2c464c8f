"""What `POST /v1/resolve` asks of the engine, how its answer reads, and that the whole way works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from model.checkpoint import Checkpoint
from model.inference.resolution import Method
from model.tuples import AttributeAgreement, Decision
from service.engine import (
    BlockingPlan,
    Cardinality,
    ChosenValue,
    Doubt,
    Engine,
    Entity,
    JudgedPair,
    NamedPreference,
    NamedPreferenceExample,
    PairExample,
    RecordPlace,
    ResolutionOptions,
    ResolutionResult,
    Usage,
)
from service.main import create_app
from service.settings import Settings
from tests.service.conftest import Client, FakeEngine


def example(left: tuple[int, int], right: tuple[int, int]) -> dict[str, Any]:
    sides = {name: {"table": table, "row": row} for name, (table, row) in (("left", left), ("right", right))}
    return {**sides, "match": True}


LEFT = {"columns": ["name", "city"], "rows": [["Anna Weber", "Boston"], ["Otto Klein", None]]}
RIGHT = {"records": [{"name": "A. Weber", "town": "Boston"}]}
PLAN = BlockingPlan(3, 2, 2, (), 0, 0.1)


async def post(client: Client, path: str = "/v1/resolve", **body: Any) -> httpx.Response:
    return await client.post(path, json={"tables": [LEFT, RIGHT], **body})


async def test_the_answer_is_in_the_words_of_the_contract(client: Client, engine: FakeEngine) -> None:
    one, other, alone = RecordPlace(0, 0), RecordPlace(1, 0), RecordPlace(0, 1)
    value = ChosenValue("name", "Anna Weber", (one,), "completeness", 0.8, None, ())
    entities = (
        Entity("ent_1", (one, other), 0.9, False, (value,)),
        Entity("ent_2", (alone,), 1.0, False, None),
    )
    pair = JudgedPair(one, other, 0.9, Decision.MATCH, (AttributeAgreement("name", 0.7, 2.5),))
    engine.answer = ResolutionResult(
        entities, (pair,), (), (Doubt(one, other, 0.6, "uncertain"),), PLAN, Method.AGREEMENT, Usage(3, seconds=0.2)
    )
    answer = (await post(client)).json()
    assert answer["clusters"][0] == {
        "id": "ent_1",
        "members": [{"table": 0, "row": 0}, {"table": 1, "row": 0}],
        "confidence": 0.9,
        "capped": False,
        "record": {"name": "Anna Weber"},
        "provenance": {
            "name": {
                "value": "Anna Weber",
                "members": [{"table": 0, "row": 0}],
                "reason": "completeness",
                "confidence": 0.8,
                "detail": None,
                "lost": [],
            }
        },
    }
    assert answer["clusters"][1]["record"] is None
    assert answer["pairs"] == [
        {
            "left": {"table": 0, "row": 0},
            "right": {"table": 1, "row": 0},
            "probability": 0.9,
            "decision": "match",
            "evidence": [{"column": "name", "similarity": 0.7, "weight": 2.5}],
        }
    ]
    assert answer["questions"][0]["kind"] == "uncertain" and answer["conflicts"] == []
    assert answer["plan"]["candidate_pairs"] == 2 and answer["plan"]["reduction_ratio"] == 0.0
    assert answer["method"] == "agreement"
    assert answer["usage"]["rows"] == 3


async def test_tables_and_options_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    engine.answer = PLAN
    examples = [{"left": {"table": 0, "row": 1}, "right": {"table": 1, "row": 0}, "match": False}]
    preferences = [{"column": "name", "rule": "longest"}, {"column": "town", "preferred": "b", "other": "a"}]
    await post(
        client,
        "/v1/resolve/plan",
        threshold=0.8,
        review_band=[0.4, 0.9],
        cardinality="one_to_one",
        examples=examples,
        preferences=preferences,
        candidates=3,
        max_cluster_size=7,
        consolidate=False,
        max_questions=2,
    )
    ((task, relations, options),) = engine.asked
    assert task == "plan"
    assert [relation.attributes for relation in relations] == [("name", "city"), ("name", "town")]
    assert options == ResolutionOptions(
        0.8,
        (0.4, 0.9),
        Cardinality.ONE_TO_ONE,
        7,
        (PairExample(RecordPlace(0, 1), RecordPlace(1, 0), False),),
        False,
        (NamedPreference("name", "longest"),),
        (NamedPreferenceExample("town", "b", "a"),),
        3,
        2,
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"tables": []}, "/tables"),
        ({"tables": [LEFT, RIGHT, LEFT]}, "/tables"),
        ({"threshold": 1.5}, "/threshold"),
        ({"review_band": [0.8, 0.2]}, "/review_band"),
        ({"review_band": [0.8]}, "/review_band"),
        ({"tables": [LEFT], "cardinality": "one_to_one"}, "/cardinality"),
        ({"examples": [example((0, 2), (1, 0))]}, "/examples/0/left/row"),
        ({"tables": [LEFT], "examples": [example((0, 0), (1, 0))]}, "/examples/0/right/table"),
        ({"examples": [example((0, 0), (0, 1))]}, "/examples/0"),
        ({"tables": [LEFT], "examples": [example((0, 0), (0, 0))]}, "/examples/0"),
        ({"preferences": [{"column": "street", "rule": "longest"}]}, "/preferences/0/column"),
        ({"preferences": [{"column": "name", "rule": "finest"}]}, "/preferences/0/rule"),
        ({"preferences": [{"column": "name"}]}, "/preferences/0"),
        ({"preferences": [{"column": "name", "rule": rule} for rule in ("longest", "newest")]}, "/preferences/1"),
        ({"colour": 1}, "/colour"),
        ({"tables": [{"columns": ["a", "a"], "rows": []}]}, "/tables/0/columns/1"),
        ({"tables": [LEFT, {"columns": ["a"], "rows": [["x"], []]}]}, "/tables/1/rows/1"),
    ],
)
async def test_what_does_not_fit_is_refused_where_it_stands(
    client: Client, engine: FakeEngine, body: dict[str, object], pointer: str
) -> None:
    for path in ("/v1/resolve", "/v1/resolve/plan"):
        response = await post(client, path, **body)
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == pointer
    assert not engine.asked


async def test_both_tables_count_together(
    make_app: Callable[..., FastAPI], connect: Callable[[FastAPI], Client], engine: FakeEngine
) -> None:
    async with connect(make_app(max_rows=2)) as client:
        response = await post(client)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/tables" and "3 rows" in error["detail"]


@pytest.fixture
async def served(checkpoint: Checkpoint) -> AsyncIterator[Client]:
    """A client of an app with a real engine and the tiny model."""
    engine = Engine(checkpoint.path, precision="float32", threads=1)
    app = create_app(Settings(_env_file=None), engine)
    engine.start()
    engine.wait_ready()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
        yield client
    engine.stop()


def people(count: int) -> list[list[str]]:
    return [
        [f"{'abcdefghij'[n % 10] * 4} person{n * 37}", f"street {n * 13}", f"{10000 + n * 97}"] for n in range(count)
    ]


async def test_duplicates_of_one_table_become_golden_records(served: Client) -> None:
    rows = people(30)
    rows += [[row[0], row[1].upper(), row[2]] for row in rows[:8]]
    table = {"columns": ["name", "street", "zip"], "rows": rows}
    answer = (await served.post("/v1/resolve", json={"tables": [table]})).json()
    assert answer["method"] == "agreement"
    together = [cluster for cluster in answer["clusters"] if len(cluster["members"]) > 1]
    members = sorted([place["row"] for place in cluster["members"]] for cluster in together)
    assert members == [[row, 30 + row] for row in range(8)]
    assert sum(len(cluster["members"]) for cluster in answer["clusters"]) == 38
    first = next(cluster for cluster in together if cluster["members"][0]["row"] == 0)
    assert first["record"]["zip"] == "10000" and first["provenance"]["name"]["reason"] == "only_value"
    plan = (await served.post("/v1/resolve/plan", json={"tables": [table]})).json()["plan"]
    assert plan["possible_pairs"] == 38 * 37 // 2
    assert answer["plan"]["candidate_pairs"] <= plan["candidate_pairs"]


async def test_odd_tables_are_answered(served: Client) -> None:
    odd: tuple[list[dict[str, Any]], ...] = (
        [{"columns": ["a"], "rows": []}],
        [{"columns": ["a"], "rows": [["x"]]}],
        [{"columns": ["a"], "rows": [[None], [None]]}, {"columns": ["b"], "rows": [[None]]}],
        [{"columns": ["a"], "rows": [["x"], ["y"]]}, {"columns": ["b"], "rows": []}],
        [{"columns": ["a"], "rows": [["\x00"], ["日本語"], ["日本語"]]}],
    )
    for tables in odd:
        response = await served.post("/v1/resolve", json={"tables": tables})
        assert response.status_code == 200, response.text
        records = sum(len(table["rows"]) for table in tables)
        assert sum(len(cluster["members"]) for cluster in response.json()["clusters"]) == records
