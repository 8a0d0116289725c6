"""One listening connection to PostgreSQL, fanned out to every process that watches the log.

A notification is a wake-up and no more: the log is the truth. Whoever may have missed one is told so.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dbapi.database import Database, connect
from dbapi.sql import log
from kit.logs import event

HEARTBEAT_SECONDS = 5.0
CHECK_SECONDS = 10.0
CHECK_TIMEOUT_SECONDS = 5.0
RECONNECT_SECONDS = 0.5
LONGEST_LEASE_SECONDS = 3600.0
SILENCE_SECONDS = 1.2  # longer than a living process takes to renew its leases

logger = logging.getLogger("dbapi.events")


class Subscriber:
    """What one watcher has not been told yet: bounded by the number of answers, however slow it reads."""

    def __init__(self, owner: str = "") -> None:
        self.owner = owner
        self.changed: dict[str, str] = {}
        self.signed_out: list[str] = []
        self.work = self.lost = False
        self.woken = asyncio.Event()

    def take(self) -> bytes:
        line: dict[str, Any] = {}
        if self.changed:
            line["log"], self.changed = self.changed, {}
        if self.signed_out:
            line["signed_out"], self.signed_out = self.signed_out, []
        for flag in ("work", "lost"):
            if getattr(self, flag):
                line[flag] = True
                setattr(self, flag, False)
        self.woken.clear()
        return orjson.dumps(line) + b"\n"


class Listener:
    def __init__(self, url: str) -> None:
        self._url = url
        self._subscribers: set[Subscriber] = set()

    async def run(self) -> None:
        """Listens for ever, and again after every loss."""
        while True:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._listen()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await connect(self._url)
        gone = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: gone.set())
            await connection.add_listener("runnel_log", self._on_log)
            await connection.add_listener("runnel_work", self._on_work)
            await connection.add_listener("runnel_devices", self._on_signed_out)
            self._tell(lost=True)
            while not gone.is_set():
                # A connection that is half open says nothing: ask it.
                await asyncio.wait_for(connection.execute("SELECT 1"), CHECK_TIMEOUT_SECONDS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(gone.wait(), CHECK_SECONDS)
        finally:
            connection.terminate()
            logger.warning("the listening connection was lost")

    def _on_log(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        """Of an append, which begins with its writer, that one hears from the reply."""
        writer, *_ = parts = payload.split(",")
        changed = dict(part.split(":", 1) for part in parts if ":" in part)
        for subscriber in self._subscribers:
            if not subscriber.owner or subscriber.owner != writer:
                subscriber.changed.update(changed)
                subscriber.woken.set()

    def _on_work(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        self._tell(work=True)

    def _on_signed_out(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        for subscriber in self._subscribers:
            subscriber.signed_out.append(payload)
            subscriber.woken.set()

    def _tell(self, work: bool = False, lost: bool = False) -> None:
        for subscriber in self._subscribers:
            subscriber.work |= work
            subscriber.lost |= lost
            subscriber.woken.set()

    async def lines(self, owner: str, draining: asyncio.Event, on_gone: Callable[[], None]) -> AsyncIterator[bytes]:
        """NDJSON: `log` (id: "seq" or "seq:status", but not what `owner` appends itself), `signed_out` (hashes of devices' tokens),
        `work` (something may be claimed), `lost` (look at everything); {} is a heartbeat."""
        subscriber = Subscriber(owner)
        subscriber.lost = True
        self._subscribers.add(subscriber)
        try:
            yield subscriber.take()
            while not draining.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(_first(subscriber.woken, draining), HEARTBEAT_SECONDS)
                yield subscriber.take()
        finally:
            self._subscribers.discard(subscriber)
            if not draining.is_set():
                on_gone()


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class Undertaker:
    """Ends the leases of processes whose connection broke, if they have renewed none of them a moment later."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks: set[asyncio.Task[None]] = set()

    def look_after(self, owner: str, lease: float) -> None:
        task = asyncio.create_task(self._expire(owner, lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self, owner: str, lease: float) -> None:
        await asyncio.sleep(SILENCE_SECONDS)
        with contextlib.suppress(Exception):  # its leases end by themselves, only later
            async with self._database.log() as door:
                expired = await log.expire(door, owner, lease, SILENCE_SECONDS)
            event(logger, "a watcher is gone", owner=owner, expired=expired)


async def index(request: Request) -> Response:
    """The stream of wake-ups, one per watching process. One that writes answers says who it is: `owner` and `lease` (seconds)."""
    owner, lease = request.query_params.get("owner", ""), _seconds(request.query_params.get("lease", ""))

    def gone() -> None:
        if owner and lease:
            request.state["undertaker"].look_after(owner, lease)

    lines = request.state["listener"].lines(owner, request.state["draining"], gone)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds <= LONGEST_LEASE_SECONDS else 0.0
