"""`POST /v1/annotate`: labels for the columns of a table."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api_schemas.cleaning import Count, Share
from api_schemas.models import Answer, ModelInfo, Usage
from api_schemas.tables import CellValue, Name, Strict, Table

MAX_LABELS = 1000
MAX_EXAMPLES = 500


class LabelledColumn(Strict):
    """A column whose label is known: some of its values."""

    values: Annotated[list[CellValue], Field(min_length=1, max_length=1000, fail_fast=True)]
    label: Name


class AnnotationRequest(Strict):
    """A table, and the labels to choose from; without `labels` a built-in set."""

    table: Table
    labels: Annotated[list[Name], Field(min_length=1, max_length=MAX_LABELS)] | None = None
    min_confidence: Share = 0.5
    max_candidates: Count = 3
    examples: Annotated[list[LabelledColumn], Field(max_length=MAX_EXAMPLES, fail_fast=True)] = []


class LabelCandidate(Answer):
    """A label with the probability that it is the right one."""

    label: str
    confidence: float


class AnnotatedColumn(Answer):
    """The labels of a column, best first; `label` and the outcome `labelled` where the best is likely enough."""

    column: str
    outcome: Literal["labelled", "abstained"]
    label: str | None = None
    candidates: list[LabelCandidate]
    detail: str = Field(description="which evidence speaks for the first candidate")


class AnnotationResponse(Answer):
    """One entry for each column, in the order of the table."""

    columns: list[AnnotatedColumn]
    model: ModelInfo
    usage: Usage
