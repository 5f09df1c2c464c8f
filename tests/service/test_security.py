"""Where the service has keys, nothing of a table or a metric is reached without one, and no body is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from fastapi import FastAPI

from tests.service.conftest import Body, Client, FakeEngine, MakeApp

REQUEST_ID = {"x-request-id": "r1"}
TABLE = {"table": {"columns": ["a", "b"], "rows": [["1", "2"]]}}
MISSING = {
    "type": "urn:rpt:problem:key-missing",
    "title": "An API key is needed",
    "status": 401,
    "detail": "send a key as 'Authorization: Bearer KEY'",
    "request_id": "r1",
}
REFUSED = {
    "type": "urn:rpt:problem:key-refused",
    "title": "The API key may not be used",
    "status": 403,
    "detail": "this key is not one of those that may be used",
    "request_id": "r1",
}


@pytest.fixture
async def locked(make_app: MakeApp, connect: Callable[[FastAPI], Client]) -> AsyncIterator[Client]:
    """A client without a key, of a service that has two."""
    async with connect(make_app(api_keys="first,sécond")) as client:
        client.headers.update(REQUEST_ID)
        yield client


def raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Headers in UTF-8; httpx alone would take ASCII only."""
    return {name.encode(): value.encode() for name, value in headers.items()}


NO_KEYS: dict[str, dict[str, str]] = {
    "no header": {},
    "empty bearer": {"authorization": "Bearer"},
    "blank bearer": {"authorization": "Bearer   "},
    "empty X-API-Key": {"x-api-key": ""},
    "another scheme": {"authorization": "Basic first"},
    "no scheme": {"authorization": "first"},
}


@pytest.mark.parametrize("headers", NO_KEYS.values(), ids=NO_KEYS)
async def test_a_request_without_a_key_is_asked_for_one(
    locked: Client, engine: FakeEngine, headers: Mapping[str, str]
) -> None:
    response = await locked.post("/v1/clean", json=TABLE, headers=headers)
    assert (response.status_code, response.json()) == (401, MISSING)
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert engine.asked == []


WRONG_KEYS: dict[str, dict[str, str]] = {
    "another key": {"authorization": "Bearer third"},
    "start of a key": {"authorization": "Bearer firs"},
    "key and more": {"authorization": "Bearer first1"},
    "other case": {"authorization": "Bearer First"},
    "all keys at once": {"authorization": "Bearer first,sécond"},
    "wrong X-API-Key": {"x-api-key": "third"},
    "right X-API-Key behind a wrong bearer": {"authorization": "Bearer third", "x-api-key": "first"},
}


@pytest.mark.parametrize("headers", WRONG_KEYS.values(), ids=WRONG_KEYS)
async def test_a_wrong_key_is_refused(locked: Client, engine: FakeEngine, headers: Mapping[str, str]) -> None:
    response = await locked.post("/v1/clean", json=TABLE, headers=raw(headers))
    assert (response.status_code, response.json()) == (403, REFUSED)
    assert "www-authenticate" not in response.headers
    assert engine.asked == []


RIGHT_KEYS: dict[str, dict[str, str]] = {
    "bearer": {"authorization": "Bearer first"},
    "scheme in small letters": {"authorization": "bearer first"},
    "blanks around the key": {"authorization": "Bearer   first "},
    "X-API-Key": {"x-api-key": "first"},
    "X-API-Key beside another scheme": {"authorization": "Basic abc", "x-api-key": "first"},
    "the second key, beyond ASCII": {"authorization": "Bearer sécond"},
    "the second key as X-API-Key": {"x-api-key": "sécond"},
}


@pytest.mark.parametrize("headers", RIGHT_KEYS.values(), ids=RIGHT_KEYS)
async def test_a_key_opens_the_service_by_either_header(
    locked: Client, engine: FakeEngine, headers: Mapping[str, str]
) -> None:
    response = await locked.post("/v1/clean", json=TABLE, headers=raw(headers))
    assert (response.status_code, response.json()["cells"]) == (200, [])
    assert [task for task, _, _ in engine.asked] == ["clean"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/docs", "/openapi.json"])
async def test_probes_and_documentation_are_open(locked: Client, path: str) -> None:
    response = await locked.get(path)
    assert response.status_code == 200
    assert (await locked.get(path, headers={"x-api-key": "third"})).status_code == 200


PROTECTED = ["/metrics", "/metrics/", "/v1", "/v1/", "/v1/models", "/v1/models/fake", "/v1/nothing", "/%76%31/models"]


@pytest.mark.parametrize("path", PROTECTED)
async def test_all_below_v1_and_the_metrics_need_a_key(locked: Client, path: str) -> None:
    assert [(await locked.request(method, path)).status_code for method in ("GET", "POST", "HEAD", "BREW")] == [401] * 4
    assert (await locked.get(path, headers={"x-api-key": "third"})).status_code == 403
    assert (await locked.get(path, headers={"x-api-key": "first"})).status_code in (200, 307, 404)


@pytest.mark.parametrize("path", ["/v1x", "/v1x/models", "/metricsx", "/v2/models", "/"])
async def test_a_path_that_only_looks_alike_is_not_found(locked: Client, path: str) -> None:
    response = await locked.get(path)
    assert (response.status_code, response.json()["type"]) == (404, "urn:rpt:problem:not-found")


@pytest.mark.parametrize(("headers", "problem"), [({}, MISSING), ({"x-api-key": "third"}, REFUSED)])
@pytest.mark.parametrize("declared", [{}, {"content-length": "99999999999"}])
async def test_the_body_of_a_refused_request_is_not_read(
    locked: Client, headers: Mapping[str, str], declared: Mapping[str, str], problem: dict[str, Any]
) -> None:
    body = Body(b'{"table":', b" {}}")
    response = await locked.post("/v1/clean", content=body, headers={**headers, **declared})
    assert (response.status_code, response.json()) == (problem["status"], problem)
    assert body.read == 0


async def test_a_service_without_keys_asks_for_none(client: Client) -> None:
    assert (await client.get("/v1/models")).status_code == 200
    assert (await client.get("/metrics", headers={"authorization": "Bearer anything"})).status_code == 200


async def test_the_openapi_document_says_where_a_key_is_needed(locked: Client) -> None:
    document = (await locked.get("/openapi.json")).json()
    scheme = document["components"]["securitySchemes"]["HTTPBearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    asked = {path for path, item in document["paths"].items() for one in item.values() if "security" in one}
    assert asked == {
        "/metrics",
        "/v1/annotate",
        "/v1/clean",
        "/v1/complete",
        "/v1/extract",
        "/v1/match",
        "/v1/resolve",
        "/v1/resolve/plan",
        "/v1/match-schema",
        "/v1/normalize",
        "/v1/transform",
        "/v1/models",
        "/v1/models/{name}",
    }
