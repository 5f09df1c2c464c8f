"""`POST /v1/complete`: a table in, its missing or half-typed cells out."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request

from api_schemas.completion import CellCompletion, CompletionRequest, CompletionResponse
from service.dependencies import EngineOf, MetricsOf, SettingsOf, answer
from service.engine import Cell, Completion, CompletionOptions, CompletionTarget, Relation
from service.limits import ModelRoute, check_table
from service.routes.answers import (
    MODEL_PROBLEMS,
    ColumnIndex,
    adaptation_of,
    candidates_of,
    count_answer,
    evidence_of,
    model_info,
    usage_of,
)
from service.settings import Settings

router = APIRouter(route_class=ModelRoute, tags=["cells"])


@router.post("/complete", responses=MODEL_PROBLEMS)
async def complete_table(
    request: Request, body: CompletionRequest, engine: EngineOf, settings: SettingsOf, metrics: MetricsOf
) -> CompletionResponse:
    """Fill missing cells, or continue what was typed.

    Without `targets`, every null or empty cell is a target. A target is `filled`, or `abstained` where no value
    reaches `min_confidence`.
    """
    rows = check_table(body.table, settings)
    names = body.table.names
    options = completion_options(body, ColumnIndex(names), len(rows), settings)
    result = await answer(request, engine.complete(Relation.of(names, rows, body.table.name), options))
    completions = [completion(one, names) for one in result.completions]
    count_answer(metrics, "complete", result.usage, [one.outcome for one in completions])
    return CompletionResponse(completions=completions, model=model_info(engine), usage=usage_of(result.usage))


def completion_options(
    body: CompletionRequest, columns: ColumnIndex, rows: int, settings: Settings
) -> CompletionOptions:
    """The request's options with columns by index.

    Raises:
        InvalidRequestError: a target that is not in the table, or a table that is not adapted to.
    """
    targets = None
    if body.targets is not None:
        found = []
        for place, target in enumerate(body.targets):
            columns.check_row(target.row, rows, f"/targets/{place}/row")
            column = columns.find(target.column, f"/targets/{place}/column")
            found.append(CompletionTarget(Cell(target.row, column), target.prefix))
        targets = tuple(found)
    adapt = adaptation_of(body.adapt, rows, len(columns), settings)
    return CompletionOptions(targets, body.min_confidence, body.max_candidates, body.practice, adapt)


def completion(one: Completion, names: Sequence[str]) -> CellCompletion:
    """One answer in the words of the contract."""
    return CellCompletion(
        row=one.cell.tuple_id,
        column=names[one.cell.attribute],
        outcome=one.outcome.value,
        value=one.value,
        confidence=one.confidence,
        candidates=candidates_of(one.candidates),
        evidence=evidence_of(one.evidence),
    )
