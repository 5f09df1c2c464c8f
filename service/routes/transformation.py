"""`POST /v1/transform`: examples and inputs in, outputs out."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api_schemas.cleaning import Candidate
from api_schemas.errors import ErrorDetail
from api_schemas.transformation import TransformedText, TransformRequest, TransformResponse
from service.dependencies import EngineOf, MetricsOf, SettingsOf, answer
from service.engine import Transformation, TransformationOptions, TransformExample
from service.errors import InvalidRequestError, refuse
from service.limits import ModelRoute, check_length
from service.routes.answers import NAMED_MODEL_PROBLEMS, count_answer, evidence_of, model_info, usage_of
from service.settings import Settings

router = APIRouter(route_class=ModelRoute, tags=["texts"])


@router.post("/transform", responses=NAMED_MODEL_PROBLEMS)
async def transform_texts(
    request: Request, body: TransformRequest, engine: EngineOf, settings: SettingsOf, metrics: MetricsOf
) -> TransformResponse:
    """Rewrite each input as the examples show.

    Programs that make every example's output of its input are searched, and the network judges what they make. An
    input is `abstained` where nothing is at least `min_confidence` likely. Each answer depends on the examples and on
    its own input alone. `model` names a fine-tuned model.
    """
    examples = _examples(body, settings)
    _check_inputs(body, settings)
    options = TransformationOptions(body.min_confidence, body.max_candidates)
    described = model_info(engine, body.model)
    result = await answer(request, engine.transform(examples, body.inputs, options, model=body.model))
    count_answer(metrics, "transform", result.usage, [one.outcome.value for one in result.transformations])
    return TransformResponse(
        outputs=[_output(one) for one in result.transformations],
        model=described,
        usage=usage_of(result.usage),
    )


def _examples(body: TransformRequest, settings: Settings) -> list[TransformExample]:
    """The examples, within all limits, of which no two contradict each other."""
    told: dict[str, int] = {}
    for place, example in enumerate(body.examples):
        for side, text in (("input", example.input), ("output", example.output)):
            check_length(text, settings, f"/examples/{place}/{side}")
        first = told.setdefault(example.input, place)
        if body.examples[first].output != example.output:
            detail = f"examples {first} and {place} have one input and different outputs"
            errors = [ErrorDetail(detail=detail, pointer=f"/examples/{one}/output") for one in (first, place)]
            raise InvalidRequestError(detail, errors)
    return [TransformExample(example.input, example.output) for example in body.examples]


def _check_inputs(body: TransformRequest, settings: Settings) -> None:
    if len(body.inputs) > settings.max_rows:
        detail = f"there are {len(body.inputs)} inputs, at most {settings.max_rows} are taken in one request"
        refuse(detail, "/inputs")
    for number, text in enumerate(body.inputs):
        check_length(text, settings, f"/inputs/{number}", row=number)


def _output(one: Transformation) -> TransformedText:
    return TransformedText(
        outcome=one.outcome.value,
        output=one.output,
        confidence=one.confidence,
        candidates=[Candidate.model_validate(candidate) for candidate in one.candidates],
        evidence=evidence_of(one.evidence),
    )
