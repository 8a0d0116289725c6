"""The search next to a chat, and the page of results without JavaScript."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Error, Page, Route, expect

from tests.browser.page import PHONE, ask, last, script, send, stored_answer
from tests.browser.searching import (
    FIELD,
    OPTIONS,
    chosen,
    hit,
    two_chats,
)
from tests.stack import until

pytestmark = pytest.mark.browser


# Next to the chat


async def test_results_take_the_place_of_the_list_while_typing(page: Page) -> None:
    await two_chats(page)
    here = page.url

    await page.locator(FIELD).press_sequentially("gran", delay=20)
    await expect(page.locator("#found mark").first).to_have_text(re.compile("^gran", re.IGNORECASE))

    await expect(page.locator("#list .chats")).not_to_be_visible()
    await expect(page.locator(".account")).to_be_visible()
    await expect(page.locator("#said")).to_have_text(re.compile(r"^\d results?$"))
    await expect(page.locator(FIELD)).to_have_attribute("aria-expanded", "true")
    assert "sourdough" not in await page.locator("#found").inner_text()

    await page.keyboard.press("Escape")
    await expect(page.locator(FIELD)).to_have_value("")
    await expect(page.locator(FIELD)).to_be_focused()
    await expect(page.locator(FIELD)).to_have_attribute("aria-expanded", "false")
    await expect(page.locator(OPTIONS)).to_have_count(0)
    await expect(page.locator("#list .chats")).to_be_visible()
    await expect(page.locator("#said")).to_have_text("")
    assert page.url == here


async def test_a_text_without_results_says_so(page: Page) -> None:
    await page.fill(FIELD, "nowhere")

    await expect(page.locator("#found")).to_have_text("Nothing found")
    await expect(page.locator("#said")).to_have_text("Nothing found")
    await page.keyboard.press("ArrowDown")
    assert await chosen(page) is None

    await page.fill(FIELD, " ")
    await expect(page.locator("#found")).to_be_empty()
    await page.wait_for_timeout(400)
    await expect(page.locator("#found")).to_be_empty()


async def test_the_same_text_is_found_again_after_escape(page: Page) -> None:
    await ask(page, "Is granite hard?")
    for _ in range(2):
        await page.fill(FIELD, "granite")
        await expect(page.locator("#found mark").first).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#found")).to_be_empty()


async def test_arrow_keys_choose_a_result_and_enter_opens_it(page: Page) -> None:
    first, _ = await two_chats(page)
    await page.fill(FIELD, "granite")
    await expect(page.locator("#found mark").first).to_be_visible()
    texts = [text.strip() for text in await page.locator(OPTIONS).all_text_contents()]
    assert len(texts) > 2
    assert not await chosen(page)

    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown"):
        await page.keyboard.press(key)
        seen.append(await chosen(page))
        await expect(page.locator("#found [aria-selected=true]")).to_have_count(1)
    address = await page.locator("#found [aria-selected=true]").get_attribute("href")
    await page.keyboard.press("Enter")

    assert seen == [texts[0], texts[1], texts[0], texts[-1], texts[0], texts[1]]
    await page.wait_for_url(f"**{address}")
    assert page.url.startswith(f"{first}?message=")


async def test_enter_without_a_choice_opens_the_page_of_results(page: Page) -> None:
    first, here = await two_chats(page)
    await page.fill(FIELD, "granite")

    await page.keyboard.press("Enter")

    await expect(page.locator("#results h2 a")).to_have_text("Is granite hard?")
    await page.get_by_role("link", name="Back").click()
    assert page.url == here != first


async def test_a_late_response_does_not_replace_a_newer_one(page: Page) -> None:
    await two_chats(page)
    requested: list[str] = []

    async def delay(route: Route) -> None:
        requested.append(route.request.url)
        if "granite" in route.request.url:
            await asyncio.sleep(1)
        try:
            await route.continue_()
        except Error:  # the page has cancelled the request
            requested.append("cancelled")

    await page.route("**/search?*", delay)
    await page.fill(FIELD, "granite")
    await until(lambda: asyncio.sleep(0, bool(requested)))
    await page.fill(FIELD, "sourdough")
    await expect(page.locator("#found mark").first).to_have_text("sourdough")

    await page.wait_for_timeout(1500)

    await expect(page.locator("#found mark").first).to_have_text("sourdough")
    assert len(requested) >= 2
    await page.unroute("**/search?*")


async def test_letters_typed_quickly_are_one_request(page: Page) -> None:
    await ask(page, "Is granite hard?")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url) if "/search?" in request.url else None)

    await page.locator(FIELD).press_sequentially("granite", delay=10)
    await expect(page.locator("#found mark").first).to_have_text("granite")

    assert len(requested) == 1


async def test_a_failed_search_says_so_and_the_next_one_works(page: Page) -> None:
    await ask(page, "Is granite hard?")
    for failure in ("status", "connection"):
        if failure == "status":
            await page.route("**/search?*", lambda route: route.fulfill(status=502, body="Bad gateway"))
            await page.fill(FIELD, "granite")
            await expect(page.locator("#found")).to_contain_text("The search failed")
            await expect(page.locator("#said")).to_contain_text("The search failed")
            await page.unroute("**/search?*")
        await page.fill(FIELD, "granit")
        await expect(page.locator("#found mark").first).to_be_visible()


async def test_a_change_of_the_list_disturbs_neither_the_text_nor_the_results(page: Page) -> None:
    first, here = await two_chats(page)
    other = await page.context.new_page()
    await other.goto(here)
    await page.fill(FIELD, "granite")
    await expect(page.locator("#found mark").first).to_be_visible()
    await page.keyboard.press("ArrowDown")
    before = await chosen(page)

    await other.evaluate(
        "([chat, title]) => fetch(`${chat}/title`, { method: 'POST', body: new URLSearchParams({ title }) })",
        [first, "Renamed"],
    )
    await expect(page.locator("#list .chats a span", has_text="Renamed")).to_be_attached()

    await expect(page.locator(FIELD)).to_have_value("granite")
    await expect(page.locator(FIELD)).to_be_focused()
    assert await chosen(page) == before
    await expect(page.locator("#list .chats")).not_to_be_visible()
    await page.keyboard.type(" hard")
    await page.wait_for_timeout(300)
    await expect(page.locator("#found mark").first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#list .chats a span", has_text="Renamed")).to_be_visible()


async def test_an_answer_is_found_while_it_is_written(page: Page) -> None:
    await send(page, script("granite " * 5 + "word " * 200, delay_ms=30))
    await expect(page.locator(".live .tail")).to_contain_text("granite granite granite granite granite")

    await page.fill(FIELD, "granite")
    running = page.locator("#found a", has=page.locator(".running"))

    await expect(running).to_contain_text("Answer")
    await page.locator("#composer .stop").click()
    await expect(last(page)).to_contain_text("Stopped.")


async def test_on_a_phone_the_search_is_in_the_drawer(open_page: Callable[..., Any]) -> None:
    page = await open_page(PHONE, has_touch=True)
    await ask(page, "Is granite hard? " + "Wide" * 60)
    await page.click(".menu")

    await page.fill(FIELD, "granite")
    await expect(page.locator("#found mark").first).to_be_visible()

    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.evaluate("(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)(chats)")
    await page.keyboard.press("Escape")
    await expect(page.locator("#list .chats")).to_be_visible()
    await page.fill(FIELD, "granite")
    await hit(page, "About").tap()
    await page.wait_for_url("**?message=*")
    await expect(page.locator("#chats")).not_to_be_visible()
    await page.click(".menu")
    await page.locator(FIELD).focus()
    await page.keyboard.press("Escape")
    await expect(page.locator("#chats")).not_to_be_visible()


# Without JavaScript


async def test_without_javascript_the_search_is_a_page(open_page: Callable[..., Any]) -> None:
    page = await open_page(java_script_enabled=False)
    await page.fill("#content", script("Granite is hard."))
    await page.click("#composer .primary")
    chat = page.url.partition("#")[0]
    await stored_answer(page)
    await page.goto(chat)
    await page.get_by_role("button", name="Regenerate").click()
    await stored_answer(page)

    await page.goto(chat)
    await page.fill(FIELD, "granite")
    await page.press(FIELD, "Enter")
    await expect(page.get_by_role("search")).to_be_visible()
    await page.fill("[name=q]", "nowhere")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("status")).to_have_text("Nothing found")
    await page.fill("[name=q]", "Granite hard")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("mark").first).to_be_visible()
    await page.locator("#results ul a", has_text="Answer").last.click()

    assert page.url.startswith(f"{chat}?message=")
    assert await page.locator("article:target .content").inner_text() == "Granite is hard."
    await page.fill("#content", script("Indeed."))
    await page.click("#composer .primary")
    await stored_answer(page)
    await page.goto(chat)
    assert await page.locator(".user").count() == 2
    await page.get_by_role("link", name="Runnel").click()
    await page.get_by_role("searchbox").fill("granite")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Back").click()
    await expect(page.locator("#username")).to_be_visible()
