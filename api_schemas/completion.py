"""`POST /v1/complete`: fill missing cells and continue half-typed ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api_schemas.cleaning import Candidate, Count, Evidence, Share
from api_schemas.models import Adapt, Answer, ModelInfo, Usage
from api_schemas.tables import Name, Strict, Table, encodable

MAX_PREFIX_CHARACTERS = 200
MAX_TARGETS = 100_000


class CompletionTarget(Strict):
    """A cell to fill; with `prefix` the answer starts with it, and what stands in the cell is not read."""

    row: Annotated[int, Field(ge=0)]
    column: Name
    prefix: Annotated[str, StringConstraints(max_length=MAX_PREFIX_CHARACTERS), AfterValidator(encodable)] | None = None


class CompletionRequest(Strict):
    """A table, and the cells to fill; without `targets` every null or empty cell.

    With `practice` known cells of the asked columns are filled too, at most two for each that is asked, and confidences
    are refitted to how that goes; it is done where eight cells or more of a column are asked and eighty are known.
    """

    table: Table
    targets: Annotated[list[CompletionTarget] | None, Field(max_length=MAX_TARGETS, fail_fast=True)] = None
    min_confidence: Share = 0.5
    max_candidates: Count = 3
    practice: bool = True
    adapt: Adapt = False


class CellCompletion(Answer):
    """The answer for one target; `value` and `confidence` are set where `outcome` is `filled`."""

    row: int
    column: str
    outcome: Literal["filled", "abstained", "error"]
    value: str | None = None
    confidence: float | None = None
    candidates: list[Candidate] = []
    evidence: Evidence


class CompletionResponse(Answer):
    """One completion for each target, in the order of the targets."""

    completions: list[CellCompletion]
    model: ModelInfo
    usage: Usage
