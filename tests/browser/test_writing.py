"""Typing: Enter, touch keyboards, input methods, drafts, and typing during an answer."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.page import PHONE, ask, last, script, send

pytestmark = pytest.mark.browser


async def test_enter_sends_and_shift_enter_breaks_the_line(page: Page) -> None:
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")

    await expect(page.locator(".user .content")).to_have_text("one\ntwo")
    await expect(page.locator("#content")).to_have_value("")
    await expect(page.locator("#content")).to_be_focused()


async def test_a_message_that_was_sent_before_leaves_the_field(page: Page) -> None:
    await page.fill("#content", "Only once")
    await page.evaluate("fetch(composer.action, { method: 'POST', body: new URLSearchParams(new FormData(composer)) })")

    async with page.expect_response("**/messages") as sent_again:
        await page.click("#composer .send")

    assert (await sent_again.value).status == 204
    await expect(page.locator(".user .content")).to_have_text("Only once")
    await expect(page.locator("#content")).to_have_value("")


async def test_enter_that_confirms_ime_input_does_not_send(page: Page) -> None:
    await page.fill("#content", "にほん")

    for how in ("{isComposing: true}", "{keyCode: 229}"):
        await page.evaluate(
            "document.activeElement.dispatchEvent("
            f"new KeyboardEvent('keydown', {{key: 'Enter', bubbles: true, ...{how}}}))"
        )

    assert await page.input_value("#content") == "にほん"
    assert await page.locator(".user").count() == 0


async def test_on_touch_enter_breaks_the_line(open_page: Callable[..., Any]) -> None:
    page = await open_page(PHONE, has_touch=True, is_mobile=True)

    await page.fill("#content", "one")
    await page.keyboard.press("Enter")

    assert await page.input_value("#content") == "one\n"


async def test_a_draft_survives_a_reload_and_belongs_to_its_chat(page: Page) -> None:
    await ask(page, "Why?")
    await page.fill("#content", "half a thought")
    await page.reload()
    assert await page.input_value("#content") == "half a thought"

    chat = page.url
    await page.keyboard.press("Alt+n")
    await page.wait_for_url(lambda url: url != chat)
    assert await page.input_value("#content") == ""
    await page.go_back()
    await page.locator("#content").press("Enter")
    await expect(page.locator(".user .content").last).to_have_text("half a thought")
    await page.reload()
    assert await page.input_value("#content") == ""


async def test_the_field_grows_with_its_text(page: Page) -> None:
    before = (await page.locator("#content").bounding_box())["height"]  # type: ignore[index]

    await page.fill("#content", "line\n" * 8)

    assert (await page.locator("#content").bounding_box())["height"] > 3 * before  # type: ignore[index]


async def test_typing_continues_during_an_answer_and_the_next_message_waits(page: Page) -> None:
    await send(page, script("x " * 100, delay_ms=30))
    await expect(page.locator(".live")).to_have_count(1)
    await page.keyboard.type("and this?")
    await page.keyboard.press("Enter")

    await expect(page.locator(".user .content").last).to_have_text("and this?")
    await expect(last(page).locator(".progress")).to_contain_text("Waiting")
    await page.click("#composer .stop")
    await expect(last(page).locator("footer.actions")).to_be_attached()


async def test_refused_text_stays_in_its_field(page: Page) -> None:
    await send(page, "x" * 32_001)

    await expect(page.locator("#notice")).to_contain_text("Please shorten it")
    assert len(await page.input_value("#content")) == 32_001


async def test_two_tabs_of_a_chat_keep_their_own_drafts(page: Page) -> None:
    other = await page.context.new_page()
    await other.goto(page.url)
    await page.fill("#content", "From the first tab")
    await other.fill("#content", "From the second tab")

    await page.reload()
    await expect(page.locator("#content")).to_have_value("From the first tab")
    await send(page, "Sent")
    await expect(page.locator(".user")).to_have_count(1)
    await other.close()
    third = await page.context.new_page()
    await third.goto(page.url)

    await expect(third.locator("#content")).to_have_value("From the second tab")
    await page.reload()
    await expect(page.locator("#content")).to_have_value("")
