"""`python -m dbapi check`: checks dbapi's secrets, its login, and the permissions of that login."""

import time
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from dbapi import readiness
from dbapi.errors import NotReady
from dbapi.settings import Settings
from dbapi.sql.connection import Database, connect
from kit import diagnostics
from kit.diagnostics import Finding

MIN_PASSWORD_LENGTH = 16
LOCAL = {"", "localhost", "127.0.0.1", "::1"}
CONNECTIONS_TO_SPARE = 10


async def main() -> int:
    return await diagnostics.report("dbapi", findings(diagnostics.read_settings(Settings, "dbapi")))


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    yield diagnostics.secret_files(("DBAPI_KEYS", "DBAPI_DATABASE_URL"))
    for finding in _settings(settings):
        yield finding
    database = Database(settings.dbapi_database_url, pool_size=1)
    try:
        await readiness.check(database)
    except NotReady as error:
        yield Finding.error(str(error))
        return
    except (OSError, TimeoutError, asyncpg.PostgresError, SQLAlchemyError) as error:
        yield Finding.error(
            f"PostgreSQL is not usable ({type(error).__name__}); check DBAPI_DATABASE_URL, and that PostgreSQL runs"
        )
        return
    finally:
        await database.close()
    yield Finding.ok("the login has the runtime role only, and the schema is up to date")
    async for finding in _inside(settings):
        yield finding


def _settings(settings: Settings) -> list[Finding]:
    url, found = urlsplit(settings.dbapi_database_url), []
    name, password = unquote(url.username or ""), unquote(url.password or "")
    if password in ("", name) or len(password) < MIN_PASSWORD_LENGTH:
        found.append(
            Finding.error(
                f"the password of {name or 'the login'} is weak; choose a longer one and run `python -m dbapi.login`"
            )
        )
    off = [
        limit
        for limit in ("message_code_points", "writes_per_session", "answers_per_session", "answers_per_address")
        if not getattr(settings, limit)
    ]
    if off:
        found.append(Finding.warning(f"no limit: {' and '.join(map(str.upper, off))} = 0"))
    if len(settings.dbapi_keys) > 1:
        found.append(
            Finding.warning(
                f"{len(settings.dbapi_keys)} service credentials are accepted; "
                "remove the old ones when no caller uses them"
            )
        )
    return found


async def _inside(settings: Settings) -> AsyncIterator[Finding]:
    connection = await connect(settings.dbapi_database_url)
    try:
        open_tables = [row["relname"] for row in await connection.fetch(_UNPROTECTED)]
        seen = [table for table in _TABLES if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})")]  # noqa: S608 (constant names)
        if open_tables or seen:
            yield Finding.error(
                f"{' and '.join(open_tables or seen)} can be read without a session; run `alembic upgrade head` "
                "and check who altered the policies"
            )
        else:
            yield Finding.ok("without a session, this login cannot read any row")
        free = await connection.fetchval(_FREE)
        if free < settings.dbapi_pool_size + CONNECTIONS_TO_SPARE:
            yield Finding.warning(
                f"PostgreSQL has {free} free connections, but this process may open {settings.dbapi_pool_size + 1}; "
                "raise max_connections"
            )
        if await connection.fetchval(_LOGS_VALUES):
            yield Finding.warning(
                "PostgreSQL may log what users wrote; set log_parameter_max_length = 0, "
                "log_parameter_max_length_on_error = 0 and log_error_verbosity = terse"
            )
        if not await connection.fetchval(_FINDS_EVERY_LETTER):
            yield Finding.warning(
                "the database's locale knows ASCII letters only, so searches miss words in others; "
                "restore a backup into a database with a UTF-8 locale"
            )
        requested_at = time.time()
        yield diagnostics.clock_skew(
            "PostgreSQL",
            await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"),
            requested_at,
        )
        encrypted = await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        if not encrypted and urlsplit(settings.dbapi_database_url).hostname not in LOCAL:
            remedy = "this is safe on a private network; otherwise add ?sslmode=verify-full to DBAPI_DATABASE_URL"
            yield Finding.warning(f"the connection to PostgreSQL is not encrypted: {remedy}")
    finally:
        await connection.close()


_TABLES = ("sessions", "devices", "links", "presets", "chats", "messages", "generations", "generation_chunks")
_UNPROTECTED = """
SELECT relname FROM pg_class
 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
   AND NOT (relrowsecurity AND relforcerowsecurity)
"""
# With log_min_messages = log or higher, PostgreSQL logs no error of a statement
_LOGS_VALUES = """
SELECT current_setting('log_parameter_max_length') <> '0'
    OR current_setting('log_parameter_max_length_on_error') <> '0'
    OR (current_setting('log_error_verbosity') <> 'terse'
        AND current_setting('log_min_messages') NOT IN ('log', 'fatal', 'panic'))
"""
_FINDS_EVERY_LETTER = "SELECT words_of('Жук') @@ to_tsquery('public.runnel', 'ЖУК')"
_FREE = "SELECT current_setting('max_connections')::int - count(*)::int FROM pg_stat_activity"
