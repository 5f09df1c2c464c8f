"""Request ids, one log line a request, metrics: what an operator sees.

The one idea: what is logged and counted is named here, field by field, and no field holds text of a table. An
unexpected exception is logged by its class and its places in the code, never by its message, which could quote a cell.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine import NotReadyError
from service.errors import respond

REQUEST_ID = "X-Request-Id"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """All metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("rpt_requests", "Requests by route and status.", labels, registry=self.registry)
        self.seconds = Histogram(
            "rpt_request_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.rows = Counter("rpt_rows", "Rows judged.", ("task",), registry=self.registry)
        self.cells = Counter("rpt_cells", "Cells answered, by outcome.", ("task", "outcome"), registry=self.registry)
        self.tokens = Counter("rpt_tokens", "Tokens without padding.", ("part",), registry=self.registry)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(name, text, registry=self.registry).set_function(read)


class RequestLog:
    """ASGI middleware, the outermost: gives a request its id, logs and counts it, catches what nobody else did."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self._log = structlog.get_logger("service.request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except asyncio.CancelledError:  # the time to drain is over; who was being answered may try again elsewhere
            if not status:
                await respond(NotReadyError("the service is stopping"), request_id)(scope, receive, sending)
            raise
        except Exception as error:  # the last place where a client can still get an answer
            self._log.error("unexpected error", error=type(error).__name__, where=_places(error))
            if not status:
                await respond(error, request_id)(scope, receive, sending)
        finally:
            self._done(scope, status, time.perf_counter() - began)
            structlog.contextvars.unbind_contextvars("request_id")

    def _done(self, scope: Scope, status: int, seconds: float) -> None:
        route = _template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        self._log.info("request", method=method, route=route, status=status, seconds=round(seconds, 4))


def _template(scope: Scope) -> str:
    """The path with its parameters named, so that what a client writes never becomes a label."""
    if "route" not in scope:
        return "none"
    # The route knows its own end of the path, the start is what its router was included under.
    own: list[str] = scope["route"].path.split("/")[1:]
    return "/".join([*scope["path"].split("/")[: -len(own)], *own])


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-12:]]


def configure_logging(level: str) -> None:
    """Every log line of this process, libraries included, becomes one JSON object on stderr."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_messages_of_exceptions,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.access").disabled = True  # `RequestLog` says the same, without query strings
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _without_messages_of_exceptions(
    logger: object, method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Class and places of an exception instead of its message."""
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info if isinstance(info, BaseException) else sys.exc_info()[1]
    if info and error is not None:
        event["error"], event["where"] = type(error).__name__, _places(error)
    return event
