"""Links to single messages show the branch of the message, and what is written there continues it."""

import re

import pytest

from tests.web.actions import act, branches, finished_answer, message_ids, user_messages
from tests.web.all_routes import UNKNOWN
from tests.web.dom import Node, parse
from tests.web.visitor import HTMX, Visitor


def follows(page: Node) -> str:
    """What the next message follows, as the composer says."""
    (field,) = [each for each in page.matching("input") if each.attributes.get("form") == "composer"]
    assert field.attributes["name"] == "parent_id"
    return field.attributes["value"]


async def test_every_message_has_a_link_that_shows_its_branch(visitor: Visitor) -> None:
    chat, hidden, shown = await branches(visitor)
    await finished_answer(visitor, chat, "What followed")

    page = await visitor.page(chat)

    ids = message_ids(page)[1:]  # without the opening message
    found = [
        re.fullmatch(rf"{chat}\?message=(.*)#message-\1", link.attributes["href"])
        for link in page.select("#messages").matching("a")
        if link.matching("time")
    ]
    assert [each[1] for each in found if each] == ids
    assert user_messages(await visitor.page(f"{chat}?message={hidden['id']}"))[1:] == []
    assert user_messages(await visitor.page(f"{chat}?message={shown['id']}"))[1:] == ["What followed"]


async def test_a_linked_message_is_shown_however_long_ago_it_was_written(visitor: Visitor) -> None:
    chat = await visitor.begin()
    for text in ("one", "two", "three"):
        await finished_answer(visitor, chat, text)
    asked = (await visitor.messages(chat))[3]["id"]

    page = await visitor.page(f"{chat}?last=2&message={asked}")

    assert user_messages(page) == ["two", "three"]
    (earlier,) = page.select(".earlier").matching("a")
    assert f"message={asked}" in earlier.attributes["href"]
    assert "named" in page.select("#messages").attributes["class"]


@pytest.mark.parametrize("named", [UNKNOWN, "x", "", "%ff", "' OR 1=1"])
async def test_an_unknown_message_leads_to_the_chat(visitor: Visitor, named: str) -> None:
    chat, _, shown = await branches(visitor)

    page = await visitor.page(f"{chat}?message={named}")

    assert message_ids(page)[-1] == shown["id"]
    assert "class" not in page.select("#messages").attributes


async def test_a_deleted_message_leads_to_the_chat(visitor: Visitor) -> None:
    chat, hidden, shown = await branches(visitor)

    where = await visitor.http.post(
        f"{chat}/messages/{hidden['id']}/delete", headers={"Referer": f"http://x{chat}?message={hidden['id']}"}
    )

    assert where.headers["location"] == f"{chat}?message={hidden['id']}"
    assert message_ids(await visitor.page(where.headers["location"]))[-1] == shown["id"]


async def test_what_is_written_on_a_linked_branch_continues_it(visitor: Visitor) -> None:
    chat, hidden, shown = await branches(visitor)
    page = await visitor.page(f"{chat}?message={hidden['id']}")

    sent = await visitor.post(chat, "And then?", parent_id=follows(page))
    await visitor.ended(chat, sent.headers["location"].partition("#message-")[2])

    assert follows(page) == hidden["id"]
    assert follows(await visitor.page(f"{chat}?message={shown['id']}")) == shown["id"], "no longer the stored branch"
    assert [each["id"] for each in await visitor.messages(chat)][2] == hidden["id"]
    assert user_messages(await visitor.page(chat))[1:] == ["And then?"]
    assert follows(await visitor.page(chat)) == ""


async def test_htmx_loads_the_page_again_after_a_message_on_a_linked_branch(visitor: Visitor) -> None:
    chat, hidden, _ = await branches(visitor)
    address = f"{visitor.web.url}{chat}?message={hidden['id']}#message-{hidden['id']}"

    sent = await visitor.post(chat, "And then?", HTMX | {"HX-Current-URL": address}, parent_id=hidden["id"])

    assert sent.status_code == 204
    page = await visitor.page(sent.headers["hx-redirect"])
    assert user_messages(page)[1:] == ["And then?"]
    assert sent.headers["hx-redirect"] == f"{chat}?message={message_ids(page)[-1]}"


async def test_a_message_takes_the_place_of_a_question_without_answer_on_a_linked_branch(visitor: Visitor) -> None:
    chat, hidden, shown = await branches(visitor)
    await act(visitor, chat, hidden["id"], "show")
    unanswered = await finished_answer(visitor, chat, "No answer")
    question = (await visitor.messages(chat))[-2]["id"]
    await act(visitor, chat, unanswered["id"], "delete")
    await act(visitor, chat, shown["id"], "show")

    page = await visitor.page(f"{chat}?message={question}")
    await finished_answer(visitor, chat, "Another question", parent_id=follows(page))

    assert follows(page) == hidden["id"]
    assert user_messages(await visitor.page(chat))[1:] == ["Another question"]
    assert "2/ of 2" in (await visitor.page(chat)).select("#messages").text


async def test_an_action_on_a_linked_branch_returns_to_it(visitor: Visitor) -> None:
    chat = await visitor.begin()
    cut = await finished_answer(visitor, chat, {"text": "one two", "finish_reason": "length"})
    shown = (await act(visitor, chat, cut["id"], "regenerate")).partition("#message-")[2]
    await visitor.ended(chat, shown)
    there = {"Referer": f"{visitor.web.url}{chat}?last=60&message={cut['id']}#message-{cut['id']}"}

    continued = await visitor.http.post(f"{chat}/messages/{cut['id']}/continue", headers=there)
    other = await visitor.http.post(f"{chat}/messages/{shown}/show", headers=there)

    assert continued.headers["location"] == f"{chat}?last=60&message={cut['id']}#message-{cut['id']}"
    assert message_ids(await visitor.page(continued.headers["location"]))[-1] == cut["id"]
    assert other.headers["location"] == f"{chat}?last=60&message={shown}#message-{shown}"
    await visitor.ended(chat, shown)


async def test_a_part_of_the_page_for_htmx_is_that_of_its_address(visitor: Visitor) -> None:
    """The page requests its messages after a change elsewhere, and a form for editing."""
    chat, hidden, shown = await branches(visitor)
    address = f"{visitor.web.url}{chat}?message={hidden['id']}"

    async def last_message(path: str, address: str) -> str:
        answer = await visitor.http.get(path, headers=HTMX | {"HX-Current-URL": address})
        assert answer.status_code == 200, answer.text
        (last,) = parse(answer.text).select("#messages").matching("article")[-1:]
        return last.attributes["id"].removeprefix("message-")

    question = (await visitor.messages(chat))[1]["id"]
    assert await last_message(f"{chat}?last=60", address) == hidden["id"]
    assert await last_message(f"{chat}?edit={question}", address) == hidden["id"]
    assert await last_message(f"{chat}?last=60&message={shown['id']}", address) == shown["id"]
    for odd in ("", "http://[", f"{chat}?message=x&last=0", f"{chat}#?message={hidden['id']}"):
        assert await last_message(chat, odd) == shown["id"]


async def test_a_message_of_a_hidden_branch_can_be_edited(visitor: Visitor) -> None:
    chat, hidden, _ = await branches(visitor)

    page = await visitor.page(f"{chat}?edit={hidden['id']}")

    assert page.select("#edited").text.strip() == hidden["content"]
    (cancel,) = [link for link in page.select(".edit").matching("a") if link.text == "Cancel"]
    assert message_ids(await visitor.page(cancel.attributes["href"]))[-1] == hidden["id"]
