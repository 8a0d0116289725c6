"""Regenerated answers and edited messages are versions; the chat remembers the shown one."""

from typing import Any

from tests.web.actions import act, finished_answer, user_messages
from tests.web.dom import Node
from tests.web.visitor import Model, Visitor, unique


def pager(page: Node) -> str:
    """The text of the only pager on the page."""
    (versions,) = page.matching(".versions")
    return " ".join(versions.text.split())


async def test_a_regenerated_answer_is_a_version_and_the_choice_survives_a_reload(visitor: Visitor) -> None:
    chat, question = await visitor.begin(), unique()
    first = await finished_answer(visitor, chat, question)

    address, _, second = (await act(visitor, chat, first["id"], "regenerate")).partition("#message-")
    await visitor.ended(chat, second)

    assert (address, second != first["id"]) == (chat, True)
    assert [message["id"] for message in await visitor.messages(chat)][2:] == [second]
    assert pager(await visitor.page(chat)) == "Previous version Version 2/ of 2 Next version"
    await act(visitor, chat, first["id"], "show")
    assert pager(await visitor.page(chat)) == "Previous version Version 1/ of 2 Next version"
    assert [message["id"] for message in await visitor.messages(chat)][2:] == [first["id"]]


async def test_regenerating_sends_the_prompt_without_the_earlier_answer(visitor: Visitor, model: Model) -> None:
    chat, question = await visitor.begin(), unique()
    first = await finished_answer(visitor, chat, question)

    again = await act(visitor, chat, first["id"], "regenerate")
    await visitor.ended(chat, again.partition("#message-")[2])

    earlier, later = await model.requests(question)
    assert earlier["messages"] == later["messages"]


async def test_editing_a_message_starts_a_branch_and_keeps_the_old_one(visitor: Visitor) -> None:
    chat, old, new = await visitor.begin(), unique("old"), unique("new")
    await finished_answer(visitor, chat, old)
    await finished_answer(visitor, chat, "What followed")
    opening, edited = (await visitor.messages(chat))[:2]
    form = (await visitor.http.get(f"{chat}?edit={edited['id']}")).text

    changed = await finished_answer(visitor, chat, new, parent_id=opening["id"])

    assert f'action="{chat}/messages?edit={edited["id"]}"' in form
    assert f'name="parent_id" value="{opening["id"]}"' in form
    assert user_messages(await visitor.page(chat)) == [new]
    await act(visitor, chat, edited["id"], "show")
    assert user_messages(await visitor.page(chat)) == [old, "What followed"]
    await act(visitor, chat, changed["id"], "show")
    assert user_messages(await visitor.page(chat)) == [new]


async def test_an_old_message_can_be_edited(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await finished_answer(visitor, chat, "long ago")
    await finished_answer(visitor, chat)
    edited = (await visitor.messages(chat))[1]["id"]

    form = await visitor.http.get(f"{chat}?last=2&edit={edited}")

    assert 'id="edited"' in form.text


async def test_a_refused_edit_stays_in_its_form(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await finished_answer(visitor, chat)
    opening, edited = (await visitor.messages(chat))[:2]

    answer = await visitor.http.post(
        f"{chat}/messages?edit={edited['id']}", data={"content": "y" * 32_001, "parent_id": opening["id"]}
    )

    assert answer.status_code == 413
    assert 'id="edited"' in answer.text
    assert "y" * 32_001 in answer.text
    assert "Please shorten it" in answer.text


async def test_the_first_message_of_a_chat_can_be_edited(visitor: Visitor, owner: Any) -> None:
    chat, new = await visitor.begin(), unique()
    await finished_answer(visitor, chat)
    opening = (await visitor.messages(chat))[0]["id"]
    await owner.execute("UPDATE messages SET parent_id = NULL WHERE parent_id = $1", opening)
    await owner.execute("DELETE FROM messages WHERE id = $1", opening)

    await finished_answer(visitor, chat, new, parent_id="root")

    page = await visitor.page(chat)
    assert user_messages(page) == [new]
    assert pager(page) == "Previous version Version 2/ of 2 Next version"


async def test_a_running_answer_continues_while_another_version_is_shown(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await finished_answer(visitor, chat)
    running = (await act(visitor, chat, first["id"], "regenerate")).partition("#message-")[2]

    await act(visitor, chat, first["id"], "show")
    await act(visitor, chat, running, "show")

    assert (await visitor.ended(chat, running))["content"] == "Because."


async def test_an_action_far_back_in_a_chat_returns_there(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await finished_answer(visitor, chat)
    there = {"Referer": f"{visitor.web.url}{chat}?last=120"}
    forged = {"Referer": "https://elsewhere.example/?last=1%0d%0aX: y&last=9999999"}

    for headers, expected in (
        (there, f"{chat}?last=120#message-"),
        ({"HX-Current-URL": there["Referer"]}, f"{chat}?last=120#message-"),
        (forged, f"{chat}#message-"),
    ):
        answer = await visitor.http.post(f"{chat}/messages/{first['id']}/show", headers=headers)
        assert answer.headers["location"].startswith(expected)
