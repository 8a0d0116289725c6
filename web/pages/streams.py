"""The stream of an answer while it is written: one resource with three representations.

Server-sent events for htmx, a growing page for browsers without JavaScript, and plain text for curl. GET only
listens: viewers make no difference to the answer.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar
from uuid import UUID

from sse_starlette import ServerSentEvent
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from web.contract import FINAL, Message
from web.errors import NotFound, TooMany
from web.live import push, viewers
from web.live.answer import LiveAnswer
from web.live.event_stream import EventStream
from web.live.events import EventRenderer
from web.middleware import FRAMED
from web.state import Request

# no-transform: a proxy that compresses may hold back the beginning of a stream
STREAM_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "Vary": "Accept, Cookie"}

Part = TypeVar("Part", str, bytes)


async def show(request: Request) -> ASGIApp:
    try:
        sessions = request.state["sessions"]
        session = await sessions.require(request)
        message = await _answer(request, session)
        response, closing_part = _representation(request, session, message)
        open_streams, chat_id, device = (
            request.state["open_streams"],
            request.path_params["chat_id"],
            sessions.device(request),
        )
        stream = open_streams.open(session, chat_id, device, response, closing_part.encode())
        if not _cursor(request).startswith("0."):  # not directly after the question: the page may have missed something
            request.state["changes"].check(stream)
        return stream
    except (NotFound, TooMany) as error:  # never HTML: htmx would parse it as events
        return PlainTextResponse(f"{error.message}\n", error.status, error.headers)


async def _answer(request: Request, session: UUID) -> Message:
    """Raises NotFound if the message does not exist, belongs to another session, or is not an answer."""
    chat_id, message_id = request.path_params["chat_id"], request.path_params["message_id"]
    message = request.state["live_answers"].message(session, chat_id, message_id)
    if message is None:
        message = await request.state["dbapi"].message(session, chat_id, message_id)
        request.state["live_answers"].confirm(message_id)
    if message["role"] != "assistant":
        raise NotFound
    return message


def _representation(request: Request, session: UUID, message: Message) -> tuple[Response, str]:
    """The stream as the client accepts it, and its last part if the device is signed out."""
    accept, templates = request.headers.get("accept", ""), request.state["templates"]
    if "text/event-stream" in accept:
        html = templates.html("messages/_signed_out.html", message_id=message["id"])
        return _event_stream(request, session, message), ServerSentEvent(data=html, sep="\n").encode().decode()
    if "text/html" in accept:
        page = _page(request, session, message)
        response = _growing(request, page, "text/html", STREAM_HEADERS | FRAMED)
        return response, templates.html("messages/frame_signed_out.html")
    return _growing(request, _text(request, session, message), "text/plain", STREAM_HEADERS), ""


def _event_stream(request: Request, session: UUID, message: Message) -> Response:
    return EventStream(_events(request, session, message), STREAM_HEADERS, request.state["settings"].ping_seconds)


def _growing(request: Request, parts: AsyncGenerator[str], media_type: str, headers: dict[str, str]) -> Response:
    if request.method == "HEAD":  # StreamingResponse would run the whole stream
        return Response(media_type=media_type, headers=headers)
    return StreamingResponse(parts, media_type=media_type, headers=headers)


def _events(request: Request, session: UUID, message: Message) -> AsyncGenerator[bytes]:
    if message["status"] in FINAL:
        renderer = _renderer(request, message)
        content = renderer.whole(message["content"])
        return _single(renderer.closing(message, content, request.state["models"].of(message["model"]).context))
    show_events = partial(viewers.events, cursor=_cursor(request), push=push.of(request.scope))
    return _watched(request, session, message, show_events)


def _cursor(request: Request) -> str:
    return request.headers.get("last-event-id") or request.query_params.get("after", "")


async def _page(request: Request, session: UUID, message: Message) -> AsyncGenerator[str]:
    templates = request.state["templates"]
    if message["status"] in FINAL:
        renderer = _renderer(request, message)
        yield templates.html("messages/frame_head.html")
        yield renderer.page_end(message, renderer.whole(message["content"])["html"], is_reset=False)
        return
    async for part in _watched(request, session, message, partial(viewers.growing_page, templates=templates)):
        yield part


def _text(request: Request, session: UUID, message: Message) -> AsyncGenerator[str]:
    if message["status"] in FINAL:
        return _single(message["content"])
    return _watched(request, session, message, viewers.text)


async def _watched(
    request: Request, session: UUID, message: Message, show: Callable[[LiveAnswer], AsyncGenerator[Part]]
) -> AsyncGenerator[Part]:
    """Keeps the live answer for as long as this viewer watches it."""
    with request.state["live_answers"].watch(session, request.path_params["chat_id"], message) as answer:
        async with aclosing(show(answer)) as parts:
            async for part in parts:
                yield part


async def _single(part: Part) -> AsyncGenerator[Part]:
    yield part


def _renderer(request: Request, message: Message) -> EventRenderer:
    return EventRenderer(request.state["templates"], str(request.path_params["chat_id"]), message)
