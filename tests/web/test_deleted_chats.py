"""A deleted chat is gone at every URL, in every process, and comes back only while it can be restored."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack import Service, until
from tests.web.actions import RUNNING
from tests.web.all_routes import CHAT_ROUTES, call
from tests.web.visitor import EVENTS, HTML, TEXT, Visitor

RESTORE = "POST /chats/{chat_id}/restore"
GONE = [name for name in CHAT_ROUTES if name != RESTORE]


@pytest.fixture
def elsewhere(visitor: Visitor, visitors: Callable[..., Visitor], second_web: Service) -> Visitor:
    """The same session at another web process; its cookie is copied when the session exists."""
    return visitors(second_web)


@pytest.mark.parametrize("accept", [HTML, EVENTS, TEXT])
async def test_a_deleted_chat_is_not_found_at_any_url(visitor: Visitor, elsewhere: Visitor, accept: str) -> None:
    chat = await visitor.begin()
    elsewhere.http.cookies.update(visitor.http.cookies)
    answer = await visitor.say(chat, RUNNING)
    await visitor.written(chat, answer)

    async with visitor.watching(chat, answer) as watched, elsewhere.watching(chat, answer) as watched_elsewhere:
        assert (watched.response.status_code, watched_elsewhere.response.status_code) == (200, 200)
        assert (await visitor.http.post(f"{chat}/delete")).status_code == 303
        ends = [await watched.response.aread(), await watched_elsewhere.response.aread()]  # both processes know now
        found = {
            (name, each is elsewhere): (await call(each, name, chat, answer, {"Accept": accept})).status_code
            for name in GONE
            for each in (visitor, elsewhere)
        }

    assert found == dict.fromkeys(found, 404)
    assert len(found) == 2 * len(GONE)
    assert all(b"done" in end for end in ends), "open streams end"


async def test_a_chat_deleted_right_after_its_message_was_sent_has_no_stream(visitor: Visitor) -> None:
    chat = await visitor.begin()
    answer = await visitor.say(chat, RUNNING)
    await visitor.http.post(f"{chat}/delete")

    assert (await visitor.http.get(f"{chat}/messages/{answer}/stream", headers={"Accept": TEXT})).status_code == 404


async def test_waiting_answers_of_a_deleted_chat_leave_the_queue(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    running, waiting = await visitor.say(chat, RUNNING), await visitor.say(chat, RUNNING)

    await visitor.http.post(f"{chat}/delete")

    async def statuses() -> Any:
        rows = await owner.fetch("SELECT message_id::text, status FROM generations WHERE message_id = ANY ($1)", ids)
        found = {row["message_id"]: row["status"] for row in rows}
        return found if set(found.values()) == {"stopped"} else None

    ids = [running, waiting]
    assert len(await until(statuses)) == 2
    await visitor.http.post(f"{chat}/restore")
    assert [message["status"] for message in await visitor.messages(chat) if message["id"] in ids] == ["stopped"] * 2


async def test_a_chat_can_be_restored_for_an_hour(visitor: Visitor, owner: Any) -> None:
    chats, ages = [await visitor.begin(new="1") for _ in range(2)], ("59 minutes", "61 minutes")
    for chat, age in zip(chats, ages, strict=True):
        await visitor.http.post(f"{chat}/delete")
        deleted_at = f"clock_timestamp() - interval '{age}'"
        own = chat.removeprefix("/chats/")
        await owner.execute(f"UPDATE chats SET deleted_at = {deleted_at} WHERE id = $1", own)

    assert [(await call(visitor, RESTORE, chat)).status_code for chat in chats] == [303, 404]
