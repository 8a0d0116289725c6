"""Temporary chats: started by a form, marked on their page, reported as left and open, kept by a form."""

from typing import Any
from uuid import UUID

import pytest

from tests.stack import Service, Stack, until
from tests.web.actions import finished_answer
from tests.web.dom import Node
from tests.web.visitor import Visitor

LEFT = "SELECT left_at IS NOT NULL FROM chats WHERE id = $1"
IS_TEMPORARY = "SELECT is_temporary FROM chats WHERE id = $1"


def id_of(chat: str) -> UUID:
    return UUID(chat.removeprefix("/chats/"))


def fields(page: Node, button: str) -> dict[str, str]:
    """What a browser sends when this button next to the list is pressed."""
    form = {each.attributes["name"]: each.attributes["value"] for each in page.select("#chats form").matching("input")}
    pressed = page.select(button).attributes
    return form | ({pressed["name"]: pressed["value"]} if "name" in pressed else {})


async def press(visitor: Visitor, page: Node, button: str) -> str:
    answer = await visitor.http.post("/chats", data=fields(page, button))
    assert answer.status_code == 303
    visitor.chats.append(answer.headers["location"])
    return str(answer.headers["location"])


async def listed(visitor: Visitor) -> str:
    return (await visitor.http.get("/", headers={"Referer": "http://chat.test:8080/"})).text


async def test_a_button_next_to_new_chat_starts_a_temporary_chat_that_says_so(visitor: Visitor) -> None:
    chat = await visitor.begin()
    page = await visitor.page(chat)
    assert "hidden" in page.select("#temporary").attributes

    temporary = await press(visitor, page, "#new-temporary")

    assert temporary != chat
    page = await visitor.page(temporary)
    notice = page.select("#temporary")
    assert "Temporary chat. It is in no list, and a search does not find it." in notice.text
    assert "24 hours after your last message" in notice.text
    assert page.select("#title").text == "Temporary chat"
    assert [link.attributes["href"] for link in page.select("#list ul").matching("a")] == [chat]


async def test_a_temporary_chat_is_neither_listed_nor_found_until_it_is_kept(visitor: Visitor, owner: Any) -> None:
    chat, temporary = await visitor.begin(), await visitor.begin(temporary="1")
    await finished_answer(visitor, temporary, {"text": "The lighthouse."})
    assert temporary not in await listed(visitor)
    assert temporary not in (await visitor.http.get("/search?q=lighthouse")).text
    assert await visitor.begin() == chat, "a name leads to the latest chat that is not temporary"

    kept = await visitor.http.post(f"{temporary}/keep")

    assert (kept.status_code, kept.headers["location"]) == (303, temporary)
    assert temporary in await listed(visitor)
    assert temporary in (await visitor.http.get("/search?q=lighthouse")).text
    assert "hidden" in (await visitor.page(temporary)).select("#temporary").attributes
    assert not await owner.fetchval(IS_TEMPORARY, id_of(temporary))


async def test_a_page_reports_that_it_was_left_and_that_it_is_open(visitor: Visitor, owner: Any) -> None:
    temporary, states = await visitor.begin(temporary="1"), []

    for verb in ("leave", "return"):
        answer = await visitor.http.post(f"{temporary}/{verb}")
        states.append((answer.status_code, answer.content, await owner.fetchval(LEFT, id_of(temporary))))

    assert states == [(204, b"", True), (204, b"", False)]


@pytest.mark.parametrize("button", ["#new-chat", "#new-temporary"])
async def test_a_new_chat_leaves_the_temporary_one_also_without_javascript(
    visitor: Visitor, owner: Any, button: str
) -> None:
    temporary = await visitor.begin(temporary="1")
    await finished_answer(visitor, temporary)

    new = await press(visitor, await visitor.page(temporary), button)

    assert new != temporary
    assert await owner.fetchval(LEFT, id_of(temporary))
    assert await owner.fetchval(IS_TEMPORARY, id_of(new)) == (button == "#new-temporary")


async def test_pressing_the_button_in_an_empty_temporary_chat_stays_there(visitor: Visitor, owner: Any) -> None:
    temporary = await visitor.begin(temporary="1")

    assert await press(visitor, await visitor.page(temporary), "#new-temporary") == temporary
    assert not await owner.fetchval(LEFT, id_of(temporary))


async def test_leaving_names_only_chats_of_the_session(visitor: Visitor, other: Visitor, owner: Any) -> None:
    theirs = await other.begin(temporary="1")
    await visitor.begin()

    answer = await visitor.http.post("/chats", data={"username": "Ada", "new": "1", "leave": str(id_of(theirs))})

    assert answer.status_code == 303
    assert not await owner.fetchval(LEFT, id_of(theirs))


async def test_an_answer_in_a_temporary_chat_survives_a_killed_process(
    stack: Stack, web: Service, visitor: Visitor
) -> None:
    doomed = await stack.web(LEASE_SECONDS="1", RENEW_SECONDS="0.3")
    there = Visitor(doomed)
    temporary = await there.begin(temporary="1")
    message = await there.say(temporary, {"text": "one two three four five six", "delay_ms": 60})
    await there.written(temporary, message)
    visitor.http.cookies.update(there.http.cookies)

    await doomed.kill()
    stack.services.remove(doomed)
    await there.http.aclose()

    assert (await visitor.ended(temporary, message))["content"] == "one two three four five six"
    assert message in (await visitor.page(temporary)).select("#messages").outer


async def test_the_notice_names_the_time_that_the_operator_has_set(stack: Stack, web: Service) -> None:
    other = await stack.web(TEMPORARY_CHAT_HOURS="1")
    visitor = Visitor(other)

    page = await visitor.page(await visitor.begin(temporary="1"))

    assert "1 hour after your last message" in page.select("#temporary").text
    await visitor.leave()
    await stack.leave(other)


async def test_a_temporary_chat_that_was_left_is_gone_for_its_viewers(visitor: Visitor, owner: Any) -> None:
    temporary = await visitor.begin(temporary="1")
    await finished_answer(visitor, temporary)
    await visitor.http.post(f"{temporary}/leave")
    await owner.execute("UPDATE chats SET left_at = left_at - interval '2 minutes' WHERE id = $1", id_of(temporary))
    await owner.fetchval("SELECT purge_temporary_chats('1 minute', '1 day', 20)")

    async def is_gone() -> bool:
        return (await visitor.http.get(temporary)).status_code == 404

    await until(is_gone)
    assert (await visitor.http.post(f"{temporary}/return")).status_code == 404
    assert (await visitor.post(temporary, "Hi")).status_code == 404
