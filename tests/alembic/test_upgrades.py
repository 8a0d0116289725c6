"""During an upgrade, old and new versions share the tables, so a migration only adds (docs/upgrades.md)."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from dbapi.readiness import REVISION
from tests.dbapi.calls import append, message, new_chat, new_turn, running
from tests.dbapi.conftest import CREDENTIAL
from tests.stack import DBAPI_KEY, ROOT, Cluster, Service, client, run, succeed, until

MUCH_LATER = "9999"
REVISIONS = [
    script.revision
    for script in ScriptDirectory.from_config(Config(toml_file=ROOT / "pyproject.toml")).walk_revisions()
][::-1]

# Everything that code may use must still exist after the next migration.
USABLE = """
SELECT format('column %s.%s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT format('function %s %s %s', oid::regprocedure, prorettype::regtype, proargnames) FROM pg_proc
 WHERE pronamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_proc.oid AND d.deptype = 'e')
UNION ALL SELECT format('right %s %s %s', table_name, column_name, privilege_type)
  FROM information_schema.column_privileges
 WHERE grantee = 'runnel_runtime' AND table_schema = 'public'
UNION ALL SELECT format('right %s %s', table_name, privilege_type) FROM information_schema.table_privileges
 WHERE grantee = 'runnel_runtime' AND table_schema = 'public'
UNION ALL SELECT format('right %s', oid::regprocedure) FROM pg_proc
 WHERE pronamespace = 'public'::regnamespace AND has_function_privilege('runnel_runtime', oid, 'EXECUTE')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_proc.oid AND d.deptype = 'e')
"""
# Additions that make writes of old code fail: a column without a default, or a new constraint on columns it knows.
REQUIREMENTS = """
SELECT c.relname::text, ARRAY[]::text[], a.attname || ' has no default'
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
   AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
UNION ALL
SELECT c.relname, (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = i.indexrelid),
       pg_get_indexdef(i.indexrelid)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique
UNION ALL
SELECT conrelid::regclass::text,
       (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = conrelid AND attnum = ANY (conkey)),
       -- a check constraint that keeps its name may only allow more
       CASE contype WHEN 'c' THEN conname ELSE pg_get_constraintdef(oid) END
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c')
"""
COLUMNS = "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'"


async def rows(cluster: Cluster, database: str, query: str) -> list[Any]:
    owner = await asyncpg.connect(cluster.owner_url(database))
    try:
        return [tuple(row) for row in await owner.fetch(query)]
    finally:
        await owner.close()


@pytest.mark.parametrize(("before", "after"), list(pairwise(REVISIONS)))
async def test_a_migration_keeps_everything_that_the_previous_version_uses(
    cluster: Cluster, before: str, after: str
) -> None:
    database = await cluster.new_database("template1")
    await succeed("alembic", "upgrade", before, DATABASE_URL=cluster.owner_url(database))
    usable, requirements, columns = [await rows(cluster, database, query) for query in (USABLE, REQUIREMENTS, COLUMNS)]

    await succeed("alembic", "upgrade", after, DATABASE_URL=cluster.owner_url(database))

    gone = set(usable) - set(await rows(cluster, database, USABLE))
    added = [
        requirement for requirement in await rows(cluster, database, REQUIREMENTS) if requirement not in requirements
    ]
    assert len(usable) > 100
    assert gone == set()
    tables = {table for table, _ in columns}
    assert [
        what for table, names, what in added if table in tables and all((table, name) in columns for name in names)
    ] == []


OLD_ANSWER = """
WITH session AS (INSERT INTO sessions DEFAULT VALUES RETURNING id)
INSERT INTO chats (session_id, username, updated_at) SELECT id, 'Ada', now() - interval '1 day' FROM session
"""


async def test_answers_from_before_the_upgrade_count_as_seen(cluster: Cluster) -> None:
    database = await cluster.new_database("template1")
    url = cluster.owner_url(database)
    await succeed("alembic", "upgrade", "0010", DATABASE_URL=url)
    await rows(cluster, database, OLD_ANSWER)

    await succeed("alembic", "upgrade", "0011", DATABASE_URL=url)

    assert await rows(cluster, database, "SELECT seen_at > updated_at FROM chats") == [(True,)]


def dbapi_on(cluster: Cluster, database: str, folder: Path) -> Service:
    return Service(
        "dbapi", folder / "log", {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": DBAPI_KEY}
    )


async def test_a_new_version_becomes_ready_when_its_schema_arrives(cluster: Cluster, tmp_path: Path) -> None:
    database = await cluster.new_database("template1")
    url = cluster.owner_url(database)
    await succeed("alembic", "upgrade", REVISIONS[REVISIONS.index(REVISION) - 1], DATABASE_URL=url)
    dbapi = await dbapi_on(cluster, database, tmp_path).start(wait=False)
    try:
        async with client(dbapi.url) as http:
            await until(lambda: alive(http))
            early = await http.get("/readyz")
            await succeed("alembic", "upgrade", "head", DATABASE_URL=url)
            late = await http.get("/readyz")
    finally:
        await dbapi.terminate()

    assert early.status_code == 503
    assert f"needs {REVISION}" in early.json()["detail"]
    assert late.status_code == 200


async def test_the_previous_version_starts_on_the_tables_of_the_next(cluster: Cluster, tmp_path: Path) -> None:
    database = await cluster.new_database()
    urls = {"DATABASE_URL": cluster.owner_url(database), "DBAPI_DATABASE_URL": cluster.runtime_url(database)}
    await rows(cluster, database, "UPDATE alembic_version SET version_num = '9999' RETURNING 1")

    code, output = await run("alembic", "upgrade", "head", **urls)
    await succeed("dbapi.login", **urls)
    dbapi = await dbapi_on(cluster, database, tmp_path).start()
    await dbapi.terminate()

    assert code == 0, output
    assert "the tables are at 9999, newer than this version" in output
    assert await rows(cluster, database, "SELECT version_num FROM alembic_version") == [("9999",)]


async def alive(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/healthz")).status_code == 200
    except httpx.HTTPError:
        return False


async def test_an_old_version_keeps_serving_while_the_tables_gain_columns(cluster: Cluster, tmp_path: Path) -> None:
    database = await cluster.new_database()
    owner = await asyncpg.connect(cluster.owner_url(database))
    dbapi = await dbapi_on(cluster, database, tmp_path).start()
    grown, codes = asyncio.Event(), []

    async with client(dbapi.url, headers=CREDENTIAL | {"X-Session-ID": str(uuid4())}) as api:
        chat = await new_chat(api)
        claimed = await running(api, chat)

        async def reading() -> None:
            rounds = 0
            while not grown.is_set() or rounds < 3:
                rounds += grown.is_set()
                codes.append((await api.get(f"/chats/{chat['id']}")).status_code)
                codes.append((await api.get("/chats")).status_code)
                codes.append((await api.get("/readyz")).status_code)

        async def writing() -> int:
            seq = 0
            while not grown.is_set() or seq < 3:
                seq += 1
                assert await append(api, claimed, seq, "word ")
                async with client(
                    dbapi.url, headers=CREDENTIAL | {"X-Session-ID": str(uuid4())}
                ) as somebody:  # limits are per session
                    await new_turn(somebody, await new_chat(somebody))
            return seq

        async def growing() -> None:
            for table in sorted({table for table, _ in await rows(cluster, database, COLUMNS)} - {"alembic_version"}):
                await asyncio.sleep(0.1)
                await owner.execute(f"ALTER TABLE {table} ADD COLUMN added_later text NOT NULL DEFAULT 'x'")
                await owner.execute(f"CREATE INDEX ON {table} (added_later)")
            await owner.execute(f"UPDATE alembic_version SET version_num = '{MUCH_LATER}'")
            await asyncio.sleep(0.1)
            grown.set()

        _, _, appended, _ = await asyncio.gather(reading(), reading(), writing(), growing())
        answer = await message(api, chat["id"], claimed["message_id"])
        warned = [line for line in dbapi.lines(0) if line["level"] == "error"]
    await owner.close()
    await dbapi.terminate()

    assert set(codes) == {200}
    assert answer["content"] == "word " * appended
    assert warned == []
