"""Continuing answers and deleting messages; the chat stays usable."""

import asyncio
from typing import Any

import pytest

from tests.web.actions import RUNNING, act, finished_answer, user_messages
from tests.web.dom import Node
from tests.web.visitor import HTMX, Model, Visitor, unique

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


@pytest.mark.parametrize("verb", ["continue", "delete"])
async def test_a_running_answer_cannot_be_continued_or_deleted(visitor: Visitor, verb: str) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, RUNNING)

    await act(visitor, chat, message, verb, 409)


async def test_the_opening_message_cannot_be_regenerated_continued_or_deleted(visitor: Visitor) -> None:
    chat = await visitor.begin()
    (opening,) = await visitor.messages(chat)

    await act(visitor, chat, opening["id"], "regenerate", 409)
    await act(visitor, chat, opening["id"], "continue", 409)
    await act(visitor, chat, opening["id"], "delete", 409)


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


def deletes(page: Node, message: str) -> str:
    """What the button in the sheet of this message says."""
    return page.select(f"#message-{message}-delete button").text.strip()


async def test_a_deleted_version_gives_way_to_another_and_what_followed_stays(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await finished_answer(visitor, chat)
    second = (await act(visitor, chat, first["id"], "regenerate")).partition("#message-")[2]
    await visitor.ended(chat, second)
    await finished_answer(visitor, chat, "What followed")
    page = await visitor.page(chat)

    where = await act(visitor, chat, second, "delete")

    assert (where, deletes(page, second)) == (chat, "Delete this version")
    page = await visitor.page(chat)
    assert [each["id"] for each in (await visitor.messages(chat))[2:3]] == [first["id"]]
    assert user_messages(page)[1:] == ["What followed"]
    assert page.matching(".versions") == []


async def test_a_page_out_of_date_deletes_no_more_than_it_says(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await finished_answer(visitor, chat)
    await visitor.http.post(f"{chat}/messages/{first['id']}/edit", data={"content": "Another version"})
    page = await visitor.page(chat)
    (form,) = [form for form in page.select("#messages").matching("form") if "Delete this version" in form.text]
    await act(visitor, chat, first["id"], "delete")

    refused = await visitor.http.post(form.attributes["action"])

    assert refused.status_code == 409
    assert "This is the only version now." in refused.text
    assert (await visitor.messages(chat))[-1]["content"] == "Another version"


async def test_the_only_answer_is_deleted_with_all_below_and_can_be_requested_again(
    visitor: Visitor, model: Model
) -> None:
    chat, question = await visitor.begin(), unique()
    first = await finished_answer(visitor, chat, question)
    await finished_answer(visitor, chat, "What followed")
    page = await visitor.page(chat)

    await act(visitor, chat, first["id"], "delete")

    assert deletes(page, first["id"]) == "Delete answer and all below"
    page = await visitor.page(chat)
    assert user_messages(page) == [question]
    (again,) = [form for form in page.select("#messages").matching("form") if "Answer again" in form.text]
    action = again.attributes["action"]
    started = await visitor.http.post(action)
    assert started.status_code == 303
    answer = await visitor.ended(chat, started.headers["location"].partition("#message-")[2])
    assert answer["status"] == "complete"
    earlier, later = await model.requests(question)
    assert earlier["messages"] == later["messages"]
    assert "Answer again" not in (await visitor.page(chat)).select("#messages").text


async def test_a_message_after_a_question_without_answer_takes_its_place(visitor: Visitor, model: Model) -> None:
    chat, question, other = await visitor.begin(), unique("unanswered"), unique("other")
    await act(visitor, chat, (await finished_answer(visitor, chat, question))["id"], "delete")

    sent = await visitor.post(chat, other, HTMX)

    assert (sent.status_code, sent.headers.get("hx-redirect")) == (204, chat), "the page still shows the question"
    answer = (await visitor.messages(chat))[-1]["id"]
    await visitor.ended(chat, answer)
    page = await visitor.page(chat)
    assert user_messages(page) == [other]
    assert "2/ of 2" in page.select(".versions").text
    (request,) = await model.requests(other)
    assert [message["role"] for message in request["messages"]][-2:] == ["assistant", "user"]
    assert question not in [message["content"] for message in request["messages"]]


async def test_an_answer_is_deleted_while_one_below_it_is_written(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await finished_answer(visitor, chat, "kept")
    running = await visitor.say(chat, RUNNING)
    await visitor.written(chat, running)

    await act(visitor, chat, first["id"], "delete")

    assert user_messages(await visitor.page(chat)) == ["kept"]
    assert (await finished_answer(visitor, chat, "next"))["status"] == "complete"


async def test_concurrent_actions_leave_a_working_chat(visitor: Visitor) -> None:
    chat = await visitor.begin()
    done = await finished_answer(visitor, chat)
    verbs = ["regenerate", "continue", "show", "edit", "regenerate", "delete", "stop", "edit"]

    answers = await asyncio.gather(
        *(visitor.http.post(f"{chat}/messages/{done['id']}/{verb}", data={"content": "Hi"}) for verb in verbs)
    )

    assert all(answer.status_code in (303, 404, 409) for answer in answers)
    assert (await finished_answer(visitor, chat, "next"))["status"] == "complete"
