"""Makes the roles that log in to PostgreSQL. Names and passwords come from URLs, and the server quotes them."""

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import asyncpg

CONNECT_SECONDS = 10.0


class Login(NamedTuple):
    """The parts of a postgresql:// URL."""

    name: str
    password: str
    database: str


def login_of(url: str) -> Login:
    parts = urlsplit(url)
    return Login(unquote(parts.username or ""), unquote(parts.password or ""), unquote(parts.path.lstrip("/")))


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, timeout=CONNECT_SECONDS)


async def exists(connection: asyncpg.Connection, name: str) -> bool:
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name))


async def make_runtime_login(connection: asyncpg.Connection, login: Login) -> None:
    """Makes the login of dbapi, or changes its password. It is a member of runnel_runtime and has no other rights."""
    verb = "ALTER" if await exists(connection, login.name) else "CREATE"
    await _execute(connection, f"{verb} ROLE %1$I LOGIN PASSWORD %2$L", login)
    await _execute(connection, "GRANT runnel_runtime TO %1$I", login)


async def make_owner(connection: asyncpg.Connection, login: Login) -> None:
    """Makes the owner of the tables, or changes its password. The migrations create roles, so it may, too."""
    verb = "ALTER" if await exists(connection, login.name) else "CREATE"
    await _execute(connection, f"{verb} ROLE %1$I LOGIN CREATEROLE PASSWORD %2$L", login)


async def create_database(connection: asyncpg.Connection, login: Login) -> None:
    await _execute(connection, "CREATE DATABASE %3$I OWNER %1$I", login)


async def give_database(connection: asyncpg.Connection, login: Login) -> None:
    await _execute(connection, "ALTER DATABASE %3$I OWNER TO %1$I", login)


async def _execute(connection: asyncpg.Connection, template: str, login: Login) -> None:
    """The template is for PostgreSQL's format(): %1$I is the name, %2$L the password, %3$I the database."""
    await connection.execute(
        await connection.fetchval("SELECT format($1, $2::text, $3::text, $4::text)", template, *login)
    )
