"""Messages become searchable that were stored by an earlier version, or restored from a backup."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from dbapi import indexer
from dbapi.sql import words
from dbapi.sql.connection import Database
from tests.dbapi.calls import answered, hits, new_chat
from tests.dbapi.conftest import CREDENTIAL
from tests.stack import DBAPI_KEY, Cluster, Service, client, succeed, until

PREVIOUS = "0009"
MESSAGES = """
WITH session AS (INSERT INTO sessions (id) VALUES ($1) RETURNING id),
chat AS (INSERT INTO chats (session_id, username) SELECT id, 'Ada' FROM session RETURNING session_id, id)
INSERT INTO messages (session_id, chat_id, role, content)
SELECT session_id, id, 'user', CASE WHEN n % 10 = 0 THEN '' ELSE 'rill no' || n END
  FROM chat, generate_series(1, $2::integer) n
"""
MISSING = """
SELECT count(*) FROM messages m
 WHERE m.content <> '' AND NOT EXISTS (SELECT FROM message_words w WHERE w.message_id = m.id)
"""
FORGET = "DELETE FROM message_words; DELETE FROM message_words_progress"  # as after a restore


@pytest.fixture
async def database(cluster: Cluster) -> str:
    return await cluster.new_database()


@pytest.fixture
async def runtime(cluster: Cluster, database: str) -> AsyncIterator[Database]:
    opened = Database(cluster.runtime_url(database), 6)
    yield opened
    await opened.close()


@pytest.fixture
async def forgotten(owner: Any) -> None:
    """100 messages without their words, ten of them without text."""
    await owner.execute(MESSAGES, uuid4(), 100)
    await owner.execute(FORGET)


async def fill(database: Database, most: int) -> int | None:
    async with database.connection() as connection:
        return await words.fill(connection, most)


async def test_messages_of_the_previous_version_become_searchable(cluster: Cluster, tmp_path: Path) -> None:
    database, session = await cluster.new_database("template1"), uuid4()
    url = cluster.owner_url(database)
    await succeed("alembic", "upgrade", PREVIOUS, DATABASE_URL=url)
    owner = await asyncpg.connect(url)
    await owner.execute(MESSAGES, session, 2500)
    dbapi = Service(
        "dbapi", tmp_path / "log", {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": DBAPI_KEY}
    )
    try:
        await dbapi.start(wait=False)
        await succeed("alembic", "upgrade", "head", DATABASE_URL=url)
        await until(dbapi.is_ready)
        async with client(dbapi.url, headers=CREDENTIAL | {"X-Session-ID": str(session)}) as api:
            await answered(api, await new_chat(api), "What is a rill?", "Water.")
            assert len(await hits(api, "water")) == 1

            await until(lambda: complete(owner))
            assert [len(await hits(api, q)) for q in ("no2499", "no1", "no10", "water")] == [1, 1, 0, 1]
        await until(lambda: [line for line in dbapi.lines(0) if line["message"] == "all messages are searchable"])
    finally:
        await dbapi.terminate()
        await owner.close()


async def complete(owner: Any) -> bool:
    return bool(await owner.fetchval(MISSING) == 0)


async def test_all_messages_are_stored_once_in_several_batches(runtime: Database, owner: Any, forgotten: None) -> None:
    counts = [await fill(runtime, 40) for _ in range(6)]
    stored = await owner.fetchval("SELECT count(*) FROM message_words")

    assert counts == [0, 40, 40, 20, None, None]
    assert stored == 90
    assert await owner.fetchval(MISSING) == 0


async def test_words_that_are_stored_already_are_kept(runtime: Database, owner: Any, forgotten: None) -> None:
    await owner.execute("UPDATE messages SET content = 'brook' WHERE content = 'rill no7'")
    before = await owner.fetch("SELECT xmin::text, words::text FROM message_words")

    while await fill(runtime, 40) is not None:
        pass

    assert [tuple(row) for row in before] == [(before[0]["xmin"], "'brook':1")]
    after = await owner.fetch("SELECT xmin::text, words::text FROM message_words WHERE words @@ 'brook'")
    assert after == before


async def test_of_several_processes_one_works_at_a_time(runtime: Database, owner: Any, forgotten: None) -> None:
    assert await fill(runtime, 40) == 0  # makes the row that the others find locked
    async with owner.transaction():
        await owner.execute("SELECT FROM message_words_progress FOR UPDATE")
        busy = await fill(runtime, 40)

    await asyncio.wait_for(asyncio.gather(*(indexer.run(runtime) for _ in range(3))), 20)

    assert busy == 0
    assert await owner.fetchval(MISSING) == 0


async def test_a_message_that_is_being_deleted_is_tried_again(runtime: Database, owner: Any, forgotten: None) -> None:
    await fill(runtime, 40)
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("DELETE FROM messages WHERE content = 'rill no7'")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await fill(runtime, 100)

    await transaction.rollback()

    assert await fill(runtime, 100) == 100
    assert await owner.fetchval(MISSING) == 0


async def test_the_indexer_waits_for_the_tables(cluster: Cluster) -> None:
    database = await cluster.new_database("template1")
    runtime = Database(cluster.runtime_url(database), 2)
    running = asyncio.create_task(indexer.run(runtime))
    try:
        await succeed("alembic", "upgrade", "head", DATABASE_URL=cluster.owner_url(database))

        await asyncio.wait_for(running, 20)
    finally:
        running.cancel()
        await runtime.close()


@pytest.mark.parametrize(
    ("size", "seconds", "expected"),
    [(50, 0.0, 100), (50, 0.3, 50), (50, 3.0, 5), (1, 9.0, 1), (900, 0.01, 1000), (1000, 0.6, 500)],
)
def test_a_batch_takes_a_third_of_a_second(size: int, seconds: float, expected: int) -> None:
    assert indexer.next_size(size, seconds) == expected
