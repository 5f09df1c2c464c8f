"""Apps with a fake engine: what is asked is kept, what is answered is given, and no model is loaded."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from service.engine import (
    AlignedRelations,
    AnnotationOptions,
    AnnotationResult,
    AskedAttribute,
    BlockingPlan,
    CleaningOptions,
    CleaningResult,
    CompletionOptions,
    CompletionResult,
    EngineState,
    ExtractionResult,
    Load,
    MatchingResult,
    ModelDescription,
    NormalizationOptions,
    NormalizationResult,
    NotReadyError,
    PairOptions,
    Relation,
    ResolutionOptions,
    ResolutionResult,
    Schema,
    SchemaMatchingOptions,
    SchemaMatchingResult,
    TransformationOptions,
    TransformationResult,
    TransformExample,
    UnknownModelError,
)
from service.main import create_app
from service.settings import Settings

DESCRIPTION = ModelDescription(
    name="fake",
    version="1.0",
    sha256="ab" * 32,
    parameters=12,
    size=34,
    precision="float32",
    max_name_tokens=8,
    max_value_tokens=16,
    max_attributes=48,
    max_context=8,
    card={"limits": ["knows nothing"]},
)

NAMED = replace(DESCRIPTION, name="shoes", sha256="cd" * 32, tasks=("extract",))


class FakeEngine:
    """Answers with what it was given, or raises it; `hold` leaves every future open."""

    def __init__(self) -> None:
        self.state = EngineState.READY
        self.load = Load(1, 2)
        self.asked: list[tuple[str, Any, Any]] = []
        self.answer: object = CleaningResult(())
        self.refusal: Exception | None = None
        self.hold = False
        self.named: list[str | None] = []
        self.futures: list[Future[Any]] = []

    @property
    def description(self) -> ModelDescription:
        """The fake model, once it is ready."""
        if self.state is EngineState.LOADING:
            raise NotReadyError("the model is being loaded")
        return DESCRIPTION

    @property
    def descriptions(self) -> list[ModelDescription]:
        """The fake model and one that was fine-tuned from it."""
        return [self.description, NAMED]

    def describe(self, name: str | None) -> ModelDescription:
        """The fake model, or the fine-tuned one."""
        own = self.description
        if name not in (None, "default", "fake", "shoes"):
            raise UnknownModelError
        return NAMED if name == "shoes" else own

    def start(self) -> None:
        """Nothing to load."""

    def stop(self, seconds: float = 0.0) -> None:
        """Nothing to end."""

    def check_open(self) -> None:
        """Raise the refusal, where there is one."""
        if self.refusal is not None:
            raise self.refusal

    def clean(self, relation: Relation, options: CleaningOptions) -> Future[CleaningResult]:
        """Keep what is asked."""
        return self._answer("clean", relation, options)

    def complete(self, relation: Relation, options: CompletionOptions) -> Future[CompletionResult]:
        """Keep what is asked."""
        return self._answer("complete", relation, options)

    def resolve(self, relations: Sequence[Relation], options: ResolutionOptions) -> Future[ResolutionResult]:
        """Keep what is asked."""
        return self._answer("resolve", relations, options)

    def match(
        self, aligned: AlignedRelations, pairs: Sequence[tuple[int, int]], options: PairOptions
    ) -> Future[MatchingResult]:
        """Keep what is asked."""
        return self._answer("match", (aligned, pairs), options)

    def plan_resolution(self, relations: Sequence[Relation], options: ResolutionOptions) -> Future[BlockingPlan]:
        """Keep what is asked."""
        return self._answer("plan", relations, options)

    def match_schema(
        self, source: Schema, target: Schema, options: SchemaMatchingOptions
    ) -> Future[SchemaMatchingResult]:
        """Keep what is asked."""
        return self._answer("match-schema", (source, target), options)

    def annotate(self, relation: Relation, options: AnnotationOptions) -> Future[AnnotationResult]:
        """Keep what is asked."""
        return self._answer("annotate", relation, options)

    def extract(
        self, texts: Sequence[str | None], attributes: Sequence[AskedAttribute], *, model: str | None = None
    ) -> Future[ExtractionResult]:
        """Keep what is asked, and which model."""
        self.named.append(model)
        return self._answer("extract", texts, attributes)

    def transform(
        self,
        examples: Sequence[TransformExample],
        inputs: Sequence[str],
        options: TransformationOptions,
        *,
        model: str | None = None,
    ) -> Future[TransformationResult]:
        """Keep what is asked, and which model."""
        self.named.append(model)
        return self._answer("transform", (examples, inputs), options)

    def normalize(self, relation: Relation, options: NormalizationOptions) -> Future[NormalizationResult]:
        """Keep what is asked."""
        return self._answer("normalize", relation, options)

    def _answer(self, task: str, relation: Any, options: object) -> Future[Any]:
        self.check_open()
        self.asked.append((task, relation, options))
        future: Future[Any] = Future()
        self.futures.append(future)
        if self.hold:
            return future
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        else:
            future.set_result(self.answer)
        return future


MakeApp = Callable[..., FastAPI]
Client = httpx.AsyncClient


@pytest.fixture
def engine() -> FakeEngine:
    """An engine to tell what to answer."""
    return FakeEngine()


@pytest.fixture
def make_app(engine: FakeEngine) -> MakeApp:
    """Apps over the fake engine with the settings that differ from the defaults."""

    def make(**settings: Any) -> FastAPI:
        return create_app(Settings(_env_file=None, **settings), engine)  # type: ignore[arg-type]

    return make


@pytest.fixture
async def client(make_app: MakeApp) -> AsyncIterator[Client]:
    """A client of an app with default settings."""
    transport = httpx.ASGITransport(make_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


def client_of(app: FastAPI) -> Client:
    """A client of any app."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://service")


@pytest.fixture
def connect() -> Callable[[FastAPI], Client]:
    """Clients of apps with settings of their own."""
    return client_of


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """A real server on a free port of loopback, in a thread; gives its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    (port,) = {socket.getsockname()[1] for one in server.servers for socket in one.sockets}
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


class Body:
    """A request body in chunks that keeps how many of them were read."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give one chunk after the other."""
        for chunk in self.chunks:
            self.read += 1
            yield chunk
