"""`POST /v1/match-schema`: two tables in, the columns that are one out."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request

from api_schemas import schema_matching as schema
from api_schemas.errors import ErrorDetail
from api_schemas.schema_matching import SchemaMatchingRequest, SchemaMatchingResponse
from api_schemas.tables import Table
from service import engine as words
from service.dependencies import EngineOf, MetricsOf, SettingsOf, answer
from service.errors import InvalidRequestError, refuse
from service.limits import ModelRoute, check_table
from service.routes.answers import MODEL_PROBLEMS, ColumnIndex, count_answer, model_info, usage_of
from service.settings import Settings

router = APIRouter(route_class=ModelRoute, tags=["columns"])


@router.post("/match-schema", responses=MODEL_PROBLEMS)
async def match_schema(
    request: Request, body: SchemaMatchingRequest, engine: EngineOf, settings: SettingsOf, metrics: MetricsOf
) -> SchemaMatchingResponse:
    """Find which columns of two tables are one, by names, descriptions and values.

    Tables without rows are matched by names and descriptions alone. `examples` are taken as given; a match also teaches
    what words of one table are called in the other. The order of rows and columns changes nothing.
    """
    source = _schema(body.source, settings, "/source")
    target = _schema(body.target, settings, "/target")
    options = schema_matching_options(body)
    result = await answer(request, engine.match_schema(source, target, options))
    names = body.source.names, body.target.names
    matched = {one.source for one in result.matches}
    abstained = [name for place, name in enumerate(names[0]) if place not in matched]
    outcomes = ["matched"] * len(matched) + ["abstained"] * len(abstained)
    count_answer(metrics, "match-schema", result.usage, outcomes)
    return SchemaMatchingResponse(
        matches=[_match(one, *names) for one in result.matches],
        ranked={
            name: [schema.RankedTarget(target=names[1][one.target], confidence=one.confidence) for one in ranked]
            for name, ranked in zip(names[0], result.ranked, strict=True)
        },
        abstained=abstained,
        model=model_info(engine),
        usage=usage_of(result.usage),
    )


def _schema(table: Table, settings: Settings, pointer: str) -> words.Schema:
    """The table with what describes its columns, if it keeps all limits.

    Raises:
        InvalidRequestError: it does not, or a column's name is blank.
    """
    rows = check_table(table, settings, pointer)
    for place, name in enumerate(table.names):
        if not name.strip():
            detail = f"column {place} has a blank name, and columns are matched by name"
            where = f"{pointer}/columns/{place}" if table.columns is not None else f"{pointer}/records"
            raise InvalidRequestError(detail, [ErrorDetail(detail=detail, pointer=where, column=name)])
    return words.Schema(words.Relation.of(table.names, rows, table.name), table.descriptions)


def schema_matching_options(body: SchemaMatchingRequest) -> words.SchemaMatchingOptions:
    """The request's options with columns by index.

    Raises:
        InvalidRequestError: an example of a column that is not there, or two that contradict each other.
    """
    sources, targets = ColumnIndex(body.source.names), ColumnIndex(body.target.names)
    known: dict[tuple[int, int], bool] = {}
    taken: tuple[set[int], set[int]] = (set(), set())
    for number, example in enumerate(body.examples):
        pointer = f"/examples/{number}"
        pair = sources.find(example.source, f"{pointer}/source"), targets.find(example.target, f"{pointer}/target")
        if known.get(pair, example.match) is not example.match:
            refuse("two examples answer one pair differently", pointer)
        if example.match and pair not in known:
            for place, side, held in zip(pair, ("source", "target"), taken, strict=True):
                if body.one_to_one and place in held:
                    refuse("two examples match one column, though columns are matched one to one", f"{pointer}/{side}")
                held.add(place)
        known[pair] = example.match
    return words.SchemaMatchingOptions(
        one_to_one=body.one_to_one,
        min_confidence=body.min_confidence,
        examples=tuple(words.SchemaExample(*pair, is_match) for pair, is_match in known.items()),
        max_candidates=body.max_candidates,
    )


def _match(one: words.ColumnMatch, sources: Sequence[str], targets: Sequence[str]) -> schema.ColumnMatch:
    return schema.ColumnMatch(
        source=sources[one.source],
        target=targets[one.target],
        confidence=one.confidence,
        evidence=[
            schema.ColumnMatchEvidence(source=said.source.value, weight=said.weight, detail=said.detail)
            for said in one.evidence
        ],
    )
