"""The connections to PostgreSQL. SQLAlchemy and asyncpg have a pool each; this is the only file that uses both.

A transaction sees the rows of one session only: `app.session_id` is set for it, and the row-level security policies
read that setting.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import text
from sqlalchemy.event import listen
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from dbapi.errors import NotFound, TooMany

CONNECT_SECONDS = 3.0
POOL_WAIT_SECONDS = 2.5
LIMITS = {  # milliseconds; within a caller's timeout, a request gets a response or a refusal
    "statement_timeout": "5000",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "15000",
}
SERVER_SETTINGS = {"application_name": "runnel-dbapi", **LIMITS}
# Every statement of asyncpg's pool is a key lookup. On new tables without statistics the planner picks sequential
# scans, so we forbid them.
KEY_LOOKUP_SETTINGS = {"enable_seqscan": "off", "random_page_cost": "1.1", "jit": "off"}

SET_SESSION = text("SELECT set_config('app.session_id', :session_id, true)")
SET_TOKEN = text("SELECT set_config('app.token_hash', :token_hash, true)")
BEGIN_WRITE = text("SELECT begin_write(:session_id, :max_writes)")
BEGIN_TURN = "SELECT $1::uuid AS session_id, begin_write($1, $2) AS seconds"
BEGIN_TURN_OF_DEVICE = """
SELECT session_id, begin_write(session_id, $2) AS seconds FROM devices WHERE token_hash = $1 AND revoked_at IS NULL
"""


async def connect(url: str) -> asyncpg.Connection:
    """A single connection, for a pool or for listening."""
    return await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=SERVER_SETTINGS)


class Database:
    def __init__(self, url: str, pool_size: int, writes_per_session: int = 0) -> None:
        self.url, self._max_writes = url, writes_per_session
        sqlalchemy_size = max(1, pool_size // 2)  # 0 would be no limit
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: connect(url),
            pool_size=sqlalchemy_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            hide_parameters=True,
        )
        listen(self._engine.sync_engine, "checkout", _refuse_closed)
        self._searches = asyncio.Semaphore(max(1, sqlalchemy_size // 2))
        self._asyncpg_size = max(1, pool_size - sqlalchemy_size)
        self._asyncpg_pool: asyncpg.Pool | None = None
        self._turns = asyncio.Semaphore(max(1, self._asyncpg_size // 2))

    # With SQLAlchemy

    @asynccontextmanager
    async def session(self, session_id: UUID) -> AsyncIterator[AsyncSession]:
        """A transaction that sees the rows of this session."""
        async with AsyncSession(self._engine, expire_on_commit=False) as db, db.begin():
            await db.execute(SET_SESSION, {"session_id": str(session_id)})
            yield db

    @asynccontextmanager
    async def search(self, session_id: UUID) -> AsyncIterator[AsyncSession]:
        """Like `session`. Searches never take all connections: pages need some."""
        async with asyncio.timeout(POOL_WAIT_SECONDS):
            await self._searches.acquire()
        try:
            async with self.session(session_id) as db:
                yield db
        finally:
            self._searches.release()

    @asynccontextmanager
    async def write(self, session_id: UUID) -> AsyncIterator[AsyncSession]:
        """Like `session`, and counts as a write of the session. Raises TooMany."""
        async with AsyncSession(self._engine, expire_on_commit=False) as db, db.begin():
            values = {"session_id": session_id, "max_writes": self._max_writes}
            _check_write_limit(await db.scalar(BEGIN_WRITE, values))
            yield db

    @asynccontextmanager
    async def device(self, token_hash: bytes) -> AsyncIterator[AsyncSession]:
        """A transaction that sees the device or the link with this token, and with it the session's id."""
        async with AsyncSession(self._engine, expire_on_commit=False) as db, db.begin():
            await db.execute(SET_TOKEN, {"token_hash": token_hash.hex()})
            yield db

    # With asyncpg

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection without a transaction, for the log's functions: each is a transaction of its own."""
        if self._asyncpg_pool is None:
            self._asyncpg_pool = asyncpg.create_pool(
                self.url,
                min_size=0,
                max_size=self._asyncpg_size,
                timeout=CONNECT_SECONDS,
                server_settings=SERVER_SETTINGS | KEY_LOOKUP_SETTINGS,
                init=_use_orjson,
                reset=_skip_reset,
            )
            await self._asyncpg_pool  # opens no connection yet and does not yield to other tasks
        async with self._asyncpg_pool.acquire(timeout=POOL_WAIT_SECONDS) as connection:
            yield connection

    def read_turns(self, session_id: UUID) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """A transaction that sees the rows of this session."""
        return self._transaction("app.session_id", str(session_id))

    @asynccontextmanager
    async def write_turn(
        self, session_id: UUID | None, token_hash: bytes = b""
    ) -> AsyncIterator[tuple[asyncpg.Connection, UUID]]:
        """Like `read_turns`, and counts as a write of the session. Yields the connection and the session's id.

        Without a session id, it is the session that the token opens. Raises NotFound, TooMany.

        Writers of one session or chat wait for each other. They never take all connections: the log always needs some.
        """
        async with asyncio.timeout(POOL_WAIT_SECONDS):
            await self._turns.acquire()
        try:
            token = token_hash.hex()
            setting = ("app.session_id", str(session_id)) if session_id else ("app.token_hash", token)
            async with self._transaction(*setting) as connection:
                begin = (BEGIN_TURN, session_id) if session_id else (BEGIN_TURN_OF_DEVICE, token_hash)
                row = await connection.fetchrow(*begin, self._max_writes)
                if row is None:
                    raise NotFound
                _check_write_limit(row["seconds"])
                yield connection, row["session_id"]
        finally:
            self._turns.release()

    @asynccontextmanager
    async def _transaction(self, name: str, value: str) -> AsyncIterator[asyncpg.Connection]:
        """Sets the setting until the transaction ends. The value is a UUID or hexadecimal, so it needs no quoting."""
        async with self.connection() as connection:
            try:
                await connection.execute(f"BEGIN; SELECT set_config('{name}', '{value}', true)")
                yield connection
                await connection.execute("COMMIT")
            except BaseException:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await connection.execute("ROLLBACK")
                raise

    async def close(self) -> None:
        await self._engine.dispose()
        if self._asyncpg_pool is not None:
            await self._asyncpg_pool.close()


def _check_write_limit(seconds: float | None) -> None:
    """`begin_write` returns the seconds to wait, or NULL if the session may write. Raises TooMany."""
    if seconds is not None:
        raise TooMany("You have sent a lot in the last minute.", seconds)


def _refuse_closed(connection: Any, record: Any, proxy: Any) -> None:
    """After a restart of PostgreSQL the pool must open a new connection. asyncio knows the state without a query."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


async def _use_orjson(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads, schema="pg_catalog"
    )


async def _skip_reset(connection: asyncpg.Connection) -> None:
    """Skips asyncpg's RESET ALL: every setting ends with its transaction."""
