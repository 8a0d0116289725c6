"""Regenerated answers, edited answers and edited messages are versions; the chat remembers the shown one."""

from typing import Any

import pytest

from tests.web.actions import RUNNING, act, finished_answer, user_messages
from tests.web.dom import Node, parse
from tests.web.visitor import HTMX, Model, Visitor, unique


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


async def test_an_edited_answer_is_a_version_and_keeps_the_old_one(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await finished_answer(visitor, chat, {"text": "Because *it is*."})
    await finished_answer(visitor, chat, "What followed")
    form = (await visitor.page(f"{chat}?edit={first['id']}")).select(".edit")

    address, _, version = (await act(visitor, chat, first["id"], "edit", content="**Therefore**.")).partition(
        "#message-"
    )

    assert form.attributes["action"] == f"{chat}/messages/{first['id']}/edit"
    assert form.select("#edited").text.strip() == "Because *it is*."
    assert form.select("button").text == "Save"
    page = await visitor.page(chat)
    assert (address, pager(page)) == (chat, "Previous version Version 2/ of 2 Next version")
    assert page.select(f"#message-{version} .content strong").text == "Therefore"
    facts = [page.select(f"#message-{version}-facts").text, (await details(visitor, chat, first["id"]))]
    assert [("Edited" in each, "Speed" in each) for each in facts] == [(True, False), (False, True)]
    assert user_messages(await visitor.page(chat))[1:] == ["What followed"], "the old version with what followed it"


async def details(visitor: Visitor, chat: str, version: str) -> str:
    """Shows this version. Returns the numbers about it."""
    await act(visitor, chat, version, "show")
    return (await visitor.page(chat)).select(f"#message-{version}-facts").text


async def test_the_model_reads_the_edited_answer_and_is_not_asked_for_it(visitor: Visitor, model: Model) -> None:
    chat, question, next_question = await visitor.begin(), unique(), unique()
    first = await finished_answer(visitor, chat, question)
    before = len(await model.requests(question))

    await act(visitor, chat, first["id"], "edit", content="What I\r\n*meant*")
    await finished_answer(visitor, chat, next_question)

    assert len(await model.requests(question)) == before
    (request,) = await model.requests(next_question)
    assert [(each["role"], each["content"]) for each in request["messages"]][-3:] == [
        ("user", question),
        ("assistant", "What I\n*meant*"),
        ("user", next_question),
    ]


async def test_saving_an_answer_unchanged_or_twice_adds_no_version(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await finished_answer(visitor, chat)

    unchanged = await act(visitor, chat, first["id"], "edit", content=first["content"])
    twice = [await act(visitor, chat, first["id"], "edit", content="Therefore.") for _ in range(2)]

    assert unchanged == f"{chat}#message-{first['id']}"
    assert len(set(twice)) == 1
    assert pager(await visitor.page(chat)) == "Previous version Version 2/ of 2 Next version"


@pytest.mark.parametrize(
    ("text", "status", "notice"), [(" \n ", 422, "write a message"), ("y" * 32_001, 413, "shorten it.")]
)
async def test_a_refused_edit_of_an_answer_keeps_its_text(
    visitor: Visitor, text: str, status: int, notice: str
) -> None:
    chat = await visitor.begin()
    first = await finished_answer(visitor, chat)
    path, form = f"{chat}/messages/{first['id']}/edit", {"content": text}

    page, fragment = await visitor.http.post(path, data=form), await visitor.http.post(path, data=form, headers=HTMX)

    assert (page.status_code, fragment.status_code) == (status, status)
    assert parse(page.text).select("#edited").text.strip("\n") == text.strip("\n")
    assert parse(page.text).select("form").attributes["action"] == path
    assert parse(fragment.text).select("#notice").text in parse(page.text).select("#notice").text
    assert notice in fragment.text
    assert [each["content"] for each in await visitor.messages(chat)][2:] == ["Because."]


async def test_neither_a_running_answer_nor_the_opening_message_can_be_edited(visitor: Visitor) -> None:
    chat = await visitor.begin()
    (opening,) = await visitor.messages(chat)
    running = await visitor.say(chat, RUNNING)
    await visitor.written(chat, running)

    forms = [(await visitor.page(f"{chat}?edit={each}")).matching(".edit") for each in (running, opening["id"])]

    assert forms == [[], []]
    await act(visitor, chat, running, "edit", 409, content="Hi")
    await act(visitor, chat, opening["id"], "edit", 409, content="Hi")


async def test_an_answer_is_edited_while_another_one_is_written(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await finished_answer(visitor, chat)
    running = await visitor.say(chat, {"text": "one two three", "delay_ms": 100})
    question = (await visitor.messages(chat))[3]["id"]

    await act(visitor, chat, first["id"], "edit", content="Therefore.")
    assert user_messages(await visitor.page(chat)) == ['{"text": "Because."}']
    await act(visitor, chat, question, "show")

    assert (await visitor.ended(chat, running))["content"] == "one two three"


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
