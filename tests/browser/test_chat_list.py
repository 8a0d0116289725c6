"""The list of chats next to a chat: its menu, its groups, its marks in other windows, and hiding it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.listed_chats import expect_groups, press, row, three_chats
from tests.browser.page import ask, script, send
from tests.stack import until

pytestmark = pytest.mark.browser


# The menu


async def test_the_menu_pins_and_unpins_any_chat_in_place(page: Page) -> None:
    await three_chats(page)
    here = page.url
    await page.evaluate("window.same = true")

    await press(page, "The first", "Pin")
    await expect_groups(page, {"Pinned": ["The first"], "Today": ["The third", "The second"]})
    await expect(page.locator("#chat-menu")).not_to_be_visible()
    await press(page, "The third", "Pin")
    await expect_groups(page, {"Pinned": ["The third", "The first"], "Today": ["The second"]})
    await press(page, "The first", "Unpin")
    await expect_groups(page, {"Pinned": ["The third"], "Today": ["The second", "The first"]})

    assert page.url == here
    assert await page.evaluate("window.same")
    await page.reload()
    await expect_groups(page, {"Pinned": ["The third"], "Today": ["The second", "The first"]})


async def test_the_menu_archives_a_chat_and_takes_it_back(page: Page) -> None:
    await three_chats(page)

    await press(page, "The first", "Archive")
    await expect_groups(page, {"Today": ["The third", "The second"]})
    await press(page, "The third", "Archive")
    await expect_groups(page, {"Today": ["The second"], "Archived": ["The third"]})  # the page shows it

    await press(page, "The third", "Unarchive")
    await expect_groups(page, {"Today": ["The third", "The second"]})
    await page.get_by_role("link", name="All chats").click()
    await page.get_by_role("link", name="Archived chats").click()
    await expect(page.locator("li a")).to_have_text([re.compile("The first")])


@pytest.mark.parametrize(
    ("title", "shown"),
    [("The first", ["Pin", "Archive"]), ("The second", ["Unpin", "Archive"]), ("The third", ["Pin", "Unarchive"])],
)
async def test_the_menu_offers_what_its_chat_needs(page: Page, title: str, shown: list[str]) -> None:
    await three_chats(page)
    await press(page, "The second", "Pin")
    await press(page, "The third", "Archive")
    await expect_groups(page, {"Pinned": ["The second"], "Today": ["The first"], "Archived": ["The third"]})

    await row(page, title).hover()
    await row(page, title).locator(".more").click()

    await expect(page.locator("#chat-menu [formaction]:visible")).to_have_text(shown)


async def test_a_change_keeps_the_focus_at_its_chat(page: Page) -> None:
    await three_chats(page)
    await row(page, "The first").locator(".more").focus()
    await page.keyboard.press("Enter")
    await page.locator("#chat-menu").get_by_role("button", name="Pin", exact=True).focus()

    await page.keyboard.press("Enter")

    await expect_groups(page, {"Pinned": ["The first"], "Today": ["The third", "The second"]})
    await expect(row(page, "The first").locator(".more")).to_be_focused()


async def test_a_refused_change_shows_its_reason(page: Page) -> None:
    await three_chats(page)
    first = await row(page, "The first").locator("a").get_attribute("href")
    await row(page, "The first").hover()
    await row(page, "The first").locator(".more").click()
    await page.request.post(f"{first}/delete", headers={"Origin": page.url.partition("/chats")[0]})

    await page.locator("#chat-menu").get_by_role("button", name="Pin", exact=True).click()

    await expect(page.locator("h1")).to_have_text("Not found")


async def test_a_menu_of_one_chat_never_acts_on_another(page: Page) -> None:
    """All addresses in the menu change with the chat, and again for the next one."""
    await three_chats(page)
    ids = []
    for title in ("The first", "The second", "The third", "The first"):
        await row(page, title).hover()
        await row(page, title).locator(".more").click()
        expected = str(await row(page, title).locator("a").get_attribute("href"))
        found = await page.locator("#chat-menu").evaluate(
            "menu => ['action', 'formaction', 'href'].flatMap((name) =>"
            " [...menu.querySelectorAll(`[${name}^='/']`)].map((each) => each.getAttribute(name)))"
        )
        assert len(found) == 8
        assert all(address.startswith((f"{expected}/", f"{expected}.")) for address in found), found
        ids.append(expected)
        await page.keyboard.press("Escape")
    assert len(set(ids)) == 3


# Groups


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kolkata"])
async def test_the_list_has_the_days_of_the_readers_time_zone(open_page: Callable[..., Any], zone: str) -> None:
    page = await open_page(timezone_id=zone)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url) if "/list" in request.url else None)
    minutes = await page.evaluate("-new Date().getTimezoneOffset()")

    async def known() -> bool:
        cookies = {cookie["name"]: cookie["value"] for cookie in await page.context.cookies()}
        return cookies.get("utc_offset") == str(minutes)

    await until(known)
    await expect_groups(page, {"Today": ["New chat"]})
    requested.clear()
    await page.reload()
    await expect(page.locator("#list")).to_have_attribute("data-offset", str(minutes))
    await page.wait_for_timeout(500)
    assert requested == []  # the server knew it


async def test_groups_have_names_for_screen_readers(page: Page) -> None:
    await ask(page, "The first")
    await press(page, "The first", "Pin")

    group = page.get_by_role("list", name="Pinned")

    await expect(group.get_by_role("listitem")).to_have_count(1)
    shown = await group.evaluate("each => getComputedStyle(each, '::before').content")
    assert shown in ('"Pinned"', "attr(aria-label)")


# Marks in other windows


async def test_another_window_shows_running_and_unread_answers(page: Page) -> None:
    await three_chats(page)
    other = await page.context.new_page()
    await other.goto(str(await row(page, "The first").locator("a").get_attribute("href")))

    await send(page, script("word " * 30, delay_ms=30))
    await expect(row(other, "The third").locator(".running")).to_have_text(", an answer is being written")
    await expect(row(page, "The third").locator(".running")).to_have_count(
        0
    )  # it has ended, and this page has shown it

    await expect(row(other, "The third").locator(".running, .unread")).to_have_count(0)


async def test_an_answer_that_no_visible_page_shows_is_unread_everywhere_until_it_is_opened(page: Page) -> None:
    await three_chats(page)
    third = page.url
    await send(page, script("word " * 30, delay_ms=30))
    await expect(page.locator(".live")).to_have_count(1)
    await row(page, "The first").locator("a").click()
    await expect(page.locator("#title")).to_have_text("The first")
    other = await page.context.new_page()
    await other.goto(page.url)

    for window in (page, other):
        await expect(row(window, "The third").locator(".unread")).to_have_text(", unread answer")
    await page.goto(third)

    await expect(row(page, "The third").locator(".unread")).to_have_count(0)
    await expect(row(other, "The third").locator(".unread")).to_have_count(0)


async def test_a_hidden_page_does_not_read_its_answer(page: Page) -> None:
    """A window in the background may hear of changes over the stream of another."""
    await ask(page, "The first")
    await page.evaluate("""() => {
      window.whileHidden = [];
      window.whileVisible = [];
      document.getElementById("list").addEventListener("htmx:before:request", ({ detail }) =>
        (document.hidden ? window.whileHidden : window.whileVisible).push(detail.ctx.request.action));
    }""")
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    change = """() => document.dispatchEvent(
      new CustomEvent("changed", { detail: { data: JSON.stringify({ chat: "x", revision: null, list: null }) } }))"""

    await page.evaluate(hide, True)
    await page.evaluate(change)
    await until(lambda: _requested(page, "whileHidden"))
    await page.evaluate("window.whileVisible = []")
    await page.evaluate(hide, False)
    await until(lambda: _requested(page, "whileVisible"))

    assert all(path.endswith("/list") for path in await _requested(page, "whileHidden"))
    assert all(path.endswith("/list?seen=1") for path in await _requested(page, "whileVisible"))


async def _requested(page: Page, when: str) -> list[str]:
    requested: list[str] = await page.evaluate("(when) => window[when]", when)
    return requested


async def test_pins_and_the_archive_appear_in_a_second_window(page: Page) -> None:
    await three_chats(page)
    other = await page.context.new_page()
    await other.goto(page.url)

    await press(page, "The first", "Pin")
    await expect_groups(other, {"Pinned": ["The first"], "Today": ["The third", "The second"]})
    await press(other, "The second", "Archive")
    await expect_groups(page, {"Pinned": ["The first"], "Today": ["The third"]})


# Hiding the list


async def test_the_list_can_be_hidden_and_stays_so_without_a_flash(page: Page) -> None:
    toggle = page.get_by_role("button", name="List of chats")
    await expect(toggle).to_have_attribute("aria-expanded", "true")
    wide = await page.locator("main").evaluate("each => each.getBoundingClientRect().left")

    await toggle.click()

    await expect(page.locator("#chats")).not_to_be_visible()
    await expect(toggle).to_have_attribute("aria-expanded", "false")
    await expect(toggle).to_be_focused()
    assert await page.locator("main").evaluate("each => each.getBoundingClientRect().left") < wide

    async def kept() -> bool:
        return "sidebar" in {cookie["name"] for cookie in await page.context.cookies()}

    await until(kept)
    html = await (await page.request.get(page.url)).text()
    assert '<html lang="en" data-sidebar="hidden">' in html  # before the first paint
    await page.reload()
    await expect(page.locator("#chats")).not_to_be_visible()
    await toggle.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#chats [aria-current]")).to_be_in_viewport()
    await expect(toggle).to_have_attribute("aria-expanded", "true")


async def test_a_new_chat_can_be_begun_while_the_list_is_hidden(page: Page) -> None:
    begin = page.locator(".bar").get_by_role("button", name="New chat")
    await ask(page, "The first")
    await expect(begin).not_to_be_visible()
    await page.get_by_role("button", name="List of chats").click()

    await begin.click()

    await expect(page.locator("article.user")).to_have_count(0)
    await page.set_viewport_size({"width": 360, "height": 740})
    await ask(page, "The second")
    await begin.click()
    await expect(page.locator("article.user")).to_have_count(0)


async def test_a_hidden_list_is_a_drawer_on_a_phone(page: Page) -> None:
    await page.get_by_role("button", name="List of chats").click()
    await expect(page.locator("#chats")).not_to_be_visible()

    await page.set_viewport_size({"width": 360, "height": 740})
    await expect(page.get_by_role("button", name="List of chats")).not_to_be_visible()
    await page.click(".menu")

    await expect(page.locator("#chats")).to_be_visible()
