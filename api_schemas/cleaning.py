"""`POST /v1/clean`: flag wrong cells and repair them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag

from api_schemas.models import Adapt, Answer, ModelInfo, Usage
from api_schemas.tables import Name, Strict, Table, Text, encodable

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1, le=20)]
MAX_EXAMPLES = 1000
MAX_EXAMPLE_CELLS = 10_000
MAX_SUGGESTED = 200
MAX_RULES = 200


class CellExample(Strict):
    """A cell whose true value the caller knows; equal to what stands there, it confirms it."""

    row: Annotated[int, Field(ge=0)]
    column: Name
    value: Text | None


class RowExample(Strict):
    """Cells of one row whose true values the caller knows, by column; a column that is left out is not known."""

    row: Annotated[int, Field(ge=0)]
    values: Annotated[dict[Name, Text | None], Field(min_length=1)]


def _kind(example: object) -> str:
    of_row = "values" in example if isinstance(example, dict) else isinstance(example, RowExample)
    return "row" if of_row else "cell"


Example = Annotated[
    Annotated[CellExample, Tag("cell")] | Annotated[RowExample, Tag("row")],
    Discriminator(_kind),
]


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
    examples: Annotated[
        list[Example],
        Field(
            max_length=MAX_EXAMPLES, description="corrected or confirmed cells or rows; the others are judged by them"
        ),
    ] = []
    rules: Annotated[list[Rule], Field(max_length=MAX_RULES)] = []
    suggest_labels: Annotated[
        int, Field(ge=0, le=MAX_SUGGESTED, description="name this many rows that are most worth an example")
    ] = 0
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


class Suggestion(Answer):
    """A row that is worth an example; `reason` says what it stands for."""

    row: int
    reason: str


class CleaningResponse(Answer):
    """All flagged cells, by row and then column of the request; a clean table has none."""

    cells: list[CellJudgement]
    suggestions: Annotated[list[Suggestion], Field(description="most worth an example first")] = []
    summary: CleaningSummary
    model: ModelInfo
    usage: Usage
