"""The stream of an answer while it is written: one resource, three representations.

Server-sent events for htmx, a page that grows for browsers without JavaScript, plain text for curl. GET only listens:
whether anybody does, and how often, makes no difference to the answer.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic
from uuid import UUID

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from web.errors import NotFound, TooMany
from web.live import push
from web.live.viewers import PING, Viewer
from web.middleware import FRAMED

SEND_SECONDS = 30.0  # a client that takes nothing for so long is gone
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept, Cookie"}

AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # our streams end by themselves, with a farewell


async def show(request: Request) -> ASGIApp:
    try:
        sessions = request.state["sessions"]
        session = await sessions.require(request)
        response, farewell = _represented(request, await _viewer(request, session))
        return request.state["open_streams"].open(session, sessions.device(request), response, farewell.encode())  # type: ignore[no-any-return]
    except (NotFound, TooMany) as error:
        return PlainTextResponse(f"{error.sentence}\n", error.status, error.headers)  # never HTML: htmx would read it as events


def _represented(request: Request, viewer: Viewer) -> tuple[Response, str]:
    """The stream as the client wants it, and its last words to a device that is signed out meanwhile."""
    accept, pages = request.headers.get("accept", ""), request.state["pages"]
    if "text/event-stream" in accept:
        html = pages.html("messages/_signed_out.html", message_id=request.path_params["message_id"])
        farewell = ServerSentEvent(data=html, sep="\n").encode().decode()
        return Events(viewer.events(push.of(request.scope)), request.state["settings"].ping_seconds), farewell
    if "text/html" in accept:
        growing = Growing(viewer.page(), media_type="text/html", headers=HEADERS | FRAMED)
        return growing, pages.html("messages/frame_signed_out.html")
    return Growing(viewer.text(), media_type="text/plain", headers=HEADERS), ""


async def _viewer(request: Request, session: UUID) -> Viewer:
    """Raises NotFound for what is not there, not this session's, or no answer."""
    chat_id, message_id = request.path_params["chat_id"], request.path_params["message_id"]
    message = request.state["watch"].message(session, chat_id, message_id)
    if message is None:
        message = await request.state["dbapi"].message(session, chat_id, message_id)
    if message["role"] != "assistant":
        raise NotFound
    cursor = request.headers.get("last-event-id") or request.query_params.get("after", "")
    watched = request.state["watch"].open(session, chat_id, message)
    context = request.state["llama"].context
    return Viewer(request.state["pages"], watched, chat_id, message, cursor, context)


class HeadersOnly:
    """HEAD gets the headers and nothing else, at once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await Response(headers=dict(self.headers))(scope, receive, send)  # type: ignore[attr-defined]
        else:
            await super().__call__(scope, receive, send)  # type: ignore[misc]


class Growing(HeadersOnly, StreamingResponse):
    pass


class Events(HeadersOnly, EventSourceResponse):
    """Server-sent events, with a ping that a page can hear: comments never reach its script.

    EventSourceResponse has four tasks and a deadline for every event; here one task sends, one waits for the client to leave,
    and a timer looks after both.
    """

    def __init__(self, events: AsyncGenerator[bytes], ping_seconds: int) -> None:
        super().__init__(events, headers=HEADERS, ping=ping_seconds)
        self._events = events
        self._sending_since: float | None = None
        self._send: Send
        self._timer: asyncio.TimerHandle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await super().__call__(scope, receive, send)
            return
        self._send = send
        tasks = asyncio.ensure_future(self._send_all()), asyncio.ensure_future(_gone(receive))
        self._look_again(tasks[0])
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._timer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not tasks[0].cancelled():
            tasks[0].result()

    async def _send_all(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._events) as events:
            async for event in events:
                await self._send_event(event)
        await self._send({"type": "http.response.body", "body": b""})

    async def _send_event(self, event: bytes) -> None:
        self._sending_since = monotonic()
        await self._send({"type": "http.response.body", "body": event, "more_body": True})
        self._sending_since = None

    def _look_again(self, sending: asyncio.Future[None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.ping_interval, self._look, sending)

    def _look(self, sending: asyncio.Future[None]) -> None:
        """A ping now and then; and an end for who takes nothing."""
        if self._sending_since is None:
            self._pinging = asyncio.ensure_future(self._send_event(PING))
        elif monotonic() - self._sending_since > SEND_SECONDS:
            sending.cancel()
        self._look_again(sending)


async def _gone(receive: Receive) -> None:
    """Waits until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
