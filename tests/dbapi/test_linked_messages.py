"""A chat can be read at one of its messages, on the branch of that message."""

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.dbapi.calls import (
    another_answer,
    answered,
    new_chat,
)
from tests.dbapi.conftest import Api

pytestmark = pytest.mark.usefixtures("idle_log")


async def test_a_chat_is_shown_through_a_message_without_changing_it(api: Api) -> None:
    chat = await new_chat(api)
    first = await answered(api, chat, "Where?", "Norfolk.")
    await answered(api, chat, "And then?", "The sea.")
    other = await another_answer(api, chat, first["user"]["id"], "Suffolk.")
    before = (await api.get(f"/chats/{chat['id']}")).json()

    async def shown(message_id: str, query: str = "") -> list[str]:
        page = (await api.get(f"/chats/{chat['id']}?message={message_id}{query}")).json()
        assert page["tip_id"] == before["tip_id"]
        return [message["content"] for message in page["messages"]]

    whole = ["Hello!", "Where?", "Norfolk.", "And then?", "The sea."]
    assert [message["content"] for message in before["messages"]] == ["Hello!", "Where?", "Suffolk."]
    assert await shown(first["assistant"]["id"]) == whole
    assert await shown(first["assistant"]["id"], "&last=1") == whole[2:]
    assert await shown(first["assistant"]["id"], "&last=4") == whole[1:]
    assert await shown(other) == ["Hello!", "Where?", "Suffolk."]
    assert await shown(chat["tip_id"]) == ["Hello!", "Where?", "Suffolk."]
    assert (await api.get(f"/chats/{chat['id']}")).json() == before


async def test_an_unknown_message_of_a_chat_is_not_found(api: Api, clients: Callable[[], Api]) -> None:
    chat, neighbour = await new_chat(api), clients()
    theirs = await new_chat(neighbour)

    async def status(message: str) -> int:
        return (await api.get(f"/chats/{chat['id']}", params={"message": message})).status_code

    unknown = [str(UUID(int=1)), theirs["tip_id"], "x", chat["tip_id"].upper(), f"{chat['tip_id']}x", "\0"]
    assert [await status(message) for message in unknown] == [404] * len(unknown)
    assert [await status(message) for message in ("", chat["tip_id"])] == [200, 200]
