"""`POST /v1/normalize`: a table in, the cells that are written unlike the others of their column out."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request

from api_schemas.errors import ErrorDetail
from api_schemas.normalization import (
    NormalizationRequest,
    NormalizationResponse,
    NormalizedCell,
    NormalizedColumn,
)
from service import engine as words
from service.dependencies import EngineOf, MetricsOf, SettingsOf, answer
from service.engine import NormalizationExample, NormalizationOptions, Relation
from service.errors import InvalidRequestError
from service.limits import ModelRoute, check_length, check_table
from service.routes.answers import MODEL_PROBLEMS, ColumnIndex, count_answer, evidence_of, model_info, usage_of
from service.settings import Settings

router = APIRouter(route_class=ModelRoute, tags=["cells"])


@router.post("/normalize", responses=MODEL_PROBLEMS)
async def normalize_table(
    request: Request, body: NormalizationRequest, engine: EngineOf, settings: SettingsOf, metrics: MetricsOf
) -> NormalizationResponse:
    """Rewrite dates, times, quantities, codes, blanks and case into the one format that most of a column has.

    A value is `rewritten` only into what says the same, and `abstained` where that is not certain: `03/04/2020` among
    `2020-03-05` may be March or April. `examples` show another format than the column's own. The answer for a column
    depends on its values, not on their order.
    """
    rows = check_table(body.table, settings)
    names = body.table.names
    options = _options(body, ColumnIndex(names), settings)
    result = await answer(request, engine.normalize(Relation.of(names, rows, body.table.name), options))
    count_answer(metrics, "normalize", result.usage, [one.outcome.value for one in result.cells])
    return NormalizationResponse(
        cells=[_cell(one, names) for one in result.cells],
        columns=[_column(one, result.cells, names) for one in result.attributes],
        model=model_info(engine),
        usage=usage_of(result.usage),
    )


def _options(body: NormalizationRequest, index: ColumnIndex, settings: Settings) -> NormalizationOptions:
    """The request's options.

    Raises:
        InvalidRequestError: a column that the table has not, or examples that contradict each other.
    """
    columns = body.columns
    chosen = None if columns is None else tuple(index.find(name, f"/columns/{n}") for n, name in enumerate(columns))
    examples, told = [], dict[tuple[str, str], int]()
    for number, one in enumerate(body.examples):
        pointer = f"/examples/{number}"
        attribute = index.find(one.column, f"{pointer}/column")
        for side, text in (("output", one.output), ("input", one.input)):
            check_length(text, settings, f"{pointer}/{side}", one.column)
        if one.input is not None:
            first = told.setdefault((one.column, one.input), number)
            if body.examples[first].output != one.output:
                detail = f"examples {first} and {number} have one input and different outputs"
                places = [ErrorDetail(detail=detail, pointer=f"/examples/{place}/output") for place in (first, number)]
                raise InvalidRequestError(detail, places)
        examples.append(NormalizationExample(attribute, one.output, one.input))
    return NormalizationOptions(chosen, tuple(examples), body.min_confidence)


def _cell(one: words.NormalizedCell, names: Sequence[str]) -> NormalizedCell:
    return NormalizedCell(
        row=one.cell.tuple_id,
        column=names[one.cell.attribute],
        value=one.value,
        outcome=one.outcome.value,
        normalized=one.output,
        confidence=one.confidence,
        evidence=evidence_of(one.evidence),
    )


def _column(
    one: words.NormalizedAttribute, cells: Sequence[words.NormalizedCell], names: Sequence[str]
) -> NormalizedColumn:
    outcomes = [cell.outcome.value for cell in cells if cell.cell.attribute == one.attribute]
    return NormalizedColumn(
        column=names[one.attribute],
        format=one.format,
        rewritten=outcomes.count("rewritten"),
        abstained=outcomes.count("abstained"),
    )
