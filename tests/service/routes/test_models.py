"""What is served can be read with its card."""

from __future__ import annotations

from service.engine import EngineState
from tests.service.conftest import Client, FakeEngine

INFO = {"name": "fake", "version": "1.0", "sha256": "ab" * 32}


async def test_models_are_listed(client: Client) -> None:
    assert (await client.get("/v1/models")).json() == {"models": [INFO, INFO | {"name": "shoes", "sha256": "cd" * 32}]}


async def test_a_model_is_read_with_sizes_limits_and_card(client: Client) -> None:
    assert (await client.get("/v1/models/fake")).json() == INFO | {
        "parameters": 12,
        "bytes": 34,
        "precision": "float32",
        "tasks": [*"clean complete match resolve match-schema transform annotate extract normalize".split()],
        "limits": {"max_name_tokens": 8, "max_value_tokens": 16, "max_attributes": 48, "max_context": 8},
        "card": {"limits": ["knows nothing"]},
    }


async def test_a_fine_tuned_model_is_read_by_its_name(client: Client) -> None:
    answer = (await client.get("/v1/models/shoes")).json()
    assert (answer["name"], answer["sha256"], answer["tasks"]) == ("shoes", "cd" * 32, ["extract"])
    assert (await client.get("/v1/models/default")).json()["name"] == "fake"


async def test_an_unknown_model_is_a_problem(client: Client) -> None:
    response = await client.get("/v1/models/other")
    assert (response.status_code, response.json()["type"]) == (404, "urn:rpt:problem:unknown-model")


async def test_while_the_model_loads_there_is_none(client: Client, engine: FakeEngine) -> None:
    engine.state = EngineState.LOADING
    for path in ("/v1/models", "/v1/models/fake"):
        response = await client.get(path)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
