"""`POST /v1/match-schema`: which columns of two tables are one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api_schemas.cleaning import Share
from api_schemas.models import Answer, ModelInfo, Usage
from api_schemas.tables import Name, Strict, Table

MAX_EXAMPLES = 1000
MAX_CANDIDATES = 500


class ColumnPairExample(Strict):
    """A source and a target column, and whether they are one."""

    source: Name
    target: Name
    match: bool


class SchemaMatchingRequest(Strict):
    """Two tables, with rows or without (`"rows": []`); descriptions of columns are read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source": {"columns": ["CustomerName", "PostalCode"], "rows": [["Otto Khan", "80202"]]},
                    "target": {"columns": ["pstlcd", "cstmrnm"], "rows": [["80202", "Otto Khan"]]},
                },
                {
                    "source": {"columns": [{"name": "dob", "description": "the date of birth"}], "rows": []},
                    "target": {"columns": ["birth_date", "name"], "rows": []},
                },
            ]
        }
    )

    source: Table
    target: Table
    one_to_one: bool = True
    min_confidence: Share = 0.5
    examples: Annotated[list[ColumnPairExample], Field(max_length=MAX_EXAMPLES)] = []
    max_candidates: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 100


class ColumnMatchEvidence(Answer):
    """What one source of evidence says of a match."""

    source: Literal["names", "values", "rivals", "example"]
    weight: float = Field(
        description="natural log of the odds against an average pair; of rivals, the lead over them. Above 0 it speaks "
        "for a match"
    )
    detail: str


class ColumnMatch(Answer):
    """Two columns that are one."""

    source: str
    target: str
    confidence: float
    evidence: list[ColumnMatchEvidence] = Field(description="strongest first")


class RankedTarget(Answer):
    """A target column that a source column may be."""

    target: str
    confidence: float


class SchemaMatchingResponse(Answer):
    """Matches in the order of the source's columns; where nothing fits well enough, a column is in `abstained`."""

    matches: list[ColumnMatch]
    ranked: dict[str, list[RankedTarget]] = Field(description="by source column, likeliest first")
    abstained: list[str] = Field(description="source columns without a match")
    model: ModelInfo
    usage: Usage
