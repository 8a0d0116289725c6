"""Two hubs and three viewers of one answer, and the actions that a test performs on them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

from tests.web.dom import parse
from tests.web.log_model import GENERATION, MESSAGE, LogModel, Models
from tests.web.visitor import parsed
from web.contract import CONTENT, REASONING, RESTART, LogChange
from web.live import viewers
from web.live.hub import LiveAnswers
from web.rendering.templates import Templates

SESSION, CHAT = UUID(int=1), UUID(int=2)
TEMPLATES = Templates()
FENCE = "~~~py\n"
STEP_SECONDS = 0.04  # a little longer than the shortest pause between two steps
PAGE = f"""<article id="message-{MESSAGE}"><p id="message-{MESSAGE}-thinking"></p>
<div id="message-{MESSAGE}-thought"></div>
<div class="content"><div class="tail" id="message-{MESSAGE}-tail"></div></div>
<footer id="message-{MESSAGE}-footer"></footer></article><p id="context"></p>"""


class Viewer:
    """A browser tab: its page stays when its stream ends, and it returns with the id of its last event."""

    def __init__(self, log: LogModel) -> None:
        self.page = parse(PAGE)
        self.log, self.cursor = log, ""
        self.is_slow = self.is_done = False
        self.task: asyncio.Task[None] | None = None

    @property
    def shown(self) -> str:
        return squeezed(self.page.select(".content").text)

    def watch(self, hub: LiveAnswers) -> None:
        if self.task is None and not self.is_done:
            self.task = asyncio.create_task(self._watch(hub))

    async def _watch(self, hub: LiveAnswers) -> None:
        # The handler serves a finished message without the hub, so the record is of an unfinished answer
        record = self.log.record() | {"status": "streaming"}
        with hub.watch(SESSION, CHAT, record) as answer:
            async for event in viewers.events(answer, self.cursor, self._push):
                self._receive(event)

    def _push(self, event: bytes) -> bool:
        if self.is_slow:
            return False
        self._receive(event)
        return True

    def _receive(self, data: bytes) -> None:
        for block in data.decode().split("\n\n"):
            if (event := parsed(block)) and event.event == "message":
                before = self.shown
                self.page.swap(event.data)
                self.cursor = event.id or self.cursor
                self.check(before, '.content" hx-swap="innerHTML"' in event.data)
            elif event and event.event == "done":
                self.is_done = True

    def check(self, before: str, is_reset: bool) -> None:
        assert is_reset or self.shown.startswith(before), (before, self.shown)
        assert any(squeezed(text).startswith(self.shown) for text in self.log.texts), (self.shown, self.log.texts)

    async def leave(self) -> None:
        if self.task:
            self.task.cancel()
            (error,) = await asyncio.gather(self.task, return_exceptions=True)
            assert error is None or isinstance(error, asyncio.CancelledError), repr(error)
            self.task = None


def squeezed(text: str) -> str:
    return "".join(text.removeprefix(FENCE).split())


class World:
    """The answer is text, or code in an open fence."""

    def __init__(self, is_code: bool) -> None:
        self.log, self.is_code = LogModel(), is_code
        dbapi, models = cast(Any, self.log), cast(Any, Models())
        self.hubs = [LiveAnswers(dbapi, models, TEMPLATES), LiveAnswers(dbapi, models, TEMPLATES)]
        self.viewers = [Viewer(self.log) for _ in range(3)]
        self.writer: int | None = 0
        self.words = 0
        self.hubs[0].started(SESSION, CHAT, self.log.record())

    async def do(self, name: str, number: int) -> None:
        hub, viewer = self.hubs[number % 2], self.viewers[number % 3]
        match name:
            case "append" | "reason" if self.writer is not None:
                kind = CONTENT if name == "append" else REASONING
                await self._append(kind, self._text(number), delay=number % 4)
            case "restart" if self.writer is not None and self.log.chunks:
                await self._append(RESTART, "", delay=number % 4)
            case "take over":
                self._take_over(number % 2)
            case "lose chunks":
                self._lose(1 + number % 3)
            case "notify":
                hub.notified(LogChange(GENERATION, number, "" if number % 4 else "streaming"))
            case "read all":
                hub.reload_all()
            case "join":
                viewer.watch(hub)
            case "leave":
                await viewer.leave()
            case "slow":
                viewer.is_slow = not viewer.is_slow
            case "wait":
                await asyncio.sleep(STEP_SECONDS)
        for _ in range(number % 5):
            await asyncio.sleep(0)

    def _text(self, number: int) -> str:
        """Halves of words, whole words, and paragraphs, none twice. Plain words are added without rendering.

        In code, lines, and strings over several lines.
        """
        self.words += 1
        if self.is_code:
            return f"w{self.words}" + ("", " ", '"""', "\n", "\n\n", "(1)\n")[number % 6]
        return f"w{self.words}" + ("", " ", "", " ", "\n\n", ". ")[number % 6]

    async def _append(self, kind: int, text: str, delay: int) -> None:
        """The response to the append is late, so a hub may read the chunk before it."""
        assert self.writer is not None
        if self.is_code and kind == CONTENT and not self.log.text():
            text = FENCE + text
        chunk = self.log.append(kind, text)
        for hub in self.hubs:
            if delay % 2:
                hub.notified(LogChange(GENERATION, chunk.seq))
        for _ in range(delay):
            await asyncio.sleep(0)
        self.hubs[self.writer].appended(GENERATION, chunk)

    def _take_over(self, process: int) -> None:
        if self.writer is not None:
            self.hubs[self.writer].released(GENERATION)
        self.log.fencing_token += 1
        self.writer = process

    def _lose(self, count: int) -> None:
        """PostgreSQL crashes. A later writer continues from what is left."""
        if self.writer is not None:
            self.hubs[self.writer].released(GENERATION)
        self.log.lose(count)
        self.log.fencing_token += 1
        self.writer = None

    async def end(self) -> None:
        """The answer ends, and every viewer comes back. The writer reports the end before its process reads the log."""
        self.log.status = "complete"
        if self.writer is not None:
            self.hubs[self.writer].finished(self.log.finish())
        for viewer in self.viewers:
            viewer.is_slow = False
            viewer.watch(self.hubs[0])
        for hub in self.hubs:
            hub.reload_all()
        async with asyncio.timeout(10):
            await asyncio.gather(*(viewer.task for viewer in self.viewers if viewer.task))
        for viewer in self.viewers:
            assert viewer.is_done
            assert viewer.shown == squeezed(self.log.text())


@contextmanager
def running(hubs: list[LiveAnswers]) -> Iterator[None]:
    tasks = [asyncio.create_task(hub.run()) for hub in hubs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def play(operations: list[tuple[str, int]], is_code: bool = False) -> None:
    world = World(is_code)
    with running(world.hubs):
        for name, number in operations:
            await world.do(name, number)
            for viewer in world.viewers:
                if viewer.task and viewer.task.done():
                    await viewer.task  # raises what the viewer found
                    viewer.task = None
        await world.end()
        for viewer in world.viewers:
            await viewer.leave()
