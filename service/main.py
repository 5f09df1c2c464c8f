"""`create_app(settings)`: the REST service as one ASGI application.

    RequestLog ─▶ ApiKeys ─▶ BodyLimit ─▶ routes ─▶ engine (one thread)

No settings and no model exist at import: every app has its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import FrameType

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

from service.engine import Engine, EngineState
from service.errors import install_handlers
from service.limits import BodyLimit, Places
from service.observability import Metrics, RequestLog, configure_logging
from service.routes import (
    annotation,
    cleaning,
    completion,
    extraction,
    health,
    matching,
    models,
    normalization,
    resolution,
    schema_matching,
    transformation,
)
from service.routes import metrics as metrics_route
from service.security import ApiKeys, documented_key
from service.settings import Settings

DESCRIPTION = """Finds wrong cells of a table, repairs them and fills missing ones, with a small pretrained model.
Resolves the records of one table or two into entities, and matches the columns of two.

Every answer carries a calibrated confidence and the evidence for it; below the confidence that is asked for, the
service abstains. Errors are problem documents (RFC 9457) with a stable `type`.
"""


def create_app(settings: Settings | None = None, engine: Engine | None = None) -> FastAPI:
    """Build the service; the model begins to load when the app starts up.

    Args:
        settings: None reads the environment.
        engine: another engine than the one that the settings describe, for tests.
    """
    settings = settings or Settings()
    engine = engine or Engine(
        settings.model,
        precision=settings.precision,
        threads=settings.threads,
        models=settings.models,
        max_requests=settings.max_requests,
        max_running=settings.max_running,
    )
    metrics = _metrics(engine)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        # Requests have ended or have had their time: uvicorn waits for them before it comes here.
        await run_in_threadpool(engine.stop)

    app = FastAPIOffline(
        title="rpt-service", version=version("rpt-service"), description=DESCRIPTION, lifespan=lifespan, redoc_url=None
    )
    app.state.settings, app.state.engine, app.state.metrics = settings, engine, metrics
    app.state.places = Places(settings.max_requests)
    install_handlers(app)
    needs_key = [Depends(documented_key)] if settings.api_keys else []
    for router in (
        cleaning.router,
        completion.router,
        matching.router,
        resolution.router,
        schema_matching.router,
        annotation.router,
        extraction.router,
        transformation.router,
        normalization.router,
        models.router,
    ):
        app.include_router(router, prefix="/v1", dependencies=needs_key)
    app.include_router(metrics_route.router, dependencies=needs_key)
    app.include_router(health.router)
    # Added last is outermost.
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(ApiKeys, keys=[key.get_secret_value() for key in settings.api_keys])
    app.add_middleware(RequestLog, metrics=metrics)
    return app


def _metrics(engine: Engine) -> Metrics:
    metrics = Metrics()
    metrics.watch("rpt_ready", "Whether requests are taken.", lambda: float(engine.state is EngineState.READY))
    metrics.watch("rpt_running_requests", "Requests that share the model now.", lambda: engine.load.running)
    metrics.watch("rpt_waiting_requests", "Requests that wait for their turn.", lambda: engine.load.waiting)
    return metrics


class _Server(uvicorn.Server):
    """uvicorn, whose first SIGTERM or SIGINT also closes the engine for new requests."""

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain: connections that stay open are answered 503 from here on."""
        self._engine.drain()
        super().handle_exit(sig, frame)


def run_server(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests at work then have `drain_seconds` to end."""
    configure_logging(settings.log_level)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    _Server(config, app.state.engine).run()
