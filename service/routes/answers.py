"""What the routes of cells share: names to indices, parts of an answer, the problems that they document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from api_schemas.cleaning import Candidate, Evidence
from api_schemas.errors import ErrorDetail, Problem
from api_schemas.models import Adaptation, ModelInfo, Usage
from service import engine as words
from service.engine import Engine
from service.errors import MEDIA_TYPE, InvalidRequestError
from service.observability import Metrics
from service.settings import Settings


def problems(*statuses: int, keys: bool = True) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: problem documents for these status codes, for failures, and for keys where needed."""
    schema = {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {MEDIA_TYPE: schema}, "model": Problem}
        for status in (*statuses, *((401, 403) if keys else ()), 500)
    }


_DESCRIPTIONS = {
    400: "The body is not JSON",
    401: "An API key is needed",
    403: "The API key may not be used",
    404: "There is no such thing",
    413: "The body is too large; it is refused before it is read",
    415: "The body is not declared as JSON",
    422: "The request is not valid; `errors` name the places",
    429: "Too many requests are at work; `Retry-After` says when to try again",
    500: "Something went wrong here",
    503: "The model is loading, or the service is stopping",
}
MODEL_PROBLEMS = problems(400, 413, 415, 422, 429, 503)
NAMED_MODEL_PROBLEMS = problems(400, 404, 413, 415, 422, 429, 503)


class ColumnIndex:
    """Column names of a table to their places."""

    def __init__(self, names: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self._places)

    def find(self, name: str, pointer: str) -> int:
        """The place of a column.

        Raises:
            InvalidRequestError: the table has no such column; it points at `pointer`.
        """
        place = self._places.get(name)
        if place is None:
            detail = "the table has no such column"
            raise InvalidRequestError(detail, [ErrorDetail(detail=detail, pointer=pointer, column=name)])
        return place

    def check_row(self, row: int, rows: int, pointer: str) -> None:
        """Refuse a row that the table does not have.

        Raises:
            InvalidRequestError: it points at `pointer`.
        """
        if row >= rows:
            detail = f"the table has {rows} rows, numbered from 0"
            raise InvalidRequestError(detail, [ErrorDetail(detail=detail, pointer=pointer, row=row)])


def model_info(engine: Engine, name: str | None = None) -> ModelInfo:
    """The weights that answered: those of the process, or of the model that the request named."""
    return ModelInfo.model_validate(engine.describe(name))


def usage_of(usage: words.Usage) -> Usage:
    """What an answer cost."""
    return Usage(
        rows=usage.tuples,
        encoder_tokens=usage.encoder_tokens,
        decoder_tokens=usage.decoder_tokens,
        seconds=usage.seconds,
        adaptation=None if usage.adaptation is None else Adaptation.model_validate(usage.adaptation),
    )


def adaptation_of(wanted: bool, rows: int, columns: int, settings: Settings) -> words.AdaptationOptions | None:
    """How the model is adapted to a table of this size; None where that is not asked for.

    Raises:
        InvalidRequestError: this service does not adapt, or not to a table of this size.
    """
    if not wanted:
        return None
    detail, cells = None, rows * columns
    if not settings.adapt_max_steps:
        detail = "this service does not adapt its model"
    elif rows < words.MIN_ADAPTED_ROWS:
        detail = f"the table has {rows} rows, adapt needs {words.MIN_ADAPTED_ROWS} or more"
    elif cells > settings.adapt_max_cells:
        detail = f"the table has {cells} cells, adapt takes {settings.adapt_max_cells} or fewer"
    if detail is not None:
        raise InvalidRequestError(detail, [ErrorDetail(detail=detail, pointer="/adapt")])
    return words.AdaptationOptions(max_steps=settings.adapt_max_steps)


def candidates_of(candidates: Sequence[words.RepairCandidate]) -> list[Candidate]:
    """Values that could stand in a cell."""
    return [Candidate.model_validate(one) for one in candidates]


def evidence_of(evidence: words.Evidence) -> Evidence:
    """What decided."""
    return Evidence(source=evidence.source, rows=list(evidence.tuple_ids), detail=evidence.detail)


def count_answer(metrics: Metrics, task: str, usage: words.Usage, outcomes: Sequence[str]) -> None:
    """Count an answer for `/metrics`."""
    metrics.rows.labels(task).inc(usage.tuples)
    metrics.tokens.labels("encoder").inc(usage.encoder_tokens)
    metrics.tokens.labels("decoder").inc(usage.decoder_tokens)
    if usage.adaptation is not None:
        metrics.tokens.labels("adaptation").inc(usage.adaptation.encoder_tokens)
    for outcome, count in Counter(outcomes).items():
        metrics.cells.labels(task, outcome).inc(count)
