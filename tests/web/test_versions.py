"""Another answer, or a message that is changed, stands beside the first; the chat remembers which is shown."""

from typing import Any

from tests.web.actions import act, answered, said
from tests.web.dom import Node
from tests.web.visitor import Model, Visitor, unique


def pager(page: Node) -> str:
    """What the only pager of the page says."""
    (versions,) = page.matching(".versions")
    return " ".join(versions.text.split())


async def test_another_answer_stands_beside_the_first_and_the_choice_survives_a_reload(visitor: Visitor) -> None:
    chat, question = await visitor.begin(), unique()
    first = await answered(visitor, chat, question)

    address, _, second = (await act(visitor, chat, first["id"], "regenerate")).partition("#message-")
    await visitor.ended(chat, second)

    assert (address, second != first["id"]) == (chat, True)
    assert [message["id"] for message in await visitor.messages(chat)][2:] == [second]
    assert pager(await visitor.page(chat)) == "Previous version Version 2/ of 2 Next version"
    await act(visitor, chat, first["id"], "show")
    assert pager(await visitor.page(chat)) == "Previous version Version 1/ of 2 Next version"
    assert [message["id"] for message in await visitor.messages(chat)][2:] == [first["id"]]


async def test_the_model_is_asked_again_without_the_answer_it_gave(visitor: Visitor, model: Model) -> None:
    chat, question = await visitor.begin(), unique()
    first = await answered(visitor, chat, question)

    again = await act(visitor, chat, first["id"], "regenerate")
    await visitor.ended(chat, again.partition("#message-")[2])

    earlier, later = await model.requests(question)
    assert earlier["messages"] == later["messages"]


async def test_a_changed_message_begins_a_branch_and_the_old_one_keeps_what_followed(visitor: Visitor) -> None:
    chat, old, new = await visitor.begin(), unique("old"), unique("new")
    await answered(visitor, chat, old)
    await answered(visitor, chat, "What followed")
    opening, edited = (await visitor.messages(chat))[:2]
    form = (await visitor.http.get(f"{chat}?edit={edited['id']}")).text

    changed = await answered(visitor, chat, new, parent_id=opening["id"])

    assert f'action="{chat}/messages?edit={edited["id"]}"' in form
    assert f'name="parent_id" value="{opening["id"]}"' in form
    assert said(await visitor.page(chat)) == [new]
    await act(visitor, chat, edited["id"], "show")
    assert said(await visitor.page(chat)) == [old, "What followed"]
    await act(visitor, chat, changed["id"], "show")
    assert said(await visitor.page(chat)) == [new]


async def test_a_message_of_long_ago_can_be_changed(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await answered(visitor, chat, "long ago")
    await answered(visitor, chat)
    edited = (await visitor.messages(chat))[1]["id"]

    form = await visitor.http.get(f"{chat}?last=2&edit={edited}")

    assert 'id="edited"' in form.text


async def test_a_change_that_is_refused_is_still_in_its_form(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await answered(visitor, chat)
    opening, edited = (await visitor.messages(chat))[:2]

    answer = await visitor.http.post(f"{chat}/messages?edit={edited['id']}", data={"content": "y" * 32_001, "parent_id": opening["id"]})

    assert answer.status_code == 413
    assert 'id="edited"' in answer.text
    assert "y" * 32_001 in answer.text
    assert "Please shorten it" in answer.text


async def test_the_very_first_message_of_a_chat_can_be_changed(visitor: Visitor, owner: Any) -> None:
    chat, new = await visitor.begin(), unique()
    await answered(visitor, chat)
    opening = (await visitor.messages(chat))[0]["id"]
    await owner.execute("UPDATE messages SET parent_id = NULL WHERE parent_id = $1", opening)
    await owner.execute("DELETE FROM messages WHERE id = $1", opening)

    await answered(visitor, chat, new, parent_id="root")

    page = await visitor.page(chat)
    assert said(page) == [new]
    assert pager(page) == "Previous version Version 2/ of 2 Next version"


async def test_an_answer_that_runs_can_be_left_for_another_version_and_goes_on(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await answered(visitor, chat)
    running = (await act(visitor, chat, first["id"], "regenerate")).partition("#message-")[2]

    await act(visitor, chat, first["id"], "show")
    await act(visitor, chat, running, "show")

    assert (await visitor.ended(chat, running))["content"] == "Because."


async def test_what_is_done_far_back_in_a_chat_leads_back_there(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await answered(visitor, chat)
    there = {"Referer": f"{visitor.web.url}{chat}?last=120"}
    forged = {"Referer": "https://elsewhere.example/?last=1%0d%0aX: y&last=9999999"}

    for headers, expected in (
        (there, f"{chat}?last=120#message-"),
        ({"HX-Current-URL": there["Referer"]}, f"{chat}?last=120#message-"),
        (forged, f"{chat}#message-"),
    ):
        answer = await visitor.http.post(f"{chat}/messages/{first['id']}/show", headers=headers)
        assert answer.headers["location"].startswith(expected)
