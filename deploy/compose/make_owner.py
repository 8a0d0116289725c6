"""`python -m deploy.compose.make_owner`: the role that owns the tables, which may make roles but is no superuser.

Name and password are those in DATABASE_URL; SUPERUSER_URL is who may make it.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import asyncpg

from kit.settings import read_or_exit


@dataclass(frozen=True, kw_only=True)
class Settings:
    superuser_url: str
    database_url: str


async def main() -> None:
    settings = read_or_exit(Settings, "make_owner")
    url = urlsplit(settings.database_url)
    name, password, database = unquote(url.username or ""), unquote(url.password or ""), url.path.lstrip("/")
    superuser = await asyncpg.connect(settings.superuser_url, timeout=10)
    try:
        verb = "ALTER" if await superuser.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name) else "CREATE"
        for template in (f"{verb} ROLE %1$I LOGIN CREATEROLE PASSWORD %2$L", "ALTER DATABASE %3$I OWNER TO %1$I"):
            statement = await superuser.fetchval("SELECT format($1, $2::text, $3::text, $4::text)", template, name, password, database)
            await superuser.execute(statement)
    finally:
        await superuser.close()


asyncio.run(main())
