"""`POST /v1/clean`: flag wrong cells and repair them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api_schemas.models import Adapt, Answer, ModelInfo, Usage
from api_schemas.tables import Name, Strict, Table, Text, encodable

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1, le=20)]
MAX_EXAMPLES = 1000
MAX_RULES = 200


class CellExample(Strict):
    """A cell whose true value the caller knows; equal to what stands there, it confirms it."""

    row: Annotated[int, Field(ge=0)]
    column: Name
    value: Text | None


class FunctionalDependencyRule(Strict):
    """Rows that agree on all determinants agree on the dependent column."""

    type: Literal["functional_dependency"]
    determinants: Annotated[list[Name], Field(min_length=1, max_length=16)]
    dependent: Name


class PatternRule(Strict):
    """Every value of the column matches the regular expression from start to end."""

    type: Literal["pattern"]
    column: Name
    regex: Annotated[str, StringConstraints(min_length=1), AfterValidator(encodable)]


class DomainRule(Strict):
    """Every value of the column is one of `values`."""

    type: Literal["domain"]
    column: Name
    values: Annotated[list[Text], Field(min_length=1, max_length=10_000)]


Rule = Annotated[FunctionalDependencyRule | PatternRule | DomainRule, Field(discriminator="type")]


class CleaningRequest(Strict):
    """A table and how it is to be cleaned."""

    table: Table
    columns: Annotated[list[Name] | None, Field(description="judge only these; the others are evidence")] = None
    detect_only: bool = False
    min_confidence: Annotated[Share, Field(description="below it a flagged cell is an abstention")] = 0.5
    max_error_rate: Annotated[
        Share | None, Field(description="repair, surest first, while at most this share is expected to be wrong")
    ] = None
    max_candidates: Count = 3
    examples: Annotated[list[CellExample], Field(max_length=MAX_EXAMPLES)] = []
    rules: Annotated[list[Rule], Field(max_length=MAX_RULES)] = []
    adapt: Adapt = False


class Candidate(Answer):
    """A value that could stand in the cell, with the calibrated probability that it is the true one."""

    value: str
    confidence: float


class Evidence(Answer):
    """What decided: the model, agreeing rows, a similar value, the context, a rule or an example."""

    source: str
    rows: list[int] = Field(default=[], description="rows that support the answer")
    detail: str | None = None


class CellJudgement(Answer):
    """One flagged cell; `repair` and `confidence` are set where `outcome` is `repaired`."""

    row: int
    column: str
    value: str | None
    error_probability: float
    outcome: Literal["repaired", "abstained", "error"]
    repair: str | None = None
    confidence: float | None = None
    candidates: list[Candidate] = []
    evidence: Evidence


class ColumnSummary(Answer):
    """Flagged cells of one column."""

    flagged: int = 0
    repaired: int = 0
    abstained: int = 0


class CleaningSummary(ColumnSummary):
    """Counts over the whole table; `by_column` has the columns with flagged cells."""

    rows: int
    cells: int
    by_column: dict[str, ColumnSummary]


class CleaningResponse(Answer):
    """All flagged cells, by row and then column of the request; a clean table has none."""

    cells: list[CellJudgement]
    summary: CleaningSummary
    model: ModelInfo
    usage: Usage
