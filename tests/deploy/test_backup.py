"""A restore brings back every row of a backup, or changes nothing."""

import asyncio
import gzip
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.dbapi.calls import append, finish, hits, message, new_chat, new_preset, row_checksums, running
from tests.dbapi.conftest import CREDENTIAL
from tests.stack import DBAPI_KEY, ROOT, Cluster, Service, client, succeed, until

AWKWARD = "tab\t, line\r\nend, back\\slash, \\., \\N, 'quote', $$, \N{FAMILY}, e\u0301"
PRIVILEGES = """
SELECT format('%s %s %s', relname, relowner::regrole, relacl) FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT format('%s %s %s', oid::regprocedure, proowner::regrole, proacl) FROM pg_proc
 WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT format('%s %s %s %s', tablename, policyname, roles, qual) FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT format('%s %s %s', nspname, nspowner::regrole, nspacl) FROM pg_namespace WHERE nspname = 'public'
ORDER BY 1
"""


async def script(
    cluster: Cluster, name: str, database: str, given: bytes = b"", **environ: str
) -> tuple[int, bytes, str]:
    child = await asyncio.create_subprocess_exec(
        ROOT / "deploy" / "backup" / name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ
        | {"PATH": f"{cluster.cluster.programs}:{os.environ['PATH']}", "DATABASE_URL": cluster.owner_url(database)}
        | environ,
    )
    output, messages = await child.communicate(given)
    assert child.returncode is not None
    return child.returncode, output, messages.decode()


async def backup(cluster: Cluster, database: str) -> bytes:
    code, output, messages = await script(cluster, "backup.sh", database)
    assert (code, messages) == (0, "")
    return output


async def contents(cluster: Cluster, database: str) -> dict[str, tuple[Any, ...]]:
    owner = await asyncpg.connect(cluster.owner_url(database))
    try:
        return await row_checksums(owner)
    finally:
        await owner.close()


async def privileges(cluster: Cluster, database: str) -> list[str]:
    owner = await asyncpg.connect(cluster.owner_url(database))
    try:
        return [row[0] for row in await owner.fetch(PRIVILEGES)]
    finally:
        await owner.close()


@asynccontextmanager
async def serving_dbapi(cluster: Cluster, database: str, log: Path, session: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run dbapi with this database and yield a client of this session."""
    dbapi = await Service(
        "dbapi", log, {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": DBAPI_KEY}
    ).start()
    try:
        async with client(dbapi.url, headers=CREDENTIAL | {"X-Session-ID": session}) as api:
            yield api
    finally:
        await dbapi.terminate()


@dataclass
class Content:
    database: str
    session: str
    chat: Any
    claimed: Any


@pytest.fixture(scope="module")
async def written(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """Create a database with two sessions, a finished answer, and one that is being written."""
    database, session = await cluster.new_database(), str(uuid4())
    async with serving_dbapi(cluster, database, tmp_path_factory.mktemp("written") / "log", session) as api:
        chat = await new_chat(api)
        await new_preset(api, "Poet", system_prompt=AWKWARD)
        done = await running(api, chat)
        assert await append(api, done, 1, AWKWARD)
        assert await finish(api, done, 1)
        claimed = await running(api, chat)
        assert await append(api, claimed, 1, AWKWARD)
        api.headers["X-Session-ID"] = str(uuid4())
        await new_chat(api, "Eve")
    return Content(database, session, chat, claimed)


async def test_a_restore_brings_back_every_row_and_every_privilege(cluster: Cluster, written: Content) -> None:
    fresh = await cluster.new_database("template1")

    code, _, messages = await script(cluster, "restore.sh", fresh, await backup(cluster, written.database))

    before, after = await contents(cluster, written.database), await contents(cluster, fresh)
    assert (code, messages) == (0, "")
    assert before["chats"][0] == before["sessions"][0] == 2
    assert before["presets"][0] == 1
    assert after == before
    assert await privileges(cluster, fresh) == await privileges(cluster, written.database)


async def test_a_backup_contains_no_words_and_a_restored_database_is_searched(
    cluster: Cluster, written: Content, tmp_path: Path
) -> None:
    file, fresh = await backup(cluster, written.database), await cluster.new_database("template1")
    text = gzip.decompress(file).decode()
    await script(cluster, "restore.sh", fresh, file)

    async with serving_dbapi(cluster, fresh, tmp_path / "log", written.session) as api:

        async def both() -> bool:
            return sorted(hit["is_running"] for hit in await hits(api, "quote")) == [False, True]

        await until(both)

    assert "COPY public.messages " in text
    assert "COPY public.message_words" not in text


async def test_a_restored_database_works(cluster: Cluster, written: Content, tmp_path: Path) -> None:
    fresh = await cluster.new_database("template1")
    await script(cluster, "restore.sh", fresh, await backup(cluster, written.database))
    await succeed("alembic", "upgrade", "head", DATABASE_URL=cluster.owner_url(fresh))

    async with serving_dbapi(cluster, fresh, tmp_path / "log", written.session) as api:
        continued = await append(api, written.claimed, 2, "The end.") and await finish(api, written.claimed, 2)
        answer = await message(api, written.chat["id"], written.claimed["message_id"])
        api.headers["X-Session-ID"] = str(uuid4())
        hidden = await api.get(f"/chats/{written.chat['id']}")

    assert continued
    assert answer["content"] == AWKWARD + "The end."
    assert hidden.status_code == 404


async def test_a_backup_of_a_restored_database_is_identical(cluster: Cluster, written: Content) -> None:
    fresh = await cluster.new_database("template1")
    first = await backup(cluster, written.database)
    await script(cluster, "restore.sh", fresh, first)

    assert lines(await backup(cluster, fresh)) == lines(first)


def lines(file: bytes) -> list[str]:
    """Return the sorted lines, because rows have no order, without the random \\restrict key of pg_dump."""
    return sorted(line for line in gzip.decompress(file).decode().splitlines() if "restrict" not in line)


async def test_existing_data_is_replaced_only_with_replace_yes(
    cluster: Cluster, written: Content, tmp_path: Path
) -> None:
    file, used = await backup(cluster, written.database), await cluster.new_database()
    async with serving_dbapi(cluster, used, tmp_path / "log", str(uuid4())) as api:
        await new_chat(api, "Somebody else")
    before = await contents(cluster, used)

    refused, _, messages = await script(cluster, "restore.sh", used, file)
    untouched = await contents(cluster, used)
    replaced, _, _ = await script(cluster, "restore.sh", used, file, REPLACE="yes")

    assert refused != 0
    assert "is not empty" in messages
    assert "REPLACE=yes" in messages
    assert untouched == before
    assert replaced == 0
    assert await contents(cluster, used) == await contents(cluster, written.database)


def cut_short(text: str) -> str:
    return text[: text.index(AWKWARD[:3])]


def without_a_row(text: str) -> str:
    return re.sub(r"(COPY public\.chats .*\n).*\n", r"\1", text)


def with_another_name(text: str) -> str:
    return text.replace("\tEve\t", "\tEva\t")


@pytest.mark.parametrize("damage", [cut_short, without_a_row, with_another_name])
async def test_a_damaged_backup_changes_nothing(
    cluster: Cluster, written: Content, damage: Callable[[str], str]
) -> None:
    whole = gzip.decompress(await backup(cluster, written.database)).decode()
    damaged, used = damage(whole), await cluster.new_database()
    before = await privileges(cluster, used)
    assert damaged != whole

    code, _, messages = await script(cluster, "restore.sh", used, gzip.compress(damaged.encode()), REPLACE="yes")

    assert code != 0
    assert messages
    assert await privileges(cluster, used) == before
    assert (await contents(cluster, used))["chats"][0] == 0


async def test_a_table_with_rows_the_owner_cannot_see_stops_the_backup(cluster: Cluster, written: Content) -> None:
    database = await cluster.new_database(written.database)
    owner = await asyncpg.connect(cluster.owner_url(database))
    await owner.execute("DROP POLICY owner ON messages")
    await owner.close()

    code, _, messages = await script(cluster, "backup.sh", database)

    assert code != 0
    assert "hide rows of messages" in messages


async def test_the_password_is_in_no_command_line(cluster: Cluster, written: Content, tmp_path: Path) -> None:
    for name in ("psql", "pg_dump"):
        spy = tmp_path / name
        spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {cluster.cluster.programs}/{name} "$@"\n')
        spy.chmod(0o755)

    code, _, _ = await script(cluster, "backup.sh", written.database, PATH=f"{tmp_path}:{os.environ['PATH']}")

    arguments = (tmp_path / "arguments").read_text()
    assert code == 0
    assert arguments.count(written.database) == 2
    assert (urlsplit(cluster.owner_url(written.database)).password or "-") not in arguments


def newest(folder: Path) -> tuple[int, str, str]:
    script = ROOT / "deploy" / "backup" / "newest.sh"
    result = subprocess.run([script, folder], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout.strip(), result.stderr


async def test_the_newest_complete_backup_is_chosen(cluster: Cluster, written: Content, tmp_path: Path) -> None:
    whole = await backup(cluster, written.database)
    for name in ("2026-11-20T03-17-00Z", "2026-11-22T03-17-00Z"):
        (tmp_path / f"{name}.sql.gz").write_bytes(whole)
    (tmp_path / "2026-11-23T03-17-00Z.sql.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2026-11-24T03-17-00Z.sql.gz").write_bytes(
        gzip.compress(cut_short(gzip.decompress(whole).decode()).encode())
    )
    (tmp_path / "2026-11-25T03-17-00Z.sql.gz").touch()
    (tmp_path / "2026-11-26T03-17-00Z.sql.gz.new").write_bytes(whole)
    (tmp_path / "lost+found").mkdir()

    code, file, messages = newest(tmp_path)

    assert (code, file) == (0, str(tmp_path / "2026-11-22T03-17-00Z.sql.gz"))
    assert messages.count("is incomplete") == 3


def test_without_a_complete_backup_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "2026-11-23T03-17-00Z.sql.gz").touch()

    code, file, messages = newest(tmp_path)

    assert (code, file) == (1, "")
    assert "There is no complete backup" in messages
