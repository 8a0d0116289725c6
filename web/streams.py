"""The stream of an answer while it is written: one resource, three representations.

Server-sent events for htmx, a page that grows for browsers without JavaScript, plain text for curl. GET only listens:
whether anybody does, and how often, makes no difference to the answer.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from markupsafe import Markup
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from web import blocks
from web.errors import NotFound
from web.guard import FRAMED
from web.live import FINAL, Frame, Live
from web.markdown import render
from web.pages import Pages, prefix

CURSOR = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")
SEND_SECONDS = 30.0  # a client that takes nothing for so long is gone
PAGE_STEP_SECONDS = 0.2  # the growing page repeats the open block at every step, and keeps them all
COMEBACK_MILLISECONDS = 100

AppStatus.disable_automatic_graceful_drain()  # our streams end by themselves, with a word of farewell


async def show(request: Request) -> Response:
    try:
        session = await request.state["sessions"].require(request)
        ids = request.path_params["chat_id"], request.path_params["message_id"]
        message = await request.state["dbapi"].message(session, *ids)
    except NotFound as error:
        return PlainTextResponse(f"{error.sentence}\n", 404)  # never HTML: htmx would read it as events
    if message["role"] != "assistant":
        return PlainTextResponse(f"{NotFound.sentence}\n", 404)
    viewer = Viewer(request, session, message)
    accept = request.headers.get("accept", "")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept, Cookie"}
    if "text/event-stream" in accept:
        return Events(viewer.events(), sep="\n", headers=headers, ping=request.state["settings"].ping_seconds, send_timeout=SEND_SECONDS,
                      ping_message_factory=lambda: ServerSentEvent(event="ping", data="", sep="\n"))
    if "text/html" in accept:
        return StreamingResponse(viewer.page(), media_type="text/html", headers=headers | FRAMED)
    return StreamingResponse(viewer.text(), media_type="text/plain", headers=headers)


class Events(EventSourceResponse):
    """HEAD gets the headers and nothing else."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "HEAD":
            await Response(headers=dict(self.headers))(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Viewer:
    """Somebody who watches one answer."""

    def __init__(self, request: Request, session: Any, message: dict[str, Any]) -> None:
        self.pages: Pages = request.state["pages"]
        self.draining: asyncio.Event = request.state["draining"]
        self.message, self.chat_id = message, request.path_params["chat_id"]
        self._open = request.state["watch"].open(session, self.chat_id, message)
        self._cursor = CURSOR.fullmatch(request.headers.get("last-event-id") or request.query_params.get("after", ""))

    @property
    def finished(self) -> bool:
        return self.message["status"] in FINAL

    # Representations

    async def events(self) -> AsyncIterator[bytes]:
        if self.finished:
            yield self._closing(self.message, self._whole(self.message))
            return
        async with self._open as live:
            seen = self._place(live)
            yield ServerSentEvent(event="ping", data="", sep="\n").encode()
            async for frame in self._frames(live, seen):
                final = frame.status in FINAL
                key = (seen, final)
                if final:
                    yield live.rendered(key, lambda seen=seen: self._closing(live.message, self._end(live, seen)))  # type: ignore[misc]
                    return
                yield live.rendered(key, lambda seen=seen, frame=frame: self._step(live, seen, frame))  # type: ignore[misc]
                seen = frame
            yield ServerSentEvent(event="moved", data="", retry=COMEBACK_MILLISECONDS, sep="\n").encode()

    async def page(self) -> AsyncIterator[str]:
        """A document that grows: finished blocks are appended, and each newer open block hides the older by style sheet."""
        yield self.pages.html("messages/frame_head.html")
        if self.finished:
            yield self.pages.html("messages/frame_end.html", message=self.message, chat_id=self.chat_id, content=rendered_whole(self.message))
            return
        async with self._open as live:
            seen: Frame | None = None
            async for frame in self._frames(live, None):
                if frame.status in FINAL:
                    end = self._end(live, seen)
                    replaces = end["mode"] == "whole" and seen is not None
                    yield self.pages.html("messages/frame_end.html", message=live.message, chat_id=self.chat_id, content=end["html"], replaces=replaces)
                    return
                if seen is None or frame.epoch != seen.epoch:
                    step, void = blocks.step(live.text, blocks.START, frame.place, prefix(self.message["id"])), seen is not None
                else:
                    step, void = blocks.step(live.text, seen.place, frame.place, prefix(self.message["id"])), False
                yield self.pages.html("messages/frame_step.html", frozen=Markup(step.frozen), tail=self._tail(live, frame), progress=_progress(frame), void=void)
                seen = frame
                await asyncio.sleep(PAGE_STEP_SECONDS)
            yield self.pages.html("messages/frame_moved.html")

    async def text(self) -> AsyncIterator[str]:
        """The content from its first character on; ends when the answer does."""
        if self.finished:
            yield self.message["content"]
            return
        sent = ""
        async with self._open as live:
            async for frame in self._frames(live, None):
                if live.text.startswith(sent):
                    yield live.text[len(sent) :]
                    sent = live.text
                if frame.status in FINAL:
                    return

    # Steps

    async def _frames(self, live: Live, seen: Frame | None) -> AsyncIterator[Frame]:
        """Every frame from now on, until the answer or this process ends."""
        gone = asyncio.ensure_future(self.draining.wait())
        try:
            while True:
                coming = asyncio.ensure_future(live.next(seen))
                try:
                    await asyncio.wait((coming, gone), return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        return
                    seen = coming.result()
                finally:
                    coming.cancel()
                yield seen
                if seen.status in FINAL:
                    return
        finally:
            gone.cancel()

    def _place(self, live: Live) -> Frame | None:
        """Where this viewer is, by the id of the last event it got; None if that is no place in this log."""
        return live.at(int(self._cursor[1]), int(self._cursor[2])) if self._cursor else None

    def _step(self, live: Live, seen: Frame | None, frame: Frame) -> bytes:
        ids = prefix(self.message["id"])
        if seen is None or seen.epoch != frame.epoch:
            step = blocks.step(live.text, blocks.START, frame.place, ids)
            content = {"mode": "reset", "html": Markup(step.frozen), "tail": Markup(step.tail)}
        else:
            step = blocks.step(live.text, seen.place, frame.place, ids)
            mode = "append" if step.append is not None else "step"
            content = {"mode": mode, "html": Markup(step.frozen), "tail": Markup(step.tail), "text": step.append}
        told = None if seen is None else _progress(seen)
        html = self.pages.html(
            "messages/_step.html",
            message=self.message | {"status": frame.status},
            chat_id=self.chat_id,
            content=content,
            progress=_progress(frame),
            tells_progress=told != _progress(frame),
        )
        return _event(html, frame.cursor)

    def _end(self, live: Live, seen: Frame | None) -> dict[str, Any]:
        """What makes the page of a viewer the page of the finished answer."""
        if seen is None or seen.epoch != live.frame.epoch:
            return self._whole(live.message)
        end = blocks.end(live.text, seen.place, prefix(self.message["id"]))
        return {"mode": "whole" if end.whole else "end", "html": Markup(end.html)}

    def _whole(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"mode": "whole", "html": rendered_whole(message)}

    def _tail(self, live: Live, frame: Frame) -> Markup:
        """The whole open block, even where an append would do: a page that grows cannot append inside an element."""
        at_boundary = blocks.place(live.text[: frame.place.boundary])
        return Markup(blocks.step(live.text, at_boundary, frame.place, prefix(self.message["id"])).tail)

    def _closing(self, message: dict[str, Any], content: dict[str, Any]) -> bytes:
        html = self.pages.html("messages/_end.html", message=message, chat_id=self.chat_id, content=content)
        return _event(html, None) + ServerSentEvent(event="done", data=message["status"], sep="\n").encode()


def rendered_whole(message: dict[str, Any]) -> Markup:
    return Markup(render(message["content"], prefix(message["id"])))


def _progress(frame: Frame) -> str:
    """What is said under an answer that is not yet written; nothing if it is."""
    if frame.status == "queued":
        return f"Waiting for the model: number {frame.queue_place} in line." if frame.queue_place else "Waiting for its turn …"
    return frame.notice


def _event(html: str, cursor: str | None) -> bytes:
    return ServerSentEvent(data=html, id=cursor, sep="\n").encode()
