"""Removes rows of all sessions, with asyncpg only: few at a time, so that no transaction is long.

The functions are in PostgreSQL, see alembic/schema.sql. `connection` is from `Database.connection`.
"""

from datetime import timedelta

import asyncpg

from dbapi.sql.chats import KEEP_DELETED

KEEP_LEFT = timedelta(minutes=1)  # a temporary chat whose page was left, or is being reloaded

KEEP_LOG = timedelta(minutes=10)  # a viewer who returns later gets the finished message instead
KEEP_CLOSED = timedelta(hours=1)  # after its last device was signed out
SPARE = timedelta(days=2)  # a device's last use is recorded once a day, and clocks may disagree
MAX_LOGS, MAX_CHATS, MAX_SESSIONS = 500, 20, 20


async def logs(connection: asyncpg.Connection) -> None:
    """The text of finished answers is in their messages."""
    while await connection.fetchval("SELECT log_prune($1, $2)", KEEP_LOG, MAX_LOGS):
        pass


async def deleted_chats(connection: asyncpg.Connection) -> None:
    while await connection.fetchval("SELECT purge_chats($1, $2)", KEEP_DELETED, MAX_CHATS) == MAX_CHATS:
        pass


async def temporary_chats(connection: asyncpg.Connection, unused: timedelta) -> None:
    """Those that were left, or not used for this long."""
    while await connection.fetchval(_PURGE_TEMPORARY, KEEP_LEFT, unused, MAX_CHATS) == MAX_CHATS:
        pass


_PURGE_TEMPORARY = "SELECT purge_temporary_chats($1, $2, $3)"


async def closed_sessions(connection: asyncpg.Connection, cookie_lifetime: timedelta) -> None:
    """Sessions whose devices all signed out, or have a cookie that expired."""
    lifetime = cookie_lifetime + SPARE
    while await connection.fetchval(_PURGE_SESSIONS, KEEP_CLOSED, lifetime, MAX_SESSIONS) == MAX_SESSIONS:
        pass


_PURGE_SESSIONS = "SELECT purge_sessions($1, $2, $3)"
