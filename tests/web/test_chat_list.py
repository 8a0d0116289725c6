"""The list of chats: next to a chat and on pages of its own, its groups and marks, and changes of many chats."""

import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest

from tests.stack import until
from tests.web.actions import RUNNING, finished_answer, user_messages
from tests.web.dom import Node, parse
from tests.web.test_chat_events import listening
from tests.web.visitor import HTMX, Visitor
from web.contract import ListedChat
from web.pages.chat_groups import grouped, name_of
from web.pages.chat_list import LISTED_CHATS, PAGE_CHATS

MANY_CHATS = """
INSERT INTO chats (session_id, username, title, updated_at)
SELECT session_id, 'Ada', 'No. ' || n, now() - n * interval '1 minute'
  FROM chats, generate_series(1, $2) n WHERE chats.id = $1
"""
LIST_SECONDS = 0.5  # a page with everything; much longer than it takes, since other tests run beside it


def id_of(chat: str) -> str:
    return chat.removeprefix("/chats/")


async def chats_of(visitor: Visitor, count: int) -> list[str]:
    """New chats, the latest first."""
    return [await visitor.begin(new="1") for _ in range(count)][::-1]


def groups(page: Node) -> dict[str, list[str]]:
    """The addresses of the chats next to a chat, by the name of their group."""
    lists = [each for each in page.select("#chats").matching("ul") if "aria-label" in each.attributes]
    return {each.attributes["aria-label"]: [a.attributes["href"] for a in each.matching("a")] for each in lists}


def chats_on(page: Node) -> list[str]:
    """The addresses of the chats on a page of the list."""
    return [row.select("a").attributes["href"] for row in page.matching("li")]


async def page_of(visitor: Visitor, path: str = "/chats") -> Node:
    answer = await visitor.http.get(path)
    assert answer.status_code == 200, answer.text
    return parse(answer.text)


def link(page: Node, text: str) -> str:
    (found,) = [each for each in page.matching("a") if each.text == text]
    return found.attributes["href"]


async def press(visitor: Visitor, page: Node, action: str, chats: list[str]) -> Node:
    """Presses a button of the form with the chosen chats. Returns the next page."""
    (form,) = [each for each in page.matching("form") if each.matching("ul")]
    assert action in [button.attributes.get("value") for button in form.matching("button")]
    boxes = {box.attributes["name"]: box.attributes["value"] for box in form.matching("input")}
    fields = {f"chat-{id_of(chat)}": boxes[f"chat-{id_of(chat)}"] for chat in chats} | {"action": action}
    return await follow(visitor, form.attributes["action"], fields)


async def follow(visitor: Visitor, path: str, fields: dict[str, str]) -> Node:
    answer = await visitor.http.post(path, data=fields)
    assert answer.status_code == 303, answer.text
    return await page_of(visitor, answer.headers["location"])


async def undo(visitor: Visitor, page: Node) -> Node:
    form = page.select(".undo")
    fields = {field.attributes["name"]: field.attributes["value"] for field in form.matching("input")}
    button = form.select("button")
    return await follow(visitor, form.attributes["action"], fields | {"action": button.attributes["value"]})


# Next to a chat


async def test_renaming_a_chat_changes_its_title_everywhere(visitor: Visitor) -> None:
    chat = await visitor.begin()

    answer = await visitor.http.post(f"{chat}/title", data={"title": "  Bread \n and <b>butter</b> "})

    page = await visitor.page(chat)
    assert (answer.status_code, answer.headers["location"]) == (303, chat)
    assert page.select("#title").text == "Bread and <b>butter</b>"
    assert page.select("#chats .chats a span").text == "Bread and <b>butter</b>"
    assert (await visitor.http.post(f"{chat}/title", data={"title": "x" * 201})).status_code == 422


async def test_a_deleted_chat_can_be_restored(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await finished_answer(visitor, chat, "kept")

    home = await visitor.http.post(f"{chat}/delete", follow_redirects=True)
    gone = await visitor.http.get(chat)
    back = await visitor.http.post(f"{chat}/restore")

    assert f'action="{chat}/restore"' in home.text
    assert gone.status_code == 404
    assert (back.status_code, back.headers["location"]) == (303, chat)
    assert user_messages(await visitor.page(chat)) == ["kept"]


async def test_the_sidebar_marks_the_current_chat_and_running_answers(visitor: Visitor) -> None:
    quiet, busy = await visitor.begin(), await visitor.begin(new="1")
    await visitor.say(busy, RUNNING)

    page = await visitor.page(quiet)

    links = page.select("#chats .chats").matching("a")
    assert [link.attributes["href"] for link in links] == [busy, quiet]
    assert [link.attributes.get("aria-current") for link in links] == [None, "page"]
    assert [bool(link.matching(".running")) for link in links] == [True, False]


async def test_pinned_chats_are_a_group_at_the_top(visitor: Visitor) -> None:
    first, second, third = await chats_of(visitor, 3)

    answers = [await visitor.http.post(f"{chat}/pin") for chat in (third, second)]

    assert [(answer.status_code, answer.headers["location"]) for answer in answers] == [(303, third), (303, second)]
    assert groups(await visitor.page(first)) == {"Pinned": [second, third], "Today": [first]}
    await visitor.http.post(f"{second}/unpin")
    assert groups(await visitor.page(first)) == {"Pinned": [third], "Today": [first, second]}


async def test_an_archived_chat_is_listed_only_on_the_page_of_the_archive_and_next_to_itself(visitor: Visitor) -> None:
    other, chat = await chats_of(visitor, 2)
    word = f"w{id_of(chat).replace('-', '')}"
    await visitor.http.post(f"{chat}/title", data={"title": word})

    await visitor.http.post(f"{chat}/archive")

    assert groups(await visitor.page(other)) == {"Today": [other]}
    assert groups(await visitor.page(chat)) == {"Today": [other], "Archived": [chat]}
    assert chats_on(await page_of(visitor, "/")) == [other]
    assert chats_on(await page_of(visitor)) == [other]
    assert chats_on(await page_of(visitor, link(await page_of(visitor), "Archived chats"))) == [chat]
    assert f'href="{chat}"' in (await visitor.http.get(f"/search?q={word}")).text
    await visitor.http.post(f"{chat}/unarchive")
    assert groups(await visitor.page(other)) == {"Today": [other, chat]}


async def test_an_archived_chat_shows_that_its_answer_is_being_written(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await visitor.http.post(f"{chat}/archive")
    answer = await visitor.say(chat, RUNNING)

    running = (await visitor.page(chat)).select("#chats").matching(".running")
    await visitor.stop(chat, answer)
    await visitor.ended(chat, answer)

    assert len(running) == 1
    assert (await visitor.page(chat)).select("#chats").matching(".running") == []
    assert groups(await visitor.page(chat)) == {"Archived": [chat]}


async def test_the_menu_offers_what_can_be_done_with_the_chat(visitor: Visitor) -> None:
    """The style sheet hides the buttons that do not apply to the group."""
    chat = await visitor.begin()

    found = []
    for verb in ("pin", "archive", "unarchive"):
        await visitor.http.post(f"{chat}/{verb}")
        menu = (await visitor.page(chat)).select("#chat-menu")
        found.append(menu.attributes["data-group"])

    addresses = [
        button.attributes["formaction"] for button in menu.matching("button") if "formaction" in button.attributes
    ]
    assert found == ["Pinned", "Archived", ""]
    assert addresses == [f"{chat}/{verb}" for verb in ("pin", "unpin", "archive", "unarchive")]


async def test_the_current_chat_is_listed_however_old_it_is(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    await owner.execute("UPDATE chats SET updated_at = '2020-02-29 12:00Z' WHERE id = $1", id_of(chat))
    await owner.execute(MANY_CHATS, id_of(chat), LISTED_CHATS + 5)

    found = groups(await visitor.page(chat))

    assert found.pop("February 2020") == [chat]
    assert sum(map(len, found.values())) == LISTED_CHATS


# Groups


def listed(updated_at: str, pinned: bool = False) -> ListedChat:
    return cast(ListedChat, {"id": updated_at, "updated_at": updated_at, "pinned": pinned})


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2026, 3, 11), "Today"),
        (date(2026, 3, 10), "Today"),
        (date(2026, 3, 9), "Yesterday"),
        (date(2026, 3, 8), "Previous 7 days"),
        (date(2026, 3, 3), "Previous 7 days"),
        (date(2026, 3, 2), "March"),
        (date(2026, 2, 28), "February"),
        (date(2026, 1, 1), "January"),
        (date(2025, 12, 31), "December 2025"),
        (date(2025, 3, 10), "March 2025"),
    ],
)
def test_groups_are_days_then_months(day: date, name: str) -> None:
    assert name_of(day, date(2026, 3, 10)) == name


@pytest.mark.parametrize("minutes", [-720, -300, 0, 330, 840])
def test_a_day_begins_at_midnight_of_the_reader(minutes: int) -> None:
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(minutes=minutes)
    moments = [midnight + timedelta(minutes=1), midnight - timedelta(minutes=1), midnight - timedelta(hours=25)]

    found = grouped([listed(moment.isoformat().replace("+00:00", "Z")) for moment in moments], minutes)

    assert [group.name for group in found] == ["Today", "Yesterday", "Previous 7 days"]


def test_groups_keep_the_order_of_the_chats() -> None:
    now = datetime.now(UTC).isoformat()
    chats = [
        listed("2020-01-01T00:00:00Z", pinned=True),
        listed(now, pinned=True),
        listed(now),
        listed("2020-01-01T00:00:00Z"),
    ]

    found = grouped(chats, 0)

    assert [(group.name, len(group.chats)) for group in found] == [("Pinned", 2), ("Today", 1), ("January 2020", 1)]


async def test_the_cookie_of_the_reader_decides_which_day_it_is(visitor: Visitor, owner: Any) -> None:
    """A moment which is yesterday in one time zone and today in another."""
    chat = await visitor.begin()
    west, east = -12 * 60, 14 * 60  # minutes; their dates always differ
    moment = datetime.now(UTC) - timedelta(hours=1)
    await owner.execute("UPDATE chats SET updated_at = $2 WHERE id = $1", id_of(chat), moment)

    async def names(offset: object) -> list[str]:
        cookies = f"runnel={visitor.http.cookies['runnel']}; utc_offset={offset}"
        page = parse((await visitor.http.get(chat, headers={"Cookie": cookies})).text)
        assert page.select("#list").attributes["data-offset"] == str(offset) or not isinstance(offset, int)
        return list(groups(page))

    def expected(offset: int) -> list[str]:
        here = timedelta(minutes=offset)
        return [name_of((moment + here).date(), (datetime.now(UTC) + here).date())]

    assert await names(west) == expected(west)
    assert await names(east) == expected(east)
    for nonsense in ("", "x", "99999", "1.5", "--1", "<b>"):
        assert len(await names(nonsense)) == 1


# Unread chats


async def unread(visitor: Visitor, page: str) -> list[str]:
    links = (await visitor.page(page)).select("#chats").matching("a")
    return [link.attributes["href"] for link in links if link.matching(".unread")]


async def test_a_chat_is_unread_from_the_end_of_its_answer_until_it_is_opened(visitor: Visitor) -> None:
    here, there = await chats_of(visitor, 2)
    assert await unread(visitor, here) == []

    await finished_answer(visitor, there)

    assert await unread(visitor, here) == [there]
    (row,) = [each for each in (await visitor.page(here)).matching("a") if each.matching(".unread")]
    assert row.text.strip().endswith(", unread answer")
    assert await unread(visitor, there) == []
    assert await unread(visitor, here) == []


async def test_only_a_visible_page_reads_an_answer_over_its_list(visitor: Visitor) -> None:
    here, there = await chats_of(visitor, 2)
    await finished_answer(visitor, there)

    hidden = parse((await visitor.http.get(f"{there}/list", headers=HTMX)).text)
    assert await unread(visitor, here) == [there]
    visible = parse((await visitor.http.get(f"{there}/list?seen=1", headers=HTMX)).text)

    assert [bool(page.matching(".unread")) for page in (hidden, visible)] == [True, False]
    assert await unread(visitor, here) == []


async def test_neither_an_export_nor_a_part_of_the_page_reads_an_answer(visitor: Visitor) -> None:
    here, there = await chats_of(visitor, 2)
    await finished_answer(visitor, there)

    for path, headers in ((f"{there}.json", {}), (f"{there}.md", {}), (there, HTMX), (f"{there}/settings", {})):
        assert (await visitor.http.get(path, headers=headers)).status_code == 200

    assert await unread(visitor, here) == [there]


async def test_reading_an_answer_is_announced_without_a_new_revision(visitor: Visitor) -> None:
    here, there = await chats_of(visitor, 2)
    await finished_answer(visitor, there)

    async with listening(visitor, here) as changes:
        await changes.next()  # the state
        await visitor.page(there)
        found = await changes.of(there)

    assert (found["revision"], found["list"]) == (None, None)


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
