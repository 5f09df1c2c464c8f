"""What `POST /v1/resolve` asks of the engine, how its answer reads, and that the whole way works."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from model.calibration import Calibration
from model.checkpoint import Checkpoint, save_checkpoint
from model.inference.matching import RIVAL_FEATURES
from model.inference.resolution import CALIBRATOR, Method
from model.tuples import AttributeAgreement, Decision
from service.engine import (
    BlockingPlan,
    Cardinality,
    ChosenValue,
    Engine,
    Entity,
    JudgedPair,
    Load,
    NamedPreference,
    NamedPreferenceExample,
    NotReadyError,
    PairDoubt,
    PairExample,
    QueueFullError,
    RecordPlace,
    Relation,
    ResolutionOptions,
    ResolutionResult,
    Usage,
)
from service.main import create_app
from service.settings import Settings
from tests.conftest import MakeCalibrator
from tests.service.conftest import Client, FakeEngine


def example(left: tuple[int, int], right: tuple[int, int]) -> dict[str, Any]:
    sides = {name: {"table": table, "row": row} for name, (table, row) in (("left", left), ("right", right))}
    return {**sides, "match": True}


LEFT = {"columns": ["name", "city"], "rows": [["Anna Weber", "Boston"], ["Otto Klein", None]]}
RIGHT = {"records": [{"name": "A. Weber", "town": "Boston"}]}
PLAN = BlockingPlan(3, 2, 2, (), 0, 0.1)


def right_of(name: str) -> dict[str, Any]:
    return {"records": [{"name": name}]}


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
        entities,
        (pair,),
        (),
        (PairDoubt(one, other, 0.6, "uncertain"),),
        PLAN,
        Method.AGREEMENT,
        Usage(3, seconds=0.2),
        (1, 0, 1),
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
    assert answer["method"] == "agreement" and answer["histogram"] == [1, 0, 1]
    assert answer["usage"]["rows"] == 3


async def test_tables_and_options_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    engine.answer = PLAN
    examples = [{"left": {"table": 0, "row": 1}, "right": {"table": 1, "row": 0}, "match": False}]
    preferences = [{"column": "name", "rule": "newest:town"}, {"column": "town", "preferred": "b", "other": "a"}]
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
        (NamedPreference("name", "newest:town"),),
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
        ({"preferences": [{"column": "name", "rule": "newest:street"}]}, "/preferences/0/rule"),
        ({"tables": [LEFT], "preferences": [{"column": "name", "rule": "table:1"}]}, "/preferences/0/rule"),
        ({"colour": 1}, "/colour"),
        ({"threshold": -0.1}, "/threshold"),
        ({"threshold": True}, "/threshold"),
        ({"max_cluster_size": 1}, "/max_cluster_size"),
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


@pytest.mark.parametrize(
    ("limit", "said"), [({"max_rows": 2}, "3 rows"), ({"max_cells": 5}, "6 cells"), ({"max_columns": 2}, "3 columns")]
)
async def test_both_tables_count_together(
    make_app: Callable[..., FastAPI],
    connect: Callable[[FastAPI], Client],
    engine: FakeEngine,
    limit: dict[str, int],
    said: str,
) -> None:
    async with connect(make_app(**limit)) as client:
        for path in ("/v1/resolve", "/v1/resolve/plan"):
            response = await post(client, path)
            assert response.status_code == 422
            (error,) = response.json()["errors"]
            assert error["pointer"] == "/tables" and said in error["detail"]
    assert not engine.asked


async def test_columns_of_one_name_count_once(
    make_app: Callable[..., FastAPI], connect: Callable[[FastAPI], Client], engine: FakeEngine
) -> None:
    engine.answer = PLAN
    async with connect(make_app(max_columns=2)) as client:
        assert (await post(client, "/v1/resolve/plan", tables=[LEFT, LEFT])).status_code == 200


async def test_a_cell_that_is_too_long_is_named_with_its_table(
    make_app: Callable[..., FastAPI], connect: Callable[[FastAPI], Client]
) -> None:
    async with connect(make_app(max_cell_characters=10)) as client:
        response = await post(client, tables=[right_of("short"), right_of("x" * 11)])
    (error,) = response.json()["errors"]
    assert (error["pointer"], error["row"], error["column"]) == ("/tables/1/records/0/name", 0, "name")


@pytest.mark.parametrize(
    ("refusal", "status", "retry_after"),
    [(QueueFullError(9), 429, "9"), (NotReadyError("the model is being loaded"), 503, "5")],
)
async def test_who_cannot_be_taken_is_told_when_to_try_again(
    client: Client, engine: FakeEngine, refusal: Exception, status: int, retry_after: str
) -> None:
    engine.refusal = refusal
    for path in ("/v1/resolve", "/v1/resolve/plan"):
        response = await post(client, path)
        assert (response.status_code, response.headers["retry-after"]) == (status, retry_after)


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


async def test_two_tables_that_the_checkpoint_cannot_link_are_the_requests_fault(served: Client) -> None:
    rows = people(60)
    tables = [{"columns": ["name", "street", "zip"], "rows": part} for part in (rows[:50], rows[10:])]
    response = await served.post("/v1/resolve", json={"tables": tables})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/tables" and "calibrator" in error["detail"]


async def test_columns_that_differ_in_case_alone_keep_their_values(served: Client) -> None:
    tables = [{"columns": ["name"], "rows": [["abc"]]}, {"columns": ["Name", "name"], "rows": [["def", "ghi"]]}]
    answer = (await served.post("/v1/resolve", json={"tables": tables})).json()
    records = [cluster["record"] for cluster in answer["clusters"]]
    assert sorted(records, key=str) == [{"Name": "def", "name": "ghi"}, {"Name": None, "name": "abc"}]


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
        assert all(cluster["record"] is not None for cluster in response.json()["clusters"])


async def test_two_tables_of_five_rows_are_linked_by_what_their_columns_agree_on(served: Client) -> None:
    left = {
        "columns": ["name", "city"],
        "rows": [["Anna Weber", "Bern"], ["Bob ONeil", "Rome"], ["Eve Adams", "Lima"], ["Farid Khan", "Oslo"],
                 ["Grace Hopper", "Paris"]],
    }  # fmt: skip
    right = {
        "columns": ["City", "Name"],
        "rows": [["Rome", "Bob O'Neil"], ["Oslo", "Farid Khan"], ["Kyiv", "Dmitri Ivanov"], ["Bern", "Anna Weber"],
                 ["Cork", "Sean Byrne"]],
    }  # fmt: skip
    answer = (await served.post("/v1/resolve", json={"tables": [left, right]})).json()
    assert answer["method"] == "agreement"
    assert together(answer) == {((0, 0), (1, 3)), ((0, 1), (1, 0)), ((0, 3), (1, 1))}
    anna = next(cluster for cluster in answer["clusters"] if {"table": 0, "row": 0} in cluster["members"])
    assert anna["record"] == {"city": "Bern", "name": "Anna Weber"}
    assert answer["plan"]["possible_pairs"] == 25
    told = [example((0, 4), (1, 4))]
    taught = (await served.post("/v1/resolve", json={"tables": [left, right], "examples": told})).json()
    assert together(taught) == together(answer) | {((0, 4), (1, 4))}
    # That two equal records are not one entity makes all equal records doubtful.
    told = [{**example((0, 0), (1, 3)), "match": False}]
    parted = (await served.post("/v1/resolve", json={"tables": [left, right], "examples": told})).json()
    assert together(parted) == set()
    assert {(pair["left"]["row"], pair["right"]["row"], pair["decision"]) for pair in parted["pairs"]} == {
        (1, 0, "review"),
        (3, 1, "review"),
    }


async def test_tables_without_a_common_column_are_not_linked(served: Client) -> None:
    tables = [{"columns": ["a"], "rows": [["x1"], ["y1"]]}, {"columns": ["b"], "rows": [["x1"], ["z1"]]}]
    answer = (await served.post("/v1/resolve", json={"tables": tables})).json()
    assert together(answer) == set()
    assert answer["clusters"][0]["record"] == {"a": "x1", "b": None}
    bare = (await served.post("/v1/resolve", json={"tables": tables, "consolidate": False})).json()
    assert bare["clusters"][0]["record"] is None and bare["clusters"][0]["provenance"] is None


def together(answer: dict[str, Any]) -> set[tuple[tuple[int, int], ...]]:
    """The places of every cluster of several records."""
    clusters = [tuple((place["table"], place["row"]) for place in one["members"]) for one in answer["clusters"]]
    return {one for one in clusters if len(one) > 1}


@pytest.fixture
def linking_engine(checkpoint: Checkpoint, make_calibrator: MakeCalibrator, tmp_path: Path) -> Iterator[Engine]:
    """An engine of the tiny model with a calibrator of pairs, which believes what the standings say."""
    weights = {"odds_of_left_if_mutual": 0.4, "odds_of_right_if_mutual": 0.4, "is_mutual": 2.0}
    assert checkpoint.calibration is not None
    calibrators = {**checkpoint.calibration.calibrators, CALIBRATOR: make_calibrator(RIVAL_FEATURES, weights, -2.5)}
    calibration = Calibration(calibrators, "made by hand")
    tokenizer = checkpoint.serializer.tokenizer
    save_checkpoint(tmp_path / "linking", checkpoint.denoiser, tokenizer, checkpoint.card, calibration)
    engine = Engine(tmp_path / "linking", precision="float32", threads=1)
    engine.start()
    engine.wait_ready()
    yield engine
    engine.stop()


def names(count: int) -> list[str]:
    rng = random.Random(1)
    return ["".join(rng.choice("bcdfglmnprst") + rng.choice("aeiou") for _ in range(5)) for _ in range(count)]


async def test_larger_tables_are_linked_by_rivals(linking_engine: Engine, connect: Callable[[FastAPI], Client]) -> None:
    first = {"columns": ["name"], "rows": [[name] for name in names(40)]}
    second = {"columns": ["name"], "rows": [[name] for name in reversed(names(40))]}
    async with connect(create_app(Settings(_env_file=None), linking_engine)) as client:
        body = {"tables": [first, second], "cardinality": "one_to_one"}
        answer = (await client.post("/v1/resolve", json=body, timeout=60)).json()
    assert answer["method"] == "rivals"
    assert together(answer) == {((0, row), (1, 39 - row)) for row in range(40)}


async def test_who_hangs_up_ends_the_work_between_two_stages(linking_engine: Engine) -> None:
    """The first stage waits until the request is cancelled; no later one begins."""
    relation = Relation.of(("name",), [[name] for name in names(40)])
    entered, go_on, stages = threading.Event(), threading.Event(), list[str]()

    def progress(stage: str, done: int, total: int) -> None:
        stages.append(stage)
        entered.set()
        assert go_on.wait(30)

    future = linking_engine.resolve([relation], ResolutionOptions(), progress)
    assert await asyncio.to_thread(entered.wait, 30)
    assert future.cancel()
    go_on.set()
    deadline = time.monotonic() + 30
    while linking_engine.load != Load(0, 0):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert stages == ["block"]
    assert len(linking_engine.resolve([relation], ResolutionOptions()).result(30).entities) == 40
