"""A small client for the REST service, sync and async.

The one idea: what to send, what an answer means and when to try again are plain functions; the two clients only
differ in how they wait. Every call is a pure question, so trying again after 429 or 503 is safe; how long to wait is
the service's word (`Retry-After`), bounded by the caller's patience.

    ServiceError
    ├── ConnectionFailedError     no answer: refused, reset, or timed out
    ├── UnexpectedAnswerError     an answer that is not this service's: not JSON, or not of the documented shape
    └── ProblemError              a problem document: status, type, title, detail, errors
        ├── RequestError          4xx: the request is at fault
        │   ├── NotAllowedError   401, 403: the key is missing or does not allow it
        │   ├── NotFoundError     404
        │   └── InvalidError      422: `errors` point at fields, rows and columns
        └── UnavailableError      5xx and 429: not now; `retry_after` says when, where the service knows
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from api_schemas.annotation import AnnotationRequest, AnnotationResponse
from api_schemas.cleaning import CleaningRequest, CleaningResponse
from api_schemas.completion import CompletionRequest, CompletionResponse
from api_schemas.extraction import ExtractionRequest, ExtractionResponse
from api_schemas.matching import MatchRequest, MatchResponse
from api_schemas.models import ModelCard, ModelList
from api_schemas.normalization import NormalizationRequest, NormalizationResponse
from api_schemas.resolution import PlanResponse, ResolutionRequest, ResolutionResponse
from api_schemas.schema_matching import SchemaMatchingRequest, SchemaMatchingResponse
from api_schemas.transformation import TransformRequest, TransformResponse

DEFAULT_TIMEOUT = httpx.Timeout(300.0, connect=10.0)
"""Seconds: a large table may take minutes to judge, a connection must not."""

ADAPTING_TIMEOUT = httpx.Timeout(3600.0, connect=10.0)
"""Seconds, in place of the default: a request that adapts the model takes minutes, and waits for others that do."""

_RETRIED = frozenset({429, 503})
_MAX_DOUBLINGS = 32
Answer = TypeVar("Answer", bound=BaseModel)


class ServiceError(Exception):
    """Base of all errors of the client."""


class ConnectionFailedError(ServiceError):
    """No answer came: refused, reset, or timed out."""


class UnexpectedAnswerError(ServiceError):
    """The answer is not of the documented shape; is this address really the service?"""


class ProblemError(ServiceError):
    """The service answered with a problem document (RFC 9457).

    Attributes:
        status: the HTTP status code.
        problem: the whole document.
        errors: its `errors`, each with a `pointer` and, for tables, `row` and `column`.
        retry_after: seconds until another try makes sense, where the service said so.
    """

    def __init__(self, status: int, problem: Mapping[str, object], retry_after: float | None = None) -> None:
        self.status = status
        self.problem = problem
        self.retry_after = retry_after
        errors = problem.get("errors")
        self.errors: list[Mapping[str, object]] = (
            [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
        )
        title, detail = problem.get("title"), problem.get("detail")
        super().__init__(f"{status} {title or 'error'}{f': {detail}' if detail else ''}")


class RequestError(ProblemError):
    """The request is at fault (4xx)."""


class NotAllowedError(RequestError):
    """The key is missing, unknown, or does not allow this (401, 403)."""


class NotFoundError(RequestError):
    """There is no such thing (404)."""


class InvalidError(RequestError):
    """The table or the options do not fit (422)."""


class UnavailableError(ProblemError):
    """The service cannot answer now (429, 5xx)."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a client is with 429 and 503.

    Attributes:
        attempts: tries in all; 1 never tries again.
        first_wait: seconds before the second try where the service names none; doubles with every try.
        longest_wait: a `Retry-After` beyond this many seconds is not waited for.
    """

    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 60.0

    def wait(self, response: httpx.Response, attempt: int) -> float | None:
        """Seconds to wait after the try number `attempt` (from 1); None gives up."""
        if response.status_code not in _RETRIED or attempt >= self.attempts:
            return None
        wanted = _retry_after(response)
        doubled = self.first_wait * 2 ** min(attempt - 1, _MAX_DOUBLINGS)
        seconds = min(doubled, self.longest_wait) if wanted is None else wanted
        return seconds if seconds <= self.longest_wait else None


@dataclass(frozen=True, slots=True)
class _Question:
    """One call: how it is sent and what its answer looks like."""

    method: str
    path: str
    body: dict[str, object] | None = None

    def timeout(self, usual: httpx.Timeout) -> httpx.Timeout:
        """How long to wait: where the model is adapted first, longer than by default."""
        adapts = self.body is not None and bool(self.body.get("adapt"))
        return ADAPTING_TIMEOUT if adapts and usual == DEFAULT_TIMEOUT else usual


def _retry_after(response: httpx.Response) -> float | None:
    """`Retry-After` in seconds from now; it is a number or a date."""
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without a time zone
        return None


def _read(response: httpx.Response, shape: type[Answer]) -> Answer:
    """The answer in its documented shape.

    Raises:
        ProblemError: the service says that something is wrong.
        UnexpectedAnswerError: it is no answer of this service.
    """
    if not response.is_success:
        raise _problem(response)
    try:
        return shape.model_validate_json(response.content)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        message = f"{response.request.url.path}: not a {shape.__name__}: {place or 'the body'}: {fault['msg']}"
        raise UnexpectedAnswerError(message) from None


def _problem(response: httpx.Response) -> ProblemError | UnexpectedAnswerError:
    status = response.status_code
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or status < 400:
        return UnexpectedAnswerError(f"{response.request.url.path}: {status} without a problem document")
    kinds: dict[int, type[ProblemError]] = {
        401: NotAllowedError,
        403: NotAllowedError,
        404: NotFoundError,
        422: InvalidError,
        429: UnavailableError,
    }
    kind = kinds.get(status, RequestError if status < 500 else UnavailableError)
    return kind(status, document, _retry_after(response))


def _question(path: str, request: BaseModel) -> _Question:
    # What the caller left out stays out: the service's own defaults hold.
    return _Question("POST", path, request.model_dump(mode="json", exclude_unset=True, by_alias=True))


def _headers(api_key: str | None) -> dict[bytes, bytes]:
    # As bytes, because httpx takes text for ASCII and a key may be anything.
    return {b"Authorization": f"Bearer {api_key}".encode()} if api_key else {}


class Client:
    """Asks a service and waits for the answer; use it as a context manager.

    Args:
        base_url: where the service is, such as `http://127.0.0.1:8000`.
        api_key: sent as a bearer token.
        timeout: seconds, or an `httpx.Timeout`.
        retries: how patient to be with 429 and 503.
        transport: another httpx transport, for tests.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout: float | httpx.Timeout = DEFAULT_TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retries = retries or Retries()
        self._http = httpx.Client(base_url=base_url, headers=_headers(api_key), timeout=timeout, transport=transport)

    def clean(self, request: CleaningRequest) -> CleaningResponse:
        """`POST /v1/clean`: flag wrong cells and repair them."""
        return _read(self._ask(_question("/v1/clean", request)), CleaningResponse)

    def complete(self, request: CompletionRequest) -> CompletionResponse:
        """`POST /v1/complete`: fill missing or half-typed cells."""
        return _read(self._ask(_question("/v1/complete", request)), CompletionResponse)

    def match(self, request: MatchRequest) -> MatchResponse:
        """`POST /v1/match`: whether pairs of records are one entity."""
        return _read(self._ask(_question("/v1/match", request)), MatchResponse)

    def resolve(self, request: ResolutionRequest) -> ResolutionResponse:
        """`POST /v1/resolve`: the entities of one table or two."""
        return _read(self._ask(_question("/v1/resolve", request)), ResolutionResponse)

    def plan_resolution(self, request: ResolutionRequest) -> PlanResponse:
        """`POST /v1/resolve/plan`: what `resolve` would compare."""
        return _read(self._ask(_question("/v1/resolve/plan", request)), PlanResponse)

    def match_schema(self, request: SchemaMatchingRequest) -> SchemaMatchingResponse:
        """`POST /v1/match-schema`: the columns of two tables that are one."""
        return _read(self._ask(_question("/v1/match-schema", request)), SchemaMatchingResponse)

    def annotate(self, request: AnnotationRequest) -> AnnotationResponse:
        """`POST /v1/annotate`: labels for the columns of a table."""
        return _read(self._ask(_question("/v1/annotate", request)), AnnotationResponse)

    def transform(self, request: TransformRequest) -> TransformResponse:
        """`POST /v1/transform`: texts rewritten as examples show."""
        return _read(self._ask(_question("/v1/transform", request)), TransformResponse)

    def normalize(self, request: NormalizationRequest) -> NormalizationResponse:
        """`POST /v1/normalize`: values rewritten into the format of their column."""
        return _read(self._ask(_question("/v1/normalize", request)), NormalizationResponse)

    def extract(self, request: ExtractionRequest) -> ExtractionResponse:
        """`POST /v1/extract`: values of attributes out of texts."""
        return _read(self._ask(_question("/v1/extract", request)), ExtractionResponse)

    def models(self) -> ModelList:
        """`GET /v1/models`: the models that are served."""
        return _read(self._ask(_Question("GET", "/v1/models")), ModelList)

    def model(self, name: str) -> ModelCard:
        """`GET /v1/models/{name}`: one model with its card."""
        return _read(self._ask(_Question("GET", f"/v1/models/{quote(name, safe='')}")), ModelCard)

    def ready(self) -> bool:
        """`GET /readyz`: whether the service takes requests now; False while it loads, drains or cannot be reached."""
        try:
            return self._send(_Question("GET", "/readyz")).is_success
        except ConnectionFailedError:
            return False

    def _ask(self, question: _Question) -> httpx.Response:
        attempt = 1
        while True:
            response = self._send(question)
            seconds = self._retries.wait(response, attempt)
            if seconds is None:
                return response
            time.sleep(seconds)
            attempt += 1

    def _send(self, question: _Question) -> httpx.Response:
        try:
            timeout = question.timeout(self._http.timeout)
            return self._http.request(question.method, question.path, json=question.body, timeout=timeout)
        except httpx.TransportError as error:
            raise _no_answer(self._http.base_url, error) from error
        except httpx.DecodingError as error:
            raise UnexpectedAnswerError(f"{question.path}: {error}") from error

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The same as `Client` for asyncio; use it as an asynchronous context manager."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout: float | httpx.Timeout = DEFAULT_TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = retries or Retries()
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=_headers(api_key), timeout=timeout, transport=transport
        )

    async def clean(self, request: CleaningRequest) -> CleaningResponse:
        """`POST /v1/clean`: flag wrong cells and repair them."""
        return _read(await self._ask(_question("/v1/clean", request)), CleaningResponse)

    async def complete(self, request: CompletionRequest) -> CompletionResponse:
        """`POST /v1/complete`: fill missing or half-typed cells."""
        return _read(await self._ask(_question("/v1/complete", request)), CompletionResponse)

    async def match(self, request: MatchRequest) -> MatchResponse:
        """`POST /v1/match`: whether pairs of records are one entity."""
        return _read(await self._ask(_question("/v1/match", request)), MatchResponse)

    async def resolve(self, request: ResolutionRequest) -> ResolutionResponse:
        """`POST /v1/resolve`: the entities of one table or two."""
        return _read(await self._ask(_question("/v1/resolve", request)), ResolutionResponse)

    async def plan_resolution(self, request: ResolutionRequest) -> PlanResponse:
        """`POST /v1/resolve/plan`: what `resolve` would compare."""
        return _read(await self._ask(_question("/v1/resolve/plan", request)), PlanResponse)

    async def match_schema(self, request: SchemaMatchingRequest) -> SchemaMatchingResponse:
        """`POST /v1/match-schema`: the columns of two tables that are one."""
        return _read(await self._ask(_question("/v1/match-schema", request)), SchemaMatchingResponse)

    async def annotate(self, request: AnnotationRequest) -> AnnotationResponse:
        """`POST /v1/annotate`: labels for the columns of a table."""
        return _read(await self._ask(_question("/v1/annotate", request)), AnnotationResponse)

    async def transform(self, request: TransformRequest) -> TransformResponse:
        """`POST /v1/transform`: texts rewritten as examples show."""
        return _read(await self._ask(_question("/v1/transform", request)), TransformResponse)

    async def normalize(self, request: NormalizationRequest) -> NormalizationResponse:
        """`POST /v1/normalize`: values rewritten into the format of their column."""
        return _read(await self._ask(_question("/v1/normalize", request)), NormalizationResponse)

    async def extract(self, request: ExtractionRequest) -> ExtractionResponse:
        """`POST /v1/extract`: values of attributes out of texts."""
        return _read(await self._ask(_question("/v1/extract", request)), ExtractionResponse)

    async def models(self) -> ModelList:
        """`GET /v1/models`: the models that are served."""
        return _read(await self._ask(_Question("GET", "/v1/models")), ModelList)

    async def model(self, name: str) -> ModelCard:
        """`GET /v1/models/{name}`: one model with its card."""
        return _read(await self._ask(_Question("GET", f"/v1/models/{quote(name, safe='')}")), ModelCard)

    async def ready(self) -> bool:
        """`GET /readyz`: whether the service takes requests now; False while it loads, drains or cannot be reached."""
        try:
            return (await self._send(_Question("GET", "/readyz"))).is_success
        except ConnectionFailedError:
            return False

    async def _ask(self, question: _Question) -> httpx.Response:
        attempt = 1
        while True:
            response = await self._send(question)
            seconds = self._retries.wait(response, attempt)
            if seconds is None:
                return response
            await asyncio.sleep(seconds)
            attempt += 1

    async def _send(self, question: _Question) -> httpx.Response:
        try:
            timeout = question.timeout(self._http.timeout)
            return await self._http.request(question.method, question.path, json=question.body, timeout=timeout)
        except httpx.TransportError as error:
            raise _no_answer(self._http.base_url, error) from error
        except httpx.DecodingError as error:
            raise UnexpectedAnswerError(f"{question.path}: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _no_answer(base_url: httpx.URL, error: httpx.TransportError) -> ConnectionFailedError:
    reason = "timed out" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__
    return ConnectionFailedError(f"{base_url}: {reason}")
