"""More of an answer, and less of what was said: both leave a chat that goes on."""

import asyncio
from typing import Any

import pytest

from tests.web.actions import RUNNING, act, answered, said
from tests.web.visitor import Model, Visitor, unique

CUT = {"text": "one two", "finish_reason": "length"}


async def test_a_stopped_answer_goes_on_where_it_was_although_its_log_is_gone(visitor: Visitor, owner: Any) -> None:
    chat, text = await visitor.begin(), "a b c d e f g h i j k l m n o p q r s t"
    message = await visitor.say(chat, {"text": text, "delay_ms": 60})
    await visitor.written(chat, message, 4)
    await visitor.stop(chat, message)
    stopped = await visitor.ended(chat, message)
    await owner.execute("DELETE FROM generation_chunks WHERE session_id = (SELECT session_id FROM messages WHERE id = $1)", message)

    where = await act(visitor, chat, message, "continue")

    assert where == f"{chat}#message-{message}"
    ended = await visitor.ended(chat, message)
    assert len(stopped["content"]) < len(text)
    assert (ended["status"], ended["content"]) == ("complete", text)


async def test_a_page_that_follows_a_continued_answer_ends_as_a_reload_of_it(visitor: Visitor) -> None:
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


async def test_an_answer_that_was_cut_off_says_so_and_can_be_continued(visitor: Visitor) -> None:
    chat = await visitor.begin()

    cut = await answered(visitor, chat, CUT)

    footer = (await visitor.page(chat)).select(f"#message-{cut['id']}-footer")
    assert "Cut off at the longest length." in footer.text
    assert "Continue" in footer.text


async def test_what_was_answered_in_full_cannot_be_continued(visitor: Visitor) -> None:
    chat = await visitor.begin()

    footer = (await visitor.page(chat)).select("footer")
    done = await answered(visitor, chat)

    assert "Regenerate" not in footer.text  # the opening message
    assert "Continue" not in (await visitor.page(chat)).select(f"#message-{done['id']}-footer").text


@pytest.mark.parametrize("verb", ["continue"])
async def test_a_running_answer_cannot_be_continued(visitor: Visitor, verb: str) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, RUNNING)

    await act(visitor, chat, message, verb, 409)


async def test_the_opening_message_is_no_answer_to_be_given_anew(visitor: Visitor) -> None:
    chat = await visitor.begin()
    (opening,) = await visitor.messages(chat)

    await act(visitor, chat, opening["id"], "regenerate", 409)
    await act(visitor, chat, opening["id"], "continue", 409)


async def test_a_message_is_deleted_with_its_answers_and_what_followed_moves_up(visitor: Visitor, model: Model) -> None:
    chat, first, third = await visitor.begin(), unique("first"), unique("third")
    await answered(visitor, chat, first)
    await answered(visitor, chat, "second")
    deleted = (await visitor.messages(chat))[1]

    await act(visitor, chat, deleted["id"], "delete")
    await answered(visitor, chat, third)

    assert said(await visitor.page(chat)) == ["second", third]
    (asked,) = await model.requests(third)
    assert first not in [message["content"] for message in asked["messages"]]


async def test_the_last_message_can_be_deleted_and_the_chat_goes_on(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await answered(visitor, chat, "kept")
    await answered(visitor, chat, "gone")

    await act(visitor, chat, (await visitor.messages(chat))[3]["id"], "delete")

    assert said(await visitor.page(chat)) == ["kept"]
    await answered(visitor, chat, "next")
    assert said(await visitor.page(chat)) == ["kept", "next"]


async def test_a_message_whose_answer_runs_can_be_deleted(visitor: Visitor) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, RUNNING)
    await visitor.written(chat, message)

    await act(visitor, chat, (await visitor.messages(chat))[1]["id"], "delete")

    assert said(await visitor.page(chat)) == []
    assert (await answered(visitor, chat))["status"] == "complete"


async def test_all_at_once_leaves_a_chat_that_works(visitor: Visitor) -> None:
    chat = await visitor.begin()
    done = await answered(visitor, chat)
    verbs = ["regenerate", "continue", "show", "regenerate", "delete", "stop"]

    answers = await asyncio.gather(*(visitor.http.post(f"{chat}/messages/{done['id']}/{verb}") for verb in verbs))

    assert all(answer.status_code in (303, 404, 409) for answer in answers)
    assert (await answered(visitor, chat, "next"))["status"] == "complete"
