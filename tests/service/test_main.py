"""The app as a whole: its documentation needs no network, and a served process starts, drains and ends as promised."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.checkpoint import Checkpoint
from model.tuples import Relation
from tests.service.conftest import Client, MakeApp

SECONDS = 60


async def test_the_documentation_loads_nothing_from_elsewhere(client: Client) -> None:
    page = (await client.get("/docs")).text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) >= 3
    for asset in assets:
        assert asset.startswith("/"), asset
        response = await client.get(asset)
        assert (response.status_code, len(response.content) > 500) == (200, True), asset
    assert "http://" not in page and "https://" not in page


async def test_the_openapi_document_shows_keys_only_where_there_are_keys(make_app: MakeApp, connect: Any) -> None:
    documents = []
    for keys in ((), ("one",)):
        async with connect(make_app(api_keys=keys)) as client:
            documents.append((await client.get("/openapi.json")).json())
    without, needing = (document["paths"]["/v1/clean"]["post"] for document in documents)
    assert "security" not in without
    assert needing["security"] == [{"HTTPBearer": []}]
    assert set(needing["responses"]) == {"200", "400", "401", "403", "413", "415", "422", "429", "500", "503"}
    problem = needing["responses"]["422"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}


class Served:
    """`rpt serve` as a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        self.process = process
        self.http = httpx.Client(base_url=address, timeout=SECONDS)
        self.log = log

    def wait_ready(self) -> None:
        """Wait until /readyz answers 200; before that it must be refused or 503."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text("utf-8")
            try:
                status = self.http.get("/readyz").status_code
            except httpx.TransportError:
                status = 0
            if status == 200:
                return
            assert status in (0, 503)
            time.sleep(0.05)
        pytest.fail("never ready")

    def lines(self) -> list[dict[str, Any]]:
        """The log so far, every line of it JSON."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    def request_lines(self, route: str, wanted: int) -> list[dict[str, Any]]:
        """The log's lines of requests to `route`, once there are `wanted`: an answer is sent before its line is."""
        deadline = time.monotonic() + SECONDS
        found: list[dict[str, Any]] = []
        while len(found) < wanted and time.monotonic() < deadline:
            text = self.log.read_text("utf-8")
            whole = text[: text.rfind("\n") + 1].splitlines()
            lines = [json.loads(line) for line in whole]
            found = [line for line in lines if line["event"] == "request" and line["route"] == route]
            time.sleep(0.02)
        return found


@contextmanager
def served(folder: Path, tmp_path: Path, **variables: str) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RPT_")}
    environment |= {"RPT_MODEL": str(folder), "RPT_THREADS": "1", **variables}
    command = [sys.executable, "-m", "service.cli", "serve", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=file, stdout=subprocess.DEVNULL)
        one = Served(process, f"http://127.0.0.1:{port}", log)
        try:
            yield one
        finally:
            one.http.close()
            process.kill()
            process.wait()


def body(people: Relation, copies: int) -> dict[str, Any]:
    rows = [list(values) for values in people.tuples] * copies
    return {"table": {"columns": list(people.attributes), "rows": rows}}


def test_sigterm_lets_the_request_at_work_end(checkpoint: Checkpoint, people: Relation, tmp_path: Path) -> None:
    with served(checkpoint.path, tmp_path) as one:
        one.wait_ready()
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(one.http.post("/v1/clean", json=body(people, 20))))
        asking.start()
        while "rpt_running_requests 1.0" not in httpx.get(f"{one.http.base_url}/metrics").text:
            assert asking.is_alive(), "the request ended before it could be caught at work"
        one.process.send_signal(signal.SIGTERM)
        asking.join(SECONDS)
        assert [answer.status_code for answer in answers] == [200]
        assert answers[0].json()["summary"]["rows"] == 800
        assert one.process.wait(SECONDS) in (0, -signal.SIGTERM)
        events = [line["event"] for line in one.lines()]
        assert "request" in events
        assert "Finished server process" in " ".join(events)


def test_the_log_of_a_served_process_is_json_without_cells(
    checkpoint: Checkpoint, people: Relation, tmp_path: Path
) -> None:
    with served(checkpoint.path, tmp_path) as one:
        one.wait_ready()
        headers = {"X-Request-Id": "one"}
        assert one.http.post("/v1/clean", json=body(people, 1), headers=headers).status_code == 200
        assert one.http.post("/v1/clean", content=b"{", headers={"content-type": "application/json"}).status_code == 400
        requests = one.request_lines("/v1/clean", 2)
        assert [(line["status"], line["method"]) for line in requests] == [(200, "POST"), (400, "POST")]
        assert requests[0]["request_id"] == "one"
        text = one.log.read_text("utf-8")
        assert not [value for values in people.tuples for value in values if value and len(value) > 3 and value in text]


def test_a_public_address_without_keys_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with served(checkpoint.path, tmp_path, RPT_HOST="0.0.0.0") as one:
        assert one.process.wait(SECONDS) == 1
        assert "RPT_API_KEYS" in one.log.read_text("utf-8")


def test_a_process_whose_model_cannot_be_loaded_lives_and_is_not_ready(tmp_path: Path) -> None:
    with served(tmp_path / "nothing", tmp_path) as one:
        deadline = time.monotonic() + SECONDS
        detail = ""
        while "no checkpoint folder" not in detail and time.monotonic() < deadline:
            try:
                assert one.http.get("/livez").status_code == 200
                response = one.http.post("/v1/clean", json={"table": {"columns": ["a"], "rows": []}})
                assert response.status_code == 503
                detail = response.json()["detail"]
            except httpx.TransportError:
                time.sleep(0.05)
        assert detail == "the model cannot be loaded: no checkpoint folder 'nothing'"
