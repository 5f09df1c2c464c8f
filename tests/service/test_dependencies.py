"""An answer waits as long as its client does, and no longer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.service.conftest import FakeEngine, MakeApp

BODY = b'{"table": {"columns": ["a"], "rows": [["1"]]}}'


async def test_when_the_client_hangs_up_the_work_is_cancelled(make_app: MakeApp, engine: FakeEngine) -> None:
    engine.hold = True
    app = make_app()
    hung_up = asyncio.Event()
    messages: list[Any] = [{"type": "http.request", "body": BODY, "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        await hung_up.wait()
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/v1/clean",
        "raw_path": b"/v1/clean", "query_string": b"", "headers": headers, "scheme": "http",
        "server": ("service", 80), "client": ("client", 1), "root_path": "",
    }  # fmt: skip
    running = asyncio.create_task(app(scope, receive, send))
    while not engine.futures:
        await asyncio.sleep(0.01)
    assert not engine.futures[0].done()
    hung_up.set()
    await asyncio.wait_for(running, 10)
    assert engine.futures[0].cancelled()
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == [499]


async def test_an_engine_that_stops_first_is_a_503(make_app: MakeApp, engine: FakeEngine, connect: Any) -> None:
    engine.hold = True
    async with connect(make_app()) as client:
        asked = asyncio.create_task(
            client.post("/v1/clean", content=BODY, headers={"content-type": "application/json"})
        )
        while not engine.futures:
            await asyncio.sleep(0.01)
        engine.futures[0].cancel()
        response = await asyncio.wait_for(asked, 10)
    assert (response.status_code, response.json()["type"]) == (503, "urn:rpt:problem:not-ready")
    assert response.headers["retry-after"] == "5"


async def test_no_more_bodies_are_in_memory_than_there_are_places(
    make_app: MakeApp, engine: FakeEngine, connect: Any
) -> None:
    engine.hold = True
    headers = {"content-type": "application/json"}
    async with connect(make_app(max_requests=2)) as client:
        held = [asyncio.create_task(client.post("/v1/clean", content=BODY, headers=headers)) for _ in range(2)]
        while len(engine.futures) < 2:
            await asyncio.sleep(0.01)
        refused = await client.post("/v1/clean", content=BODY, headers=headers)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        for future in engine.futures:
            future.set_result(engine.answer)
        assert [(await one).status_code for one in held] == [200, 200]
        engine.hold = False
        assert (await client.post("/v1/clean", content=BODY, headers=headers)).status_code == 200


async def test_a_late_answer_is_waited_for(make_app: MakeApp, engine: FakeEngine, connect: Any) -> None:
    engine.hold = True
    async with connect(make_app()) as client:
        asked = asyncio.create_task(
            client.post("/v1/clean", content=BODY, headers={"content-type": "application/json"})
        )
        while not engine.futures:
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(asked), 0.6)
        engine.futures[0].set_result(engine.answer)
        assert (await asyncio.wait_for(asked, 10)).status_code == 200
