"""`python -m dbapi.login` makes the login of dbapi, with the name and the password in DBAPI_DATABASE_URL.

DATABASE_URL is the owner's. Run it after `alembic upgrade head`.
"""

import asyncio
import sys
from dataclasses import dataclass

import asyncpg

from dbapi import roles
from kit.settings import read_or_exit

NOT_ALLOWED = 3  # exit code: an administrator has to run the SQL that was printed


@dataclass(frozen=True, kw_only=True)
class Settings:
    database_url: str
    dbapi_database_url: str


async def main() -> int:
    settings = read_or_exit(Settings, "dbapi.login")
    login = roles.login_of(settings.dbapi_database_url)
    if not login.name or login.name == roles.login_of(settings.database_url).name:
        sys.exit("dbapi.login: DBAPI_DATABASE_URL must name a login of its own, not the owner")
    owner = await roles.connect(settings.database_url)
    try:
        await roles.make_runtime_login(owner, login)
    except asyncpg.InsufficientPrivilegeError:
        print(f"The owner may not create the login {login.name}. Ask an administrator to run:", file=sys.stderr)
        print(f"  CREATE ROLE \"{login.name}\" LOGIN PASSWORD '...';", file=sys.stderr)
        print(f'  GRANT runnel_runtime TO "{login.name}";', file=sys.stderr)
        return NOT_ALLOWED
    finally:
        await owner.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
