"""The dialog that Ctrl+K opens: actions of the page, chats and messages."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.page import PHONE, ask, last, script, send
from tests.browser.searching import (
    CHOICES,
    COMMAND,
    FIELD,
    chosen,
    open_dialog,
    two_chats,
)

pytestmark = pytest.mark.browser


async def test_the_dialog_offers_the_actions_of_the_page(page: Page) -> None:
    await page.locator("#content").focus()
    await open_dialog(page)

    await expect(page.locator(COMMAND)).to_be_focused()
    assert await page.locator(CHOICES).all_text_contents() == [
        "New chat",
        "Temporary chat",
        "Settings of this chat",
        "Appearance",
        "Export this chat",
        "Devices and sign-out",
        "Help and keyboard shortcuts",
    ]
    assert await chosen(page) == "New chat"
    await page.keyboard.press("ArrowUp")
    assert await chosen(page) == "Help and keyboard shortcuts"
    await page.keyboard.press("Enter")
    await expect(page.locator("#help")).to_be_visible()
    await expect(page.locator("#palette")).not_to_be_visible()
    await page.keyboard.press("Control+k")
    await expect(page.locator("#palette")).not_to_be_visible()  # one dialog at a time
    await page.keyboard.press("Escape")

    await page.keyboard.press("Control+k")
    await page.keyboard.type("APPEAR")
    await expect(page.locator(CHOICES)).to_have_text(["Appearance", "Nothing found"])
    await page.keyboard.press("Enter")
    await expect(page.locator("#panel[open] h1")).to_have_text("Appearance")


@pytest.mark.parametrize("close", ["Escape", "Control+k", "backdrop"])
async def test_the_dialog_closes_and_gives_the_focus_back(page: Page, close: str) -> None:
    await page.locator("#content").focus()
    await open_dialog(page)
    await page.keyboard.type("granite")

    if close == "backdrop":
        await page.mouse.click(5, 700)
    else:
        await page.keyboard.press(close)

    await expect(page.locator("#palette")).not_to_be_visible()
    await expect(page.locator("#content")).to_be_focused()
    await page.keyboard.press("Control+k")
    await expect(page.locator(COMMAND)).to_have_value("")


async def test_what_is_typed_before_the_script_is_loaded_is_found(page: Page) -> None:
    await ask(page, "Is granite hard?")
    requested, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        requested.set()
        await go_on.wait()
        await route.continue_()

    await page.context.route("**/static/search.js*", hold)
    await page.reload()
    assert not requested.is_set()
    await page.keyboard.press("Control+k")
    await page.keyboard.type("granite")
    await expect(page.locator("#matches mark").first).to_be_visible()
    await requested.wait()
    go_on.set()

    await expect(page.locator("#palette [role=status]")).to_have_text(re.compile(r"^\d results?$"))
    assert await chosen(page) == "Is granite hard?"
    await page.keyboard.press("Escape")
    await expect(page.locator("#palette")).not_to_be_visible()


async def test_the_dialog_finds_chats_and_messages(page: Page) -> None:
    first, here = await two_chats(page)
    await page.fill(FIELD, "sourdough")
    await expect(page.locator("#found mark").first).to_be_visible()

    await page.keyboard.press("Control+k")
    await expect(page.locator("#found")).to_be_empty()
    await expect(page.get_by_role("group", name="Latest chats").get_by_role("option")).to_have_text(
        ["Is granite hard?"]
    )
    await page.keyboard.type("gran")
    await expect(page.locator("#matches mark").first).to_have_text(re.compile("^gran"))
    await expect(page.get_by_role("group", name="Latest chats").get_by_role("option")).to_have_count(0)
    await expect(page.locator("#palette [role=status]")).to_have_text(re.compile(r"^\d results?$"))
    assert await chosen(page) == "Is granite hard?"
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")

    await page.wait_for_url("**?message=*")
    assert page.url.startswith(first)
    await page.keyboard.press("Control+k")
    await page.get_by_role("group", name="Latest chats").get_by_role("option", name="Is sourdough bread?").click()
    await page.wait_for_url(here)


async def test_the_dialog_stays_usable_while_an_answer_is_written(page: Page) -> None:
    await ask(page, "Is granite hard?")
    await send(page, script("word " * 60, delay_ms=30))
    await expect(page.locator(".live .tail")).to_contain_text("word word")
    await open_dialog(page)
    await page.keyboard.type("granite")
    await expect(page.locator("#matches mark").first).to_have_text("granite")
    await page.keyboard.press("ArrowDown")
    before = await chosen(page)

    await expect(page.locator(".live")).to_have_count(0)

    await expect(page.locator(COMMAND)).to_be_focused()
    await expect(page.locator(COMMAND)).to_have_value("granite")
    assert await chosen(page) == before
    assert (await last(page).locator(".content").inner_text()).split() == ["word"] * 60


async def test_an_action_of_the_dialog_works_on_a_phone(open_page: Callable[..., Any]) -> None:
    page = await open_page(PHONE)
    await ask(page, "Is granite hard?")
    here = page.url
    await open_dialog(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    await page.keyboard.press("Enter")

    await page.wait_for_url(lambda url: url != here)
    await expect(page.locator("article.user")).to_have_count(0)
