"""An empty chat, and the box in which messages are written."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.page import PHONE, ask, begin, last, script, send
from tests.fake_llama.server import running as running_llama
from tests.system.running import running

pytestmark = pytest.mark.browser


async def middle(page: Page, selector: str) -> float:
    """The vertical middle of an element, as a share of the window."""
    place = "(e) => { const { top, bottom } = e.getBoundingClientRect(); return (top + bottom) / 2 / innerHeight; }"
    return float(await page.locator(selector).evaluate(place))


@pytest.mark.parametrize("size", [{"width": 1440, "height": 900}, PHONE])
async def test_an_empty_chat_greets_in_the_middle_and_offers_starters(open_page: Callable[..., Any], size: Any) -> None:
    page = await open_page(size)
    starters = page.locator(".starters button")
    await expect(page.locator(".opening .content")).to_have_text("Hello! What can I do for you?")
    await expect(page.locator(".opening footer")).to_have_count(0)
    await expect(starters).to_have_count(3)
    assert 0.25 < await middle(page, ".box") < 0.75
    text = str(await starters.first.text_content())

    await starters.first.click()

    await expect(page.locator("article.user .content")).to_have_text(text)
    await expect(starters.first).to_be_hidden()
    assert await middle(page, ".box") > 0.75


async def test_send_turns_into_stop_while_an_answer_runs(page: Page) -> None:
    send_button, stop = page.locator("#composer .send"), page.locator("#composer .stop")
    await expect(stop).to_be_hidden()
    await send(page, script("word " * 500, delay_ms=20))
    await expect(stop).to_be_visible()
    await expect(send_button).to_be_hidden()
    await expect(page.locator(".live .stop")).to_be_hidden()

    await page.fill("#content", "The next question")
    await expect(send_button).to_be_visible()
    await expect(stop).to_be_hidden()
    await expect(page.locator(".live .stop")).to_be_visible()

    await page.fill("#content", "")
    await stop.click()
    await expect(last(page)).to_contain_text("Stopped.")
    await expect(send_button).to_be_visible()
    await expect(page.locator("#content")).to_be_focused()


async def test_the_box_shows_the_model(page: Page) -> None:
    await expect(page.locator(".box .model")).to_have_text("fake-llama")


async def test_with_several_models_the_box_offers_them(chromium: Any) -> None:
    with running_llama(models=("folder/small.gguf", "large")) as url, running(LLAMA_URL=url) as runnel:
        context = await chromium.new_context(base_url=runnel.origin)
        page = await context.new_page()
        await begin(page)
        picker = page.get_by_label("Model")
        await expect(picker).to_have_value("")
        await expect(picker.locator("option")).to_have_text(["small (default)", "small", "large"])

        await page.fill("#content", "Why?")
        async with page.expect_response("**/settings"):
            await picker.select_option("large")
        await page.reload()
        await expect(page.locator("#content")).to_have_value("Why?")
        await ask(page, "Why?")
        await page.reload()

        await expect(page.get_by_label("Model")).to_have_value("large")
        await page.locator("article.assistant").last.get_by_title("Details").click()
        await expect(page.locator("dl.sheet:popover-open")).to_contain_text("large")
        await context.close()


async def test_the_menu_of_the_account_leads_to_devices_and_settings(page: Page) -> None:
    await page.get_by_role("button", name="Menu of Ada").click()
    await expect(page.get_by_role("link", name="Settings of this chat")).to_be_visible()
    await page.get_by_role("link", name="Devices and sign-out").click()
    await expect(page.get_by_role("heading", name="Devices")).to_be_visible()
