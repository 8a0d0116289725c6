"""The pages of all chats, and changes of many chats."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.stack import until
from tests.web.actions import RUNNING, finished_answer
from tests.web.chat_lists import MANY_CHATS, chats_of, chats_on, groups, id_of, link, page_of, press, undo
from tests.web.dom import parse
from tests.web.test_chat_events import listening
from tests.web.visitor import Visitor
from web.pages.chat_list import PAGE_CHATS

LIST_SECONDS = 0.5  # a page with everything; much longer than it takes, since other tests run beside it


# Pages


async def test_all_chats_are_reached_by_links(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    await owner.execute(MANY_CHATS, id_of(chat), 2 * PAGE_CHATS)
    await visitor.http.post(f"{chat}/pin")

    page, found = await page_of(visitor, link(await visitor.page(chat), "All chats")), []
    sizes = []
    while True:
        sizes.append(len(chats_on(page)))
        found += chats_on(page)
        if "Next page" not in page.text:
            break
        page = await page_of(visitor, link(page, "Next page"))

    assert sizes == [PAGE_CHATS, PAGE_CHATS, 1]
    assert len(set(found)) == len(found) == 2 * PAGE_CHATS + 1
    assert found[0] == chat
    assert chats_on(await page_of(visitor, link(page, "First page"))) == found[:PAGE_CHATS]
    assert link(page, "← Back") == chat


async def test_a_page_shows_groups_marks_and_names(visitor: Visitor) -> None:
    busy, done, pinned = await chats_of(visitor, 3)
    await visitor.http.post(f"{pinned}/pin")
    await finished_answer(visitor, done)
    await visitor.say(busy, RUNNING)

    page = await page_of(visitor)

    assert [heading.text for heading in page.matching("h2")] == ["Pinned", "Today"]
    assert chats_on(page) == [pinned, busy, done]
    rows = page.matching("li")
    assert [bool(row.matching(".running")) for row in rows] == [False, True, False]
    assert [bool(row.matching(".unread")) for row in rows] == [False, False, True]
    assert all("Ada" in row.text for row in rows)
    assert rows[0].select("input").attributes["aria-label"] == "Choose New chat"


async def test_a_session_without_chats_sees_empty_pages(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await visitor.http.post(f"{chat}/delete")

    texts = [(await page_of(visitor, path)).text for path in ("/chats", "/chats/archived", "/chats?after=1.x")]

    assert "There are no chats." in texts[0]
    assert "There are no archived chats." in texts[1]
    assert "There are no more chats." in texts[2]
    assert "All chats" in (await page_of(visitor, "/")).text


async def test_without_a_session_there_is_no_list(visitor: Visitor) -> None:
    for path in ("/chats", "/chats/archived"):
        assert (await visitor.http.get(path)).status_code == 404
    assert (await visitor.http.post("/chats/selected", data={"action": "delete"})).status_code == 404


async def test_titles_and_parameters_are_shown_as_text_only(visitor: Visitor) -> None:
    hostile = '"><img src=x onerror=alert(1)><b>'
    chat = await visitor.begin(hostile)
    await visitor.http.post(f"{chat}/title", data={"title": hostile})

    for path in ("/chats", chat, "/"):
        page = await page_of(visitor, path)
        assert not page.matching("img")
        assert hostile in page.text
    parameters = dict.fromkeys(("after", "chat", "done", "ids"), hostile)
    for path in ("/chats", "/chats/archived"):
        answer = await visitor.http.get(path, params=parameters)
        assert answer.status_code == 200
        assert not parse(answer.text).matching("img")


async def test_the_page_of_two_thousand_chats_is_fast(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    await owner.execute(MANY_CHATS, id_of(chat), 2_000)

    async def seconds(path: str) -> float:
        started_at = time.monotonic()
        await page_of(visitor, path)
        return time.monotonic() - started_at

    for path in ("/chats", chat):
        assert min([await seconds(path) for _ in range(3)]) < LIST_SECONDS


# Changes of many chats


async def test_chosen_chats_are_pinned_archived_and_restored(visitor: Visitor) -> None:
    chats = await chats_of(visitor, 4)

    page = await press(visitor, await page_of(visitor), "pin", chats[2:])
    assert "2 chats pinned." in page.text
    assert chats_on(page) == [*chats[2:], *chats[:2]]
    page = await press(visitor, page, "unpin", [chats[2]])
    assert "1 chat unpinned." in page.text
    page = await press(visitor, page, "archive", chats[1:])
    assert chats_on(page) == [chats[0]]
    archive = await page_of(visitor, link(page, "Archived chats"))
    assert chats_on(archive) == chats[1:]
    archive = await press(visitor, archive, "unarchive", [chats[3]])
    assert "1 chat taken out of the archive." in archive.text
    assert chats_on(archive) == chats[1:3]
    assert chats_on(await page_of(visitor)) == [chats[0], chats[3]]


@pytest.mark.parametrize("action", ["pin", "archive", "delete"])
async def test_a_change_of_chosen_chats_can_be_undone(visitor: Visitor, action: str) -> None:
    chats = await chats_of(visitor, 3)

    page = await press(visitor, await page_of(visitor), action, chats[1:])
    assert chats_on(page) != chats
    again = await undo(visitor, page)

    assert chats_on(again) == chats
    assert bool(again.select(".undo").matching("button")) == (action != "delete"), "restored chats stay"


async def test_deleting_chosen_chats_ends_their_answers(visitor: Visitor) -> None:
    busy, other = await chats_of(visitor, 2)
    answer = await visitor.say(busy, RUNNING)
    await visitor.written(busy, answer)

    async with visitor.watching(busy, answer) as watched:
        await press(visitor, await page_of(visitor), "delete", [busy])
        end = await watched.response.aread()

    assert b"done" in end
    assert (await visitor.http.get(busy)).status_code == 404
    await visitor.http.post(f"{busy}/restore")
    assert (await visitor.ended(busy, answer))["status"] == "stopped"
    assert groups(await visitor.page(other)) == {"Today": [busy, other]}


async def test_the_page_returns_to_its_place_and_its_chat(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    await owner.execute(MANY_CHATS, id_of(chat), 2 * PAGE_CHATS)
    first = await page_of(visitor, f"/chats?chat={id_of(chat)}")
    second = await page_of(visitor, link(first, "Next page"))
    there = chats_on(second)

    after = await press(visitor, second, "archive", there[:2])

    assert chats_on(after)[: PAGE_CHATS - 2] == there[2:]
    assert link(after, "← Back") == chat
    gone = await press(visitor, await page_of(visitor, f"/chats?chat={id_of(chat)}"), "delete", [chat])
    assert link(gone, "← Back") == "/"


@pytest.mark.parametrize("path", ["/chats/selected", "/chats/selected?archived=1"])
async def test_a_button_without_chosen_chats_says_what_is_missing(visitor: Visitor, path: str) -> None:
    chat = await visitor.begin()
    await visitor.http.post(f"{await visitor.begin(new='1')}/archive")

    answer = await visitor.http.post(path, data={"action": "delete", "chat-x": "1", "chat": id_of(chat)})

    page = parse(answer.text)
    assert answer.status_code == 422
    assert page.select("#notice").text == "Please choose chats first."
    assert page.select("h1").text == ("Archived chats" if "archived" in path else "All chats")
    assert (await visitor.http.get(chat)).status_code == 200


@pytest.mark.parametrize("action", ["", "explode", "pinned", "DELETE"])
async def test_an_unknown_action_is_refused(visitor: Visitor, action: str) -> None:
    chat = await visitor.begin()

    answer = await visitor.http.post("/chats/selected", data={"action": action, f"chat-{id_of(chat)}": "1"})

    assert answer.status_code == 422
    assert chats_on(await page_of(visitor)) == [chat]


async def test_a_page_of_chats_is_changed_at_once_and_more_are_refused(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    await owner.execute(MANY_CHATS, id_of(chat), 2 * PAGE_CHATS)
    rows = await owner.fetch(
        "SELECT id FROM chats WHERE session_id = (SELECT session_id FROM chats WHERE id = $1)", id_of(chat)
    )
    names = [f"chat-{row['id']}" for row in rows]

    refused = await visitor.http.post("/chats/selected", data=dict.fromkeys(names, "1") | {"action": "archive"})
    done = await visitor.http.post(
        "/chats/selected", data=dict.fromkeys(names[:PAGE_CHATS], "1") | {"action": "archive"}
    )

    assert refused.status_code == 400
    assert done.status_code == 303
    assert len(str(done.headers)) < 4_000, "nginx would refuse the response"
    page = await page_of(visitor, done.headers["location"])
    assert f"{PAGE_CHATS} chats archived." in page.text
    assert f"{PAGE_CHATS} chats taken out of the archive." in (await undo(visitor, page)).text


async def test_every_changed_chat_is_announced(visitors: Callable[..., Visitor]) -> None:
    visitor = visitors()
    here, *chats = await chats_of(visitor, 4)

    async with listening(visitor, here) as changes:
        await changes.next()  # the state
        await press(visitor, await page_of(visitor), "archive", chats)
        heard: set[str] = set()

        async def all_heard() -> bool:
            _, data = await changes.next()
            heard.add(f"/chats/{data['chat']}")
            return set(chats) <= heard

        await until(all_heard)


async def test_the_export_of_a_chat_says_nothing_about_the_list(visitor: Visitor) -> None:
    """Pins and the archive belong to the list of this session."""
    chat = await visitor.begin()
    await visitor.http.post(f"{chat}/pin")

    assert json.loads((await visitor.http.get(f"{chat}.json")).text).keys().isdisjoint({"pinned", "archived"})
