"""`POST /v1/match`: whether pairs of records are one entity, each judged by itself."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from api_schemas.cleaning import Share
from api_schemas.models import Answer, ModelInfo, Usage
from api_schemas.tables import CellValue, Column, Name, Record, Strict, Table

MAX_EXAMPLES = 1000
MAX_PAIRS = 100_000

Index = Annotated[int, Field(ge=0)]


class Records(Strict):
    """Records of one side: objects, or with `columns` lists of as many values."""

    columns: Annotated[list[Name | Column], Field(fail_fast=True)] | None = None
    records: Annotated[list[Record | Annotated[list[CellValue], Field(fail_fast=True)]], Field(fail_fast=True)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        try:
            return self if self.table else self
        except ValidationError as error:
            first = error.errors()[0]
            raise PydanticCustomError("records_form", "{detail}", {"detail": first["msg"]}) from None

    @cached_property
    def table(self) -> Table:
        """The records as a table."""
        lists = [record for record in self.records if isinstance(record, list)]
        if self.columns is None:
            if lists:
                raise PydanticCustomError("records_form", "records that are lists need 'columns'")
            return Table(records=[record for record in self.records if isinstance(record, dict)])
        names = [column if isinstance(column, str) else column.name for column in self.columns]
        known = set(names)
        for number, record in enumerate(self.records):
            unknown = next((name for name in record if name not in known), None) if isinstance(record, dict) else None
            if unknown is not None:
                detail = "record {record} has a field {name} that is no column"
                where = {"record": number, "name": repr(unknown), "pointer": f"/records/{number}"}
                raise PydanticCustomError("unknown_column", detail, where)
        rows = [record if isinstance(record, list) else [record.get(name) for name in names] for record in self.records]
        return Table(columns=self.columns, rows=rows)


class MatchExample(Strict):
    """Two records, by their number on their side or as objects, and whether they are one entity."""

    left: Index | Record
    right: Index | Record
    match: bool


class MatchRequest(Strict):
    """Records of two sides and the pairs to judge; without `pairs` the first with the first, and so on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "left": {"records": [{"title": "Sony DSC-W55 7.2 MP camera, silver", "price": "149.99"}]},
                    "right": {"records": [{"title": "sony cyber-shot dscw55 digital camera", "price": "139.00"}]},
                }
            ]
        }
    )

    left: Records
    right: Records
    pairs: Annotated[
        list[Annotated[list[Index], Field(min_length=2, max_length=2)]] | None,
        Field(max_length=MAX_PAIRS, fail_fast=True),
    ] = None
    examples: Annotated[list[MatchExample], Field(max_length=MAX_EXAMPLES)] = []
    review_band: Annotated[list[Share], Field(min_length=2, max_length=2)] = [0.3, 0.7]


class ColumnSimilarity(Answer):
    """How alike both records are in one column."""

    column: str
    similarity: float | None = Field(description="0 to 1; null where a value is missing")


class MatchedPair(Answer):
    """A pair and the probability that it is one entity; the words are the rarest ones, rarest first."""

    left: int
    right: int
    probability: float
    decision: Literal["match", "review", "no_match"]
    evidence: list[ColumnSimilarity]
    words_in_common: list[str]
    words_only_left: list[str]
    words_only_right: list[str]


class MatchResponse(Answer):
    """One answer for each pair, in the order of the pairs."""

    pairs: list[MatchedPair]
    ignored_words: list[str] = Field(description="words that the examples showed not to matter")
    model: ModelInfo
    usage: Usage
