"""Schemathesis reads /openapi.json and sends what it allows and what it forbids: no 5xx, nothing undocumented.

The engine is real and its model tiny, so that whatever a generated table holds goes all the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from model.checkpoint import Checkpoint
from service.engine import Engine
from service.main import create_app
from service.settings import Settings
from tests.service.conftest import serving

OPERATIONS = (
    "POST /v1/clean",
    "POST /v1/complete",
    "POST /v1/match",
    "POST /v1/resolve",
    "POST /v1/resolve/plan",
    "POST /v1/match-schema",
    "POST /v1/annotate",
    "POST /v1/extract",
    "POST /v1/transform",
    "POST /v1/normalize",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "GET /livez",
    "GET /readyz",
    "GET /metrics",
)


KEY = "a-key-of-the-test"


@pytest.fixture(scope="module", params=[None, KEY], ids=["without keys", "with keys"])
def key(request: pytest.FixtureRequest) -> str | None:
    """The key that the service asks for, None where it asks for none."""
    chosen: str | None = request.param
    return chosen


@pytest.fixture(scope="module")
def operations(checkpoint: Checkpoint, key: str | None) -> Iterator[dict[str, Any]]:
    """Every operation of a served app with the tiny model, limits low enough to be met."""
    engine = Engine(checkpoint.path, precision="float32", threads=1)
    app = create_app(
        Settings(_env_file=None, max_rows=40, max_cells=200, adapt_max_steps=2, api_keys=key or ()), engine
    )
    with serving(app) as address:
        engine.wait_ready()
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        found = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
        yield {f"{one.method.upper()} {one.path}": one for one in found}


def test_every_operation_is_checked(operations: dict[str, Any]) -> None:
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_documented(
    operations: dict[str, Any], key: str | None, name: str, mode: GenerationMode
) -> None:
    operation = operations[name]
    if mode is GenerationMode.NEGATIVE and not operation.body:
        pytest.skip("without a body there is no way to ask this wrongly")
    examples = 40 if operation.body else 10
    headers = {"Authorization": f"Bearer {key}"} if key else None

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        # A schema cannot say that rows are as long as there are columns, so what it allows may still be a 422.
        answer = case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
        assert str(answer.status_code) in operation.definition.raw["responses"]

    check()
