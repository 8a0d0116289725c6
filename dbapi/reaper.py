"""Ends the leases of processes that died, so that other processes continue their answers early."""

import asyncio
import contextlib
import logging

from dbapi.sql import log
from dbapi.sql.connection import Database
from kit.logs import event

SILENCE_SECONDS = 1.2  # longer than a living process takes to renew its leases

logger = logging.getLogger("dbapi.events")


class LeaseReaper:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks: set[asyncio.Task[None]] = set()

    def schedule(self, owner: str, lease: float) -> None:
        """Call this when a process's connection breaks. If it renews no lease for SILENCE_SECONDS, its leases end."""
        task = asyncio.create_task(self._expire(owner, lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self, owner: str, lease: float) -> None:
        await asyncio.sleep(SILENCE_SECONDS)
        with contextlib.suppress(Exception):  # the leases end by themselves, only later
            async with self._database.connection() as connection:
                expired = await log.expire(connection, owner, lease, SILENCE_SECONDS)
            event(logger, "a process disconnected", owner=owner, expired=expired)
