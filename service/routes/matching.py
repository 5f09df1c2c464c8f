"""`POST /v1/match`: pairs of records in, the probability of each to be one entity out."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from api_schemas.matching import ColumnSimilarity, MatchedPair, MatchRequest, MatchResponse
from api_schemas.tables import CellValue, Table
from service.dependencies import EngineOf, MetricsOf, SettingsOf, answer
from service.engine import AlignedRelations, ComparedPair, PairOptions, Relation, TaughtPair
from service.errors import refuse
from service.limits import ModelRoute, check_table
from service.routes.answers import MODEL_PROBLEMS, count_answer, model_info, usage_of
from service.settings import Settings

router = APIRouter(route_class=ModelRoute, tags=["records"])


@router.post("/match", responses=MODEL_PROBLEMS)
async def match_records(
    request: Request, body: MatchRequest, engine: EngineOf, settings: SettingsOf, metrics: MetricsOf
) -> MatchResponse:
    """Judge pairs of records, each by what both say and nothing else; columns are aligned by name.

    Two whole tables say more than a pair: `/v1/resolve` judges a pair among its rivals. `examples` change what counts:
    words in which matching examples differ are ignored, and a probability is refitted to the answers.
    """
    left, right = (
        Relation.of(side.table.names, check_table(side.table, settings, f"/{name}"), name)
        for name, side in (("left", body.left), ("right", body.right))
    )
    pairs = _pairs(body, len(left), len(right))
    low, high = body.review_band
    if low > high:
        refuse("the review band goes from low to high", "/review_band")
    aligned = await run_in_threadpool(AlignedRelations.of, left, right)
    options = PairOptions((low, high), _examples(body, aligned, settings))
    result = await answer(request, engine.match(aligned, pairs, options))
    count_answer(metrics, "match", result.usage, [pair.decision.value for pair in result.pairs])
    return MatchResponse(
        pairs=[_pair(one) for one in result.pairs],
        ignored_words=list(result.ignored),
        model=model_info(engine),
        usage=usage_of(result.usage),
    )


def _pairs(body: MatchRequest, left: int, right: int) -> list[tuple[int, int]]:
    if body.pairs is None:
        if left != right:
            detail = f"{left} records on the left and {right} on the right are no pairs one by one; send `pairs`"
            refuse(detail, "/pairs")
        return [(number, number) for number in range(left)]
    for number, (one, other) in enumerate(body.pairs):
        for place, (index, count, side) in enumerate(((one, left, "left"), (other, right, "right"))):
            if index >= count:
                refuse(f"the {side} side has {count} records, numbered from 0", f"/pairs/{number}/{place}")
    return [(one, other) for one, other in body.pairs]


def _examples(body: MatchRequest, aligned: AlignedRelations, settings: Settings) -> tuple[TaughtPair, ...]:
    found = []
    known: dict[frozenset[tuple[str | None, ...]], bool] = {}
    for number, example in enumerate(body.examples):
        pointer = f"/examples/{number}"
        rows = [
            _example_row(side, aligned, place, f"{pointer}/{name}", settings)
            for place, (name, side) in enumerate((("left", example.left), ("right", example.right)))
        ]
        if known.setdefault(frozenset(rows), example.match) is not example.match:
            refuse("two examples answer one pair differently", pointer)
        found.append(TaughtPair(rows[0], rows[1], example.match))
    return tuple(found)


def _example_row(
    given: int | Mapping[str, CellValue], aligned: AlignedRelations, side: int, pointer: str, settings: Settings
) -> tuple[str | None, ...]:
    if isinstance(given, int):
        rows = aligned.rows[side]
        if given >= len(rows):
            refuse(f"this side has {len(rows)} records, numbered from 0", pointer)
        return rows[given]
    values = check_table(Table(records=[dict(given)]), settings, pointer)[0]
    by_place: dict[int, str | None] = {}
    for name, value in zip(given, values, strict=True):
        place = aligned.place(name)
        if place is None:
            refuse(f"neither side has a column {name!r}", pointer)
        if place in by_place:
            refuse(f"two fields are the column {aligned.names[place]!r}", pointer)
        by_place[place] = value
    return tuple(by_place.get(place) for place in range(len(aligned.names)))


def _pair(one: ComparedPair) -> MatchedPair:
    return MatchedPair(
        left=one.left,
        right=one.right,
        probability=one.probability,
        decision=one.decision.value,
        evidence=[ColumnSimilarity(column=each.attribute, similarity=each.similarity) for each in one.similarities],
        words_in_common=list(one.common),
        words_only_left=list(one.only_left),
        words_only_right=list(one.only_right),
    )
