"""Removes the log of answers that finished a while ago: their text is in the messages."""

import asyncio
import logging
from datetime import timedelta

from dbapi.sql import log
from dbapi.sql.connection import Database

EVERY_SECONDS = 60.0
MIN_AGE = timedelta(minutes=10)  # a viewer who returns later gets the finished message instead
MAX_ANSWERS = 500  # at a time, to keep transactions short

logger = logging.getLogger("dbapi")


async def run(database: Database) -> None:
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        try:
            async with database.connection() as connection:
                await log.prune(connection, MIN_AGE, MAX_ANSWERS)
        except Exception as error:  # the next round tries again
            logger.warning("pruning failed: %s", type(error).__name__)
