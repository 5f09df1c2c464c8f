"""`POST /v1/transform`: texts rewritten as examples show it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api_schemas.cleaning import Candidate, Count, Evidence, Share
from api_schemas.models import Answer, ModelInfo, Usage
from api_schemas.tables import Name, Strict, Text

MAX_EXAMPLES = 1000


class TransformExample(Strict):
    """An input with the output that is wanted of it."""

    input: Text
    output: Text


class TransformRequest(Strict):
    """Examples, and the inputs to transform as they show; three examples tell much more than one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "examples": [
                        {"input": "5 km", "output": "3.10686 mile"},
                        {"input": "18 km", "output": "11.1847 mile"},
                    ],
                    "inputs": ["100 km"],
                }
            ]
        }
    )

    examples: Annotated[list[TransformExample], Field(min_length=1, max_length=MAX_EXAMPLES, fail_fast=True)]
    inputs: Annotated[list[Text], Field(fail_fast=True)]
    min_confidence: Share = 0.5
    max_candidates: Count = 3
    model: Annotated[Name | None, Field(description="a model that GET /v1/models lists; null means the default")] = None


class TransformedText(Answer):
    """The answer for one input; `output` is set where `outcome` is `value`."""

    outcome: Literal["value", "abstained", "error"]
    output: str | None = None
    confidence: float | None = Field(
        None, description="probability that the best candidate is right; null where there is none"
    )
    candidates: list[Candidate] = []
    evidence: Evidence = Field(description="`program` with what it does, `model`, or `example` with its number")


class TransformResponse(Answer):
    """One answer for each input, in the order of the inputs."""

    outputs: list[TransformedText]
    model: ModelInfo
    usage: Usage
