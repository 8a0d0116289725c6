"""What is wrong with this deployment, as the database service sees it: its secrets, its login, and what that may see and do."""

import time
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from dbapi.database import Database, connect
from dbapi.errors import NotReady
from dbapi.settings import Settings
from kit import diagnostics
from kit.diagnostics import Finding, fine, look, wrong

SHORTEST_PASSWORD = 16
LOCAL = {"", "localhost", "127.0.0.1", "::1"}
CONNECTIONS_TO_SPARE = 10


async def main() -> int:
    return await diagnostics.told("dbapi", findings(diagnostics.settings(Settings, "dbapi")))


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    yield diagnostics.secrets_kept(("DBAPI_KEYS", "DBAPI_DATABASE_URL"))
    for finding in _settings(settings):
        yield finding
    database = Database(settings.dbapi_database_url, pool_size=1)
    try:
        await database.check()
    except NotReady as error:
        yield wrong(str(error))
        return
    except (OSError, TimeoutError, asyncpg.PostgresError, SQLAlchemyError) as error:
        yield wrong(f"PostgreSQL can't be used ({type(error).__name__}): look at DBAPI_DATABASE_URL, and whether it runs")
        return
    finally:
        await database.close()
    yield fine("the login is the runtime's, and the schema is up to date")
    async for finding in _inside(settings):
        yield finding


def _settings(settings: Settings) -> list[Finding]:
    url, found = urlsplit(settings.dbapi_database_url), []
    name, password = unquote(url.username or ""), unquote(url.password or "")
    if password in ("", name) or len(password) < SHORTEST_PASSWORD:
        found.append(wrong(f"the password of {name or 'the login'} is weak: take a longer one, and run `python -m dbapi.login`"))
    off = [limit for limit in ("message_code_points", "writes_per_session", "answers_per_session") if not getattr(settings, limit)]
    if off:
        found.append(look(f"no limit, by {' and '.join(map(str.upper, off))} = 0"))
    if len(settings.dbapi_keys) > 1:
        found.append(
            look(f"{len(settings.dbapi_keys)} service credentials are accepted: when no caller uses the old ones any more, take them away")
        )
    return found


async def _inside(settings: Settings) -> AsyncIterator[Finding]:
    connection = await connect(settings.dbapi_database_url)
    try:
        open_tables = [row["relname"] for row in await connection.fetch(_UNPROTECTED)]
        seen = [table for table in _TABLES if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})")]  # noqa: S608 (our own names)
        if open_tables or seen:
            yield wrong(
                f"{' and '.join(open_tables or seen)} can be read without a session: run `alembic upgrade head`, let nobody alter policies"
            )
        else:
            yield fine("without a session, this login sees nothing")
        free = await connection.fetchval(_FREE)
        if free < settings.dbapi_pool_size + CONNECTIONS_TO_SPARE:
            yield look(
                f"PostgreSQL has {free} connections to spare, this process may want {settings.dbapi_pool_size + 1}: raise max_connections"
            )
        asked = time.time()
        yield diagnostics.clock("PostgreSQL", await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"), asked)
        encrypted = await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        if not encrypted and urlsplit(settings.dbapi_database_url).hostname not in LOCAL:
            remedy = "fine on a network of its own, else add ?sslmode=verify-full to DBAPI_DATABASE_URL"
            yield look(f"the connection to PostgreSQL is not encrypted: {remedy}")
    finally:
        await connection.close()


_TABLES = ("sessions", "devices", "links", "chats", "messages", "generations", "generation_chunks")
_UNPROTECTED = """
SELECT relname FROM pg_class
 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
   AND NOT (relrowsecurity AND relforcerowsecurity)
"""
_FREE = "SELECT current_setting('max_connections')::int - count(*)::int FROM pg_stat_activity"
