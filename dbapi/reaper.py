"""Ends the leases of processes that died, so that other processes continue their answers early."""

import asyncio
import contextlib
import logging

from dbapi.sql import log
from dbapi.sql.connection import Database
from kit.logs import event

DEFAULT_SILENCE_SECONDS = 1.2  # of a process that does not say how often it renews its leases

logger = logging.getLogger("dbapi.events")


class LeaseReaper:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks: set[asyncio.Task[None]] = set()

    def schedule(self, owner: str, lease: float, silence: float) -> None:
        """Call this when a process's connection breaks. Its leases that it does not renew for `silence` seconds end."""
        task = asyncio.create_task(self._expire(owner, lease, silence))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self, owner: str, lease: float, silence: float) -> None:
        await asyncio.sleep(silence)
        with contextlib.suppress(Exception):  # the leases end by themselves, only later
            async with self._database.connection() as connection:
                expired = await log.expire(connection, owner, lease, silence)
            event(logger, "a process disconnected", owner=owner, expired=expired)
