"""Who may call: the holder of the service credential, for one session at a time."""

import hmac
import re
from uuid import UUID

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from dbapi.errors import BadRequest, Unauthorized, refused

OPEN = {"/healthz", "/readyz"}
OPEN_IN_DEVELOPMENT = OPEN | {"/docs", "/openapi.json"}
CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ServiceCredential:
    """Checks `Authorization: Bearer <key>` before the body is read or a connection taken."""

    def __init__(self, app: ASGIApp, keys: tuple[str, ...], development: bool) -> None:
        self.app, self.keys = app, [key.encode() for key in keys]
        self.open = OPEN_IN_DEVELOPMENT if development else OPEN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self.open and not self._holds_key(scope):
            response = await refused(Request(scope), Unauthorized())
            response.headers["WWW-Authenticate"] = "Bearer"
            return await response(scope, receive, send)
        return await self.app(scope, receive, send)

    def _holds_key(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1 or not given[0].startswith(b"Bearer "):
            return False
        token = given[0].removeprefix(b"Bearer ")
        return sum(hmac.compare_digest(token, key) for key in self.keys) > 0  # all are compared, whichever fits


def session_id(request: Request) -> UUID:
    """The one X-Session-ID of this request. Raises Unauthorized if it is missing, BadRequest if it is not a canonical UUID."""
    given = request.headers.getlist("x-session-id")
    if not given or given == [""]:
        raise Unauthorized("X-Session-ID is missing.")
    if len(given) > 1 or not CANONICAL_UUID.fullmatch(given[0]):
        raise BadRequest("X-Session-ID must be one UUID in canonical form.")
    return UUID(given[0])
