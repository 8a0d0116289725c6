"""The migrations, with the `alembic` command: upgrade, downgrade, two at a time, and no drift from the classes."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.stack import Cluster, run, succeed

SHAPE = """
SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
 WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT format('%s %s %s %s %s', tablename, policyname, roles, cmd, qual) FROM pg_policies
 WHERE schemaname = 'public'
UNION ALL SELECT format('%s %s %s', oid::regprocedure, proowner::regrole, proacl) FROM pg_proc
 WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT format('%s %s', relname, relacl) FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""


@pytest.fixture
async def empty(cluster: Cluster) -> str:
    """The name of a database without tables."""
    return await cluster.new_database("template1")


async def fetch(cluster: Cluster, database: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(cluster.owner_url(database))
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def shape(cluster: Cluster, database: str) -> list[str]:
    """Columns, constraints, policies, functions and privileges."""
    return sorted(await fetch(cluster, database, SHAPE))


async def test_upgrading_again_after_a_downgrade_gives_the_same_schema(cluster: Cluster, empty: str) -> None:
    url = cluster.owner_url(empty)

    await succeed("alembic", "upgrade", "head", DATABASE_URL=url)
    first = await shape(cluster, empty)
    await succeed("alembic", "downgrade", "base", DATABASE_URL=url)
    nothing = await fetch(
        cluster, empty, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    functions = await fetch(cluster, empty, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    await succeed("alembic", "upgrade", "head", DATABASE_URL=url)

    assert len(first) > 80
    assert (nothing, functions) == (["alembic_version"], [])
    assert await shape(cluster, empty) == first


async def test_the_sqlalchemy_classes_match_the_schema(cluster: Cluster, empty: str) -> None:
    url = cluster.owner_url(empty)
    await succeed("alembic", "upgrade", "head", DATABASE_URL=url)

    code, output = await run("alembic", "check", DATABASE_URL=url)
    await fetch(cluster, empty, "ALTER TABLE chats ADD COLUMN colour text")
    drifted, difference = await run("alembic", "check", DATABASE_URL=url)

    assert code == 0, output
    assert "No new upgrade operations detected" in output
    assert drifted != 0
    assert "colour" in difference


async def test_simultaneous_upgrades_wait_for_each_other(cluster: Cluster, empty: str) -> None:
    url = cluster.owner_url(empty)

    ends = await asyncio.gather(*(run("alembic", "upgrade", "head", DATABASE_URL=url) for _ in range(2)))

    assert [code for code, _ in ends] == [0, 0], ends
    assert await fetch(cluster, empty, "SELECT version_num FROM alembic_version") == ["0015"]
    assert await shape(cluster, empty) == await shape(cluster, Cluster.TEMPLATE)


async def test_upgrading_a_current_schema_changes_nothing(cluster: Cluster, empty: str) -> None:
    url = cluster.owner_url(empty)
    await succeed("alembic", "upgrade", "head", DATABASE_URL=url)
    before = await shape(cluster, empty)

    await succeed("alembic", "upgrade", "head", DATABASE_URL=url)

    assert await shape(cluster, empty) == before


async def test_a_migration_needs_no_superuser(cluster: Cluster) -> None:
    owner = await fetch(
        cluster, Cluster.TEMPLATE, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = CURRENT_USER"
    )
    tables = await fetch(
        cluster,
        Cluster.TEMPLATE,
        "SELECT DISTINCT tableowner::text = CURRENT_USER FROM pg_tables WHERE schemaname = 'public'",
    )

    assert owner == [False]
    assert tables == [True]


async def test_alembic_reports_a_missing_database_url(cluster: Cluster) -> None:
    code, output = await run("alembic", "upgrade", "head")

    assert code != 0
    assert "DATABASE_URL is not set" in output
    assert "Traceback" not in output


async def test_running_the_login_command_again_changes_the_password(cluster: Cluster, empty: str) -> None:
    urls = {
        "DATABASE_URL": cluster.owner_url(empty),
        "DBAPI_DATABASE_URL": cluster.runtime_url(empty).replace("runnel_app:", "runnel_second:"),
    }
    await succeed("alembic", "upgrade", "head", **urls)
    await succeed("dbapi.login", **urls)

    changed = urls["DBAPI_DATABASE_URL"].replace("password-of-the-tests", "it's%20another%22")
    await succeed("dbapi.login", **urls | {"DBAPI_DATABASE_URL": changed})

    connection = await asyncpg.connect(changed)
    assert await connection.fetchval("SELECT pg_has_role(CURRENT_USER, 'runnel_runtime', 'MEMBER')")
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(urls["DBAPI_DATABASE_URL"])


async def test_the_login_command_refuses_the_owners_login(cluster: Cluster) -> None:
    url = cluster.owner_url(Cluster.TEMPLATE)

    code, output = await run("dbapi.login", DATABASE_URL=url, DBAPI_DATABASE_URL=url)

    assert code != 0
    assert "not the owner" in output
