"""The stream of one viewer, in three representations: server-sent events, a growing page, and plain text.

A step is computed from two snapshots, never from what was sent before. So any process can continue where another one
stopped, and all viewers who take the same step receive the same bytes.
"""

import asyncio
import re
from collections.abc import AsyncGenerator

from web.live.answer import LiveAnswer
from web.live.events import MOVED, PING
from web.live.push import Push
from web.live.steps import PAGE_STEP_SECONDS, Snapshot
from web.rendering.templates import Templates

CURSOR = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})", re.ASCII)


async def events(answer: LiveAnswer, cursor: str, push: Push | None) -> AsyncGenerator[bytes]:
    """Yields the events that `push` does not write. The last one is `done`, or `moved` when the process shuts down.

    `cursor` is the id of the viewer's last event. An unknown one leads to a reset.
    """
    yield PING  # the first byte, however long the first token takes
    await answer.loaded()
    seen = _seen(answer, cursor)
    while snapshot := await answer.next_snapshot(seen):
        yield answer.event(seen)
        if snapshot.is_final:
            return
        seen = await answer.subscribe(snapshot, push) if push else snapshot
    yield MOVED


def _seen(answer: LiveAnswer, cursor: str) -> Snapshot | None:
    match = CURSOR.fullmatch(cursor)
    return answer.at(int(match[1]), int(match[2])) if match else None


async def growing_page(answer: LiveAnswer, templates: Templates) -> AsyncGenerator[str]:
    """A document that grows: it appends finished blocks, and a style sheet hides all but the newest version of the
    open block."""
    yield templates.html("messages/frame_head.html")
    await answer.loaded()
    seen: Snapshot | None = None
    while snapshot := await answer.next_page_snapshot(seen):
        yield answer.page_part(seen)
        if snapshot.is_final:
            return
        seen = snapshot
        await asyncio.sleep(PAGE_STEP_SECONDS)
    yield templates.html("messages/frame_moved.html")


async def text(answer: LiveAnswer) -> AsyncGenerator[str]:
    """The content from its first character. Ends with the answer, or when its text becomes another one.

    A crash of PostgreSQL may lose the end of the log. Usually it is written again, so the stream waits for that.
    """
    sent, seen = "", None
    await answer.loaded()
    while seen := await answer.next_snapshot(seen):
        if answer.text.startswith(sent):
            yield answer.text[len(sent) :]
            sent = answer.text
        elif not sent.startswith(answer.text):
            return
