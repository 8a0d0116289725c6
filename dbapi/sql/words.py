"""Stores the words of messages of all sessions, with asyncpg only. The function is in PostgreSQL: alembic/schema.sql.

`connection` is from `Database.connection`.
"""

import asyncpg


async def fill(connection: asyncpg.Connection, most: int) -> int | None:
    """Stores the missing words of the next `most` messages.

    Returns how many messages it looked at: 0 if another process is at it, None if there are no more.
    """
    looked_at: int | None = await connection.fetchval("SELECT fill_words($1)", most)
    return looked_at
