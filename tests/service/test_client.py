"""Both clients send what was set, read what is documented, wait as they are told, and raise one tree of errors."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Protocol, Self

import httpx
import pytest

from api_schemas.annotation import AnnotationRequest
from api_schemas.cleaning import CleaningRequest, PatternRule
from api_schemas.completion import CompletionRequest, CompletionTarget
from api_schemas.extraction import AskedAttribute, ExtractionRequest
from api_schemas.matching import MatchRequest, Records
from api_schemas.models import ModelInfo
from api_schemas.normalization import NormalizationRequest
from api_schemas.resolution import ResolutionRequest
from api_schemas.schema_matching import SchemaMatchingRequest
from api_schemas.tables import Column, Table
from api_schemas.transformation import TransformExample, TransformRequest
from service.client import (
    AsyncClient,
    Client,
    ConnectionFailedError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    ProblemError,
    RequestError,
    Retries,
    ServiceError,
    UnavailableError,
    UnexpectedAnswerError,
)
from service.engine import (
    Cell,
    CellExample,
    CleaningOptions,
    CleaningResult,
    Completion,
    CompletionOptions,
    CompletionResult,
    EngineState,
    Evidence,
    NotReadyError,
    Outcome,
    QueueFullError,
    Relation,
    Repair,
    RepairCandidate,
    Usage,
)
from service.engine import CompletionTarget as Target
from tests.service.conftest import FakeEngine, MakeApp

Handler = Callable[[httpx.Request], httpx.Response]

TABLE = Table(columns=["city", "zip"], rows=[["Boston", "02116"], ["Bostn", None]])
MODEL = {"name": "fake", "version": "1.0", "sha256": "ab" * 32}
USAGE = {"rows": 2, "encoder_tokens": 30, "decoder_tokens": 4, "seconds": 0.5, "adaptation": None}
CARD = {
    **MODEL,
    "parameters": 12,
    "bytes": 34,
    "precision": "float32",
    "tasks": ["clean", "complete", "match", "resolve", "match-schema", "transform", "annotate", "extract", "normalize"],
    "limits": {"max_name_tokens": 8, "max_value_tokens": 16, "max_attributes": 48, "max_context": 8},
    "card": {"limits": ["knows nothing"]},
}
CLEANED = {
    "cells": [
        {
            "row": 1,
            "column": "city",
            "value": "Bostn",
            "error_probability": 0.97,
            "outcome": "repaired",
            "repair": "Boston",
            "confidence": 0.9,
            "candidates": [{"value": "Boston", "confidence": 0.9}],
            "evidence": {"source": "similar_value", "rows": [0], "detail": None},
        }
    ],
    "suggestions": [],
    "summary": {
        "flagged": 1,
        "repaired": 1,
        "abstained": 0,
        "rows": 2,
        "cells": 4,
        "by_column": {"city": {"flagged": 1, "repaired": 1, "abstained": 0}},
    },
    "model": MODEL,
    "usage": USAGE,
}
COMPLETED = {
    "completions": [
        {
            "row": 1,
            "column": "zip",
            "outcome": "filled",
            "value": "02116",
            "confidence": 0.8,
            "candidates": [{"value": "02116", "confidence": 0.8}],
            "evidence": {"source": "dependency", "rows": [0], "detail": None},
        }
    ],
    "model": MODEL,
    "usage": USAGE,
}
PLAN = {
    "records": 2,
    "possible_pairs": 1,
    "candidate_pairs": 1,
    "reduction_ratio": 0.0,
    "largest_block": 2,
    "largest_blocks": [{"key": "bos", "records": 2, "sample": ["boston 02116", "bostn"]}],
    "dropped_blocks": 0,
    "seconds": 0.1,
}
PLANNED = {"plan": PLAN, "model": MODEL, "usage": USAGE}
LEFT_ROW, RIGHT_ROW = {"table": 0, "row": 0}, {"table": 0, "row": 1}
SIDE = Records(records=[{"city": "Boston"}])
MATCHED = {
    "pairs": [
        {
            "left": 0,
            "right": 0,
            "probability": 0.9,
            "decision": "match",
            "evidence": [{"column": "city", "similarity": 1.0}],
            "words_in_common": ["boston"],
            "words_only_left": [],
            "words_only_right": [],
        }
    ],
    "ignored_words": ["red"],
    "model": MODEL,
    "usage": USAGE,
}
RESOLVED = {
    "clusters": [
        {
            "id": "ent_1",
            "members": [LEFT_ROW, RIGHT_ROW],
            "confidence": 0.9,
            "capped": False,
            "record": {"city": "Boston"},
            "provenance": {
                "city": {
                    "value": "Boston",
                    "members": [LEFT_ROW],
                    "reason": "completeness",
                    "confidence": 0.8,
                    "detail": None,
                    "lost": [{"value": "Bostn", "members": [RIGHT_ROW]}],
                }
            },
        }
    ],
    "pairs": [
        {
            "left": LEFT_ROW,
            "right": RIGHT_ROW,
            "probability": 0.9,
            "decision": "match",
            "evidence": [
                {"column": "city", "similarity": 0.8, "weight": 2.5},
                {"column": "zip", "similarity": None, "weight": 0.0},
            ],
        }
    ],
    "conflicts": [],
    "questions": [{"left": LEFT_ROW, "right": RIGHT_ROW, "probability": 0.6, "kind": "uncertain"}],
    "plan": PLAN,
    "histogram": [0, 1],
    "method": "agreement",
    "model": MODEL,
    "usage": USAGE,
}
MODELS = {"models": [MODEL]}
COLUMNS = {
    "matches": [
        {
            "source": "city",
            "target": "town",
            "confidence": 0.9,
            "evidence": [{"source": "names", "weight": 1.5, "detail": "alike"}],
        }
    ],
    "ranked": {"city": [{"target": "town", "confidence": 0.9}], "zip": []},
    "abstained": ["zip"],
    "model": MODEL,
    "usage": USAGE,
}
BUSY = {"type": "urn:rpt:problem:queue-full", "title": "Too many requests are at work", "status": 429}


class Ask(Protocol):
    """Asks one question of a service that answers with `handler`, through one of the two clients."""

    async def __call__(self, handler: Handler, method: str, *arguments: Any, **settings: Any) -> Any:
        """The answer of the client."""


async def ask_waiting(handler: Handler, method: str, *arguments: Any, **settings: Any) -> Any:
    """Ask through `Client`."""
    with Client("http://service", transport=httpx.MockTransport(handler), **settings) as client:
        return getattr(client, method)(*arguments)


async def ask_async(handler: Handler, method: str, *arguments: Any, **settings: Any) -> Any:
    """Ask through `AsyncClient`."""
    async with AsyncClient("http://service", transport=httpx.MockTransport(handler), **settings) as client:
        return await getattr(client, method)(*arguments)


@pytest.fixture(params=[ask_waiting, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each of the two clients."""
    asking: Ask = request.param
    return asking


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody sleeps; here is how long they wanted to."""
    wanted: list[float] = []

    async def sleep(seconds: float) -> None:
        wanted.append(seconds)

    monkeypatch.setattr("service.client.time.sleep", wanted.append)
    monkeypatch.setattr("service.client.asyncio.sleep", sleep)
    return wanted


class Service:
    """Gives one answer after the other, the last for ever, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Keep a request and answer it."""
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answers(document: object) -> Service:
    """A service that always gives this document."""
    return Service(httpx.Response(200, json=document))


def busy(status: int = 429, retry_after: str | None = None) -> httpx.Response:
    """An answer that asks for another try."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return httpx.Response(status, json=BUSY | {"status": status}, headers=headers)


ANNOTATED = {
    "columns": [
        {
            "column": "city",
            "outcome": "labelled",
            "label": "city",
            "candidates": [{"label": "city", "confidence": 0.9}],
            "detail": "spoken for by values",
        }
    ],
    "model": MODEL,
    "usage": USAGE,
}
EXTRACTED = {
    "results": [
        {
            "text": 0,
            "attribute": "color",
            "outcome": "value",
            "value": "red",
            "start": 2,
            "end": 5,
            "confidence": 0.9,
            "evidence": {"source": "model", "rows": [], "detail": None},
        }
    ],
    "model": MODEL,
    "usage": USAGE,
}
ASKED = ExtractionRequest(texts=["a red mug"], attributes=[AskedAttribute(name="color")])
SHOWN = TransformRequest(examples=[TransformExample(input="a b", output="b")], inputs=["c d"])
TRANSFORMED = {
    "outputs": [
        {
            "outcome": "value",
            "output": "d",
            "confidence": 0.9,
            "candidates": [{"value": "d", "confidence": 0.9}],
            "evidence": {"source": "program", "rows": [], "detail": "word 2 from the left"},
        }
    ],
    "model": MODEL,
    "usage": USAGE,
}
ODD = NormalizationRequest(table=TABLE)
NORMALIZED = {
    "cells": [
        {
            "row": 1,
            "column": "zip",
            "value": "2116",
            "outcome": "abstained",
            "normalized": None,
            "confidence": None,
            "evidence": {"source": "program", "rows": [], "detail": "it does not fit the format"},
        }
    ],
    "columns": [{"column": "zip", "format": "code: digits", "rewritten": 0, "abstained": 1}],
    "model": MODEL,
    "usage": USAGE,
}
QUESTIONS = [
    ("clean", (CleaningRequest(table=TABLE),), "POST", "/v1/clean", CLEANED),
    ("complete", (CompletionRequest(table=TABLE),), "POST", "/v1/complete", COMPLETED),
    ("match", (MatchRequest(left=SIDE, right=SIDE),), "POST", "/v1/match", MATCHED),
    ("resolve", (ResolutionRequest(tables=[TABLE]),), "POST", "/v1/resolve", RESOLVED),
    ("plan_resolution", (ResolutionRequest(tables=[TABLE]),), "POST", "/v1/resolve/plan", PLANNED),
    ("match_schema", (SchemaMatchingRequest(source=TABLE, target=TABLE),), "POST", "/v1/match-schema", COLUMNS),
    ("annotate", (AnnotationRequest(table=TABLE),), "POST", "/v1/annotate", ANNOTATED),
    ("extract", (ASKED,), "POST", "/v1/extract", EXTRACTED),
    ("transform", (SHOWN,), "POST", "/v1/transform", TRANSFORMED),
    ("normalize", (ODD,), "POST", "/v1/normalize", NORMALIZED),
    ("models", (), "GET", "/v1/models", MODELS),
    ("model", ("fake",), "GET", "/v1/models/fake", CARD),
]


@pytest.mark.parametrize(("method", "arguments", "verb", "path", "document"), QUESTIONS)
async def test_a_question_goes_to_its_route_and_the_answer_is_read(
    ask: Ask, method: str, arguments: Sequence[object], verb: str, path: str, document: object
) -> None:
    service = answers(document)
    answer = await ask(service, method, *arguments)
    assert answer.model_dump() == document
    (request,) = service.requests
    assert (request.method, str(request.url)) == (verb, f"http://service{path}")
    assert "authorization" not in request.headers


async def test_a_field_that_is_new_to_the_client_does_not_break_it(ask: Ask) -> None:
    answer = await ask(answers({"models": [MODEL | {"licence": "MIT"}], "next": None}), "models")
    assert answer.models == [ModelInfo(name="fake", version="1.0", sha256="ab" * 32)]


@pytest.mark.parametrize(
    ("name", "path"),
    [("a b", b"/v1/models/a%20b"), ("a/b", b"/v1/models/a%2Fb"), ("a?b#c", b"/v1/models/a%3Fb%23c"),
     ("../x", b"/v1/models/..%2Fx"), ("100%25", b"/v1/models/100%2525"), ("é", b"/v1/models/%C3%A9")],
)  # fmt: skip
async def test_a_model_name_is_one_part_of_the_path(ask: Ask, name: str, path: bytes) -> None:
    service = answers(CARD)
    await ask(service, "model", name)
    assert service.requests[0].url.raw_path == path


@pytest.mark.parametrize("key", ["one", "ключ"])
async def test_the_key_is_sent_as_a_bearer_token(ask: Ask, key: str) -> None:
    service = answers(MODELS)
    await ask(service, "models", api_key=key)
    sent = {name.lower(): value for name, value in service.requests[0].headers.raw}
    assert sent[b"authorization"] == b"Bearer " + key.encode()


async def test_a_slash_at_the_end_of_the_address_changes_nothing() -> None:
    service = answers(MODELS)
    with Client("http://service/rpt/", api_key="", transport=httpx.MockTransport(service)) as client:
        client.models()
    assert str(service.requests[0].url) == "http://service/rpt/v1/models"
    assert "authorization" not in service.requests[0].headers


UNSET = [
    (
        "clean",
        CleaningRequest(table=TABLE),
        {"table": {"columns": ["city", "zip"], "rows": [["Boston", "02116"], ["Bostn", None]]}},
    ),
    (
        "clean",
        CleaningRequest(
            table=Table(records=[{"a": 1, "b": None}, {"a": 2.5, "c": True}, {}], name="t"),
            columns=None,
            min_confidence=0.5,
            rules=[PatternRule(type="pattern", column="a", regex="[0-9.]+")],
        ),
        {
            "table": {"records": [{"a": 1, "b": None}, {"a": 2.5, "c": True}, {}], "name": "t"},
            "columns": None,
            "min_confidence": 0.5,
            "rules": [{"type": "pattern", "column": "a", "regex": "[0-9.]+"}],
        },
    ),
    (
        "complete",
        CompletionRequest(
            table=Table(columns=[Column(name="a"), "b"], rows=[]), targets=[CompletionTarget(row=0, column="a")]
        ),
        {"table": {"columns": [{"name": "a"}, "b"], "rows": []}, "targets": [{"row": 0, "column": "a"}]},
    ),
]


@pytest.mark.parametrize(("method", "question", "body"), UNSET)
async def test_what_was_not_set_is_not_sent(ask: Ask, method: str, question: object, body: object) -> None:
    service = answers(CLEANED if method == "clean" else COMPLETED)
    await ask(service, method, question)
    assert json.loads(service.requests[0].content) == body
    assert service.requests[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False), (404, False), (500, False)])
async def test_a_service_is_ready_when_it_says_so_and_is_asked_once(
    ask: Ask, waits: list[float], status: int, ready: bool
) -> None:
    service = Service(httpx.Response(status, text="anything"))
    assert await ask(service, "ready") is ready
    assert [(request.method, request.url.path) for request in service.requests] == [("GET", "/readyz")]
    assert waits == []


async def test_a_service_out_of_reach_is_not_ready(ask: Ask) -> None:
    assert await ask(Service(httpx.ConnectError("refused")), "ready") is False


STATUSES: list[tuple[int, type[ProblemError]]] = [
    (400, RequestError),
    (401, NotAllowedError),
    (403, NotAllowedError),
    (404, NotFoundError),
    (413, RequestError),
    (415, RequestError),
    (422, InvalidError),
    (429, UnavailableError),
    (500, UnavailableError),
    (502, UnavailableError),
    (503, UnavailableError),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
async def test_a_problem_is_an_error_of_its_class(
    ask: Ask, waits: list[float], status: int, kind: type[ProblemError]
) -> None:
    place = {"detail": "no such column", "pointer": "/columns/0", "row": None, "column": "c"}
    document = {"type": "urn:rpt:problem:x", "title": "Not so", "status": status, "detail": "why", "errors": [place, 1]}
    service = Service(httpx.Response(status, json=document, headers={"retry-after": "3"}))
    with pytest.raises(ProblemError) as caught:
        await ask(service, "clean", CleaningRequest(table=TABLE), retries=Retries(attempts=1))
    error = caught.value
    assert type(error) is kind
    assert str(error) == f"{status} Not so: why"
    assert (error.status, error.problem, error.errors, error.retry_after) == (status, document, [place], 3.0)
    assert (len(service.requests), waits) == (1, [])


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "500 error"),
        ({"title": "Broken"}, "500 Broken"),
        ({"detail": "why"}, "500 error: why"),
        ({"title": "Broken", "errors": "many"}, "500 Broken"),
    ],
)
async def test_a_problem_that_says_little_is_still_an_error(ask: Ask, document: object, text: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        await ask(Service(httpx.Response(500, json=document)), "models")
    assert (str(caught.value), caught.value.errors, caught.value.retry_after) == (text, [], None)


UNEXPECTED: dict[str, tuple[int, dict[str, Any], str]] = {
    "a page": (
        200,
        {"html": "<p>hello</p>"},
        "not a ModelList: the body: Invalid JSON: expected value at line 1 column 1",
    ),
    "nothing": (
        204,
        {},
        "not a ModelList: the body: Invalid JSON: EOF while parsing a value at line 1 column 0",
    ),
    "another document": (
        200,
        {"json": {"models": [MODEL, {"name": "x", "version": 3}]}},
        "not a ModelList: models.1.version: Input should be a valid string",
    ),
    "a page of an error": (502, {"html": "<p>bad gateway</p>"}, "502 without a problem document"),
    "a list of an error": (404, {"json": ["no"]}, "404 without a problem document"),
    "bytes of an error": (400, {"content": b"\xff\xfe\xfd"}, "400 without a problem document"),
    "a redirect": (
        307,
        {"json": {"title": "there"}, "headers": {"location": "http://elsewhere/"}},
        "307 without a problem document",
    ),
}


@pytest.mark.parametrize(("status", "content", "message"), UNEXPECTED.values(), ids=UNEXPECTED)
async def test_an_answer_of_another_shape_is_unexpected(
    ask: Ask, status: int, content: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnexpectedAnswerError) as caught:
        await ask(Service(httpx.Response(status, **content)), "models")
    assert str(caught.value) == f"/v1/models: {message}"


class Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body as it comes over a wire, still to be decoded."""

    def __iter__(self) -> Iterator[bytes]:
        """For `Client`."""
        yield b"not gzip"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """For `AsyncClient`."""
        yield b"not gzip"


async def test_an_answer_that_cannot_be_decoded_is_unexpected(ask: Ask) -> None:
    service = Service(httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Chunks()))
    with pytest.raises(UnexpectedAnswerError, match=r"^/v1/models: .*incorrect header check"):
        await ask(service, "models")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), "http://service: [Errno 111] Connection refused"),
        (httpx.ReadTimeout("slow"), "http://service: timed out"),
        (httpx.ConnectTimeout(""), "http://service: timed out"),
        (httpx.ReadError(""), "http://service: ReadError"),
        (httpx.RemoteProtocolError("Server disconnected"), "http://service: Server disconnected"),
    ],
)
async def test_no_answer_is_a_failed_connection(
    ask: Ask, waits: list[float], fault: httpx.TransportError, message: str
) -> None:
    service = Service(fault)
    with pytest.raises(ConnectionFailedError) as caught:
        await ask(service, "clean", CleaningRequest(table=TABLE), api_key="hush")
    assert str(caught.value) == message
    assert caught.value.__cause__ is fault
    assert (len(service.requests), waits) == (1, [])


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of loopback that nobody listens to, held so that nobody else can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def test_a_refused_connection_says_so(closed_port: int) -> None:
    address = f"http://127.0.0.1:{closed_port}"
    with Client(address) as client:
        assert client.ready() is False
        with pytest.raises(ConnectionFailedError, match=f"^{address}: .*refused"):
            client.models()
    async with AsyncClient(address) as client_async:
        assert await client_async.ready() is False
        with pytest.raises(ConnectionFailedError, match=f"^{address}: "):
            await client_async.models()


@pytest.mark.parametrize("status", [429, 503])
async def test_another_try_waits_as_long_as_the_service_says(ask: Ask, waits: list[float], status: int) -> None:
    service = Service(busy(status, "7"), busy(status, "0"), httpx.Response(200, json=CLEANED))
    answer = await ask(service, "clean", CleaningRequest(table=TABLE))
    assert answer.cells[0].repair == "Boston"
    assert waits == [7.0, 0.0]
    assert len({request.content for request in service.requests}) == 1
    assert [request.url.path for request in service.requests] == ["/v1/clean"] * 3


class Now(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """Always the first second of 2026."""
        return cls(2026, 1, 1, tzinfo=tz)


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 01:00:30 +0100", 30.0),
        ("Wed, 31 Dec 2025 23:59:59 GMT", 0.0),
    ],
)
async def test_another_try_waits_until_the_date_that_the_service_names(
    ask: Ask, waits: list[float], monkeypatch: pytest.MonkeyPatch, date: str, seconds: float
) -> None:
    monkeypatch.setattr("service.client.datetime", Now)
    assert datetime.now(UTC) > Now.now(UTC)
    answer = await ask(Service(busy(503, date), httpx.Response(200, json=MODELS)), "models")
    assert answer.models[0].name == "fake"
    assert waits == [seconds]


@pytest.mark.parametrize("header", [None, "", "soon", "-5", "1.5", "Thu, 01 Jan 2026 00:00:30 -0000"])
async def test_without_a_word_of_the_service_the_wait_doubles(ask: Ask, waits: list[float], header: str | None) -> None:
    service = Service(busy(429, header))
    with pytest.raises(UnavailableError) as caught:
        await ask(service, "models", retries=Retries(attempts=6, first_wait=1.0, longest_wait=6.0))
    assert waits == [1.0, 2.0, 4.0, 6.0, 6.0]
    assert caught.value.retry_after is None


async def test_a_client_of_endless_patience_waits_its_longest(ask: Ask, waits: list[float]) -> None:
    with pytest.raises(UnavailableError):
        await ask(Service(busy()), "models", retries=Retries(attempts=1_100))
    assert (len(waits), waits[0], waits[-1]) == (1_099, 0.5, 60.0)


async def test_a_client_gives_up_after_its_last_try(ask: Ask, waits: list[float]) -> None:
    service = Service(busy(503, "2"))
    with pytest.raises(UnavailableError) as caught:
        await ask(service, "models")
    assert (caught.value.status, caught.value.retry_after) == (503, 2.0)
    assert (len(service.requests), waits) == (5, [2.0] * 4)


@pytest.mark.parametrize(("longest", "tries"), [(60.0, 1), (61.0, 2)])
async def test_a_wait_that_is_too_long_is_not_waited_for(
    ask: Ask, waits: list[float], longest: float, tries: int
) -> None:
    service = Service(busy(429, "61"))
    with pytest.raises(UnavailableError) as caught:
        await ask(service, "models", retries=Retries(attempts=2, longest_wait=longest))
    assert caught.value.retry_after == 61.0
    assert (len(service.requests), waits) == (tries, [61.0] * (tries - 1))


@pytest.mark.parametrize("status", [400, 404, 422, 500, 502])
async def test_other_problems_are_not_tried_again(ask: Ask, waits: list[float], status: int) -> None:
    service = Service(busy(status, "1"))
    with pytest.raises(ProblemError):
        await ask(service, "models")
    assert (len(service.requests), waits) == (1, [])


def test_every_error_of_the_client_is_a_service_error() -> None:
    for kind in (ConnectionFailedError, UnexpectedAnswerError, NotAllowedError, InvalidError, UnavailableError):
        assert issubclass(kind, ServiceError)
    assert not issubclass(UnavailableError, RequestError)


MakeClient = Callable[..., AsyncClient]


@pytest.fixture
async def real(make_app: MakeApp) -> AsyncIterator[MakeClient]:
    """Clients of the real routes over the fake engine."""
    made: list[AsyncClient] = []

    def make(api_key: str | None = None, retries: Retries | None = None, **settings: Any) -> AsyncClient:
        transport = httpx.ASGITransport(make_app(**settings), raise_app_exceptions=False)
        made.append(AsyncClient("http://service", api_key=api_key, retries=retries, transport=transport))
        return made[-1]

    yield make
    for client in made:
        await client.close()


async def test_a_table_is_cleaned_through_the_service(real: MakeClient, engine: FakeEngine) -> None:
    candidates = (RepairCandidate("Boston", 0.9),)
    evidence = Evidence("similar_value", (0,))
    repair = Repair(Cell(1, 0), "Bostn", 0.97, Outcome.REPAIRED, evidence, "Boston", 0.9, candidates)
    engine.answer = CleaningResult((repair,), Usage(2, 30, 4, 0.5))
    question = CleaningRequest.model_validate(
        {"table": TABLE, "columns": ["city"], "examples": [{"row": 0, "column": "zip", "value": "02116"}]}
    )
    assert (await real().clean(question)).model_dump() == CLEANED
    relation = Relation(("city", "zip"), (("Boston", "02116"), ("Bostn", None)))
    options = CleaningOptions(attributes=frozenset({0}), examples=(CellExample(Cell(0, 1), "02116"),))
    assert engine.asked == [("clean", relation, options)]


async def test_a_table_is_completed_through_the_service(real: MakeClient, engine: FakeEngine) -> None:
    candidates = (RepairCandidate("02116", 0.8),)
    done = Completion(Cell(1, 1), Outcome.FILLED, Evidence("dependency", (0,)), "02116", 0.8, candidates)
    engine.answer = CompletionResult((done,), Usage(2, 30, 4, 0.5))
    question = CompletionRequest(
        table=TABLE, targets=[CompletionTarget(row=1, column="zip", prefix="02")], max_candidates=1
    )
    assert (await real().complete(question)).model_dump() == COMPLETED
    relation = Relation(("city", "zip"), (("Boston", "02116"), ("Bostn", None)))
    options = CompletionOptions((Target(Cell(1, 1), "02"),), max_candidates=1)
    assert engine.asked == [("complete", relation, options)]


async def test_models_and_readiness_are_read_through_the_service(real: MakeClient, engine: FakeEngine) -> None:
    client = real()
    named = MODEL | {"name": "shoes", "sha256": "cd" * 32}
    assert (await client.models()).model_dump() == {"models": [MODEL, named]}
    assert (await client.model("fake")).model_dump() == CARD
    assert await client.ready() is True
    engine.state = EngineState.LOADING
    assert await client.ready() is False


async def test_every_refusal_of_the_service_is_an_error_of_its_class(real: MakeClient, engine: FakeEngine) -> None:
    async def refused(client: AsyncClient, question: CleaningRequest) -> tuple[type, int, object, float | None]:
        with pytest.raises(ProblemError) as caught:
            await client.clean(question)
        return type(caught.value), caught.value.status, caught.value.problem["type"], caught.value.retry_after

    once = Retries(attempts=1)
    good = CleaningRequest(table=TABLE)
    bad = CleaningRequest(table=TABLE, columns=["town"])
    missing, wrong = real(api_keys="one"), real("two", api_keys="one")
    assert await refused(missing, good) == (NotAllowedError, 401, "urn:rpt:problem:key-missing", None)
    assert await refused(wrong, good) == (NotAllowedError, 403, "urn:rpt:problem:key-refused", None)
    client = real("óne", once, api_keys="óne", max_body_bytes=200)
    assert await refused(client, bad) == (InvalidError, 422, "urn:rpt:problem:invalid-request", None)
    long = CleaningRequest(table=Table(columns=["a"], rows=[["x" * 200]]))
    assert await refused(client, long) == (RequestError, 413, "urn:rpt:problem:body-too-large", None)
    engine.answer = RuntimeError("broken")
    assert await refused(client, good) == (UnavailableError, 500, "urn:rpt:problem:internal-error", None)
    engine.refusal = QueueFullError(7)
    assert await refused(client, good) == (UnavailableError, 429, "urn:rpt:problem:queue-full", 7.0)
    engine.refusal = NotReadyError("the service is stopping")
    assert await refused(client, good) == (UnavailableError, 503, "urn:rpt:problem:not-ready", 5.0)
    with pytest.raises(NotFoundError, match="^404 There is no such model: GET /v1/models lists"):
        await client.model("other")


async def test_an_invalid_request_names_its_places(real: MakeClient) -> None:
    with pytest.raises(InvalidError) as caught:
        await real().clean(CleaningRequest(table=TABLE, columns=["city", "town"]))
    assert caught.value.errors == [
        {"detail": "the table has no such column", "pointer": "/columns/1", "column": "town"}
    ]


def test_a_request_that_adapts_has_longer_to_answer() -> None:
    waited: list[object] = []

    def handle(request: httpx.Request) -> httpx.Response:
        waited.append(request.extensions["timeout"]["read"])
        body = json.loads(request.content)
        waited.append(body.get("adapt"))
        return httpx.Response(200, json=CLEANED if "clean" in request.url.path else COMPLETED)

    with Client("http://service", transport=httpx.MockTransport(handle)) as client:
        client.clean(CleaningRequest(table=TABLE))
        client.clean(CleaningRequest(table=TABLE, adapt=True))
        client.complete(CompletionRequest(table=TABLE, adapt=True))
    with Client("http://service", timeout=7.0, transport=httpx.MockTransport(handle)) as client:
        client.clean(CleaningRequest(table=TABLE, adapt=True))
    assert waited == [300.0, None, 3600.0, True, 3600.0, True, 7.0, True]
