"""The examples that /docs shows are requests that are taken."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from api_schemas.matching import MatchRequest
from api_schemas.normalization import NormalizationRequest
from api_schemas.schema_matching import SchemaMatchingRequest
from api_schemas.transformation import TransformRequest

REQUESTS: tuple[type[BaseModel], ...] = (MatchRequest, NormalizationRequest, SchemaMatchingRequest, TransformRequest)


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda one: one.__name__)
def test_every_shown_example_is_a_request(request_type: type[BaseModel]) -> None:
    examples = request_type.model_json_schema()["examples"]
    assert examples
    for example in examples:
        taken = request_type.model_validate_json(json.dumps(example))
        assert set(example) == taken.model_fields_set
    with pytest.raises(ValueError):
        request_type.model_validate({**examples[0], "unknown": 1})
