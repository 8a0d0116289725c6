"""Connections, and the two ways into the database: as one session, or through the log's door."""

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

from dbapi.errors import NotFound, NotReady, TooMany

CONNECT_SECONDS = 3.0
POOL_WAIT_SECONDS = 2.5
LIMITS = {  # milliseconds; a request is answered or refused within a caller's patience
    "statement_timeout": "5000",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "15000",
}
SERVER_SETTINGS = {"application_name": "runnel-dbapi", **LIMITS}
# All that is asked over these connections finds its rows by their keys, in memory. While a table is young PostgreSQL knows
# little of it, and would read all of it for every look at the log.
BY_KEYS = {"enable_seqscan": "off", "random_page_cost": "1.1", "jit": "off"}
REVISION = "0003"  # the oldest schema this code can work with

SET_SESSION = text("SELECT set_config('app.session_id', :session_id, true)")
BEGIN_WRITE = text("SELECT begin_write(:session_id, :most)")
BEGIN_RAW_WRITE = "SELECT $1::uuid AS session_id, begin_write($1, $2) AS seconds"
BEGIN_WRITE_OF_DEVICE = (
    "SELECT session_id, begin_write(session_id, $2) AS seconds FROM devices WHERE token_hash = $1 AND revoked_at IS NULL"
)
SET_TOKEN = text("SELECT set_config('app.token_hash', :token_hash, true)")


async def connect(url: str) -> Any:
    """A connection of its own, for the pool or for listening."""
    return await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=SERVER_SETTINGS)


class Database:
    def __init__(self, url: str, pool_size: int, writes_per_session: int = 0) -> None:
        self.url, self._most_writes = url, writes_per_session
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: connect(url),
            pool_size=pool_size // 2,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            hide_parameters=True,
        )
        listen(self._engine.sync_engine, "checkout", _refuse_closed)
        self._raw_size = pool_size - pool_size // 2
        self._raw: Any = None
        self._writers = asyncio.Semaphore(max(1, self._raw_size // 2))

    @asynccontextmanager
    async def session(self, session_id: UUID) -> AsyncIterator[AsyncSession]:
        """One transaction that sees this session's rows and no others."""
        async with AsyncSession(self._engine, expire_on_commit=False) as db, db.begin():
            await db.execute(SET_SESSION, {"session_id": str(session_id)})
            yield db

    @asynccontextmanager
    async def writing(self, session_id: UUID) -> AsyncIterator[AsyncSession]:
        """As `session`, for what counts as a write of this session. Raises TooMany."""
        async with AsyncSession(self._engine, expire_on_commit=False) as db, db.begin():
            _may_write(await db.scalar(BEGIN_WRITE, {"session_id": session_id, "most": self._most_writes}))
            yield db

    @asynccontextmanager
    async def device(self, token_hash: bytes) -> AsyncIterator[AsyncSession]:
        """One transaction that sees the device or the link with this token, and with it its session's id."""
        async with AsyncSession(self._engine, expire_on_commit=False) as db, db.begin():
            await db.execute(SET_TOKEN, {"token_hash": token_hash.hex()})
            yield db

    # The same on asyncpg's own connections, for what every answer asks: without SQLAlchemy a statement costs a quarter

    def raw_session(self, session_id: UUID) -> AbstractAsyncContextManager[Any]:
        return self._transaction("app.session_id", str(session_id))

    @asynccontextmanager
    async def raw_writing(self, session_id: UUID | None, token_hash: bytes = b"") -> AsyncIterator[tuple[Any, UUID]]:
        """As `raw_session`, for what counts as a write of this session or, without it, of the one that this device's token opens;
        with its id. Raises NotFound, TooMany.

        Writers of one session or chat wait for each other, but never on all connections: the log needs some at any time.
        """
        async with asyncio.timeout(POOL_WAIT_SECONDS):
            await self._writers.acquire()
        try:
            async with self.raw_session(session_id) if session_id else self.raw_device(token_hash) as raw:
                begin = (BEGIN_RAW_WRITE, session_id) if session_id else (BEGIN_WRITE_OF_DEVICE, token_hash)
                begun = await raw.fetchrow(*begin, self._most_writes)
                if begun is None:
                    raise NotFound
                _may_write(begun["seconds"])
                yield raw, begun["session_id"]
        finally:
            self._writers.release()

    def raw_device(self, token_hash: bytes) -> AbstractAsyncContextManager[Any]:
        return self._transaction("app.token_hash", token_hash.hex())

    @asynccontextmanager
    async def _transaction(self, name: str, value: str) -> AsyncIterator[Any]:
        """With this setting until its end; the value is an id or in hexadecimal."""
        async with self.log() as connection:
            try:
                await connection.execute(f"BEGIN; SELECT set_config('{name}', '{value}', true)")
                yield connection
                await connection.execute("COMMIT")
            except BaseException:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await connection.execute("ROLLBACK")
                raise

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Any]:
        """For the log's functions, each of which is a transaction of its own."""
        if self._raw is None:
            settings = SERVER_SETTINGS | BY_KEYS
            self._raw = asyncpg.create_pool(
                self.url,
                min_size=0,
                max_size=self._raw_size,
                timeout=CONNECT_SECONDS,
                server_settings=settings,
                init=_speak_json,
                reset=_keep,
            )
            await self._raw  # connects to nothing yet, so nobody comes in between
        async with self._raw.acquire(timeout=POOL_WAIT_SECONDS) as connection:
            yield connection

    async def check(self) -> None:
        """Raises NotReady with the reason if this login or this schema will not do."""
        async with self.log() as connection:
            login = await connection.fetchrow(_LOGIN)
            name = login["name"]
            if login["mighty"]:
                raise NotReady(f"the login {name} is a superuser or may bypass row-level security: use the runtime login")
            if not login["schema_exists"]:
                raise NotReady("the tables are missing: run `alembic upgrade head`")
            if login["is_owner"]:
                raise NotReady(f"the login {name} owns the tables: use the runtime login")
            if not login["is_runtime"]:
                raise NotReady(f"the login {name} is not a member of runnel_runtime: run `python -m dbapi.login`")
            revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        if revision is None or revision < REVISION:
            raise NotReady(f"the schema is at {revision}, this version needs {REVISION}: run `alembic upgrade head`")

    async def close(self) -> None:
        await self._engine.dispose()
        if self._raw is not None:
            await self._raw.close()


async def driver(db: AsyncSession) -> Any:
    """asyncpg's own connection below this transaction."""
    return (await (await db.connection()).get_raw_connection()).driver_connection


def _may_write(seconds: float | None) -> None:
    """Raises TooMany, if `begin_write` says so."""
    if seconds is not None:
        raise TooMany("You have sent a lot in the last minute.", seconds)


def _refuse_closed(connection: Any, record: Any, proxy: Any) -> None:
    """PostgreSQL was restarted: the pool shall make a new one. asyncio has heard of it, so nothing need be asked."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


async def _speak_json(connection: Any) -> None:
    await connection.set_type_codec("jsonb", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads, schema="pg_catalog")


async def _keep(connection: Any) -> None:
    """A connection goes back into the pool as it is: what was set, was set for a transaction that has ended."""


_LOGIN = """
SELECT current_user AS name, r.rolsuper OR r.rolbypassrls AS mighty,
       to_regclass('generation_chunks') IS NOT NULL AS schema_exists,
       coalesce((SELECT pg_has_role(current_user, c.relowner, 'MEMBER')
                   FROM pg_class c WHERE c.oid = to_regclass('chats')), false) AS is_owner,
       EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'runnel_runtime' AND pg_has_role(current_user, g.oid, 'USAGE')) AS is_runtime
  FROM pg_roles r WHERE r.rolname = current_user
"""
