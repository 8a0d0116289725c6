"""Writing to the generation log: one append for all answers of this process, at most every flush_seconds.

A chunk is in the log before anybody sees it. The compare-and-swap in the database refuses what is not the next chunk
of an answer whose fence we hold, so a lost reply can be asked again and a process that slept too long can do no harm.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from web.clients.dbapi import Dbapi
from web.errors import Failure, Refused

CONTENT, REASONING, ANEW = 0, 1, 2  # kinds of chunks; ANEW: what came before is void
RETRY_SECONDS = 0.25
KEEP_SECONDS = 10.0  # a crashed PostgreSQL may have lost the last second of appends: we still know them
FEW = 4  # answers; with more, each would cut the others' pauses short
SLOW_COMMIT_SECONDS, SLOWEST_FLUSH_SECONDS = 0.02, 0.1

logger = logging.getLogger("web.log")


class Chunk(NamedTuple):
    seq: int
    fence: int
    kind: int
    text: str
    offset: int
    at: float  # time.monotonic()


class Fenced(Exception):
    """Somebody else writes this answer now, or it has ended."""


class Entry:
    """One answer that this process writes."""

    def __init__(self, generation_id: str, fence: int, last_seq: int) -> None:
        self.id, self.fence, self.last_seq = generation_id, fence, last_seq
        self.deleted = False  # with its chat
        self.stop_requested = asyncio.Event()
        self.fenced = asyncio.Event()
        self._pending: deque[tuple[int, str, int]] = deque()
        self._in_flight: Chunk | None = None
        self._recent: deque[Chunk] = deque()
        self._settled = asyncio.Event()
        self.renewed_at = time.monotonic()

    def add(self, kind: int, text: str, offset: int) -> None:
        if self._pending and self._pending[-1][0] == kind:
            text = self._pending.pop()[1] + text
        self._pending.append((kind, text, offset))
        self._settled.clear()

    @property
    def has_text(self) -> bool:
        return self._in_flight is not None or bool(self._pending)

    def next_chunk(self) -> Chunk | None:
        """What to append now; the same again until it is known to be in the log."""
        if self._in_flight is None and self._pending:
            kind, text, offset = self._pending.popleft()
            self._in_flight = Chunk(self.last_seq + 1, self.fence, kind, text, offset, time.monotonic())
        return self._in_flight

    def appended(self) -> Chunk | None:
        """The chunk in flight is in the log."""
        chunk, self._in_flight = self._in_flight, None
        self.renewed_at = time.monotonic()
        if chunk:
            self.last_seq = chunk.seq
            self._recent.append(chunk)
            while self._recent[0].at < chunk.at - KEEP_SECONDS:
                self._recent.popleft()
        if not self._pending:
            self._settled.set()
        return chunk

    def missing_since(self, last_seq: int) -> list[Chunk] | None:
        """Chunks that the database has lost, to be appended again; None if we don't have them any more."""
        lost = [chunk for chunk in self._recent if chunk.seq > last_seq]
        return lost if not lost or lost[0].seq == last_seq + 1 else None

    async def settled(self) -> None:
        """Waits until all text is in the log. Raises Fenced."""
        while self.has_text:
            waits = [asyncio.ensure_future(event.wait()) for event in (self._settled, self.fenced)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if self.fenced.is_set():
                raise Fenced


class Log:
    def __init__(self, dbapi: Dbapi, lease: float, renew: float, flush: float, on_appended: Callable[[str, Chunk], None]) -> None:
        self._dbapi, self._lease, self._renew, self._flush = dbapi, lease, renew, flush
        self._on_appended = on_appended
        self._entries: dict[str, Entry] = {}
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._commit_seconds = 0.0

    def open(self, generation_id: str, fence: int, last_seq: int) -> Entry:
        """Begins to write. Whoever wrote this answer here before has slept through its lease."""
        if earlier := self._entries.get(generation_id):
            earlier.fenced.set()
        entry = self._entries[generation_id] = Entry(generation_id, fence, last_seq)
        return entry

    def close(self, entry: Entry) -> None:
        if self._entries.get(entry.id) is entry:
            del self._entries[entry.id]

    def write(self, entry: Entry, kind: int, text: str, offset: int) -> None:
        """Text for the next append, which is now if these are an answer's first words and the database is fast. Never waits: what
        is pending is bounded by the longest answer."""
        if not (entry.last_seq or entry.has_text or self._is_slow):
            self._hurry.set()
        entry.add(kind, text, offset)
        self._wake.set()

    async def settle(self, entry: Entry) -> None:
        """All text of an answer that has ended into the log: now, where few are written. Raises Fenced."""
        if len(self._entries) <= FEW:
            self._hurry.set()
        await entry.settled()

    def writes(self, generation_id: str) -> bool:
        """Whether this process writes the answer, as far as it knows."""
        entry = self._entries.get(generation_id)
        return entry is not None and not entry.fenced.is_set()

    def held(self) -> list[tuple[str, int]]:
        return [(entry.id, entry.fence) for entry in self._entries.values() if not entry.fenced.is_set()]

    def ask_to_stop(self, generation_id: str) -> None:
        if entry := self._entries.get(generation_id):
            entry.stop_requested.set()

    async def run(self) -> None:
        """Appends for ever: at once after a pause or in a hurry, else every flush_seconds."""
        while True:
            try:
                async with asyncio.timeout(self._renew / 2):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            self._hurry.clear()
            began = time.monotonic()
            try:
                await self._append()
            except Failure:
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()
            except Exception:
                logger.exception("append failed")
                await asyncio.sleep(RETRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, began + self._pause() - time.monotonic())):
                    await self._hurry.wait()

    @property
    def _is_slow(self) -> bool:
        return self._commit_seconds > SLOW_COMMIT_SECONDS

    def _pause(self) -> float:
        if not (self._is_slow and self._flush):
            return self._flush
        return min(max(3 * self._commit_seconds, self._flush), SLOWEST_FLUSH_SECONDS)

    async def _append(self) -> None:
        now = time.monotonic()
        batch: list[tuple[Entry, Chunk | None]] = []
        for entry in self._entries.values():
            if not entry.fenced.is_set() and (entry.has_text or now - entry.renewed_at >= self._renew):
                batch.append((entry, entry.next_chunk()))
        if not batch:
            return
        rows: list[tuple[object, ...]] = [
            (entry.id, entry.fence, chunk.seq, chunk.kind, chunk.text, chunk.offset)
            if chunk
            else (entry.id, entry.fence, None, CONTENT, "", None)
            for entry, chunk in batch
        ]
        try:
            ok, stop = await self._dbapi.append(rows, self._lease)
        except Refused:
            await self._append_apart(batch, rows)
            return
        self._commit_seconds = 0.8 * self._commit_seconds + 0.2 * (time.monotonic() - now)
        for entry, chunk in batch:
            if entry.id in stop:
                entry.stop_requested.set()
            if entry.id in ok:
                entry.appended()
                if chunk:
                    self._on_appended(entry.id, chunk)
        refused = [(entry, chunk) for entry, chunk in batch if entry.id not in ok]
        if refused:
            await self._settle(refused)
        if any(entry.has_text for entry in self._entries.values()):
            self._wake.set()

    async def _append_apart(self, batch: list[tuple[Entry, Chunk | None]], rows: list[tuple[object, ...]]) -> None:
        """Something in this batch can't be stored: the others shall not suffer from it."""
        for (entry, chunk), row in zip(batch, rows, strict=True):
            try:
                ok, _ = await self._dbapi.append([row], self._lease)
            except Refused:
                logger.error("a chunk of answer %s cannot be stored", entry.id)
                entry.fenced.set()
                continue
            if entry.id in ok:
                entry.appended()
                if chunk:
                    self._on_appended(entry.id, chunk)

    async def _settle(self, refused: list[tuple[Entry, Chunk | None]]) -> None:
        """Why an append was refused: it was there already, PostgreSQL has lost some, or we are fenced off."""
        state = await self._dbapi.read([(entry.id, max(0, entry.last_seq)) for entry, _ in refused])
        states = {row["id"]: row for row in state["states"]}
        written = {(chunk[0], chunk[1]): chunk[2] for chunk in state["chunks"]}
        for entry, chunk in refused:
            row = states.get(entry.id)
            entry.deleted = row is None
            if row is None or row["fence"] != entry.fence or row["status"] != "streaming":
                entry.fenced.set()
            elif chunk and written.get((entry.id, chunk.seq)) == entry.fence:
                entry.appended()
                self._on_appended(entry.id, chunk)
            elif row["last_seq"] < entry.last_seq:
                await self._restore(entry, row["last_seq"])

    async def _restore(self, entry: Entry, last_seq: int) -> None:
        """Appends again what a crash of PostgreSQL took from the end: the same chunks, so no viewer is wrong."""
        missing = entry.missing_since(last_seq)
        if missing is None:
            entry.fenced.set()
            return
        for chunk in missing:
            row = (entry.id, entry.fence, chunk.seq, chunk.kind, chunk.text, chunk.offset)
            ok, _ = await self._dbapi.append([row], self._lease)
            if entry.id not in ok:
                return  # the next round asks again
