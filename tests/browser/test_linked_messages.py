"""Links to single messages, and the keys that move between questions."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.page import ask, last, send
from tests.browser.searching import FIELD, hide_branch, hit

pytestmark = pytest.mark.browser


async def test_a_result_opens_the_chat_at_the_message_on_its_branch(page: Page) -> None:
    await hide_branch(page)
    plain = page.url.partition("#")[0]
    await page.fill(FIELD, "granite")
    await hit(page, "You").click()
    await page.wait_for_url("**?message=*")

    question = page.locator(".named > :target")
    await expect(question.locator(".content")).to_have_text("Is granite hard?")
    await expect(question).to_be_in_viewport()
    assert (
        await question.locator("> .content").evaluate("element => getComputedStyle(element).animationName") == "named"
    )
    await expect(page.locator(".user .content")).to_have_text(["Is granite hard?", "Why is that so?"])

    await send(page, "And marble?")
    await expect(page.locator(".user .content")).to_have_text(["Is granite hard?", "Why is that so?", "And marble?"])
    await expect(page.locator(".live")).to_have_count(0)
    await expect(page.locator("#content")).to_have_value("")
    await page.goto(plain)
    await expect(page.locator(".user .content")).to_have_text(["Is granite hard?", "Why is that so?", "And marble?"])


async def test_a_change_elsewhere_keeps_the_branch_of_the_link(page: Page) -> None:
    await hide_branch(page)
    other = await page.context.new_page()
    await other.goto(page.url.partition("#")[0])
    await page.fill(FIELD, "granite")
    await hit(page, "You").click()
    await page.wait_for_url("**?message=*")
    await expect(page.locator(".user .content")).to_have_text(["Is granite hard?", "Why is that so?"])
    revision = str(await page.locator("#revision").get_attribute("value"))

    await ask(other, "Is slate black?")

    await expect(page.locator("#revision")).not_to_have_attribute("value", revision)
    await expect(page.locator(".user .content")).to_have_text(["Is granite hard?", "Why is that so?"])
    await ask_from_link(page)
    await expect(other.locator(".user .content").last).to_have_text("And marble?")


async def ask_from_link(page: Page) -> None:
    await send(page, "And marble?")
    await expect(page.locator(".user .content")).to_have_text(["Is granite hard?", "Why is that so?", "And marble?"])
    await expect(page.locator(".live")).to_have_count(0)


async def test_actions_on_the_branch_of_a_link_stay_on_it(page: Page) -> None:
    await hide_branch(page)
    await page.fill(FIELD, "granite")
    await hit(page, "You").click()
    await page.wait_for_url("**?message=*")

    await last(page).get_by_role("link", name="Edit").click()
    await expect(page.locator("#edited")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator(".user .content")).to_have_text(["Is granite hard?", "Why is that so?"])
    await last(page).get_by_role("button", name="Regenerate").click()
    await expect(last(page).locator(".versions")).to_contain_text("2/")
    await expect(page.locator(".live")).to_have_count(0)
    await expect(page.locator(".user .content")).to_have_text(["Is granite hard?", "Why is that so?"])

    before = page.url
    await page.locator(".user").first.get_by_role("button", name="Next version").click()
    await expect(page.locator(".user .content")).to_have_text(["Is slate hard?"])
    await page.wait_for_url(lambda url: url != before)
    assert "#" not in page.url
    await page.reload()
    await expect(page.locator(".user .content")).to_have_text(["Is slate hard?"])


async def test_the_time_of_a_message_is_its_link(page: Page) -> None:
    await ask(page, "Is granite hard?")
    await ask(page, "Is slate hard?")
    link = page.locator(".user").first.get_by_role("link", name="Link to this message")
    address = str(await link.get_attribute("href"))

    await page.locator(".user").first.hover()
    await link.click()

    await page.wait_for_url(f"**{address}")
    await expect(page.locator(":target .content")).to_have_text("Is granite hard?")
    await send(page, "And marble?")  # the page shows the stored branch, so it is not loaded again
    await expect(page.locator(".user .content").last).to_have_text("And marble?")
    assert page.url.endswith(address)


async def test_without_motion_the_message_has_an_outline(open_page: Callable[..., Any]) -> None:
    page = await open_page(reduced_motion="reduce")
    await ask(page, "Is granite hard?")
    await page.goto(str(await last(page).get_by_role("link", name="Link to this message").get_attribute("href")))

    assert (
        await page.locator(":target > .content").evaluate("element => getComputedStyle(element).outlineStyle")
        == "solid"
    )


async def test_keys_move_between_questions(page: Page) -> None:
    await page.set_viewport_size({"width": 1000, "height": 500})
    for number in ("first", "second", "third"):
        await ask(page, f"The {number} question")
    await page.locator("#content").focus()

    seen = []
    for key in ("Alt+k", "Alt+k", "Alt+k", "Alt+k", "Alt+j", "Alt+j"):
        await page.keyboard.press(key)
        focused = page.locator(".user:focus-within")
        seen.append(await focused.locator(".content").inner_text())
        await expect(focused).to_be_in_viewport()

    numbers = [text.split()[1] for text in seen]
    assert numbers == ["third", "second", "first", "first", "second", "third"]
    await page.keyboard.press("Alt+j")
    await expect(page.locator("#content")).to_be_focused()
