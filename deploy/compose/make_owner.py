"""`python -m deploy.compose.make_owner` makes the role that owns the tables. It may create roles but is no superuser.

Its name and password are those in DATABASE_URL. SUPERUSER_URL is a login that may create it.
"""

import asyncio
from dataclasses import dataclass

from dbapi import roles
from kit.settings import read_or_exit


@dataclass(frozen=True, kw_only=True)
class Settings:
    superuser_url: str
    database_url: str


async def main() -> None:
    settings = read_or_exit(Settings, "make_owner")
    owner = roles.login_of(settings.database_url)
    superuser = await roles.connect(settings.superuser_url)
    try:
        await roles.make_owner(superuser, owner)
        await roles.give_database(superuser, owner)
    finally:
        await superuser.close()


if __name__ == "__main__":
    asyncio.run(main())
