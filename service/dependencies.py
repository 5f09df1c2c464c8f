"""What routes are given: the engine, the settings, the metrics, and an answer that waits no longer than its client."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Request

from service.engine import Engine, NotReadyError
from service.errors import ClientGoneError
from service.observability import Metrics
from service.settings import Settings

T = TypeVar("T")
_LOOK_SECONDS = 0.25


def read_engine(request: Request) -> Engine:
    """The engine of this app."""
    engine: Engine = request.app.state.engine
    return engine


def read_settings(request: Request) -> Settings:
    """The settings of this app."""
    settings: Settings = request.app.state.settings
    return settings


def read_metrics(request: Request) -> Metrics:
    """The metrics of this app."""
    metrics: Metrics = request.app.state.metrics
    return metrics


EngineOf = Annotated[Engine, Depends(read_engine)]
SettingsOf = Annotated[Settings, Depends(read_settings)]
MetricsOf = Annotated[Metrics, Depends(read_metrics)]


async def answer(request: Request, future: Future[T]) -> T:
    """The engine's answer; when the client hangs up first, the work is cancelled.

    Raises:
        ClientGoneError: nobody waits for the answer any more.
        NotReadyError: the engine stopped before it was there.
    """
    waiting = asyncio.wrap_future(future)
    watching = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait(cast(list[asyncio.Future[Any]], [waiting, watching]), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise ClientGoneError("the client has hung up")
        if waiting.cancelled():
            raise NotReadyError("the service is stopping")
        return waiting.result()
    finally:
        waiting.cancel()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _gone(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(_LOOK_SECONDS)
