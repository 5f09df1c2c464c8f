"""Probes tell a process that lives from one that takes requests."""

from __future__ import annotations

import pytest

from service.engine import EngineState
from tests.service.conftest import Client, FakeEngine


@pytest.mark.parametrize("state", list(EngineState))
async def test_only_a_ready_engine_is_ready_and_all_are_alive(
    client: Client, engine: FakeEngine, state: EngineState
) -> None:
    engine.state = state
    assert (await client.get("/livez")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    if state is EngineState.READY:
        assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    else:
        assert (ready.status_code, ready.json()["detail"]) == (503, f"the model is {state}")
