"""Whether this process is alive, and whether its login and the schema allow it to serve."""

from typing import Literal

import asyncpg

from dbapi.endpoint import endpoint
from dbapi.errors import NotReady
from dbapi.schemas.fields import Output
from dbapi.sql.connection import LIMITS, Database
from dbapi.state import Request

REVISION = "0015"  # the oldest schema this code can work with
# A pooler moves a connection to another server process between two statements
LOST_STATEMENTS = asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError
POOLER = (
    "the database URL leads to a connection pooler such as PgBouncer, which does not support LISTEN or the settings of "
    "a connection: use the URL of PostgreSQL itself"
)


class Health(Output):
    status: Literal["alive", "ready"]


@endpoint()
async def healthz(request: Request) -> Health:
    """Responds while the process is alive."""
    return Health(status="alive")


@endpoint()
async def readyz(request: Request) -> Health:
    """503 with the reason if the login or the schema is unsuitable, 401 for a wrong credential."""
    await check(request.state["database"])
    return Health(status="ready")


async def check(database: Database) -> None:
    """Raises NotReady with the reason if the login or the schema is unsuitable."""
    try:
        await _check(database)
    except (asyncpg.ProtocolViolationError, *LOST_STATEMENTS) as error:
        if isinstance(error, LOST_STATEMENTS) or "startup parameter" in str(error):
            raise NotReady(POOLER) from error
        raise


async def _check(database: Database) -> None:
    async with database.connection() as connection:
        login = await connection.fetchrow(_LOGIN)
        name = login["name"]
        if login["statement_timeout"] != LIMITS["statement_timeout"]:
            raise NotReady(POOLER)
        if login["bypasses_policies"]:
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


_LOGIN = """
SELECT current_user AS name, (SELECT setting FROM pg_settings WHERE name = 'statement_timeout') AS statement_timeout,
       r.rolsuper OR r.rolbypassrls AS bypasses_policies, to_regclass('generation_chunks') IS NOT NULL AS schema_exists,
       coalesce((SELECT pg_has_role(current_user, c.relowner, 'MEMBER')
                   FROM pg_class c WHERE c.oid = to_regclass('chats')), false) AS is_owner,
       EXISTS (SELECT FROM pg_roles g
                WHERE g.rolname = 'runnel_runtime' AND pg_has_role(current_user, g.oid, 'USAGE')) AS is_runtime
  FROM pg_roles r WHERE r.rolname = current_user
"""
