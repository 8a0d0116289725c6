"""Titles: at most one request a chat, only while the model has room, and never over a title that the user has set."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.dbapi.calls import OPENING, answered, claim, finish, new_chat, new_turn, queued, running
from tests.dbapi.conftest import Api

pytestmark = pytest.mark.usefixtures("idle_log")


async def may_request(api: Api, chat: Any, slots: int = 1000) -> bool:
    response = await api.post(f"/chats/{chat['id']}/title", json={"slots": slots})
    assert response.status_code == 200, response.text
    return response.json()["is_due"]  # type: ignore[no-any-return]


async def is_stored(api: Api, chat: Any, title: str) -> bool:
    response = await api.put(f"/chats/{chat['id']}/title", json={"title": title})
    assert response.status_code == 200, response.text
    return response.json()["is_stored"]  # type: ignore[no-any-return]


async def rename(api: Api, chat: Any, title: str) -> None:
    assert (await api.patch(f"/chats/{chat['id']}", json={"title": title})).status_code == 200


async def shown(api: Api, chat: Any) -> tuple[str | None, int]:
    """The title and the revision."""
    found = (await api.get(f"/chats/{chat['id']}")).json()
    return found["title"], found["revision"]


async def wants_title(api: Api, chat: Any) -> bool:
    """As the writer of the next answer learns with its prompt, from the new turn and when it asks."""
    turn = await new_turn(api, chat, claim={"owner": "test", "slots": 1000, "lease": 60})
    path = f"/chats/{chat['id']}/messages/{turn['assistant']['id']}/prompt"
    asked = (await api.get(path)).json()["wants_title"]
    assert await finish(api, turn["claimed"], 0)
    assert turn["prompt"]["wants_title"] == asked
    return asked  # type: ignore[no-any-return]


async def test_a_chat_gets_one_request_and_its_title_changes_once(api: Api) -> None:
    chat = await new_chat(api)
    assert not await may_request(api, chat), "there is nothing yet to write a title for"
    await answered(api, chat, "Why is the sky blue?")
    _, before = await shown(api, chat)

    granted = [await may_request(api, chat) for _ in range(2)]
    requested = await shown(api, chat)
    stored = [await is_stored(api, chat, title) for title in ("Colours of the sky", "Another")]

    assert (granted, stored) == ([True, False], [True, False])
    assert requested == ("Why is the sky blue?", before), "open pages have nothing to load yet"
    assert await shown(api, chat) == ("Colours of the sky", before + 1)


async def test_of_many_simultaneous_processes_one_gets_the_request(api: Api) -> None:
    chat = await new_chat(api)
    await answered(api, chat)

    granted = await asyncio.gather(*(may_request(api, chat) for _ in range(8)))

    assert granted.count(True) == 1


async def test_a_title_of_the_user_is_never_replaced(api: Api) -> None:
    before, during, removed = [await new_chat(api) for _ in range(3)]
    for chat in (before, during, removed):
        await answered(api, chat)
    await rename(api, before, "Mine")
    granted = [await may_request(api, chat) for chat in (before, during, removed)]
    await rename(api, during, "Mine")
    await rename(api, removed, "")

    stored = [await is_stored(api, chat, "The model's") for chat in (before, during, removed)]

    assert (granted, stored) == ([False, True, True], [False, False, False])
    assert [(await shown(api, chat))[0] for chat in (before, during, removed)] == ["Mine", "Mine", None]


async def test_a_title_that_older_code_has_stored_is_the_users(api: Api, owner: Any) -> None:
    """Before and after `title_from`, during an upgrade or after going back one version."""
    before, during = await new_chat(api), await new_chat(api)
    for chat in (before, during):
        await answered(api, chat)
    assert await may_request(api, during)
    for chat in (before, during):
        await owner.execute("UPDATE chats SET title = 'Mine' WHERE id = $1", UUID(chat["id"]))

    granted, stored = await may_request(api, before), await is_stored(api, during, "The model's")

    assert (granted, stored) == (False, False)
    assert [(await shown(api, chat))[0] for chat in (before, during)] == ["Mine", "Mine"]


async def test_a_title_that_was_removed_leads_to_no_second_request(api: Api) -> None:
    chat = await new_chat(api)
    await answered(api, chat)
    assert await may_request(api, chat)
    await rename(api, chat, "")

    await answered(api, chat, "And then?")

    assert (await shown(api, chat))[0] == "And then?"
    assert not await may_request(api, chat)


async def test_no_request_is_granted_while_an_answer_needs_the_slot(api: Api) -> None:
    chat, other = await new_chat(api), await new_chat(api)
    await answered(api, chat)
    claimed = await running(api, other)

    with_running = [await may_request(api, chat, slots) for slots in (0, 1)]
    waiting = await queued(api)
    with_waiting = await may_request(api, chat)
    again = (await claim(api))[waiting["generation_id"]]
    with_two = await may_request(api, chat, 2)
    for each in (claimed, again):
        assert await finish(api, each, 0)

    assert not any((*with_running, with_waiting, with_two))
    assert await may_request(api, chat, 1), "the request was only put off"


async def test_the_prompt_says_whether_the_chat_wants_a_title(api: Api) -> None:
    named, temporary = await new_chat(api), await new_chat(api, is_temporary=True)
    await rename(api, named, "Mine")
    fresh = await new_chat(api)

    first = [await wants_title(api, chat) for chat in (fresh, named, temporary)]
    again = await wants_title(api, fresh)
    assert await may_request(api, fresh)
    afterwards = await wants_title(api, fresh)

    assert first == [True, False, False]
    assert (again, afterwards) == (True, False)


async def test_a_chat_that_began_with_a_message_wants_a_title_too(api: Api) -> None:
    first = [OPENING, {"role": "user", "content": "Why?"}]
    created = (await api.post("/chats", json={"username": "Ada", "messages": first})).json()
    chat = await new_chat(api)
    assert (await api.post(f"/chats/{chat['id']}/message", json={"role": "user", "content": "How?"})).is_success

    assert [(await shown(api, each))[0] for each in (created, chat)] == ["Why?", "How?"]
    assert [await may_request(api, each) for each in (created, chat)] == [True, True]


async def test_a_title_of_an_earlier_version_counts_as_the_users(api: Api, owner: Any) -> None:
    chat = await new_chat(api)
    await answered(api, chat)
    await owner.execute("UPDATE chats SET title_from = NULL WHERE id = $1", chat["id"])

    assert not await wants_title(api, chat)
    assert not await may_request(api, chat)


@pytest.mark.parametrize("title", ["", "x" * 81])
async def test_a_title_has_1_to_80_characters(api: Api, title: str) -> None:
    chat = await new_chat(api)

    assert (await api.put(f"/chats/{chat['id']}/title", json={"title": title})).status_code == 422
