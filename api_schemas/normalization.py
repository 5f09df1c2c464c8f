"""`POST /v1/normalize`: the values of columns rewritten into one format each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api_schemas.cleaning import Evidence, Share
from api_schemas.models import Answer, ModelInfo, Usage
from api_schemas.tables import Name, Strict, Table, Text

MAX_EXAMPLES = 1000


class FormatExample(Strict):
    """A value in the format that is wanted of a column, and what it was written as, where that is known."""

    column: Name
    output: Annotated[Text, Field(min_length=1)]
    input: Annotated[Text, Field(min_length=1)] | None = None


class NormalizationRequest(Strict):
    """A table; without `columns` all of them, without `examples` the format of most values is that of the column."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "table": {
                        "columns": ["day"],
                        "rows": [["2020-03-05"], ["2019-12-25"], ["2018-01-09"], ["2021-11-30"], ["March 5, 2020"]],
                    }
                },
                {
                    "table": {"columns": ["day"], "rows": [["2020-03-05"], ["25/12/2019"]]},
                    "examples": [{"column": "day", "output": "5 Mar 2020"}],
                },
            ]
        }
    )

    table: Table
    columns: list[Name] | None = None
    examples: Annotated[list[FormatExample], Field(max_length=MAX_EXAMPLES, fail_fast=True)] = []
    min_confidence: Share = 0.5


class NormalizedCell(Answer):
    """A cell of another format; `normalized` is set where `outcome` is `rewritten`, else it stays as it is."""

    row: int
    column: str
    value: str
    outcome: Literal["rewritten", "abstained", "error"]
    normalized: str | None = None
    confidence: float | None = Field(None, description="probability that the rewriting is right; null without one")
    evidence: Evidence = Field(description="`program` with what it does or why it abstains, `model`, or `example`")


class NormalizedColumn(Answer):
    """A column that was looked at; `format` says how its values are written, null where no format is common."""

    column: str
    format: str | None
    rewritten: int
    abstained: int


class NormalizationResponse(Answer):
    """The cells that change or are of another format, by row; all others are as they should be, or have no format."""

    cells: list[NormalizedCell]
    columns: list[NormalizedColumn]
    model: ModelInfo
    usage: Usage
