"""An operator sees ids, routes, counts and places in the code; what stands in a cell is never among them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from service.engine import CleaningResult, EngineState, Load, QueueFullError, Usage
from service.observability import Metrics, configure_logging
from tests.service.conftest import Body, Client, FakeEngine, MakeApp

SECRET = "hush-4711"
TABLE = {"table": {"columns": ["name", SECRET], "rows": [["Anna", SECRET], [f"{SECRET}!", None]]}}
LOGGERS = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "httpx")

Logs = Callable[[str], Callable[[], list[dict[str, Any]]]]


@pytest.fixture
def logs(capsys: pytest.CaptureFixture[str]) -> Iterator[Logs]:
    """Configure logging at a level; gives what reads the lines on stderr. All is as before when the test ends."""
    before = [
        (logger, logger.handlers[:], logger.level, logger.propagate, logger.disabled)
        for logger in map(logging.getLogger, LOGGERS)
    ]

    def configure(level: str) -> Callable[[], list[dict[str, Any]]]:
        configure_logging(level)
        return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    yield configure
    for logger, handlers, level, propagate, disabled in before:
        logger.handlers, logger.propagate, logger.disabled = handlers, propagate, disabled
        logger.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


async def counts(client: Client, name: str) -> dict[tuple[str, ...], float]:
    """Samples of a metric by the values of their labels, in the order of the labels' names."""
    text = (await client.get("/metrics")).text
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


SANE_IDS = ["r1", "a", "A.b_c-9", "7f690dee-38dd-4f8e-8b4d-92e0bb5a1bd9", "x" * 64]


@pytest.mark.parametrize("given", SANE_IDS)
async def test_a_sane_request_id_comes_back(client: Client, given: str) -> None:
    response = await client.get("/livez", headers={"x-request-id": given})
    assert response.headers.get_list("x-request-id") == [given]


STRANGE_IDS = [
    b"",
    b"x" * 65,
    b"a b",
    b"a,b",
    b'{"a":1}',
    b"a\x1b[31m",
    b"caf\xc3\xa9",
    b"../x",
    b"r1\n",
    b"r1\r\nx: y",
]


@pytest.mark.parametrize("given", STRANGE_IDS)
async def test_a_strange_request_id_is_replaced(client: Client, given: bytes) -> None:
    responses = [await client.get("/livez", headers={b"x-request-id": given}) for _ in range(2)]
    made = [response.headers["x-request-id"] for response in responses]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)
    assert made[0] != made[1]


async def test_a_request_without_an_id_gets_one_of_its_own(client: Client) -> None:
    made = {(await client.get("/livez")).headers["x-request-id"] for _ in range(3)}
    assert [len(one) for one in made] == [32, 32, 32]


async def test_every_problem_document_has_the_id_of_its_answer(
    make_app: MakeApp, connect: Callable[[FastAPI], Client], engine: FakeEngine
) -> None:
    key = {"x-api-key": "one"}
    json_type = {"content-type": "application/json", **key}

    async def seen(client: Client, *request: str, **more: Any) -> int:
        response = await client.request(*request, **more)
        made = response.headers["x-request-id"]
        assert response.json()["request_id"] == made
        assert re.fullmatch("[0-9a-f]{32}", made)
        return response.status_code

    async with connect(make_app(api_keys="one", max_body_bytes=300)) as client:
        assert await seen(client, "POST", "/v1/clean", json=TABLE) == 401
        assert await seen(client, "POST", "/v1/clean", json=TABLE, headers={"x-api-key": "two"}) == 403
        assert await seen(client, "GET", "/v1/nothing", headers=key) == 404
        assert await seen(client, "DELETE", "/v1/clean", headers=key) == 405
        assert await seen(client, "POST", "/v1/clean", content=b" " * 301, headers=json_type) == 413
        assert await seen(client, "POST", "/v1/clean", content=Body(b" " * 301), headers=json_type) == 413
        assert await seen(client, "POST", "/v1/clean", content=b"{}", headers=key) == 415
        assert await seen(client, "POST", "/v1/clean", json={}, headers=key) == 422
        assert await seen(client, "POST", "/v1/clean", content=b"{", headers=json_type) == 400
        engine.answer = RuntimeError(SECRET)
        assert await seen(client, "POST", "/v1/clean", json=TABLE, headers=key) == 500
        engine.refusal = QueueFullError(1)
        assert await seen(client, "POST", "/v1/clean", json=TABLE, headers=key) == 429
        engine.state = EngineState.LOADING
        assert await seen(client, "GET", "/readyz") == 503
        assert await seen(client, "GET", "/v1/models", headers=key) == 503


async def test_requests_are_counted_by_method_route_and_status(client: Client, engine: FakeEngine) -> None:
    for path in ("/livez", "/livez", "/v1/models", "/v1/models/fake", "/v1/models/other", "/docs"):
        await client.get(path, params={"q": SECRET})
    await client.post("/v1/clean", json=TABLE)
    await client.post("/v1/clean", json={})
    engine.answer = RuntimeError(SECRET)
    await client.post("/v1/clean", json=TABLE)
    await client.put("/v1/clean")
    assert await counts(client, "rpt_requests_total") == {
        ("GET", "/livez", "200"): 2.0,
        ("GET", "/v1/models", "200"): 1.0,
        ("GET", "/v1/models/{name}", "200"): 1.0,
        ("GET", "/v1/models/{name}", "404"): 1.0,
        ("GET", "/docs", "200"): 1.0,
        ("POST", "/v1/clean", "200"): 1.0,
        ("POST", "/v1/clean", "422"): 1.0,
        ("POST", "/v1/clean", "500"): 1.0,
        ("PUT", "/v1/clean", "405"): 1.0,
    }
    assert await counts(client, "rpt_request_seconds_count") == {
        ("/livez",): 2.0,
        ("/v1/models",): 1.0,
        ("/v1/models/{name}",): 2.0,
        ("/docs",): 1.0,
        ("/v1/clean",): 4.0,
        ("/metrics",): 1.0,
    }


@pytest.mark.parametrize("name", ["v", "v1", "m", "models", "{name}", "a%20b", "%C3%A9", "..."])
async def test_a_name_in_a_path_does_not_become_a_label(client: Client, name: str) -> None:
    assert (await client.get(f"/v1/models/{name}")).status_code == 404
    assert await counts(client, "rpt_requests_total") == {("GET", "/v1/models/{name}", "404"): 1.0}


async def test_unknown_paths_and_methods_do_not_become_labels(client: Client) -> None:
    start = ("", "/v1", "/v1/clean", "/v1/models/fake", "/static-offline-docs", "/static-offline-docs/a")
    for path in (f"{one}/{SECRET}" for one in start):
        assert (await client.get(path)).status_code == 404
    assert (await client.request("BREW", "/livez")).status_code == 405
    assert (await client.request(SECRET, "/livez")).status_code == 405
    assert (await client.request("post", f"/{SECRET}")).status_code == 404
    assert await counts(client, "rpt_requests_total") == {
        ("GET", "none", "404"): 6.0,
        ("other", "/livez", "405"): 2.0,
        ("POST", "none", "404"): 1.0,
    }


async def test_a_refused_request_is_counted_too(make_app: MakeApp, connect: Callable[[FastAPI], Client]) -> None:
    async with connect(make_app(api_keys="one")) as client:
        await client.post("/v1/clean", json=TABLE)
        client.headers["x-api-key"] = "one"
        assert await counts(client, "rpt_requests_total") == {("POST", "none", "401"): 1.0}


async def test_the_cost_of_an_answer_and_the_load_are_metrics(client: Client, engine: FakeEngine) -> None:
    engine.answer = CleaningResult((), Usage(tuples=2, encoder_tokens=30, decoder_tokens=4, seconds=0.5))
    engine.load = Load(3, 5)
    for _ in range(2):
        await client.post("/v1/clean", json=TABLE)
    assert await counts(client, "rpt_rows_total") == {("clean",): 4.0}
    assert await counts(client, "rpt_tokens_total") == {("encoder",): 60.0, ("decoder",): 8.0}
    assert await counts(client, "rpt_cells_total") == {}
    assert [await counts(client, f"rpt_{what}_requests") for what in ("running", "waiting")] == [{(): 3.0}, {(): 5.0}]
    assert await counts(client, "rpt_ready") == {(): 1.0}
    engine.state = EngineState.DRAINING
    assert await counts(client, "rpt_ready") == {(): 0.0}


def test_two_apps_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.rows.labels("clean").inc(3)

    def rows(registry: CollectorRegistry) -> float | None:
        return registry.get_sample_value("rpt_rows_total", {"task": "clean"})

    assert (rows(one.registry), rows(other.registry)) == (3.0, None)


async def test_a_request_is_one_line_of_json(client: Client, logs: Logs) -> None:
    lines = logs("info")
    await client.post("/v1/clean", json=TABLE, params={"q": SECRET}, headers={"x-request-id": "r1", "x-x": SECRET})
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert 0 <= line.pop("seconds") < 60
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "service.request",
        "request_id": "r1",
        "method": "POST",
        "route": "/v1/clean",
        "status": 200,
    }


@pytest.mark.parametrize("path", ["/v1/clean", "/v1/complete"])
async def test_an_unexpected_exception_shows_no_cell_anywhere(
    client: Client, engine: FakeEngine, logs: Logs, path: str
) -> None:
    lines = logs("debug")
    engine.answer = RuntimeError(f"cannot read {SECRET!r}")
    engine.answer.__cause__ = ValueError(SECRET)
    response = await client.post(path, json=TABLE, headers={"x-request-id": "r1"})
    assert (response.status_code, response.headers["x-request-id"]) == (500, "r1")
    assert response.json() == {
        "type": "urn:rpt:problem:internal-error",
        "title": "Something went wrong here",
        "status": 500,
        "request_id": "r1",
    }
    written = lines()
    assert SECRET not in json.dumps(written)
    error, request = written
    assert (error["event"], error["error"], error["level"], error["request_id"]) == (
        "unexpected error",
        "RuntimeError",
        "error",
        "r1",
    )
    assert re.fullmatch(r"dependencies\.py:\d+ answer", error["where"][-1])
    assert (request["event"], request["status"], request["route"]) == ("request", 500, path)


async def test_refused_tables_show_no_cell_in_the_log(client: Client, logs: Logs) -> None:
    lines = logs("debug")
    long = {"columns": ["a"], "rows": [[SECRET * 20_000]]}
    ragged = {"columns": ["a", "b"], "rows": [[SECRET]]}
    bad = {"columns": ["a"], "rows": [[[SECRET]]]}
    statuses = [(await client.post("/v1/clean", json={"table": table})).status_code for table in (long, ragged, bad)]
    for kind in ("application/json", SECRET):
        statuses.append((await client.post("/v1/clean", content=SECRET, headers={"content-type": kind})).status_code)
    assert statuses == [422, 422, 422, 400, 415]
    written = lines()
    assert [line["status"] for line in written] == statuses
    assert SECRET not in json.dumps(written)


async def test_the_id_of_a_request_ends_with_it(client: Client, logs: Logs) -> None:
    lines = logs("info")
    await client.get("/livez", headers={"x-request-id": "r1"})
    logging.getLogger("service.elsewhere").info("later")
    assert [(line["event"], line.get("request_id")) for line in lines()] == [("request", "r1"), ("later", None)]


def _fail(cell: str) -> None:
    try:
        raise KeyError(cell)
    except KeyError as error:
        raise ValueError(f"cannot read {cell!r}") from error


def test_a_logged_exception_keeps_its_class_and_places_and_loses_its_message(logs: Logs) -> None:
    lines = logs("info")
    try:
        _fail(SECRET)
    except ValueError:
        logging.getLogger("a.library").exception("reading %s of %s failed", 1, 2)
        structlog.get_logger("ours").exception("reading failed")
        structlog.get_logger("ours").error("reading failed", exc_info=True)
    written = lines()
    assert [line["event"] for line in written] == ["reading 1 of 2 failed", "reading failed", "reading failed"]
    assert [line["logger"] for line in written] == ["a.library", "ours", "ours"]
    for line in written:
        assert set(line) == {"event", "logger", "level", "timestamp", "error", "where"}
        assert (line["error"], line["level"]) == ("ValueError", "error")
        assert [place.rpartition(" ")[2] for place in line["where"]] == [
            "test_a_logged_exception_keeps_its_class_and_places_and_loses_its_message",
            "_fail",
        ]
        assert all(re.match(r"test_observability\.py:\d+ ", place) for place in line["where"])
    assert SECRET not in json.dumps(written)


def test_a_line_without_an_exception_stays_as_it_is(logs: Logs) -> None:
    lines = logs("info")
    try:
        _fail(SECRET)
    except ValueError:
        logging.getLogger("a.library").error("no details")
        structlog.get_logger("ours").warning("no details", exc_info=False)
    assert [set(line) for line in lines()] == [{"event", "logger", "level", "timestamp"}] * 2


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_not_written(logs: Logs, level: str, shown: list[str]) -> None:
    lines = logs(level)
    for name in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("a.library"), name)("words")
        getattr(structlog.get_logger("ours"), name)("words")
    assert [(line["logger"], line["level"]) for line in lines()] == [
        (logger, name) for name in shown for logger in ("a.library", "ours")
    ]


def test_lines_of_uvicorn_are_json_and_its_access_log_is_off(logs: Logs) -> None:
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.addHandler(logging.StreamHandler())
    uvicorn.propagate = False
    lines = logs("info")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
    logging.getLogger("uvicorn.access").info('"GET /v1/models?q=%s HTTP/1.1" 200', SECRET)
    assert [(line["logger"], line["event"]) for line in lines()] == [("uvicorn.error", "Started server process [7]")]


async def test_addresses_that_httpx_asks_are_not_logged(logs: Logs) -> None:
    lines = logs("info")
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(204))) as client:
        assert (await client.get(f"http://service/?q={SECRET}")).status_code == 204
    assert lines() == []
