"""What is refused before a body is read, and how large a table may be.

The one idea: what costs nothing is checked first. The length that a client declares, its key and its media type are
known from the headers; a body without a declared length is counted while it comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_schemas.errors import ErrorDetail
from api_schemas.tables import Table
from service.engine import QueueFullError
from service.errors import BodyTooLargeError, InvalidRequestError, MediaTypeError, refuse, respond
from service.settings import Settings


class BodyLimit:
    """ASGI middleware: a body longer than `limit` bytes is answered 413, where possible before a byte of it is read."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "").lstrip("0")
        # Twenty digits are beyond every limit; of thousands `int` would make an error.
        if declared.isdecimal() and int(declared[:20]) > self.limit:
            response = respond(BodyTooLargeError(self._message()), scope.get("state", {}).get("request_id"))
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.limit:
                # The framework lets its own exception through while it reads a body; any other would be a 400.
                raise HTTPException(413, self._message(), {"Connection": "close"})
            return message

        await self.app(scope, counted, send)

    def _message(self) -> str:
        return f"a request body may have {self.limit} bytes"


class ModelRoute(APIRoute):
    """A route that needs the model: media type and room are checked before the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler behind the checks."""
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            _check_media_type(request.headers.get("content-type", ""))
            request.app.state.engine.check_open()
            # A place is held while the body is read and parsed, so that bodies in memory are as bounded as requests.
            with request.app.state.places.taken():
                return await handler(request)

        return checked


class Places:
    """How many requests may have their bodies in memory at one time."""

    def __init__(self, most: int) -> None:
        self._free = most

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a place for as long as the block runs.

        Raises:
            QueueFullError: there is none.
        """
        if not self._free:
            raise QueueFullError(retry_after=1)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


def _check_media_type(content_type: str) -> None:
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise MediaTypeError("send the body as application/json")
    charset = parameters.lower().partition("charset=")[2].split(";")[0].strip(' "')
    if charset and charset not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise MediaTypeError("send the body in UTF-8")


def check_length(
    text: str | None, settings: Settings, pointer: str, column: str | None = None, row: int | None = None
) -> None:
    """Refuse a text outside a table, or a value that comes with the options, that is longer than a cell may be.

    Raises:
        InvalidRequestError: it points at `pointer`.
    """
    if text is not None and len(text) > settings.max_cell_characters:
        detail = f"a value has {len(text)} characters, at most {settings.max_cell_characters} are taken"
        refuse(detail, pointer, row, column)


def check_table(table: Table, settings: Settings, pointer: str = "/table") -> list[tuple[str | None, ...]]:
    """The rows of a table as text, if it keeps all limits.

    Raises:
        InvalidRequestError: too many rows, columns or cells, or a cell that is too long; it names the place.
    """
    rows, columns = table.height, len(table.names)
    for count, most, what in (
        (columns, settings.max_columns, "columns"),
        (rows, settings.max_rows, "rows"),
        (rows * columns, settings.max_cells, "cells"),
    ):
        if count > most:
            detail = f"the table has {count} {what}, at most {most} are taken in one request"
            raise InvalidRequestError(detail, [ErrorDetail(detail=detail, pointer=pointer)])
    texts = table.texts()
    form = "rows" if table.rows is not None else "records"
    for number, row in enumerate(texts):
        for place, value in enumerate(row):
            if value is not None and len(value) > settings.max_cell_characters:
                name = table.names[place]
                key = str(place) if form == "rows" else name.replace("~", "~0").replace("/", "~1")
                detail = f"a cell has {len(value)} characters, at most {settings.max_cell_characters} are taken"
                where = ErrorDetail(detail=detail, pointer=f"{pointer}/{form}/{number}/{key}", row=number, column=name)
                raise InvalidRequestError(detail, [where])
    return texts
