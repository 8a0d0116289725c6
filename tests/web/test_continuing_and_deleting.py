"""Continuing answers and deleting messages; the chat stays usable."""

import asyncio
from typing import Any

import pytest

from tests.web.actions import RUNNING, act, finished_answer, user_messages
from tests.web.visitor import Model, Visitor, unique

CUT = {"text": "one two", "finish_reason": "length"}


async def test_a_stopped_answer_continues_after_its_log_was_deleted(visitor: Visitor, owner: Any) -> None:
    chat, text = await visitor.begin(), "a b c d e f g h i j k l m n o p q r s t"
    message = await visitor.say(chat, {"text": text, "delay_ms": 60})
    await visitor.written(chat, message, 4)
    await visitor.stop(chat, message)
    stopped = await visitor.ended(chat, message)
    await owner.execute(
        "DELETE FROM generation_chunks WHERE session_id = (SELECT session_id FROM messages WHERE id = $1)", message
    )

    where = await act(visitor, chat, message, "continue")

    assert where == f"{chat}#message-{message}"
    ended = await visitor.ended(chat, message)
    assert len(stopped["content"]) < len(text)
    assert (ended["status"], ended["content"]) == ("complete", text)


async def test_streaming_a_continued_answer_ends_like_a_reload(visitor: Visitor) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, {"text": "# One\n\n- two\n- three\n\nfour five six", "delay_ms": 60})
    await visitor.written(chat, message, 8)
    await visitor.stop(chat, message)
    await visitor.ended(chat, message)

    await act(visitor, chat, message, "continue")
    page = await visitor.page(chat)
    async with visitor.following(page, message) as watched:
        await watched.shown(page)

    reloaded = await visitor.page(chat)
    assert page.select(f"#message-{message} .content").inner == reloaded.select(f"#message-{message} .content").inner


async def test_a_truncated_answer_is_marked_and_can_be_continued(visitor: Visitor) -> None:
    chat = await visitor.begin()

    cut = await finished_answer(visitor, chat, CUT)

    footer = (await visitor.page(chat)).select(f"#message-{cut['id']}-footer")
    assert "The answer reached the maximum length." in footer.text
    assert "Continue" in footer.text


async def test_a_complete_answer_cannot_be_continued(visitor: Visitor) -> None:
    chat = await visitor.begin()

    opening = (await visitor.page(chat)).matching("footer")
    done = await finished_answer(visitor, chat)

    assert opening == []
    assert "Continue" not in (await visitor.page(chat)).select(f"#message-{done['id']}-footer").text


@pytest.mark.parametrize("verb", ["continue"])
async def test_a_running_answer_cannot_be_continued(visitor: Visitor, verb: str) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, RUNNING)

    await act(visitor, chat, message, verb, 409)


async def test_the_opening_message_cannot_be_regenerated(visitor: Visitor) -> None:
    chat = await visitor.begin()
    (opening,) = await visitor.messages(chat)

    await act(visitor, chat, opening["id"], "regenerate", 409)
    await act(visitor, chat, opening["id"], "continue", 409)


async def test_deleting_a_message_deletes_its_answers_and_moves_the_rest_up(visitor: Visitor, model: Model) -> None:
    chat, first, third = await visitor.begin(), unique("first"), unique("third")
    await finished_answer(visitor, chat, first)
    await finished_answer(visitor, chat, "second")
    deleted = (await visitor.messages(chat))[1]

    await act(visitor, chat, deleted["id"], "delete")
    await finished_answer(visitor, chat, third)

    assert user_messages(await visitor.page(chat)) == ["second", third]
    (request,) = await model.requests(third)
    assert first not in [message["content"] for message in request["messages"]]


async def test_the_last_message_can_be_deleted_and_the_chat_continues(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await finished_answer(visitor, chat, "kept")
    await finished_answer(visitor, chat, "gone")

    await act(visitor, chat, (await visitor.messages(chat))[3]["id"], "delete")

    assert user_messages(await visitor.page(chat)) == ["kept"]
    await finished_answer(visitor, chat, "next")
    assert user_messages(await visitor.page(chat)) == ["kept", "next"]


async def test_a_message_with_a_running_answer_can_be_deleted(visitor: Visitor) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, RUNNING)
    await visitor.written(chat, message)

    await act(visitor, chat, (await visitor.messages(chat))[1]["id"], "delete")

    assert user_messages(await visitor.page(chat)) == []
    assert (await finished_answer(visitor, chat))["status"] == "complete"


async def test_concurrent_actions_leave_a_working_chat(visitor: Visitor) -> None:
    chat = await visitor.begin()
    done = await finished_answer(visitor, chat)
    verbs = ["regenerate", "continue", "show", "regenerate", "delete", "stop"]

    answers = await asyncio.gather(*(visitor.http.post(f"{chat}/messages/{done['id']}/{verb}") for verb in verbs))

    assert all(answer.status_code in (303, 404, 409) for answer in answers)
    assert (await finished_answer(visitor, chat, "next"))["status"] == "complete"
