"""`POST /v1/annotate`: a table in, labels for its columns out."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api_schemas.annotation import AnnotatedColumn, AnnotationRequest, AnnotationResponse, LabelCandidate
from api_schemas.tables import cell_text
from service.dependencies import EngineOf, MetricsOf, SettingsOf, answer
from service.engine import BUILT_IN_LABELS, AnnotationOptions, LabelledColumn, Relation
from service.errors import refuse
from service.limits import ModelRoute, check_length, check_table
from service.routes.answers import MODEL_PROBLEMS, count_answer, model_info, usage_of
from service.settings import Settings

router = APIRouter(route_class=ModelRoute, tags=["columns"])


@router.post("/annotate", responses=MODEL_PROBLEMS)
async def annotate_table(
    request: Request, body: AnnotationRequest, engine: EngineOf, settings: SettingsOf, metrics: MetricsOf
) -> AnnotationResponse:
    """Say what each column holds: one of your `labels`, or of a built-in set.

    A column is `labelled` where its best label is at least `min_confidence` likely, else `abstained`. Headers count
    where they say something. The answer does not depend on the order of rows and columns.
    """
    rows = check_table(body.table, settings)
    names = body.table.names
    options = _options(body, settings)
    result = await answer(request, engine.annotate(Relation.of(names, rows, body.table.name), options))
    columns = [
        AnnotatedColumn(
            column=names[one.attribute],
            outcome="abstained" if one.label is None else "labelled",
            label=one.label,
            candidates=[LabelCandidate.model_validate(candidate) for candidate in one.candidates],
            detail=one.detail,
        )
        for one in result.annotations
    ]
    count_answer(metrics, "annotate", result.usage, [one.outcome for one in columns])
    return AnnotationResponse(columns=columns, model=model_info(engine), usage=usage_of(result.usage))


def _options(body: AnnotationRequest, settings: Settings) -> AnnotationOptions:
    """The request's options.

    Raises:
        InvalidRequestError: a label that is blank or given twice, or an example that does not fit; it names the place.
    """
    labels = body.labels if body.labels is not None else list(BUILT_IN_LABELS)
    known: set[str] = set()
    for number, label in enumerate(labels):
        if not label.strip():
            refuse("a label needs a name", f"/labels/{number}")
        if label in known:
            refuse("a label is given twice", f"/labels/{number}")
        known.add(label)
    examples = []
    for number, example in enumerate(body.examples):
        if example.label not in known:
            refuse("the label is none of the labels", f"/examples/{number}/label")
        values = tuple(cell_text(value) for value in example.values)
        for place, value in enumerate(values):
            check_length(value, settings, f"/examples/{number}/values/{place}", example.label)
        examples.append(LabelledColumn(values, example.label))
    return AnnotationOptions(tuple(labels), body.min_confidence, body.max_candidates, tuple(examples))
