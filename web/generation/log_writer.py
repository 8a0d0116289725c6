"""Appends to the generation log: one request for all answers of this process, at most every flush interval.

A chunk is in the log before any viewer receives it. The database compares fencing token and last seq of each row,
and refuses a row that is not the next chunk of an answer whose lease this process holds. So a lost response can be
retried, and a process that was suspended beyond its lease does no harm.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from web.clients.dbapi import Dbapi
from web.contract import CONTENT, AppendRow, Chunk
from web.errors import Refused, UserError
from web.settings import Settings

RETRY_SECONDS = 0.25
KEEP_SECONDS = 10.0  # a crash of PostgreSQL may lose the appends of the last second; this process still has them
FEW_ANSWERS = 4  # with more, each would shorten the pauses of the others
SLOW_COMMIT_SECONDS, MAX_FLUSH_SECONDS = 0.02, 0.1

logger = logging.getLogger("web.log")


class LeaseLost(Exception):
    """Another process writes this answer now, or it has ended."""


class PendingChunk(NamedTuple):
    chunk: Chunk
    offset: int  # in the model server's stream, after this chunk
    created_at: float  # time.monotonic()


class Entry:
    """The log of one answer that this process writes."""

    def __init__(self, generation_id: str, fencing_token: int, last_seq: int) -> None:
        self.id, self.fencing_token, self.last_seq = generation_id, fencing_token, last_seq
        self.is_deleted = False  # together with its chat
        self.stop_requested = asyncio.Event()
        self.lease_lost = asyncio.Event()
        self.renewed_at = time.monotonic()
        self._pending: deque[tuple[int, str, int]] = deque()
        self._in_flight: PendingChunk | None = None
        self._recent: deque[PendingChunk] = deque()
        self._flushed = asyncio.Event()

    @property
    def has_text(self) -> bool:
        """Whether text is still to be appended."""
        return self._in_flight is not None or bool(self._pending)

    def add(self, kind: int, text: str, offset: int) -> None:
        if self._pending and self._pending[-1][0] == kind:
            text = self._pending.pop()[1] + text
        self._pending.append((kind, text, offset))
        self._flushed.clear()

    def next_chunk(self) -> PendingChunk | None:
        """The chunk to append now. Returns the same one until the log contains it."""
        if self._in_flight is None and self._pending:
            kind, text, offset = self._pending.popleft()
            chunk = Chunk(self.last_seq + 1, self.fencing_token, kind, text)
            self._in_flight = PendingChunk(chunk, offset, time.monotonic())
        return self._in_flight

    def row(self, pending: PendingChunk | None) -> AppendRow:
        """Without a chunk, the row only renews the lease."""
        if pending is None:
            return self.id, self.fencing_token, None, CONTENT, "", None
        chunk = pending.chunk
        return self.id, self.fencing_token, chunk.seq, chunk.kind, chunk.text, pending.offset

    def appended(self) -> None:
        """The log contains the chunk in flight."""
        pending, self._in_flight = self._in_flight, None
        self.renewed_at = time.monotonic()
        if pending:
            self.last_seq = pending.chunk.seq
            self._recent.append(pending)
            while self._recent[0].created_at < pending.created_at - KEEP_SECONDS:
                self._recent.popleft()
        if not self._pending:
            self._flushed.set()

    def missing_since(self, last_seq: int) -> list[PendingChunk] | None:
        """The chunks that the database has lost, or None if this process no longer has them."""
        lost = [pending for pending in self._recent if pending.chunk.seq > last_seq]
        return lost if not lost or lost[0].chunk.seq == last_seq + 1 else None

    async def wait_flushed(self) -> None:
        """Waits until the log contains all text. Raises LeaseLost."""
        while self.has_text:
            waits = [asyncio.ensure_future(event.wait()) for event in (self._flushed, self.lease_lost)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if self.lease_lost.is_set():
                raise LeaseLost


Batch = Sequence[tuple[Entry, PendingChunk | None]]


class LogWriter:
    def __init__(self, dbapi: Dbapi, settings: Settings, on_appended: Callable[[str, Chunk], None]) -> None:
        """Calls `on_appended` with the generation id of each chunk that the log contains."""
        self._dbapi, self._on_appended = dbapi, on_appended
        self._lease_seconds, self._renew_seconds = settings.lease_seconds, settings.renew_seconds
        self._flush_seconds = settings.flush_seconds
        self._entries: dict[str, Entry] = {}
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._commit_seconds = 0.0  # a moving average

    def open(self, generation_id: str, fencing_token: int, last_seq: int) -> Entry:
        """Starts to write an answer. An earlier entry of the same answer has lost its lease."""
        if earlier := self._entries.get(generation_id):
            earlier.lease_lost.set()
        entry = self._entries[generation_id] = Entry(generation_id, fencing_token, last_seq)
        return entry

    def close(self, entry: Entry) -> None:
        if self._entries.get(entry.id) is entry:
            del self._entries[entry.id]

    def write(self, entry: Entry, kind: int, text: str, offset: int) -> None:
        """Adds text to the next append. The first text of an answer is appended at once if the database is fast.

        Never waits: the maximum length of an answer bounds the pending text.
        """
        if not (entry.last_seq or entry.has_text or self._is_slow):
            self._hurry.set()
        entry.add(kind, text, offset)
        self._wake.set()

    async def flush(self, entry: Entry) -> None:
        """Appends all text of a finished answer, at once if this process writes few answers. Raises LeaseLost."""
        if len(self._entries) <= FEW_ANSWERS:
            self._hurry.set()
        await entry.wait_flushed()

    def writes(self, generation_id: str) -> bool:
        """Whether this process writes the answer, as far as it knows."""
        entry = self._entries.get(generation_id)
        return entry is not None and not entry.lease_lost.is_set()

    def held(self) -> list[tuple[str, int]]:
        """Generation id and fencing token of each answer whose lease this process holds."""
        return [(entry.id, entry.fencing_token) for entry in self._entries.values() if not entry.lease_lost.is_set()]

    def request_stop(self, generation_id: str) -> None:
        if entry := self._entries.get(generation_id):
            entry.stop_requested.set()

    async def run(self) -> None:
        """Appends at once after a pause or in a hurry, else every flush interval.

        It looks twice in RENEW_SECONDS for leases older than half of it, so that no lease gets older.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._renew_seconds / 2):
                    await self._wake.wait()
            self._wake.clear()
            self._hurry.clear()
            started_at = time.monotonic()
            await self._append_or_retry()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, started_at + self._pause() - time.monotonic())):
                    await self._hurry.wait()

    async def _append_or_retry(self) -> None:
        try:
            await self._append()
        except UserError:
            await asyncio.sleep(RETRY_SECONDS)
            self._wake.set()
        except Exception:
            logger.exception("append failed")
            await asyncio.sleep(RETRY_SECONDS)

    @property
    def _is_slow(self) -> bool:
        return self._commit_seconds > SLOW_COMMIT_SECONDS

    def _pause(self) -> float:
        if not (self._is_slow and self._flush_seconds):
            return self._flush_seconds
        return max(min(3 * self._commit_seconds, MAX_FLUSH_SECONDS), self._flush_seconds)

    async def _append(self) -> None:
        started_at = time.monotonic()
        batch = self._batch(started_at)
        if not batch:
            return
        try:
            accepted, stop = await self._dbapi.append(
                [entry.row(pending) for entry, pending in batch], self._lease_seconds
            )
        except Refused:
            await self._append_one_by_one(batch)
            return
        self._commit_seconds = 0.8 * self._commit_seconds + 0.2 * (time.monotonic() - started_at)
        for entry, pending in batch:
            if entry.id in stop:
                entry.stop_requested.set()
            if entry.id in accepted:
                self._appended(entry, pending)
        refused = [(entry, pending) for entry, pending in batch if entry.id not in accepted]
        if refused:
            await self._resolve_refused(refused)
        if any(entry.has_text for entry in self._entries.values()):
            self._wake.set()

    def _batch(self, now: float) -> Batch:
        """The answers with text to append or a lease to renew."""
        return [
            (entry, entry.next_chunk())
            for entry in self._entries.values()
            if not entry.lease_lost.is_set() and (entry.has_text or now - entry.renewed_at >= self._renew_seconds / 2)
        ]

    def _appended(self, entry: Entry, pending: PendingChunk | None) -> None:
        entry.appended()
        if pending:
            self._on_appended(entry.id, pending.chunk)

    async def _append_one_by_one(self, batch: Batch) -> None:
        """The database cannot store one of these chunks. The other answers must not suffer."""
        for entry, pending in batch:
            try:
                accepted, _ = await self._dbapi.append([entry.row(pending)], self._lease_seconds)
            except Refused:
                logger.error("a chunk of answer %s cannot be stored", entry.id)
                entry.lease_lost.set()
                continue
            if entry.id in accepted:
                self._appended(entry, pending)

    async def _resolve_refused(self, refused: Batch) -> None:
        """Finds out why an append was refused: the log contains it already, PostgreSQL lost chunks, or the lease is
        lost."""
        log = await self._dbapi.read([(entry.id, max(0, entry.last_seq)) for entry, _ in refused])
        for entry, pending in refused:
            state = log.states.get(entry.id)
            entry.is_deleted = state is None
            tokens = {chunk.seq: chunk.fencing_token for chunk in log.chunks.get(entry.id, [])}
            if state is None or state["fence"] != entry.fencing_token or state["status"] != "streaming":
                entry.lease_lost.set()
            elif pending and tokens.get(pending.chunk.seq) == entry.fencing_token:
                self._appended(entry, pending)
            elif state["last_seq"] < entry.last_seq:
                await self._restore(entry, state["last_seq"])

    async def _restore(self, entry: Entry, last_seq: int) -> None:
        """Appends again what a crash of PostgreSQL removed from the end.

        The chunks are the same, so no viewer is wrong.
        """
        missing = entry.missing_since(last_seq)
        if missing is None:
            entry.lease_lost.set()
            return
        for pending in missing:
            accepted, _ = await self._dbapi.append([entry.row(pending)], self._lease_seconds)
            if entry.id not in accepted:
                return  # the next round tries again
