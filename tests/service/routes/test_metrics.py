"""Metrics show the engine as it is now."""

from __future__ import annotations

from service.engine import EngineState
from tests.service.conftest import Client, FakeEngine


async def test_metrics_show_the_engine(client: Client, engine: FakeEngine) -> None:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    assert {"rpt_ready 1.0", "rpt_running_requests 1.0", "rpt_waiting_requests 2.0"} <= set(lines)
    engine.state = EngineState.DRAINING
    assert "rpt_ready 0.0" in (await client.get("/metrics")).text.splitlines()
