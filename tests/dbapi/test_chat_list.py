"""The list of chats: its order, its pages, and its speed."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.dialects import postgresql

from dbapi.sql import chat_list
from tests.dbapi.calls import new_chat, new_turn
from tests.dbapi.chat_lists import change, change_many, ids, listed, new_chats, pages
from tests.dbapi.conftest import Api
from tests.dbapi.endpoints import UNKNOWN_ID
from tests.stack import Cluster

MANY = 2_000
MANY_CHATS = """
INSERT INTO chats (session_id, username, title, system_prompt, updated_at, pinned_at, archived_at)
SELECT $1, 'Ada', 'No. ' || n, repeat('Be brief. ', 50), now() - n * interval '1 hour',
       CASE WHEN n % 100 = 0 THEN now() END, CASE WHEN n % 10 = 1 THEN now() END
  FROM generate_series(1, $2) n
"""
LIST_SECONDS = 0.1


# Order and pages


async def test_pinned_chats_come_first_and_each_part_has_the_latest_first(api: Api) -> None:
    chats = await new_chats(api, 4)

    await change(api, chats[3], pinned=True)
    await change(api, chats[1], pinned=True)
    await new_turn(api, {"id": chats[2]})

    assert await ids(api) == [chats[1], chats[3], chats[2], chats[0]]
    assert [chat["pinned"] for chat in (await listed(api))["chats"]] == [True, True, False, False]
    await new_turn(api, {"id": chats[3]})
    assert await ids(api) == [chats[3], chats[1], chats[2], chats[0]]
    await change(api, chats[3], pinned=False)
    assert await ids(api) == [chats[1], chats[3], chats[2], chats[0]]


async def test_pinning_and_archiving_do_not_count_as_activity(api: Api) -> None:
    chats = await new_chats(api, 2)
    before = (await listed(api))["chats"]

    for change_and_back in ({"pinned": True}, {"pinned": False}, {"archived": True}, {"archived": False}):
        await change(api, chats[1], **change_and_back)

    after = (await listed(api))["chats"]
    assert [chat["updated_at"] for chat in after] == [chat["updated_at"] for chat in before]


async def test_an_archived_chat_is_in_a_list_of_its_own(api: Api) -> None:
    chats = await new_chats(api, 3)

    archived = await change(api, chats[1], archived=True)

    assert (archived["archived"], archived["pinned"]) == (True, False)
    assert await ids(api) == [chats[0], chats[2]]
    assert await ids(api, archived=1) == [chats[1]]
    assert (await api.get(f"/chats/{chats[1]}")).json()["archived"] is True
    await change(api, chats[1], archived=False)
    assert await ids(api) == chats
    assert await ids(api, archived=1) == []


async def test_a_chat_is_either_pinned_or_archived(api: Api) -> None:
    (chat,) = await new_chats(api, 1)

    states = [
        await change(api, chat, **values)
        for values in ({"pinned": True}, {"archived": True}, {"pinned": True}, {"pinned": True, "archived": True})
    ]

    assert [(state["pinned"], state["archived"]) for state in states] == [
        (True, False),
        (False, True),
        (True, False),
        (False, True),
    ]
    unchanged = await change(api, chat, pinned=None, archived=None, title="Named")
    assert (unchanged["pinned"], unchanged["archived"], unchanged["title"]) == (False, True, "Named")


async def test_a_name_finds_an_archived_chat_only_if_there_is_no_other(api: Api) -> None:
    older, newer = (await new_chats(api, 2))[::-1]

    await change(api, newer, archived=True)
    assert (await api.get("/chats/username/Ada")).json()["id"] == older
    await change(api, older, archived=True)
    assert (await api.get("/chats/username/Ada")).json()["id"] == newer


async def test_a_new_chat_does_not_reuse_an_archived_one(api: Api) -> None:
    (empty,) = await new_chats(api, 1)
    again = {"username": "Ada", "reuse_empty": True}
    assert (await api.post("/chats", json=again)).json()["id"] == empty

    await change(api, empty, archived=True)

    assert (await api.post("/chats", json=again)).json()["id"] != empty


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
async def test_the_pages_contain_each_chat_once_in_the_order_of_the_list(api: Api, limit: int) -> None:
    chats = await new_chats(api, 7)
    await change(api, chats[6], archived=True)
    for pinned in (chats[1], chats[4]):
        await change(api, pinned, pinned=True)

    found = await pages(api, limit)

    order = await ids(api)
    assert order == [chats[1], chats[4], chats[0], chats[2], chats[3], chats[5]]
    assert found == [order[start : start + limit] for start in range(0, 6, limit)]


async def test_the_archive_has_pages(api: Api) -> None:
    chats = await new_chats(api, 5)
    await change_many(api, chats, archived=True)

    assert await pages(api, 2, archived=1) == [chats[:2], chats[2:4], chats[4:]]


async def test_pages_stay_complete_while_chats_change(api: Api) -> None:
    """A chat moves to the top, one is deleted, one is pinned, and a new one is made between the pages."""
    chats = await new_chats(api, 8)
    first = await listed(api, limit=3)

    await new_turn(api, {"id": chats[7]})  # now the latest
    await api.delete(f"/chats/{chats[2]}")  # the one that the cursor names
    await change(api, chats[6], pinned=True)
    await new_chat(api)
    second = await listed(api, limit=3, after=first["next"])

    assert [chat["id"] for chat in first["chats"]] == chats[:3]
    assert [chat["id"] for chat in second["chats"]] == chats[3:6]
    assert second["next"] is None


async def test_a_cursor_at_a_pinned_chat_survives_its_unpinning(api: Api) -> None:
    chats = await new_chats(api, 4)
    await change_many(api, chats[2:], pinned=True)
    first = await listed(api, limit=1)

    await change(api, chats[2], pinned=False)
    rest = await listed(api, limit=10, after=first["next"])

    assert [chat["id"] for chat in first["chats"]] == [chats[2]]
    assert [chat["id"] for chat in rest["chats"]] == [chats[3], chats[0], chats[1], chats[2]]


async def test_chats_of_the_same_moment_are_not_lost_between_pages(api: Api, owner: Any) -> None:
    chats = await new_chats(api, 5)
    await owner.execute(
        "UPDATE chats SET updated_at = '2026-01-01' WHERE id = ANY ($1)", [UUID(chat) for chat in chats]
    )

    found = [chat for page in await pages(api, 2) for chat in page]

    assert sorted(found) == sorted(chats)


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "0",
        "p",
        ".",
        "1.2",
        f"-1.{UNKNOWN_ID}",
        f"{'9' * 18}.{UNKNOWN_ID}",
        f"1.{UNKNOWN_ID}x",
        "\0",
        f"٣.{UNKNOWN_ID}",
    ],
)
async def test_anything_else_than_a_cursor_begins_at_the_top(api: Api, cursor: str) -> None:
    (chat,) = await new_chats(api, 1)

    assert await ids(api, after=cursor) == [chat]


@pytest.mark.parametrize(("cursor", "count"), [("9" * 17, 1), ("0", 0)])
async def test_a_cursor_may_name_any_time(api: Api, cursor: str, count: int) -> None:
    await new_chats(api, 1)

    assert len(await ids(api, after=f"{cursor}.{uuid4()}")) == count


@pytest.mark.parametrize(("limit", "count"), [("2", 2), ("0", 1), ("201", 3), ("x", 3), ("-1", 3)])
async def test_the_limit_of_a_page_has_limits(api: Api, limit: str, count: int) -> None:
    await new_chats(api, 3)

    assert len(await ids(api, limit=limit)) == count


# Speed


@pytest.fixture
async def many(api: Api, owner: Any) -> UUID:
    """A session with 2,000 chats: 20 of them pinned, 200 archived."""
    session = UUID(api.headers["X-Session-ID"])
    await owner.execute("INSERT INTO sessions (id) VALUES ($1)", session)
    await owner.execute(MANY_CHATS, session, MANY)
    await owner.execute("ANALYZE chats")
    return session


@pytest.fixture
async def runtime(cluster: Cluster, database: str) -> AsyncIterator[Any]:
    """A connection of the runtime login, like those of dbapi."""
    connection = await asyncpg.connect(cluster.runtime_url(database))
    yield connection
    await connection.close()


async def test_the_list_of_two_thousand_chats_is_fast(api: Api, many: UUID) -> None:
    async def seconds(**parameters: Any) -> float:
        started_at = time.monotonic()
        await listed(api, **parameters)
        return time.monotonic() - started_at

    cursor = (await listed(api, limit=100))["next"]
    for parameters in ({}, {"after": cursor}, {"archived": 1}):
        assert min([await seconds(limit=100, **parameters) for _ in range(5)]) < LIST_SECONDS
    found = [chat for page in await pages(api, 200) for chat in page]
    assert len(found) == len(set(found)) == MANY - MANY // 10


@pytest.mark.parametrize(
    ("pinned", "archived", "index"),
    [(False, False, "chats_latest"), (True, False, "chats_pinned"), (False, True, "chats_archived")],
)
async def test_a_page_of_the_list_is_read_along_an_index_under_row_level_security(
    owner: Any, runtime: Any, many: UUID, pinned: bool, archived: bool, index: str
) -> None:
    """It reads about as many rows as it shows, however many chats there are."""
    nth = "SELECT id, updated_at FROM chats WHERE session_id = $1 ORDER BY updated_at DESC OFFSET 500 LIMIT 1"
    row = await owner.fetchrow(nth, many)
    after = chat_list.Place(pinned, row["updated_at"], row["id"])
    statement = chat_list._part(many, pinned, archived, after).limit(50)
    dialect: Any = postgresql.dialect
    query = statement.compile(dialect=dialect(), compile_kwargs={"literal_binds": True})

    async with runtime.transaction():
        await runtime.execute("SELECT set_config('app.session_id', $1, true)", str(many))
        plan = json.loads(await runtime.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}"))[0]["Plan"]

    scans = [node for node in nodes(plan) if node.get("Index Name") == index]
    assert scans, plan
    assert "updated_at" in scans[0]["Index Cond"], plan
    assert scans[0]["Actual Rows"] + scans[0].get("Rows Removed by Filter", 0) < 500, plan


def nodes(plan: Any) -> list[Any]:
    return [plan, *(node for below in plan.get("Plans", []) for node in nodes(below))]
