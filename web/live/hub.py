"""Which answers somebody watches, and how this process learns that they grew.

Chunks that this process writes are shown as soon as they are in the log. Of all others dbapi tells, through one stream
of events for the whole process; what grew is then read from the log in one request. Once a second everything is asked
for again, in case a wake-up was lost.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

from web.clients.dbapi import Dbapi
from web.errors import Failure
from web.generation.log_writer import Chunk
from web.live.answer import FINAL, Live

POLL_SECONDS = 1.0
RETRY_SECONDS = 0.25

logger = logging.getLogger("web.watch")


class Watch:
    def __init__(self, dbapi: Dbapi, notice: Callable[[], str]) -> None:
        self._dbapi, self._notice = dbapi, notice
        self._lives: dict[str, Live] = {}
        self._by_message: dict[str, Live] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._leaving = False

    @property
    def viewers(self) -> int:
        return sum(live.viewers for live in self._lives.values())

    @contextlib.asynccontextmanager
    async def open(self, session: UUID, chat_id: UUID, message: dict[str, Any]) -> AsyncIterator[Live]:
        """The live answer of this message, for as long as somebody watches it."""
        generation_id = message["generation_id"]
        live = self._lives.get(generation_id)
        if live is None or live.status in FINAL:  # it was reopened, while a slow viewer still takes its first end
            live = self._begin(session, chat_id, message)
            self._look_at(generation_id)
        live.viewers += 1
        if self._leaving:
            live.leave()
        try:
            yield live
        finally:
            live.viewers -= 1
            self._end(live)

    def message(self, session: UUID, chat_id: UUID, message_id: UUID) -> dict[str, Any] | None:
        """The message as it is known here, if its answer is running, and written or watched in this process."""
        live = self._by_message.get(str(message_id))
        known = live.message if live and live.status not in FINAL else {}
        return known if (known.get("session"), known.get("chat_id")) == (session, chat_id) else None

    def _begin(self, session: UUID, chat_id: UUID, message: dict[str, Any]) -> Live:
        live = Live(message["generation_id"], message | {"session": session, "chat_id": chat_id})
        self._lives[live.id] = self._by_message[message["id"]] = live
        return live

    def _end(self, live: Live) -> None:
        """Nobody needs it any more."""
        if not live.viewers and not live.is_written_here and self._lives.get(live.id) is live:
            del self._lives[live.id], self._by_message[live.message["id"]]

    # What this process writes itself, it need not read

    def written(self, session: UUID, chat_id: UUID, message: dict[str, Any]) -> None:
        """This process writes an answer from its first word on."""
        if message["generation_id"] in self._lives:
            return
        live = self._begin(session, chat_id, message)
        live.is_written_here = True
        live.set_state(message["status"], None, self._notice())
        live.set_loaded()

    def finished(self, generation_id: str, last_seq: int, end: dict[str, Any]) -> None:
        """This process has finished an answer, whose log ends there."""
        live = self._lives.get(generation_id)
        if live and live.is_loaded and live.last_seq == last_seq:
            live.finish(live.message | end | {"content": live.text, "reasoning": live.reasoning})
        self.left(generation_id)

    def left(self, generation_id: str) -> None:
        """This process writes an answer no more, finished or not."""
        if live := self._lives.get(generation_id):
            live.is_written_here = False
            if live.status not in FINAL:
                self._look_at(generation_id)
            self._end(live)

    def leave(self) -> None:
        """This process ends: whoever watches shall go on elsewhere."""
        self._leaving = True
        for live in self._lives.values():
            live.leave()

    def appended(self, generation_id: str, chunk: Chunk) -> None:
        """This process has written a chunk."""
        live = self._lives.get(generation_id)
        if live and live.is_loaded:
            if live.is_written_here and live.notice:
                live.set_state(live.status, None, "")
            if chunk.fence != live.fence and live.last_seq:
                self._look_at(generation_id)  # somebody else wrote before: see whether it is still there
            elif not live.extend(chunk.seq, chunk.fence, chunk.kind, chunk.text) or live.status == "queued":
                self._look_at(generation_id)

    def changed(self, changed: dict[str, str]) -> None:
        """dbapi tells: id -> "seq", or "seq:status"."""
        for generation_id, what in changed.items():
            live = self._lives.get(generation_id)
            if live and live.status not in FINAL:
                seq, _, status = what.partition(":")
                if status or not seq.isdecimal() or int(seq) > live.last_seq:
                    self._look_at(generation_id)

    def all_changed(self) -> None:
        """Wake-ups may have been lost, or the model server changed its state."""
        for live in self._lives.values():
            if live.is_written_here and not live.text and not live.reasoning:
                live.set_state(live.status, None, self._notice())
        self._dirty.update(self._read_by_us())
        self._wake.set()

    def _read_by_us(self) -> list[str]:
        return [generation_id for generation_id, live in self._lives.items() if not live.is_written_here]

    def _look_at(self, generation_id: str) -> None:
        self._dirty.add(generation_id)
        self._wake.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._dirty.update(self._read_by_us())
            self._wake.clear()
            ids, self._dirty = self._dirty & self._lives.keys(), set()
            try:
                if ids:
                    await self._read([self._lives[generation_id] for generation_id in ids])
            except Failure:
                self._dirty |= ids
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                logger.exception("reading the log failed")
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, lives: list[Live]) -> None:
        log = await self._dbapi.read([(live.id, live.last_seq) for live in lives])
        chunks: dict[str, list[tuple[int, int, int, str]]] = {}
        for generation_id, *chunk in log["chunks"]:
            chunks.setdefault(generation_id, []).append(tuple(chunk))
        states = {state["id"]: state for state in log["states"]}
        await asyncio.gather(*(self._bring_up_to_date(live, states.get(live.id), chunks.get(live.id, [])) for live in lives))

    async def _bring_up_to_date(self, live: Live, state: dict[str, Any] | None, chunks: list[tuple[int, int, int, str]]) -> None:
        if state is None:  # deleted while it was watched
            live.finish(live.message | {"status": "stopped", "content": live.text, "reasoning": live.reasoning})
            live.set_loaded()
            return
        if live.last_seq and state["fence"] != live.fence and state["status"] not in FINAL:
            whole = await self._dbapi.read([(live.id, 0)])
            live.replace([tuple(chunk[1:]) for chunk in whole["chunks"]])
            live.fence = state["fence"]
        else:
            for chunk in chunks:
                live.extend(*chunk)
        if state["status"] in FINAL:
            message = live.message
            with contextlib.suppress(Failure):
                live.finish(message | await self._dbapi.message(message["session"], message["chat_id"], UUID(message["id"])))
        else:
            live.set_state(state["status"], state["place"], "" if live.text or live.reasoning else self._notice())
        live.set_loaded()
