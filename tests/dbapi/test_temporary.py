"""Temporary chats: in no list and no search, removed when they were left or not used, unless the user keeps them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from dbapi import pruner
from dbapi.sql import words
from dbapi.sql.connection import Database
from tests.dbapi.calls import answered, append, claim, finish, hits, marked, new_chat, new_turn, running, search
from tests.dbapi.conftest import Api
from tests.stack import Cluster

pytestmark = pytest.mark.usefixtures("idle_log")
WORDS = "SELECT count(*) FROM message_words WHERE chat_id = $1"
DAY = timedelta(days=1)


@pytest.fixture
async def runtime_database(cluster: Cluster, database: str) -> AsyncIterator[Database]:
    opened = Database(cluster.runtime_url(database), 2)
    yield opened
    await opened.close()


async def new_temporary(api: Api, **more: Any) -> Any:
    return await new_chat(api, is_temporary=True, **more)


async def act(api: Api, chat: Any, verb: str) -> int:
    return (await api.post(f"/chats/{chat['id']}/{verb}")).status_code


async def age(owner: Any, chat: Any, column: str, age: str) -> None:
    await owner.execute(f"UPDATE chats SET {column} = clock_timestamp() - interval '{age}' WHERE id = $1", chat["id"])


async def exists(owner: Any, chat: Any) -> bool:
    return bool(await owner.fetchval("SELECT count(*) FROM chats WHERE id = $1", chat["id"]))


async def test_a_temporary_chat_is_shown_but_in_no_list(api: Api) -> None:
    listed = await new_chat(api)
    before = (await api.get("/chats")).json()
    temporary = await new_temporary(api)
    await answered(api, temporary)

    after = (await api.get("/chats")).json()
    latest = (await api.get("/chats/username/Ada")).json()
    shown = (await api.get(f"/chats/{temporary['id']}")).json()

    assert [chat["id"] for chat in after["chats"]] == [listed["id"]]
    assert after["state"] == before["state"], "no page has a list to load"
    assert latest["id"] == listed["id"]
    assert (shown["is_temporary"], latest["is_temporary"]) == (True, False)
    assert [message["content"] for message in shown["messages"]] == ["Hello!", "Why?", "Because."]


async def test_an_empty_chat_is_reused_for_a_chat_of_the_same_kind_only(api: Api) -> None:
    plain, temporary = await new_chat(api), await new_temporary(api)
    await act(api, temporary, "leave")

    again = [await new_chat(api, reuse_empty=True, is_temporary=kind) for kind in (False, True)]

    assert [chat["id"] for chat in again] == [plain["id"], temporary["id"]]


async def test_the_only_chat_of_a_name_is_not_its_latest_while_temporary(api: Api) -> None:
    temporary = await new_temporary(api)
    missing = (await api.get("/chats/username/Ada")).status_code

    await act(api, temporary, "keep")

    assert missing == 404
    assert (await api.get("/chats/username/Ada")).json()["id"] == temporary["id"]


async def test_a_search_finds_a_temporary_chat_only_after_it_is_kept(api: Api, owner: Any) -> None:
    temporary = await new_temporary(api)
    await answered(api, temporary, "Where is the lighthouse?", "The lighthouse is at the cape.")
    await append(api, await running(api, temporary), 1, "Another lighthouse")
    before, stored = await search(api, "lighthouse"), await owner.fetchval(WORDS, temporary["id"])

    assert await act(api, temporary, "keep") == 200

    found = await search(api, "lighthouse")
    assert (before["results"], stored) == ([], 0)
    assert [marked(chat["title"]) for chat in found["results"]] == ["Where is the [lighthouse]?"]
    assert len(await hits(api, "lighthouse")) == 3


async def test_words_that_were_stored_are_not_found_either(api: Api, owner: Any) -> None:
    """The index and the statements protect independently."""
    chat = await new_chat(api)
    await answered(api, chat, "Where is the lighthouse?")
    assert len(await hits(api, "lighthouse")) == 1

    await owner.execute("UPDATE chats SET is_temporary = true WHERE id = $1", chat["id"])

    assert await owner.fetchval(WORDS, chat["id"]) > 0
    assert (await search(api, "lighthouse"))["results"] == []


async def test_the_indexer_leaves_out_temporary_chats(api: Api, owner: Any, runtime_database: Database) -> None:
    plain, temporary = await new_chat(api), await new_temporary(api)
    for chat in (plain, temporary):
        await answered(api, chat)
    await owner.execute("DELETE FROM message_words; DELETE FROM message_words_progress")

    async with runtime_database.connection() as connection:
        while await words.fill(connection, 1000) is not None:
            pass

    assert [await owner.fetchval(WORDS, chat["id"]) for chat in (plain, temporary)] == [3, 0]


async def test_an_answer_that_ends_while_its_chat_is_kept_is_found(
    api: Api, owner: Any, cluster: Cluster, database: str
) -> None:
    """Either transaction may be first: the other one waits for it."""
    other = await asyncpg.connect(cluster.owner_url(database))
    keep = "UPDATE chats SET is_temporary = false WHERE id = $1"
    write = "UPDATE messages SET content = 'A lighthouse.' WHERE id = $1"
    for first, second in (("keep", "write"), ("write", "keep")):
        chat = await new_temporary(api)
        values = {"keep": (keep, chat["id"]), "write": (write, chat["tip_id"])}
        transaction = owner.transaction()
        await transaction.start()
        await owner.execute(*values[first])
        waiting = asyncio.create_task(other.execute(*values[second]))
        await asyncio.sleep(0.2)
        assert not waiting.done(), f"{second} sees only a part of {first}"
        await transaction.commit()
        await waiting
        assert await owner.fetchval(WORDS, chat["id"]) == 1, f"{first}, then {second}"
    await other.close()
    assert len(await hits(api, "lighthouse")) == 2


@pytest.mark.parametrize(
    ("column", "time", "is_removed"),
    [
        ("left_at", "59 seconds", False),
        ("left_at", "61 seconds", True),
        ("updated_at", "23 hours 59 minutes", False),
        ("updated_at", "24 hours 1 minute", True),
    ],
)
async def test_temporary_chats_are_removed_when_they_were_left_or_not_used(
    runtime_database: Database, clients: Callable[[], Api], owner: Any, column: str, time: str, is_removed: bool
) -> None:
    api, neighbour = clients(), clients()
    temporary, plain, theirs = await new_temporary(api), await new_chat(api), await new_temporary(neighbour)
    for session, chat in ((api, temporary), (api, plain), (neighbour, theirs)):
        await answered(session, chat)
    for chat in (temporary, plain):
        await age(owner, chat, column, time)

    await pruner.prune(runtime_database, None, DAY)

    assert [await exists(owner, chat) for chat in (temporary, plain, theirs)] == [not is_removed, True, True]
    assert (await api.get(f"/chats/{temporary['id']}")).status_code == (404 if is_removed else 200)
    rest = await owner.fetchval("SELECT count(*) FROM messages WHERE chat_id = $1", temporary["id"])
    assert rest == (0 if is_removed else 3)


async def test_an_answer_ends_before_its_chat_is_removed(runtime_database: Database, api: Api, owner: Any) -> None:
    temporary = await new_temporary(api)
    claimed = await running(api, temporary)
    await act(api, temporary, "leave")
    await age(owner, temporary, "left_at", "2 minutes")

    await pruner.prune(runtime_database, None, DAY)
    is_there = await exists(owner, temporary)
    assert await finish(api, claimed, 0)
    await pruner.prune(runtime_database, None, DAY)

    assert is_there
    assert not await exists(owner, temporary)


async def test_the_callers_times_cannot_remove_anything_earlier(
    cluster: Cluster, database: str, runtime_database: Database, api: Api, owner: Any
) -> None:
    left, unused = await new_temporary(api), await new_temporary(api)
    await age(owner, left, "left_at", "29 seconds")
    await age(owner, unused, "updated_at", "59 minutes")

    async with runtime_database.connection() as connection:
        await connection.execute("SELECT purge_temporary_chats('0', '0', 100)")

    assert [await exists(owner, chat) for chat in (left, unused)] == [True, True]


async def test_returning_in_time_saves_a_chat(runtime_database: Database, api: Api, owner: Any) -> None:
    temporary = await new_temporary(api)
    statuses = [await act(api, temporary, verb) for verb in ("leave", "leave")]
    await age(owner, temporary, "left_at", "59 seconds")
    statuses.append(await act(api, temporary, "return"))

    assert statuses == [204] * 3
    assert await owner.fetchval("SELECT left_at FROM chats WHERE id = $1", temporary["id"]) is None
    await pruner.prune(runtime_database, None, DAY)
    assert await exists(owner, temporary)


async def test_a_report_of_the_page_that_was_left_does_not_count(api: Api, owner: Any) -> None:
    """A browser sends its report and the message that the page was left on different connections."""
    temporary = await new_temporary(api)

    async def left_after(verb: str, page: int) -> bool:
        await act(api, temporary, f"{verb}?page={page}")
        return bool(await owner.fetchval("SELECT left_at IS NOT NULL FROM chats WHERE id = $1", temporary["id"]))

    steps = [("leave", 7), ("return", 7), ("return", 8), ("leave", 0), ("leave", 8), ("return", 8), ("return", 9)]
    assert [await left_after(*step) for step in steps] == [True, True, False, True, True, True, False]
    assert [await left_after(*step) for step in [("leave", 9), ("leave", 0), ("return", 9)]] == [True, True, True]


async def test_whoever_writes_has_not_left_the_chat(api: Api, owner: Any) -> None:
    temporary = await new_temporary(api)
    turn = await answered(api, temporary)
    path, answer = f"/chats/{temporary['id']}", turn["assistant"]["id"]
    writes = {
        f"{path}/turns": {"content": "And then?"},
        f"{path}/messages/{answer}/answers": {},
        f"{path}/messages/{answer}/continue": {},
        f"{path}/message": {"role": "user", "content": "Hi"},
    }
    for url, body in writes.items():
        await act(api, temporary, "leave")
        assert (await api.post(url, json=body)).is_success
        assert await owner.fetchval("SELECT left_at FROM chats WHERE id = $1", temporary["id"]) is None, url


async def test_leaving_and_returning_are_announced_once(api: Api) -> None:
    """So a page of the chat that is still visible reports that it is open."""
    temporary = await new_temporary(api)

    revisions = []
    for verb in ("leave", "leave", "return", "return"):
        await act(api, temporary, verb)
        revisions.append((await api.get(f"/chats/{temporary['id']}/state")).json()["revision"])

    first = revisions[0]
    assert revisions == [first, first, first + 1, first + 1]


async def test_leaving_changes_no_other_chat(api: Api, owner: Any) -> None:
    plain = await new_chat(api)
    row = "SELECT chats::text FROM chats WHERE id = $1"
    before = await owner.fetchval(row, plain["id"])

    statuses = [await act(api, plain, verb) for verb in ("leave", "return", "keep")]

    assert statuses == [204, 204, 200]
    assert await owner.fetchval(row, plain["id"]) == before


async def test_a_kept_chat_is_like_any_other(runtime_database: Database, api: Api, owner: Any) -> None:
    temporary = await new_temporary(api)
    await answered(api, temporary)
    await act(api, temporary, "leave")

    kept = (await api.post(f"/chats/{temporary['id']}/keep")).json()
    await age(owner, temporary, "updated_at", "30 days")
    await pruner.prune(runtime_database, None, DAY)

    assert kept["is_temporary"] is False
    assert [chat["id"] for chat in (await api.get("/chats")).json()["chats"]] == [temporary["id"]]
    wanted = await api.post(f"/chats/{temporary['id']}/title", json={"slots": 1000})
    assert wanted.json()["is_due"], "it gets a title after its next answer"


async def test_a_deleted_temporary_chat_is_removed_like_one_that_was_left(
    runtime_database: Database, api: Api, owner: Any
) -> None:
    removed, restored = await new_temporary(api), await new_temporary(api)
    for chat in (removed, restored):
        await api.delete(f"/chats/{chat['id']}")
    assert (await api.post(f"/chats/{restored['id']}/restore")).status_code == 200
    await age(owner, removed, "left_at", "61 seconds")

    await pruner.prune(runtime_database, None, DAY)

    assert [await exists(owner, chat) for chat in (removed, restored)] == [False, True]
    assert await owner.fetchval("SELECT left_at FROM chats WHERE id = $1", restored["id"]) is None


async def test_a_temporary_chat_gets_no_title_of_the_model(api: Api) -> None:
    temporary = await new_temporary(api)
    turn = await new_turn(api, temporary)
    claimed = (await claim(api))[turn["assistant"]["generation_id"]]
    await append(api, claimed, 1, "Because.")
    await finish(api, claimed, 1)

    wanted = await api.post(f"/chats/{temporary['id']}/title", json={"slots": 1000})

    assert not wanted.json()["is_due"]
