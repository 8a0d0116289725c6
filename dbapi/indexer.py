"""Makes messages searchable that were stored before there was a search, or come from a backup.

The words of new messages are stored with them, by a trigger.
"""

import asyncio
import logging
import time

from dbapi.sql import words
from dbapi.sql.connection import Database
from kit.logs import event

MAX_MESSAGES = 1000  # at once
FIRST_MESSAGES = 50
BATCH_SECONDS = 0.3  # a user who deletes one of these messages waits as long
RETRY_SECONDS = 2.0

logger = logging.getLogger("dbapi")


async def run(database: Database) -> None:
    """Ends when all messages are searchable. Of several processes, one works at a time, and half of the time."""
    size, total, reported = FIRST_MESSAGES, 0, ""
    while True:
        started = time.monotonic()
        try:
            async with database.connection() as connection:
                count = await words.fill(connection, size)
        except Exception as error:  # no database, no such table yet, or a batch that was too large
            if type(error).__name__ != reported:
                reported = type(error).__name__
                logger.warning("indexing failed: %s", reported)
            size = max(1, size // 2)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if count is None:
            break
        seconds = time.monotonic() - started
        total += count
        size = next_size(size, seconds)
        await asyncio.sleep(seconds if count else BATCH_SECONDS)
    if total:
        event(logger, "all messages are searchable", messages=total)


def next_size(size: int, seconds: float) -> int:
    return max(1, min(MAX_MESSAGES, 2 * size, round(size * BATCH_SECONDS / max(seconds, 0.001))))
