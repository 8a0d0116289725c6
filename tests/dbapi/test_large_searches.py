"""Large messages and sessions are searched, too; a search that takes too long says so."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.dbapi.calls import (
    append,
    ask,
    hits,
    marked,
    running,
    search,
)
from tests.dbapi.conftest import CREDENTIAL, Api
from tests.stack import DBAPI_KEY, NO_LIMITS, Cluster, Service, client

pytestmark = pytest.mark.usefixtures("idle_log")

DISTINCT_WORDS = "SELECT string_agg(to_hex(n * 7919), ' ') FROM generate_series(1, $1::integer) n"


async def test_a_megabyte_of_words_is_stored_and_searched(api: Api, owner: Any) -> None:
    message = await ask(api, "Why?")
    content = await owner.fetchval(DISTINCT_WORDS, 150_000)
    assert len(content) > 1_000_000

    await owner.execute("UPDATE messages SET content = $2 WHERE id = $1", message["id"], content)

    assert [hit["message_id"] for hit in await hits(api, f"{7919:x} {2 * 7919:x}")] == [message["id"]]


@pytest.mark.parametrize("piece", ["Ⅷ", "ß", "㎯", "北", "\U0010ffff", "a\u0301", "é", "ﷺ", "\U00020bb7"])
async def test_a_megabyte_of_one_character_is_stored(api: Api, owner: Any, piece: str) -> None:
    message = await ask(api, "Why?")

    await owner.execute("UPDATE messages SET content = $2 WHERE id = $1", message["id"], piece * 1_000_000 + " end")

    words_stored = await owner.fetchval("SELECT words::text FROM message_words WHERE message_id = $1", message["id"])
    assert len(words_stored) < 1_000_000
    await search(api, piece)


async def test_a_text_of_many_different_characters_is_stored(api: Api, owner: Any) -> None:
    """Each is a word of its own."""
    message = await ask(api, "Why?")
    characters = [*range(0x4E00, 0xA000), *range(0xAC00, 0xD7A4), *range(0x20000, 0x30000)]

    await owner.execute("UPDATE messages SET content = $2 WHERE id = $1", message["id"], "".join(map(chr, characters)))

    assert [hit["message_id"] for hit in await hits(api, "一丁")] == [message["id"]]


MANY = """
WITH chat AS (INSERT INTO chats (session_id, username) VALUES ($1, 'Ada') RETURNING id)
INSERT INTO messages (session_id, chat_id, role, content)
SELECT $1, chat.id, 'user', format('common%s no%s %s 北京 the of', CASE WHEN n % 2 = 0 THEN ' even' END, n,
                                   CASE WHEN n % 400 = 0 THEN 'of the rare' ELSE 'rare' END)
  FROM chat, generate_series(1, 1200) n ORDER BY n
"""
FIND = """
SELECT substring(m.content FROM 'no(\\d+)')::integer AS number
  FROM find_messages($1::text::tsquery, 300, $2, '{}') f JOIN messages m ON m.id = f.message_id ORDER BY m.position DESC
"""


@pytest.fixture(scope="module")
async def large_session(cluster: Cluster, database: str) -> AsyncIterator[UUID]:
    """A session with 1,200 messages, older than those of another. With more than 1,000, a search uses the index."""
    owner, session, other = await asyncpg.connect(cluster.owner_url(database)), uuid4(), uuid4()
    await owner.execute("INSERT INTO sessions (id) VALUES ($1), ($2)", session, other)
    for each in (session, other):
        await owner.execute(MANY, each)
    yield session
    await owner.execute("DELETE FROM sessions WHERE id = ANY ($1)", [session, other])
    await owner.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("common", range(1200, 900, -1)),
        ("!even", range(1199, 599, -2)),
        ("北 <-> 京", range(1200, 900, -1)),
        ("no77", [77]),
        ("no119:*", [1199, 1198, 1197, 1196, 1195, 1194, 1193, 1192, 1191, 1190, 119]),
        ("of <-> the <-> rare", [1200, 800, 400]),
        ("no3 | no1100", [1100, 3]),
        ("!(of <-> the)", [number for number in range(1200, 0, -1) if number % 400][:300]),
        ("even & !rare", []),
        ("!common", []),
        ("京 <-> 北", []),
        ("common & nothing", []),
        ("", []),
    ],
)
async def test_a_large_session_is_searched_by_the_index(
    cluster: Cluster, database: str, large_session: UUID, query: str, expected: Sequence[int]
) -> None:
    runtime = await asyncpg.connect(cluster.runtime_url(database))
    try:
        async with runtime.transaction():
            await runtime.fetch("SELECT set_config('app.session_id', $1, true)", str(large_session))
            everything, newest = [
                [row["number"] for row in await runtime.fetch(FIND, query, only_newest)]
                for only_newest in (False, True)
            ]
    finally:
        await runtime.close()

    assert everything == [*expected]
    assert newest == [number for number in expected if number > 200]


async def test_row_security_does_not_keep_a_search_from_the_index(owner: Any, large_session: UUID) -> None:
    change = owner.transaction()
    await change.start()
    await owner.execute("DROP INDEX message_words_newest")  # which the planner prefers for a small table
    await owner.execute(
        "SET LOCAL ROLE runnel_search; SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off"
    )
    (plan,) = await owner.fetchrow(
        f"EXPLAIN (FORMAT JSON) SELECT message_id FROM message_words WHERE session_id = '{large_session}'"
        " AND words_in_session(session_id, words) @@ 'no77'::tsquery ORDER BY position DESC LIMIT 300"
    )
    await change.rollback()

    scans = [node for node in nodes(json.loads(plan)[0]["Plan"]) if node.get("Index Name") == "message_words_found"]
    assert scans, plan
    assert "words_in_session(session_id, words) @@" in scans[0]["Index Cond"], plan


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


async def test_the_words_of_other_sessions_cost_a_search_nothing(owner: Any, api: Api, large_session: UUID) -> None:
    """Another session has 5,000 words that begin with zebra, and none has one that begins with quagga."""
    message = await ask(api, "Why?")
    content = " ".join(f"zebra{number}" for number in range(5000))
    await owner.execute("UPDATE messages SET content = $2 WHERE id = $1", message["id"], content)
    await owner.execute("VACUUM ANALYZE message_words")  # moves new entries to their places in the index

    zebra, quagga = [await pages_read(owner, large_session, f"{prefix}:*") for prefix in ("zebra", "quagga")]

    assert abs(zebra - quagga) <= 3  # 5,000 entries have 30 pages


async def pages_read(owner: Any, session: UUID, query: str) -> int:
    """How many pages a search reads, when all are in memory and the plan has been made before."""
    statement = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM find_messages('{query}', 300, false, '{{}}')"
    async with owner.transaction():
        await owner.execute("SELECT set_config('app.session_id', $1, true)", str(session))
        await owner.execute(statement)
        plan = json.loads(await owner.fetchval(statement))[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.fixture
async def slow(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Service]:
    """dbapi with a database in which a search of all messages takes 30 s."""
    database = await cluster.new_database()
    owner = await asyncpg.connect(cluster.owner_url(database))
    definition = await owner.fetchval("SELECT pg_get_functiondef('find_messages'::regproc)")
    slowly = "BEGIN\n  IF NOT only_newest THEN PERFORM pg_sleep(30); END IF;\n"
    await owner.execute(definition.replace("BEGIN\n", slowly, 1))
    await owner.close()
    environ = {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": DBAPI_KEY} | NO_LIMITS
    dbapi = await Service("dbapi", tmp_path / "log", environ).start()
    yield dbapi
    await dbapi.terminate()


async def test_a_search_that_takes_too_long_finds_what_is_new_and_says_so(slow: Service) -> None:
    async with client(slow.url, headers=CREDENTIAL | {"X-Session-ID": str(uuid4())}) as api:
        message = await ask(api, "Why?")
        answer = await running(api)
        await append(api, answer, 1, "That is why.")

        response = await api.get("/search", params={"q": "why"})

    results = response.json()["results"]
    found_ids = {hit["message_id"] for result in results for hit in result["hits"]}
    assert response.json()["is_complete"] is False
    assert found_ids >= {message["id"], answer["message_id"]}
    assert marked(results[0]["title"]) == "[Why]?"
    assert response.elapsed.total_seconds() < 5
