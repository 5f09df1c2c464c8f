"""API keys: none on loopback by default, always on a public address.

Keys are compared by their hashes in constant time, before the body is read. `/livez`, `/readyz` and the documentation
need none.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import KeyMissingError, KeyRefusedError, respond

PROTECTED = ("/v1", "/metrics")
"""What needs a key, where the service has keys: these paths and all below them."""

documented_key = HTTPBearer(auto_error=False, description="One of the keys in RPT_API_KEYS, where the service has any.")
"""Shows the key in the OpenAPI document; `ApiKeys` is what checks it."""


class ApiKeys:
    """ASGI middleware: protected paths need `Authorization: Bearer KEY` or `X-API-Key: KEY`."""

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self.app = app
        self._hashes = [hashlib.sha256(key.encode()).digest() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and self._hashes and _is_protected(scope["path"]):
            refusal = self._refusal(Headers(scope=scope))
            if refusal is not None:
                response = respond(refusal, scope.get("state", {}).get("request_id"))
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, headers: Headers) -> KeyMissingError | KeyRefusedError | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not key:
            return KeyMissingError("send a key as 'Authorization: Bearer KEY'")
        # Headers are bytes that were read as Latin-1; a key in UTF-8 is whole again as bytes.
        given = hashlib.sha256(key.encode("latin-1")).digest()
        # Every key is compared, so that the time does not tell which one was close.
        known = [hmac.compare_digest(given, one) for one in self._hashes]
        return None if any(known) else KeyRefusedError("this key is not one of those that may be used")


def _is_protected(path: str) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in PROTECTED)
