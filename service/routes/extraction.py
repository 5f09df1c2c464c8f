"""`POST /v1/extract`: texts and attributes in, values with their places out."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request

from api_schemas.extraction import ExtractedValue, ExtractionRequest, ExtractionResponse
from service.dependencies import EngineOf, MetricsOf, SettingsOf, answer
from service.engine import AskedAttribute, Extraction, ExtractionExample
from service.errors import refuse
from service.limits import ModelRoute, check_length, check_table
from service.routes.answers import NAMED_MODEL_PROBLEMS, ColumnIndex, count_answer, evidence_of, model_info, usage_of
from service.settings import Settings

router = APIRouter(route_class=ModelRoute, tags=["texts"])


@router.post("/extract", responses=NAMED_MODEL_PROBLEMS)
async def extract_values(
    request: Request, body: ExtractionRequest, engine: EngineOf, settings: SettingsOf, metrics: MetricsOf
) -> ExtractionResponse:
    """Find the value of each attribute in each text, or say that the text tells none.

    A value is always a part of the text as it stands, from `start` to before `end`. The answer does not depend on the
    order of texts and attributes. `examples` are taken as given and teach the rest. `model` names a fine-tuned model.
    """
    texts = _texts(body, settings)
    attributes = _attributes(body, len(texts), settings)
    described = model_info(engine, body.model)
    result = await answer(request, engine.extract(texts, attributes, model=body.model))
    names = [attribute.name for attribute in attributes]
    count_answer(metrics, "extract", result.usage, [one.outcome.value for one in result.extractions])
    return ExtractionResponse(
        results=[_result(one, names) for one in result.extractions],
        model=described,
        usage=usage_of(result.usage),
    )


def _texts(body: ExtractionRequest, settings: Settings) -> list[str | None]:
    """The texts, or the cells of the column, within all limits."""
    if isinstance(body.texts, list):
        if len(body.texts) > settings.max_rows:
            refuse(f"there are {len(body.texts)} texts, at most {settings.max_rows} are taken in one request", "/texts")
        for number, text in enumerate(body.texts):
            check_length(text, settings, f"/texts/{number}", row=number)
        return list(body.texts)
    rows = check_table(body.texts.table, settings, "/texts/table")
    column = ColumnIndex(body.texts.table.names).find(body.texts.column, "/texts/column")
    return [row[column] for row in rows]


def _attributes(body: ExtractionRequest, texts: int, settings: Settings) -> list[AskedAttribute]:
    """The attributes, each asked once, with examples that hold together."""
    questions = texts * len(body.attributes)
    if questions > settings.max_cells:
        detail = (
            f"texts and attributes make {questions} questions, at most {settings.max_cells} are taken in one request"
        )
        refuse(detail, "/attributes")
    names: set[str] = set()
    found = []
    for number, attribute in enumerate(body.attributes):
        pointer = f"/attributes/{number}"
        if not attribute.name.strip():
            refuse("an attribute needs a name", f"{pointer}/name")
        if attribute.name in names:
            refuse("an attribute is asked twice", f"{pointer}/name")
        names.add(attribute.name)
        told: dict[str, str | None] = {}
        for place, example in enumerate(attribute.examples):
            where = f"{pointer}/examples/{place}"
            check_length(example.text, settings, f"{where}/text", attribute.name)
            if example.value is not None and (not example.value.strip() or example.value not in example.text):
                refuse("the value does not stand in the text", f"{where}/value")
            if told.setdefault(example.text, example.value) != example.value:
                refuse("two examples answer one text differently", where)
        examples = tuple(ExtractionExample(text, value) for text, value in told.items())
        found.append(AskedAttribute(attribute.name, attribute.description, examples))
    return found


def _result(one: Extraction, names: Sequence[str]) -> ExtractedValue:
    return ExtractedValue(
        text=one.text_id,
        attribute=names[one.attribute],
        outcome=one.outcome.value,
        value=one.value,
        start=one.start,
        end=one.end,
        confidence=one.confidence,
        evidence=evidence_of(one.evidence),
    )
