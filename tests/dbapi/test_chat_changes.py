"""Unread chats, and changes of many chats at once."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.dbapi.calls import answered, append, finish, message, new_chat, queued, running
from tests.dbapi.chat_lists import change, change_many, ids, listed, new_chats
from tests.dbapi.conftest import Api

# Unread chats


async def unread(api: Api) -> list[str]:
    return [chat["id"] for chat in (await listed(api))["chats"] if chat["unread"]]


async def test_an_answer_that_ended_makes_its_chat_unread_until_it_is_seen(api: Api, idle_log: None) -> None:
    chat, other_chat = await new_chat(api), await new_chat(api)
    assert await unread(api) == []

    claimed = await running(api, chat)
    assert [(each["running"], each["unread"]) for each in (await listed(api))["chats"]] == [
        (True, False),
        (False, False),
    ]
    await append(api, claimed, 1, "Because.")
    await finish(api, claimed, 1)

    assert await unread(api) == [chat["id"]]
    await listed(api, seen=other_chat["id"])
    assert await unread(api) == [chat["id"]]
    seen = await listed(api, seen=chat["id"])
    assert [each["unread"] for each in seen["chats"]] == [False, False]
    assert await unread(api) == []
    await answered(api, chat, "And then?")
    assert await unread(api) == [chat["id"]]


async def test_a_failed_answer_counts_as_one(api: Api, idle_log: None) -> None:
    chat = await new_chat(api)
    await finish(api, await running(api, chat), 0, "failed", error="It broke.")

    assert await unread(api) == [chat["id"]]


async def test_seeing_a_running_answer_does_not_cover_its_end(api: Api, idle_log: None) -> None:
    chat = await new_chat(api)
    claimed = await running(api, chat)

    await listed(api, seen=chat["id"])
    await finish(api, claimed, 0)

    assert await unread(api) == [chat["id"]]


async def test_an_answer_before_the_last_does_not_make_a_chat_unread(api: Api, idle_log: None) -> None:
    """The chat has the mark of a running answer meanwhile."""
    chat = await new_chat(api)
    claimed = await running(api, chat)
    await queued(api, chat)

    await finish(api, claimed, 0)

    (found,) = (await listed(api))["chats"]
    assert (found["running"], found["unread"]) == (True, False)


async def test_seeing_a_chat_changes_the_list_but_not_the_chat(api: Api, owner: Any, idle_log: None) -> None:
    chat = await new_chat(api)
    await answered(api, chat)
    heard: list[str] = []
    await owner.add_listener("runnel_chats", lambda *about: heard.append(about[-1]))
    before, state = (await api.get(f"/chats/{chat['id']}")).json(), (await listed(api))["state"]

    seen = await listed(api, seen=chat["id"])
    again = await listed(api, seen=chat["id"])

    assert seen["state"] == again["state"] != state
    assert (await api.get(f"/chats/{chat['id']}")).json() == before
    await owner.execute("SELECT 1")  # notifications arrive with a response
    await asyncio.sleep(0.1)
    assert [payload for payload in heard if chat["id"] in payload] == [f"{api.headers['X-Session-ID']}:{chat['id']}:"]


async def test_the_state_of_the_list_changes_with_pins_and_the_archive(api: Api) -> None:
    chats = await new_chats(api, 2)
    states = [(await listed(api))["state"]]

    for values in ({"pinned": True}, {"pinned": False}, {"archived": True}, {"archived": False}):
        await change(api, chats[0], **values)
        states.append((await listed(api))["state"])

    assert len(set(states)) == len(states)


# Changes of many chats


async def test_many_chats_are_pinned_and_archived_at_once(api: Api) -> None:
    chats = await new_chats(api, 4)

    assert sorted(await change_many(api, chats[:2], pinned=True)) == sorted(chats[:2])
    assert [chat["pinned"] for chat in (await listed(api))["chats"]] == [True, True, False, False]
    await change_many(api, chats[1:3], archived=True)
    assert await ids(api) == [chats[0], chats[3]]
    assert await ids(api, archived=1) == chats[1:3]
    await change_many(api, chats, archived=False)
    assert await ids(api) == chats
    await change_many(api, chats, pinned=False)
    assert {chat["pinned"] for chat in (await listed(api))["chats"]} == {False}


async def test_many_chats_are_deleted_and_restored_at_once(api: Api, idle_log: None) -> None:
    """Deleting stops their answers, like deleting a single chat."""
    chats = await new_chats(api, 3)
    claimed, waiting = await running(api, {"id": chats[0]}), await queued(api, {"id": chats[1]})

    assert sorted(await change_many(api, chats[:2], deleted=True)) == sorted(chats[:2])

    assert await ids(api) == [chats[2]]
    assert [(await api.get(f"/chats/{chat}")).status_code for chat in chats] == [404, 404, 200]
    assert await change_many(api, chats[:2], deleted=True) == []
    assert await change_many(api, chats[:2], archived=True) == []
    assert sorted(await change_many(api, chats, deleted=False)) == sorted(chats[:2])
    assert sorted(await ids(api)) == sorted(chats)
    assert (await message(api, chats[1], waiting["id"]))["status"] == "stopped"
    accepted = {"lease": 60, "entries": [[claimed["id"], claimed["fence"], 1, 0, "x", None]]}
    assert (await api.post("/generations/append", json=accepted)).json()["stop"] == [claimed["id"]]


async def test_many_chats_can_be_restored_for_an_hour(api: Api, owner: Any) -> None:
    chats = await new_chats(api, 2)
    await change_many(api, chats, deleted=True)
    late = "UPDATE chats SET deleted_at = clock_timestamp() - interval '61 minutes' WHERE id = $1"
    await owner.execute(late, UUID(chats[1]))

    assert await change_many(api, chats, deleted=False) == [chats[0]]


async def test_a_change_of_many_chats_happens_as_a_whole(api: Api, owner: Any) -> None:
    """Another transaction holds one of the chats, so the change fails after a while."""
    chats = await new_chats(api, 3)
    async with owner.transaction():
        await owner.execute("SELECT FROM chats WHERE id = $1 FOR UPDATE", UUID(chats[1]))
        refused = await api.patch("/chats", json={"ids": chats, "archived": True}, timeout=10)

    assert refused.status_code == 503
    assert await ids(api) == chats


async def test_simultaneous_changes_of_the_same_chats_do_not_block_each_other_for_ever(api: Api) -> None:
    chats = await new_chats(api, 30)

    changes = [
        api.patch("/chats", json={"ids": chats[::step], "pinned": number % 2 == 0})
        for number, step in enumerate([1, -1] * 6)
    ]
    codes = [response.status_code for response in await asyncio.gather(*changes)]

    assert codes == [200] * 12


@pytest.mark.parametrize(
    "body",
    [
        {"ids": []},
        {"ids": [str(uuid4()) for _ in range(101)], "archived": True},
        {"ids": ["x"], "archived": True},
        {"archived": True},
        {"ids": [str(uuid4())], "archived": "perhaps"},
        {"ids": "all", "deleted": True},
    ],
)
async def test_an_invalid_change_of_many_chats_is_refused(api: Api, body: Any) -> None:
    (chat,) = await new_chats(api, 1)

    assert (await api.patch("/chats", json=body)).status_code == 422
    assert await ids(api) == [chat]


async def test_a_hundred_chats_and_repeated_ids_are_accepted(api: Api) -> None:
    (chat,) = await new_chats(api, 1)

    assert await change_many(api, [chat] * 50 + [str(uuid4()) for _ in range(50)], archived=True) == [chat]
    assert await change_many(api, [chat]) == [chat]
