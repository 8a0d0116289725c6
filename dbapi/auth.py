"""Authentication: the service credential of the caller, and the session a request is for."""

import hmac
import re
from typing import NewType
from uuid import UUID

import starlette.requests
from starlette.types import ASGIApp, Receive, Scope, Send

from dbapi.errors import BadRequest, Unauthorized, refused
from dbapi.state import Request

READY = "/readyz"
OPEN = {"/healthz", READY}
OPEN_IN_DEVELOPMENT = OPEN | {"/docs", "/openapi.json"}
CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

SessionId = NewType("SessionId", UUID)


class ServiceCredential:
    """Checks `Authorization: Bearer <key>` before the body is read or a connection is taken.

    `/readyz` needs no credential but refuses a wrong one: a web process that dbapi rejects must not become ready.
    """

    def __init__(self, app: ASGIApp, keys: tuple[str, ...], development: bool) -> None:
        self.app, self.keys = app, [key.encode() for key in keys]
        self.open = OPEN_IN_DEVELOPMENT if development else OPEN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._needs_key(scope) and not self._has_key(scope):
            response = await refused(starlette.requests.Request(scope), Unauthorized())
            response.headers["WWW-Authenticate"] = "Bearer"
            return await response(scope, receive, send)
        return await self.app(scope, receive, send)

    def _needs_key(self, scope: Scope) -> bool:
        path = scope["path"]
        return path not in self.open or (path == READY and bool(_credentials(scope)))

    def _has_key(self, scope: Scope) -> bool:
        given = _credentials(scope)
        if len(given) != 1 or not given[0].startswith(b"Bearer "):
            return False
        token = given[0].removeprefix(b"Bearer ")
        # Compare with every key, so that the time does not depend on which one matches.
        return sum(hmac.compare_digest(token, key) for key in self.keys) > 0


def _credentials(scope: Scope) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == b"authorization"]


def session_id(request: Request) -> SessionId:
    """Raises Unauthorized if X-Session-ID is missing, BadRequest if it is not one canonical UUID."""
    session = optional_session_id(request)
    if session is None:
        raise Unauthorized("X-Session-ID is missing.")
    return session


def optional_session_id(request: Request) -> SessionId | None:
    """Raises BadRequest if X-Session-ID is not one canonical UUID."""
    given = request.headers.getlist("x-session-id")
    if not given or given == [""]:
        return None
    if len(given) > 1 or not CANONICAL_UUID.fullmatch(given[0]):
        raise BadRequest("X-Session-ID must be one UUID in canonical form.")
    return SessionId(UUID(given[0]))
