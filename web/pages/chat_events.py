"""The stream of a chat page in which no answer is being written: it tells the page what changes elsewhere.

A page with a running answer gets the same events over the stream of that answer.
"""

from collections.abc import AsyncGenerator
from uuid import UUID

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from web.errors import NotFound, TooMany
from web.live.changes import GONE, Changes, state_event
from web.live.event_stream import EventStream
from web.live.events import MOVED, PING
from web.pages.streams import STREAM_HEADERS
from web.state import Request


async def show(request: Request) -> ASGIApp:
    """Begins with the state of the chat, which the page compares with its own."""
    try:
        return await _open(request, await request.state["sessions"].require(request), request.path_params["chat_id"])
    except (NotFound, TooMany) as error:  # never HTML: htmx would parse it as events
        return PlainTextResponse(f"{error.message}\n", error.status, error.headers)


async def _open(request: Request, session: UUID, chat_id: UUID) -> ASGIApp:
    """Reads the state while the stream is open already, so that no change is lost in between."""
    events = EventStream(_events(request.state["changes"]), STREAM_HEADERS, request.state["settings"].ping_seconds)
    open_streams, device = request.state["open_streams"], request.state["sessions"].device(request)
    stream = open_streams.open(session, chat_id, device, events, GONE)
    try:
        stream.notify(state_event(chat_id, await request.state["dbapi"].chat_state(session, chat_id)))
    except BaseException:
        open_streams.close(stream)
        raise
    return stream


async def _events(changes: Changes) -> AsyncGenerator[bytes]:
    yield PING
    await changes.is_leaving.wait()
    yield MOVED
