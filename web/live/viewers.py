"""Somebody who watches one answer, and what is sent to them step by step.

A step is computed from two places in the text, never from what was sent before: so any process can go on where another
stopped, and all viewers who go the same step get the same bytes, made once.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any
from uuid import UUID

from sse_starlette import ServerSentEvent

from web.live.answer import FINAL, Frame, Live
from web.live.push import Push
from web.rendering import blocks
from web.rendering.event_templates import MESSAGE, Change
from web.rendering.markdown import render
from web.rendering.templates import Pages, prefix

CURSOR = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})", re.ASCII)
COMEBACK_MILLISECONDS = 100
PING = ServerSentEvent(event="ping", data="", sep="\n").encode()
PAGE_STEP_SECONDS = 0.2  # the growing page repeats the open block at every step, and keeps them all


class Viewer:
    def __init__(
        self,
        pages: Pages,
        watched: AbstractAsyncContextManager[Live],
        chat_id: UUID,
        message: dict[str, Any],
        cursor: str,
        context: int | None,
    ) -> None:
        self._pages, self._watched = pages, watched
        self._chat_id, self._message, self._context = chat_id, message, context
        self._prefix = prefix(message["id"])
        self._cursor = CURSOR.fullmatch(cursor)
        self._finished = message["status"] in FINAL

    async def events(self, push: Push | None = None) -> AsyncGenerator[bytes]:
        """Those that `push` did not take. Ends with `done` when the answer has, with `moved` when this process leaves."""
        if self._finished:
            yield self._closing_event(self._message, self._whole(self._message))
            return
        async with self._watched as live:
            yield PING  # the first byte, however long the first word takes
            await live.loaded()
            seen = live.at(int(self._cursor[1]), int(self._cursor[2])) if self._cursor else None
            while frame := await live.next_frame(seen):
                yield live.rendered(seen, partial(self._event, live, seen, frame))
                if frame.status in FINAL:
                    return
                seen = await live.follow(frame, partial(self._push, live, push)) if push else frame
            yield ServerSentEvent(event="moved", data="", retry=COMEBACK_MILLISECONDS, sep="\n").encode()

    def _push(self, live: Live, push: Push, seen: Frame, frame: Frame) -> bool:
        return push(live.rendered(seen, partial(self._event, live, seen, frame)))

    async def page(self) -> AsyncIterator[str]:
        """A document that grows: finished blocks are appended, and each newer open block hides the older by style sheet."""
        yield self._pages.html("messages/frame_head.html")
        if self._finished:
            yield self._page_end(self._message, self._whole(self._message), voids=False)
            return
        async with self._watched as live:
            await live.loaded()
            seen: Frame | None = None
            while frame := await live.next_frame(seen):
                voids = seen is not None and seen.epoch != frame.epoch
                if frame.status in FINAL:
                    end = self._end(live, seen)
                    yield self._page_end(live.message, end, voids or (seen is not None and end["mode"] == "whole"))
                    return
                since = blocks.START if seen is None or voids else seen.place
                yield self._page_step(live, since, frame, voids)
                seen = frame
                await asyncio.sleep(PAGE_STEP_SECONDS)
            yield self._pages.html("messages/frame_moved.html")

    async def text(self) -> AsyncIterator[str]:
        """The content from its first character on; ends when the answer does, or when it is begun anew."""
        if self._finished:
            yield self._message["content"]
            return
        sent, seen = "", None
        async with self._watched as live:
            await live.loaded()
            while seen := await live.next_frame(seen):
                if not live.text.startswith(sent):
                    return
                yield live.text[len(sent) :]
                sent = live.text

    # What a step looks like

    def _event(self, live: Live, seen: Frame | None, frame: Frame) -> bytes:
        if frame.status in FINAL:
            return self._closing_event(live.message, self._end(live, seen))
        change = self._change(live, seen, frame)
        if seen and seen.beside_content == frame.beside_content:
            mould = self._pages.moulds.get(change, self._mould)
            return mould.fill(self._message["id"], frame.cursor, change.new, change.tail)
        thought = self._thought(live, seen, frame)
        tells_progress = seen is None or _progress(seen) != _progress(frame)
        message = self._message | {"status": frame.status}
        html = self._html(change, message, thought=thought, progress=_progress(frame), tells_progress=tells_progress)
        return ServerSentEvent(data=html, id=frame.cursor, sep="\n").encode()

    def _html(self, change: Change, message: dict[str, Any], **news: Any) -> str:
        no_news = {"thought": {"text": ""}, "tells_progress": False}
        return self._pages.html("messages/_step.html", message=message, chat_id=self._chat_id, change=change, **(no_news | news))

    def _mould(self, blank: Change) -> str:
        return self._html(blank, {"id": MESSAGE})

    def _closing_event(self, message: dict[str, Any], content: dict[str, Any]) -> bytes:
        html = self._pages.html("messages/_end.html", message=message, chat_id=self._chat_id, content=content, context=self._context)
        return ServerSentEvent(data=html, sep="\n").encode() + ServerSentEvent(event="done", data=message["status"], sep="\n").encode()

    def _change(self, live: Live, seen: Frame | None, frame: Frame) -> Change:
        """What is new in the content. Of the way it was last rendered `live` remembers where plain words may be added."""
        is_reset = seen is None or seen.epoch != frame.epoch
        before = seen.place if seen and not is_reset else blocks.START
        if live.line and not is_reset and (words := blocks.words(live.text, live.line, before, frame.place)) is not None:
            return Change("add", words, "", live.line.path)
        step = blocks.step(live.text, before, frame.place, self._prefix)
        if step.append is not None:
            return Change("add", step.append, "", " code")
        live.line = step.line
        return Change("reset" if is_reset else "step", step.frozen, step.tail)

    def _thought(self, live: Live, seen: Frame | None, frame: Frame) -> dict[str, Any]:
        """What a reasoning model thought since, before it answers."""
        if seen is None or seen.epoch != frame.epoch:
            return {"mode": "innerHTML", "text": live.reasoning[: frame.reasoning]}
        return {"mode": "beforeend", "text": live.reasoning[seen.reasoning : frame.reasoning]}

    def _end(self, live: Live, seen: Frame | None) -> dict[str, Any]:
        """What makes the page of a viewer the page of the finished answer."""
        if seen is None or seen.epoch != live.frame.epoch:
            return self._whole(live.message)
        end = blocks.end(live.text, seen.place, self._prefix)
        return {"mode": "whole" if end.whole else "end", "html": end.html}

    def _whole(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"mode": "whole", "html": render(message["content"], self._prefix)}

    def _page_step(self, live: Live, since: blocks.Place, frame: Frame, voids: bool) -> str:
        frozen = blocks.step(live.text, since, frame.place, self._prefix).frozen
        boundary = blocks.place(live.text[: frame.place.boundary])  # the whole open block: such a page can't append inside of it
        tail = blocks.step(live.text, boundary, frame.place, self._prefix).tail
        return self._pages.html("messages/frame_step.html", frozen=frozen, tail=tail, progress=_progress(frame), void=voids)

    def _page_end(self, message: dict[str, Any], end: dict[str, Any], voids: bool) -> str:
        return self._pages.html("messages/frame_end.html", message=message, chat_id=self._chat_id, content=end["html"], void=voids)


def _progress(frame: Frame) -> str:
    """What is said under an answer that is not yet written; nothing if it is."""
    if frame.status == "queued":
        return f"Waiting for the model: number {frame.queue_place} in line." if frame.queue_place else "Waiting for its turn …"
    return frame.notice
