"""The stream of an answer while it is written: one resource, three representations.

Server-sent events for htmx, a page that grows for browsers without JavaScript, plain text for curl. GET only listens:
whether anybody does, and how often, makes no difference to the answer.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from web.errors import NotFound, TooMany
from web.guard import FRAMED
from web.open_streams import Opened
from web.viewer import Viewer, ping

SEND_SECONDS = 30.0  # a client that takes nothing for so long is gone
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept, Cookie"}

AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # our streams end by themselves, with a farewell


async def show(request: Request) -> Response:
    try:
        viewer, opened = await _viewer(request)
    except (NotFound, TooMany) as error:
        return PlainTextResponse(f"{error.sentence}\n", error.status, error.headers)  # never HTML: htmx would read it as events
    accept = request.headers.get("accept", "")
    if "text/event-stream" in accept:
        response: Growing | Events = Events(viewer.events(), request.state["settings"].ping_seconds)
    elif "text/html" in accept:
        response = Growing(viewer.page(), media_type="text/html", headers=HEADERS | FRAMED)
    else:
        response = Growing(viewer.text(), media_type="text/plain", headers=HEADERS)
    response.on_close = partial(request.state["open_streams"].close, opened)
    return response


async def _viewer(request: Request) -> tuple[Viewer, Opened]:
    """Raises NotFound for what is not there, not this session's, or no answer; and TooMany."""
    session = await request.state["sessions"].require(request)
    chat_id, message_id = request.path_params["chat_id"], request.path_params["message_id"]
    message = await request.state["dbapi"].message(session, chat_id, message_id)
    if message["role"] != "assistant":
        raise NotFound
    cursor = request.headers.get("last-event-id") or request.query_params.get("after", "")
    watched = request.state["watch"].open(session, chat_id, message)
    context = request.state["llama"].context
    opened = request.state["open_streams"].open(session, request.state["sessions"].device(request))
    return Viewer(request.state["pages"], opened, watched, chat_id, message, cursor, context), opened


class Counted:
    """Says when it is over. HEAD gets the headers and nothing else, at once."""

    on_close: Callable[[], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD":
                await Response(headers=dict(self.headers))(scope, receive, send)  # type: ignore[attr-defined]
            else:
                await super().__call__(scope, receive, send)  # type: ignore[misc]
        finally:
            self.on_close()


class Growing(Counted, StreamingResponse):
    pass


class Events(Counted, EventSourceResponse):
    """Server-sent events, with a ping that a page can hear: comments never reach its script."""

    def __init__(self, content: Any, ping_seconds: int) -> None:
        super().__init__(content, sep="\n", headers=HEADERS, ping=ping_seconds, ping_message_factory=ping, send_timeout=SEND_SECONDS)
