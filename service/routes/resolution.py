"""`POST /v1/resolve`: one table or two in, entities and golden records out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fastapi import APIRouter, Request

from api_schemas import resolution as schema
from api_schemas.errors import ErrorDetail
from api_schemas.resolution import PlanResponse, ResolutionRequest, ResolutionResponse
from api_schemas.tables import Table
from service import engine as words
from service.dependencies import EngineOf, MetricsOf, SettingsOf, answer
from service.errors import InvalidRequestError, refuse
from service.limits import ModelRoute, check_length, check_table
from service.routes.answers import MODEL_PROBLEMS, count_answer, model_info, usage_of
from service.settings import Settings

router = APIRouter(route_class=ModelRoute, tags=["records"])


@router.post("/resolve", responses=MODEL_PROBLEMS)
async def resolve_tables(
    request: Request, body: ResolutionRequest, engine: EngineOf, settings: SettingsOf, metrics: MetricsOf
) -> ResolutionResponse:
    """Find which records are one entity: duplicates within one table, or matches between two.

    Every record is in one cluster. `pairs` are those that match or are for review, each with what every column says.
    The answer does not depend on the order of rows or columns. `examples` are taken as given and teach the rest.
    """
    relations = _relations(body, settings)
    result = await answer(request, engine.resolve(relations, resolution_options(body, relations, settings)))
    clusters = [_cluster(one) for one in result.entities]
    count_answer(metrics, "resolve", result.usage, [pair.decision.value for pair in result.pairs])
    return ResolutionResponse(
        clusters=clusters,
        pairs=[_pair(one) for one in result.pairs],
        conflicts=[_doubt(one) for one in result.conflicts],
        questions=[_doubt(one) for one in result.questions],
        plan=_plan(result.plan),
        histogram=list(result.histogram),
        method=result.method.value,
        model=model_info(engine),
        usage=usage_of(result.usage),
    )


@router.post("/resolve/plan", responses=MODEL_PROBLEMS)
async def plan_resolution(
    request: Request, body: ResolutionRequest, engine: EngineOf, settings: SettingsOf
) -> PlanResponse:
    """How many pairs would be compared and about how long that takes; nothing is compared."""
    relations = _relations(body, settings)
    plan = await answer(request, engine.plan_resolution(relations, resolution_options(body, relations, settings)))
    usage = words.Usage(tuples=plan.records)
    return PlanResponse(plan=_plan(plan), model=model_info(engine), usage=usage_of(usage))


def _relations(body: ResolutionRequest, settings: Settings) -> list[words.Relation]:
    """The tables, if together they keep all limits."""
    relations = []
    for place, table in enumerate(body.tables):
        rows = check_table(table, settings, f"/tables/{place}")
        relations.append(words.Relation.of(table.names, rows, table.name))
    _check_together(body.tables, settings)
    return relations


def _check_together(tables: Sequence[Table], settings: Settings) -> None:
    columns = len({name for table in tables for name in table.names})  # those of one name are compared as one
    rows = sum(table.height for table in tables)
    cells = sum(table.height * len(table.names) for table in tables)
    for count, most, what in (
        (columns, settings.max_columns, "columns"),
        (rows, settings.max_rows, "rows"),
        (cells, settings.max_cells, "cells"),
    ):
        if count > most:
            detail = f"the tables have {count} {what}, at most {most} are taken in one request"
            raise InvalidRequestError(detail, [ErrorDetail(detail=detail, pointer="/tables")])


def resolution_options(
    body: ResolutionRequest, relations: Sequence[words.Relation], settings: Settings
) -> words.ResolutionOptions:
    """The request's options.

    Raises:
        InvalidRequestError: an example or a preference that does not fit the tables; it names the place.
    """
    low, high = body.review_band
    if low > high:
        refuse("the review band goes from low to high", "/review_band")
    if body.cardinality != "many_to_many" and len(relations) != 2:
        refuse("only two tables are linked one to one or one to many", "/cardinality")
    rules, examples = _preferences(body, relations, settings)
    return words.ResolutionOptions(
        threshold=body.threshold,
        review_band=(low, high),
        cardinality=words.Cardinality(body.cardinality),
        max_cluster_size=body.max_cluster_size,
        examples=_examples(body, relations),
        consolidate=body.consolidate,
        preferences=rules,
        preference_examples=examples,
        candidates=body.candidates,
        max_questions=body.max_questions,
    )


def _examples(body: ResolutionRequest, relations: Sequence[words.Relation]) -> tuple[words.PairExample, ...]:
    known: dict[frozenset[words.RecordPlace], bool] = {}
    found = []
    for number, example in enumerate(body.examples):
        pointer = f"/examples/{number}"
        sides = [
            _place(place, relations, f"{pointer}/{side}")
            for side, place in (("left", example.left), ("right", example.right))
        ]
        pair = frozenset(sides)
        if len(pair) == 1:
            refuse("an example compares a record with itself", pointer)
        if len(relations) == 2 and sides[0].relation == sides[1].relation:
            refuse("an example compares two records of one table, but two tables are linked", pointer)
        if known.setdefault(pair, example.match) is not example.match:
            refuse("two examples answer one pair differently", pointer)
        found.append(words.PairExample(sides[0], sides[1], example.match))
    return tuple(found)


def _place(place: schema.RecordPlace, relations: Sequence[words.Relation], pointer: str) -> words.RecordPlace:
    if place.table >= len(relations):
        refuse(f"there is no table {place.table}", f"{pointer}/table")
    if place.row >= len(relations[place.table]):
        refuse(f"the table has {len(relations[place.table])} rows, numbered from 0", f"{pointer}/row", place.row)
    return words.RecordPlace(place.table, place.row)


def _preferences(
    body: ResolutionRequest, relations: Sequence[words.Relation], settings: Settings
) -> tuple[tuple[words.NamedPreference, ...], tuple[words.NamedPreferenceExample, ...]]:
    """Rules and examples of preferences."""
    names = {name for relation in relations for name in relation.attributes}
    rules: dict[str, words.NamedPreference] = {}
    examples = []
    for number, one in enumerate(body.preferences):
        pointer = f"/preferences/{number}"
        if one.column not in names:
            refuse("no table has such a column", f"{pointer}/column", column=one.column)
        if one.rule is not None and one.preferred is None and one.other is None:
            if one.column in rules:
                refuse("two rules for one column", pointer, column=one.column)
            _check_rule(one.rule, names, len(relations), f"{pointer}/rule")
            rules[one.column] = words.NamedPreference(one.column, one.rule)
        elif one.rule is None and one.preferred and one.other:
            check_length(one.preferred, settings, f"{pointer}/preferred", one.column)
            check_length(one.other, settings, f"{pointer}/other", one.column)
            examples.append(words.NamedPreferenceExample(one.column, one.preferred, one.other))
        else:
            refuse("a preference is either a rule, or what is preferred to another value", pointer)
    return tuple(rules.values()), tuple(examples)


def _check_rule(rule: str, names: Collection[str], tables: int, pointer: str) -> None:
    kind, _, what = rule.partition(":")
    if kind == "newest" and what and what not in names:
        refuse("no table has such a column", pointer, column=what)
    if kind == "table" and int(what) >= tables:
        refuse(f"there is no table {what}", pointer)


def _cluster(entity: words.Entity) -> schema.EntityCluster:
    record = provenance = None
    if entity.record is not None:
        record = {one.attribute: one.value for one in entity.record}
        provenance = {one.attribute: _provenance(one) for one in entity.record}
    return schema.EntityCluster(
        id=entity.id,
        members=[_where(place) for place in entity.members],
        confidence=round(entity.confidence, 6),
        capped=entity.is_capped,
        record=record,
        provenance=provenance,
    )


def _provenance(value: words.ChosenValue) -> schema.ValueProvenance:
    return schema.ValueProvenance(
        value=value.value,
        members=[_where(place) for place in value.places],
        reason=value.reason,
        confidence=value.confidence,
        detail=value.detail,
        lost=[schema.LostValue(value=one.value, members=[_where(place) for place in one.places]) for one in value.lost],
    )


def _where(place: words.RecordPlace) -> schema.Place:
    return schema.Place(table=place.relation, row=place.tuple_id)


def _pair(pair: words.JudgedPair) -> schema.ResolvedPair:
    return schema.ResolvedPair(
        left=_where(pair.left),
        right=_where(pair.right),
        probability=pair.probability,
        decision=pair.decision.value,
        evidence=[
            schema.ColumnAgreement(column=one.attribute, similarity=one.similarity, weight=one.weight)
            for one in pair.agreements
        ],
    )


def _doubt(pair: words.PairDoubt) -> schema.DoubtfulPair:
    return schema.DoubtfulPair(
        left=_where(pair.left), right=_where(pair.right), probability=pair.probability, kind=pair.kind
    )


def _plan(plan: words.BlockingPlan) -> schema.ResolutionPlan:
    return schema.ResolutionPlan(
        records=plan.records,
        possible_pairs=plan.possible_pairs,
        candidate_pairs=plan.candidate_pairs,
        reduction_ratio=round(plan.reduction_ratio, 6),
        largest_block=plan.largest_blocks[0].records if plan.largest_blocks else 0,
        largest_blocks=[
            schema.LargeBlock(key=one.key, records=one.records, sample=list(one.sample)) for one in plan.largest_blocks
        ],
        dropped_blocks=plan.dropped_blocks,
        seconds=plan.seconds,
    )
