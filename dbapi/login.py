"""`python -m dbapi.login`: makes the runtime login, a member of runnel_runtime and nothing more.

Name and password are those in DBAPI_DATABASE_URL; DATABASE_URL is the owner's. Run after `alembic upgrade head`.
"""

import asyncio
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg

from dbapi.database import connect
from kit.settings import read_or_exit

MAY_NOT = 3  # exit code: an administrator has to run the SQL that was printed


@dataclass(frozen=True, kw_only=True)
class Settings:
    database_url: str
    dbapi_database_url: str


async def make(owner: Any, name: str, password: str) -> None:
    exists = await owner.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name)
    for statement in statements(exists):
        await owner.execute(await owner.fetchval(f"SELECT format({quote(statement)}, $1::text, $2::text)", name, password))


def statements(exists: bool) -> list[str]:
    """For PostgreSQL's format(): %1$I is the login, %2$L its password."""
    verb = "ALTER" if exists else "CREATE"
    return [f"{verb} ROLE %1$I LOGIN PASSWORD %2$L", "GRANT runnel_runtime TO %1$I"]


def quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def main() -> int:
    settings = read_or_exit(Settings, "dbapi.login")
    runtime = urlsplit(settings.dbapi_database_url)
    name, password = unquote(runtime.username or ""), unquote(runtime.password or "")
    if not name or name == unquote(urlsplit(settings.database_url).username or ""):
        sys.exit("dbapi.login: DBAPI_DATABASE_URL must name a login of its own, not the owner")
    owner = await connect(settings.database_url)
    try:
        await make(owner, name, password)
    except asyncpg.InsufficientPrivilegeError:
        print(f"The owner may not make the login {name}. Let an administrator run:", file=sys.stderr)
        print(f'  CREATE ROLE "{name}" LOGIN PASSWORD \'...\';\n  GRANT runnel_runtime TO "{name}";', file=sys.stderr)
        return MAY_NOT
    finally:
        await owner.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
