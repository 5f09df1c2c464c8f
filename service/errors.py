"""Errors as problem documents (RFC 9457): one table from classes to status codes.

    ServiceError
    ├── KeyMissingError          401
    ├── KeyRefusedError          403
    ├── BodyTooLargeError        413
    ├── MediaTypeError           415
    └── InvalidRequestError      422   what pydantic cannot see: limits, names that are not in the table

Errors of the engine, of the model and of the framework are in the same table. `type` is `urn:rpt:problem:` and a
word that stays; `detail` is for people and never holds a cell's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api_schemas.errors import ErrorDetail, Problem
from service.engine import InputError, NotReadyError, QueueFullError, UnknownModelError

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
"""Places that one document names; a table of a million bad cells gets the first ones."""


class ServiceError(Exception):
    """Base of the service's own errors."""

    def __init__(self, detail: str, errors: Sequence[ErrorDetail] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class KeyMissingError(ServiceError):
    """The service asks for a key and there is none."""


class KeyRefusedError(ServiceError):
    """The key is not one of those that may be used."""


class BodyTooLargeError(ServiceError):
    """The request body is longer than the service reads."""


class MediaTypeError(ServiceError):
    """The request body is not declared as JSON."""


class InvalidRequestError(ServiceError):
    """The request does not fit the table that it came with, or a limit."""


def refuse(detail: str, pointer: str, row: int | None = None, column: str | None = None) -> NoReturn:
    """Refuse a request for one fault at one place.

    Raises:
        InvalidRequestError: always.
    """
    raise InvalidRequestError(detail, [ErrorDetail(detail=detail, pointer=pointer, row=row, column=column)])


class ClientGoneError(ServiceError):
    """Whoever asked has hung up; nobody reads the answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a class of errors is called: status code, last word of `type`, and title."""

    status: int
    word: str
    title: str


INVALID = Kind(422, "invalid-request", "The request is not valid")
MALFORMED = Kind(400, "malformed-body", "The body is not JSON")
INTERNAL = Kind(500, "internal-error", "Something went wrong here")
KINDS: dict[type[Exception], Kind] = {
    KeyMissingError: Kind(401, "key-missing", "An API key is needed"),
    KeyRefusedError: Kind(403, "key-refused", "The API key may not be used"),
    UnknownModelError: Kind(404, "unknown-model", "There is no such model"),
    BodyTooLargeError: Kind(413, "body-too-large", "The body is too large"),
    MediaTypeError: Kind(415, "unsupported-media-type", "The body is not declared as JSON"),
    ClientGoneError: Kind(499, "client-gone", "The client has hung up"),
    InvalidRequestError: INVALID,
    InputError: INVALID,
    QueueFullError: Kind(429, "queue-full", "Too many requests are at work"),
    NotReadyError: Kind(503, "not-ready", "The model does not take requests now"),
}
FRAMEWORK: dict[int, Kind] = {
    400: MALFORMED,
    404: Kind(404, "not-found", "There is nothing here"),
    405: Kind(405, "method-not-allowed", "The method does not exist here"),
    413: KINDS[BodyTooLargeError],
}
NOT_READY_RETRY_SECONDS = 5


def problem_response(
    kind: Kind,
    request_id: str | None,
    detail: str | None = None,
    errors: Sequence[ErrorDetail] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document as a response."""
    problem = Problem(
        type=f"urn:rpt:problem:{kind.word}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        request_id=request_id,
        errors=list(errors[:MAX_ERRORS]) or None,
    )
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, kind.status, dict(headers or {}), MEDIA_TYPE)


def respond(error: Exception, request_id: str | None) -> Response:
    """The response for any error; what is not in the table is an internal error and says no more."""
    kind = next((KINDS[one] for one in type(error).__mro__ if one in KINDS), None)
    if kind is None:
        return problem_response(INTERNAL, request_id)
    headers: dict[str, str] = {}
    errors: Sequence[ErrorDetail] = ()
    if isinstance(error, ServiceError):
        errors = error.errors
    if isinstance(error, KeyMissingError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, QueueFullError):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, NotReadyError):
        headers["Retry-After"] = str(NOT_READY_RETRY_SECONDS)
    if isinstance(error, InputError):
        pointer = f"/{error.field}" if error.field else None
        errors = [ErrorDetail(detail=str(error), pointer=pointer, row=error.tuple_id)]
    return problem_response(kind, request_id, str(error), errors, headers)


def install_handlers(app: FastAPI) -> None:
    """Every error of the routes, the model and the framework becomes a problem document."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework)
    for kind in KINDS:
        app.add_exception_handler(kind, _ours)


async def _ours(request: Request, error: Exception) -> Response:
    return respond(error, _request_id(request))


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    kind = FRAMEWORK.get(error.status_code, Kind(error.status_code, phrase.lower().replace(" ", "-"), phrase))
    detail = None if error.detail == phrase else error.detail
    return problem_response(kind, _request_id(request), detail, headers=error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    broken = next((one for one in found if one["type"] == "json_invalid"), None)
    if broken is not None:
        detail = f"{broken['ctx']['error']} at character {broken['loc'][-1]}"
        return problem_response(MALFORMED, _request_id(request), detail)
    errors = _places(error.body, found)
    return problem_response(INVALID, _request_id(request), errors[0].detail, errors)


def _request_id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)


_READ_ERRORS = 200


def _places(body: object, found: Sequence[Mapping[str, Any]]) -> list[ErrorDetail]:
    """One entry for each innermost place: a union of types reports every alternative, the first of a place is kept."""
    places: dict[str, ErrorDetail] = {}
    for one in found[:_READ_ERRORS]:
        where, *path = one["loc"]
        if where != "body":
            places.setdefault(str(one["loc"]), ErrorDetail(detail=one["msg"], parameter=str(path[-1])))
            continue
        place = _locate(body, path, missing=one["type"] == "missing")
        context = one.get("ctx") or {}
        pointer = place.pointer + str(context.get("pointer", ""))
        detail = "a cell is valid Unicode text, a finite number, true, false or null" if place.is_cell else one["msg"]
        row = context.get("row", place.row)
        places.setdefault(pointer, ErrorDetail(detail=detail, pointer=pointer, row=row, column=place.column))
    return [one for pointer, one in places.items() if not any(other.startswith(f"{pointer}/") for other in places)]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an error lies in the body."""

    pointer: str
    row: int | None = None
    column: str | None = None
    is_cell: bool = False


def _locate(body: object, path: Sequence[Any], *, missing: bool) -> _Place:
    """Follow a location into the body; parts that name an alternative of a union are not places and are left out."""
    parts: list[Any] = []
    here, table = body, None
    for number, part in enumerate(path):
        if isinstance(here, Mapping) and part in here:
            table = here if part in ("rows", "records") else table
            here = here[part]
        elif isinstance(here, list) and isinstance(part, int) and 0 <= part < len(here):
            here = here[part]
        elif not (missing and number == len(path) - 1):
            continue
        parts.append(part)
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    start = next((place + 1 for place, part in enumerate(parts) if part in ("rows", "records")), len(parts))
    if table is None or start >= len(parts):
        return _Place(pointer)
    is_cell = start + 1 < len(parts)
    return _Place(pointer, parts[start], _column_name(table, parts[start + 1]) if is_cell else None, is_cell)


def _column_name(table: Mapping[str, Any], key: Any) -> str | None:
    """The name of a column by its number in a row or its key in a record."""
    if isinstance(key, str):
        return key
    try:
        column = table["columns"][key]
        name = column["name"] if isinstance(column, Mapping) else column
    except (KeyError, IndexError, TypeError):
        return None
    return name if isinstance(name, str) else None
