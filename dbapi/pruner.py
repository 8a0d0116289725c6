"""Removes what is no longer needed: logs of finished answers, deleted and temporary chats, and sessions that nobody can
open."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg

from dbapi.sql import purge
from dbapi.sql.connection import Database

EVERY_SECONDS = 60.0
SESSIONS_EVERY = 10  # rounds: it reads the devices of every session

logger = logging.getLogger("dbapi")


async def run(database: Database, session_days: int, temporary_chat_hours: int) -> None:
    """Starts with everything that became due while no process ran."""
    number = 0
    while True:
        try:
            lifetime = timedelta(days=session_days) if number % SESSIONS_EVERY == 0 else None
            await prune(database, lifetime, timedelta(hours=temporary_chat_hours))
        except Exception as error:  # the next round tries again
            logger.warning("pruning failed: %s", type(error).__name__)
        number += 1
        await asyncio.sleep(EVERY_SECONDS)


async def prune(
    database: Database, cookie_lifetime: timedelta | None, temporary_lifetime: timedelta = timedelta(days=1)
) -> None:
    """With the lifetime of a session's cookie, also removes sessions that nobody can open.

    `temporary_lifetime` is that of a temporary chat after its last use.
    """
    steps: list[Callable[[asyncpg.Connection], Awaitable[None]]] = [
        purge.logs,
        purge.deleted_chats,
        lambda connection: purge.temporary_chats(connection, temporary_lifetime),
    ]
    if cookie_lifetime:
        steps.append(lambda connection: purge.closed_sessions(connection, cookie_lifetime))
    errors = []
    for step in steps:
        try:
            async with database.connection() as connection:
                await step(connection)
        except Exception as error:  # the other steps do not depend on it
            errors.append(error)
    if errors:
        raise errors[0]
