"""The list of chats next to a chat, its groups, and its marks of unread answers."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest

from tests.web.actions import RUNNING, finished_answer, user_messages
from tests.web.chat_lists import MANY_CHATS, chats_of, chats_on, groups, id_of, link, page_of
from tests.web.dom import parse
from tests.web.test_chat_events import listening
from tests.web.visitor import HTMX, Visitor
from web.contract import ListedChat
from web.pages.chat_groups import grouped, name_of
from web.pages.chat_list import LISTED_CHATS

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
