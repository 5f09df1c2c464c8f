"""`POST /v1/extract`: values of attributes out of texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api_schemas.cleaning import Evidence
from api_schemas.models import Answer, ModelInfo, Usage
from api_schemas.tables import Name, Strict, Table, Text, encodable

MAX_ATTRIBUTES = 100
MAX_EXAMPLES = 1000


class AnsweredText(Strict):
    """A text that was answered by hand: the value that stands in it, or null where it tells none."""

    text: Text
    value: Annotated[str, StringConstraints(min_length=1), AfterValidator(encodable)] | None


class AskedAttribute(Strict):
    """An attribute to look for; one answered text makes a question much clearer."""

    name: Name
    description: Annotated[str, StringConstraints(max_length=4096), AfterValidator(encodable)] | None = None
    examples: Annotated[list[AnsweredText], Field(max_length=MAX_EXAMPLES, fail_fast=True)] = []


class TextColumn(Strict):
    """A column of a table: each of its cells is a text."""

    table: Table
    column: Name


class ExtractionRequest(Strict):
    """Texts, or a column of texts, and the attributes that each is asked for."""

    texts: Annotated[list[Text], Field(fail_fast=True)] | TextColumn
    attributes: Annotated[list[AskedAttribute], Field(min_length=1, max_length=MAX_ATTRIBUTES, fail_fast=True)]
    model: Annotated[Name | None, Field(description="a model that GET /v1/models lists; null means the default")] = None


class ExtractedValue(Answer):
    """The answer of one text for one attribute; with a value, it is the text from `start` to before `end`."""

    text: int = Field(description="number of the text, or of the row, from 0")
    attribute: str
    outcome: Literal["value", "none", "error"]
    value: str | None = None
    start: int | None = Field(None, description="in characters (Unicode code points), from 0")
    end: int | None = None
    confidence: float | None = Field(None, description="probability that this answer is right; null for an error")
    evidence: Evidence


class ExtractionResponse(Answer):
    """One result for each text and attribute, all of the first text first."""

    results: list[ExtractedValue]
    model: ModelInfo
    usage: Usage
