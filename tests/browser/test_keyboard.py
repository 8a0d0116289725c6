"""Keyboard shortcuts, and use without a mouse."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.documents import CODE_AND_TABLE
from tests.browser.page import ask, becomes, last, script, send

pytestmark = pytest.mark.browser


async def test_keyboard_shortcuts_match_the_help(page: Page) -> None:
    first = page.url
    await ask(page, script("First."))
    await page.locator("#content").blur()
    await page.keyboard.press("?")
    await expect(page.locator("#help")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#help")).not_to_be_visible()
    await page.keyboard.press("/")
    await expect(page.locator("#content")).to_be_focused()
    await page.keyboard.type("/?")
    assert await page.input_value("#content") == "/?"
    await page.fill("#content", "")

    await page.keyboard.press("Alt+c")
    await becomes(page, "async () => (await navigator.clipboard.readText()).trim() === 'First.'")
    await page.keyboard.press("Alt+n")
    await page.wait_for_url(lambda url: url != first)
    second = page.url
    await send(page, script("x " * 100, delay_ms=30))
    await expect(page.locator(".live .tail p")).to_have_count(1)
    await page.keyboard.press("Escape")  # nothing to stop
    await page.keyboard.press("Alt+s")
    await expect(last(page).locator(".outcome")).to_have_text("Stopped.")
    await page.keyboard.press("Alt+ArrowDown")
    await page.wait_for_url(first)
    await page.keyboard.press("Alt+ArrowUp")
    await page.wait_for_url(second)


async def test_a_key_pressed_in_the_same_moment_as_the_help_is_closed_is_not_lost(page: Page) -> None:
    await page.locator("#content").blur()

    await page.evaluate("""() => {
        help.showModal();
        help.close();
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true}));
    }""")

    await expect(page.locator("#content")).to_be_focused()


async def test_shortcuts_without_alt_can_be_switched_off_permanently(page: Page) -> None:
    await page.click("#ask-help")
    await page.uncheck("#single-keys")
    await page.keyboard.press("Escape")
    await page.reload()
    await page.locator("#content").blur()

    await page.keyboard.press("?")

    assert not await page.locator("#help").is_visible()


async def test_everything_can_be_done_with_keys_alone(open_page: Callable[..., Any]) -> None:
    page = await open_page(chat=False)

    async def tab_to(name: str, back: bool = False) -> None:
        for _ in range(60):
            await page.keyboard.press("Shift+Tab" if back else "Tab")
            about = await page.evaluate(
                "document.activeElement.innerText || document.activeElement.title || document.activeElement.id"
            )
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            if name in about:
                assert outline != "none", about
                return
        raise AssertionError(f"{name} is never reached")

    async def edit(text: str) -> None:
        await page.keyboard.press("Enter")
        await expect(page.locator("#edited")).to_be_focused()
        await page.keyboard.press("Control+a")
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")

    await page.keyboard.type("Ada")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/chats/*")
    await page.keyboard.type(script(CODE_AND_TABLE))
    await page.keyboard.press("Enter")
    await expect(last(page).locator(".facts")).to_be_attached()
    await tab_to("Details", back=True)
    await page.keyboard.press("Enter")
    await expect(last(page).locator("dl.sheet")).to_be_visible()
    await page.keyboard.press("Enter")
    await tab_to("Regenerate", back=True)
    await page.keyboard.press("Enter")
    await expect(last(page).locator(".versions")).to_contain_text("2/")
    await becomes(page, "document.activeElement !== document.body")
    await tab_to("Edit", back=True)
    await edit("An edited answer")
    await expect(last(page).locator(".content")).to_have_text("An edited answer")
    await tab_to("Delete", back=True)
    await page.keyboard.press("Enter")
    await expect(last(page).locator("div.sheet")).to_be_visible()
    await tab_to("Delete this version")
    await page.keyboard.press("Enter")
    await expect(last(page).locator(".versions")).to_contain_text("2/ of 2")
    await tab_to("Edit", back=True)
    await page.keyboard.press("Shift+Tab")
    await tab_to("Edit", back=True)
    await edit("Changed")
    await expect(page.locator(".user .content")).to_have_text("Changed")
