"""One listening connection to PostgreSQL, whose notifications go to every subscribed process.

A notification only wakes its subscribers: the log holds the data. After a loss of the connection, `lost` notifies them
that they may have missed one.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import orjson

from dbapi.sql.connection import connect

HEARTBEAT_SECONDS = 5.0
CHECK_SECONDS = 10.0
CHECK_TIMEOUT_SECONDS = 5.0
RECONNECT_SECONDS = 0.5
MAX_CHATS = 10_000  # that a slow subscriber may have to hear of; with more, it reads everything again

logger = logging.getLogger("dbapi.events")


class Subscriber:
    """The notifications that one subscriber has not received yet: at most one for each answer, MAX_CHATS for chats."""

    def __init__(self, owner: str = "") -> None:
        self.owner = owner
        self.changed: dict[str, str] = {}
        self.chats: dict[str, tuple[str, int | None]] = {}  # by chat: its session, and its revision if that has changed
        self.signed_out: list[str] = []
        self.work = self.lost = False
        self.woken = asyncio.Event()

    def take(self) -> bytes:
        """The pending notifications as one line of JSON."""
        line: dict[str, Any] = {}
        if self.changed:
            line["log"], self.changed = self.changed, {}
        if self.chats:
            line["chats"] = [(session, chat, revision) for chat, (session, revision) in self.chats.items()]
            self.chats = {}
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
        """Listens forever and reconnects after each loss."""
        reported = ""
        while True:
            try:
                await self._listen()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if type(error).__name__ != reported:  # once for each reason, not at each attempt
                    reported = type(error).__name__
                    logger.warning("cannot listen to PostgreSQL: %s", reported)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await connect(self._url)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener("runnel_log", self._on_log)
            await connection.add_listener("runnel_work", self._on_work)
            await connection.add_listener("runnel_chats", self._on_chat)
            await connection.add_listener("runnel_devices", self._on_signed_out)
            self._wake_all(lost=True)
            while not lost.is_set():
                # Only a query detects a half-open connection.
                await asyncio.wait_for(connection.execute("SELECT 1"), CHECK_TIMEOUT_SECONDS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), CHECK_SECONDS)
        finally:
            connection.terminate()
            logger.warning("the listening connection was lost")

    def _on_log(self, connection: asyncpg.Connection, pid: int, channel: str, payload: str) -> None:
        """Skips the subscriber's own appends: their responses report them.

        The payload of an append starts with the writer's id; those of a stop and of an end have none.
        """
        writer, *_ = parts = payload.split(",")
        changed = dict(part.split(":", 1) for part in parts if ":" in part)
        for subscriber in self._subscribers:
            if not subscriber.owner or subscriber.owner != writer:
                subscriber.changed.update(changed)
                subscriber.woken.set()

    def _on_work(self, connection: asyncpg.Connection, pid: int, channel: str, payload: str) -> None:
        self._wake_all(work=True)

    def _on_chat(self, connection: asyncpg.Connection, pid: int, channel: str, payload: str) -> None:
        session, chat, revision = payload.split(":")
        for subscriber in self._subscribers:
            _, earlier = subscriber.chats.get(chat, (session, None))
            subscriber.chats[chat] = session, int(revision) if revision else earlier
            if len(subscriber.chats) > MAX_CHATS:
                subscriber.chats, subscriber.lost = {}, True
            subscriber.woken.set()

    def _on_signed_out(self, connection: asyncpg.Connection, pid: int, channel: str, payload: str) -> None:
        for subscriber in self._subscribers:
            subscriber.signed_out.append(payload)
            subscriber.woken.set()

    def _wake_all(self, work: bool = False, lost: bool = False) -> None:
        for subscriber in self._subscribers:
            subscriber.work |= work
            subscriber.lost |= lost
            subscriber.woken.set()

    async def lines(self, owner: str, draining: asyncio.Event, on_lost: Callable[[], None]) -> AsyncIterator[bytes]:
        """Lines of JSON, see schemas.generations.Notification. Calls `on_lost` when the subscriber disconnects."""
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
                on_lost()


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
