"""Connections, and the two ways into the database: as one session, or through the log's door."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from dbapi.errors import NotReady, TooMany

CONNECT_SECONDS = 3.0
POOL_WAIT_SECONDS = 2.5
LIMITS = {  # milliseconds; a request is answered or refused within a caller's patience
    "statement_timeout": "5000",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "15000",
}
REVISION = "0003"  # the oldest schema this code can work with

SET_SESSION = text("SELECT set_config('app.session_id', :session_id, true)")
BEGIN_WRITE = text("SELECT begin_write(:session_id, :most)")
SET_TOKEN = text("SELECT set_config('app.token_hash', :token_hash, true)")


async def connect(url: str) -> Any:
    """A connection of its own, for the pool or for listening."""
    return await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings={"application_name": "runnel-dbapi", **LIMITS})


class Database:
    def __init__(self, url: str, pool_size: int, writes_per_session: int = 0) -> None:
        self.url, self._most_writes = url, writes_per_session
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: connect(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            pool_pre_ping=True,
            hide_parameters=True,
        )
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

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
            seconds = await db.scalar(BEGIN_WRITE, {"session_id": session_id, "most": self._most_writes})
            if seconds is not None:
                raise TooMany("You have sent a lot in the last minute.", seconds)
            yield db

    @asynccontextmanager
    async def device(self, token_hash: bytes) -> AsyncIterator[AsyncSession]:
        """One transaction that sees the device or the link with this token, and with it its session's id."""
        async with AsyncSession(self._engine, expire_on_commit=False) as db, db.begin():
            await db.execute(SET_TOKEN, {"token_hash": token_hash.hex()})
            yield db

    @asynccontextmanager
    async def log(self) -> AsyncIterator[AsyncConnection]:
        """For the log's functions, each of which is a transaction of its own."""
        async with self._autocommit.connect() as connection:
            yield connection

    async def check(self) -> None:
        """Raises NotReady with the reason if this login or this schema will not do."""
        async with self.log() as connection:
            login = (await connection.execute(text(_LOGIN))).one()
            if login.mighty:
                raise NotReady(f"the login {login.name} is a superuser or may bypass row-level security: use the runtime login")
            if not login.schema_exists:
                raise NotReady("the tables are missing: run `alembic upgrade head`")
            if login.is_owner:
                raise NotReady(f"the login {login.name} owns the tables: use the runtime login")
            if not login.is_runtime:
                raise NotReady(f"the login {login.name} is not a member of runnel_runtime: run `python -m dbapi.login`")
            revision = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
        if revision is None or revision < REVISION:
            raise NotReady(f"the schema is at {revision}, this version needs {REVISION}: run `alembic upgrade head`")

    async def close(self) -> None:
        await self._engine.dispose()


_LOGIN = """
SELECT current_user AS name, r.rolsuper OR r.rolbypassrls AS mighty,
       to_regclass('generation_chunks') IS NOT NULL AS schema_exists,
       coalesce((SELECT pg_has_role(current_user, c.relowner, 'MEMBER')
                   FROM pg_class c WHERE c.oid = to_regclass('chats')), false) AS is_owner,
       EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'runnel_runtime' AND pg_has_role(current_user, g.oid, 'USAGE')) AS is_runtime
  FROM pg_roles r WHERE r.rolname = current_user
"""
