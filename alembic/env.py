"""Runs the migrations: `alembic upgrade head` in the root folder, with DATABASE_URL (the owner's)."""

import asyncio
import sys
from dataclasses import dataclass

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from dbapi.tables import Base
from kit.settings import read_or_exit

LOCK = 0x52756E6E  # "Runn": simultaneous upgrades wait for each other
LOCK_TIMEOUT = "4s"  # a migration fails rather than block the site while it waits for a lock


@dataclass(frozen=True)
class Settings:
    database_url: str


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text("SELECT set_config('lock_timeout', :value, true)"), {"value": LOCK_TIMEOUT})
        if not is_newer():
            context.run_migrations()


def is_newer() -> bool:
    """Whether a newer version has migrated the tables. The previous version works with them."""
    head = str(context.get_head_revision())
    newer = [revision for revision in context.get_context().get_current_heads() if revision > head]
    if newer:
        print(f"alembic: the tables are at {newer[0]}, newer than this version ({head}); nothing to do")
    return bool(newer)


async def online() -> None:
    url = read_or_exit(Settings, "alembic").database_url
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url, timeout=10), hide_parameters=True
    )
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    sys.exit("alembic: offline mode is not supported: the first migration queries the server's roles")
try:
    asyncio.run(online())
except (OSError, asyncpg.PostgresError, DBAPIError) as error:
    cause = getattr(error, "driver_exception", error)
    hint = getattr(cause, "hint", None)
    # The detail of a PostgreSQL error quotes rows, so it is left out
    message = cause.args[0] if isinstance(cause, asyncpg.PostgresError) else cause
    sys.exit(f"alembic: {message}" + (f"\n{hint}" if hint else ""))
