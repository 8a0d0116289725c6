"""The whole flow without JavaScript: forms, redirects, and a streamed frame."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import Frame, Locator, expect

from tests.browser.browser_user import ANSWER, CONTENT, BrowserUser
from tests.browser.documents import HOSTILE, SAMPLE
from tests.browser.elements import ELEMENTS, not_allowed
from tests.browser.page import PHONE, script, stored_answer
from tests.stack import until

pytestmark = pytest.mark.browser

FAILED = re.compile("Failed to load resource")


@pytest.fixture
async def plain(new_user: Callable[..., Any]) -> BrowserUser:
    """A user without JavaScript, in a new chat."""
    plain: BrowserUser = await new_user(java_script_enabled=False)
    await plain.begin()
    return plain


async def send(plain: BrowserUser, content: str) -> None:
    await plain.page.fill("#content", content)
    await press(plain, plain.page.get_by_role("button", name="Send", exact=True))


async def press(plain: BrowserUser, button: Locator) -> None:
    """Waits until navigation starts; the load event waits for the end of the answer in the frame."""
    async with plain.page.expect_navigation(wait_until="domcontentloaded"):
        await button.click()


async def growing(plain: BrowserUser) -> Frame:
    handle = await plain.page.locator(f"{ANSWER} iframe").element_handle()
    frame = await handle.content_frame()
    assert frame
    return frame


async def visible(frame: Frame) -> str:
    return await frame.locator("body").inner_text()


def scripted(text: str, delay_ms: int) -> str:
    return json.dumps({"text": text, "delay_ms": delay_ms})


async def test_an_answer_grows_in_its_frame_and_then_becomes_part_of_the_chat(plain: BrowserUser) -> None:
    await send(plain, scripted(SAMPLE, 10))
    assert "#message-" in plain.page.url, "led back to the chat, to the answer"
    frame = await growing(plain)

    seen: list[str] = []

    async def over() -> bool:
        now = await visible(frame)
        if not seen or now != seen[-1]:
            seen.append(now)
        return "Show it in the chat" in now

    await until(over)

    assert len(seen) > 5
    assert all("**bold" not in text and "|:--" not in text for text in seen)
    assert all(len(later) > len(earlier) * 0.8 for earlier, later in pairwise(seen)), "it only grows"
    await frame.click("text=Show it in the chat")
    await plain.page.wait_for_url("**?read=*")
    await expect(plain.page.locator("iframe")).to_have_count(0)
    await expect(plain.page.locator(CONTENT).locator("tbody tr")).to_have_count(2)
    assert (await plain.stored())["content"] == SAMPLE


async def test_the_page_without_scripts_has_the_same_content(plain: BrowserUser, new_user: Callable[..., Any]) -> None:
    await send(plain, scripted(SAMPLE, 1))
    await plain.stored()
    await plain.page.reload()

    other = await new_user(storage_state=await plain.context.storage_state())
    await other.page.goto(plain.page.url)

    assert await plain.html() == await other.html()


async def test_after_a_reload_the_frame_shows_the_text_so_far(plain: BrowserUser) -> None:
    await send(plain, scripted("Slowly, word by word. " * 20, 15))
    frame = await growing(plain)
    await until(lambda: contains(frame, "word by word"))
    early = await visible(frame)

    await plain.page.reload(wait_until="domcontentloaded")

    frame = await growing(plain)
    await until(lambda: contains(frame, early.strip()[:20]))
    await until(lambda: contains(frame, "Show it in the chat"))
    await frame.click("text=Show it in the chat")
    await expect(plain.page.locator(CONTENT)).to_have_text("Slowly, word by word. " * 20)


async def test_stop_is_a_button_of_a_form(plain: BrowserUser) -> None:
    await send(plain, scripted("On and on. " * 200, 20))
    frame = await growing(plain)
    await until(lambda: contains(frame, "On and on"))

    await press(plain, plain.page.locator(ANSWER).get_by_role("button", name="Stop"))

    assert (await plain.stored())["status"] == "stopped"
    await plain.page.reload()
    await expect(plain.page.locator(f"{ANSWER} .outcome")).to_have_text("Stopped.")
    await expect(plain.page.locator(CONTENT)).to_contain_text("On and on.")


async def test_an_empty_message_is_refused_and_a_long_one_kept(plain: BrowserUser) -> None:
    plain.expected = FAILED
    await send(plain, "  \n ")
    await expect(plain.page.locator("#notice")).to_have_text("Please write a message first.")
    assert await plain.page.input_value("#content") == "  \n "

    draft = "too long " * 3_600
    await send(plain, draft)
    await expect(plain.page.locator("#notice")).to_contain_text("characters")
    assert await plain.page.input_value("#content") == draft
    await expect(plain.page.locator("article")).to_have_count(0)

    await send(plain, "short")
    await expect(plain.page.locator("article")).to_have_count(3)
    await plain.stored()


async def test_hostile_output_is_as_harmless_in_the_frame(plain: BrowserUser) -> None:
    before = len(plain.requested_urls)
    await send(plain, scripted(HOSTILE, 1))
    frame = await growing(plain)
    await until(lambda: contains(frame, "Show it in the chat"))

    elements = await frame.locator(".content").evaluate(ELEMENTS)
    assert len(elements) > 20
    assert not_allowed(elements) == []
    assert [url for url in plain.requested_urls[before:] if "pwned" in url or "evil" in url] == []


async def test_a_narrow_screen_is_wide_enough(new_user: Callable[..., Any]) -> None:
    plain = await new_user(java_script_enabled=False, viewport={"width": 360, "height": 740})
    await plain.begin()
    await send(plain, scripted(SAMPLE, 1))
    frame = await growing(plain)
    await until(lambda: contains(frame, "Show it in the chat"))

    for place in (plain.page.main_frame, frame):
        assert await place.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


async def test_everything_works_without_scripts(open_page: Callable[..., Any]) -> None:
    page = await open_page(java_script_enabled=False)

    async def say(text: str) -> None:
        await page.fill("#content", text)
        await page.click("#composer .primary")

    await say(script("First answer."))
    frame = page.frame_locator("iframe")
    if await page.locator("iframe").count():
        await frame.get_by_role("link", name="Show it in the chat").click()
    await page.reload()
    assert "First answer." in await page.inner_text("article.assistant:last-child .content")
    assert not await page.locator("button.copy").first.is_visible()
    assert not await page.locator("#ask-help").is_visible()

    await page.get_by_role("button", name="Regenerate").click()
    await stored_answer(page)
    await page.reload()
    assert "2/2" in re.sub(r"\s|Version|of", "", await page.inner_text(".versions"))
    await page.get_by_role("button", name="Previous version").click()
    assert "1/2" in re.sub(r"\s|Version|of", "", await page.inner_text(".versions"))

    await page.locator(".assistant").last.get_by_role("link", name="Edit").click()
    await page.fill("#edited", " ")
    await page.get_by_role("button", name="Save", exact=True).click()
    assert await page.inner_text("#notice") == "Please write a message first."
    await page.fill("#edited", "By *hand*")
    await page.get_by_role("button", name="Save", exact=True).click()
    assert await page.inner_text("article.assistant:last-child .content em") == "hand"
    await page.locator(".assistant").last.locator(".facts.more").click()
    assert "by you" in await page.inner_text("dl.sheet:popover-open")
    await page.locator(".assistant").last.get_by_title("Delete").click()
    await page.get_by_role("button", name="Delete this version").click()
    assert "2/2" in re.sub(r"\s|Version|of", "", await page.inner_text(".versions"))

    await page.locator(".user").get_by_role("link", name="Edit").click()
    await page.fill("#edited", "Changed")
    await page.get_by_role("button", name="Save and send").click()
    assert await page.inner_text(".user .content") == "Changed"
    await stored_answer(page)
    await page.reload()
    await page.locator(".assistant").last.get_by_title("Delete").click()
    await page.get_by_role("button", name="Delete answer").click()
    await page.get_by_role("button", name="Answer again").click()
    await stored_answer(page)
    await page.reload()
    assert "About Changed" in await page.inner_text("article.assistant:last-child .content")
    await page.locator(".user .more").click()
    await page.get_by_role("button", name="Delete message and answers").click()
    assert await page.locator(".user .content").count() == 0 or await page.inner_text(".user .content") != "Changed"

    await page.get_by_role("link", name="Settings").click()
    await page.click(".panel summary")
    await page.fill("#temperature", "0.3")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_role("link", name="Settings").click()
    assert await page.input_value("#temperature") == "0.3"
    await page.get_by_role("link", name="Cancel").click()

    await page.locator("#chats [aria-current] ~ .more").click()
    await page.fill("#chats input[name=title]", "By hand")
    await page.get_by_role("button", name="Rename", exact=True).click()
    assert await page.inner_text("#title") == "By hand"
    await page.locator("#chats [aria-current] ~ .more").click()
    await page.get_by_role("button", name="Delete chat").click()
    await page.get_by_role("button", name="Undo").click()
    assert await page.inner_text("#title") == "By hand"
    await page.set_viewport_size(PHONE)
    await page.click(".menu")
    assert await page.locator("#chats").is_visible()


async def test_presets_are_saved_applied_and_deleted_without_scripts(plain: BrowserUser) -> None:
    page = plain.page
    await page.get_by_role("link", name="Settings", exact=True).click()
    await page.fill("#system_prompt", "Rhyme.")
    await page.fill("#preset_name", "Poet")
    await page.get_by_role("button", name="Save as preset").click()
    await expect(page.locator("#system_prompt")).to_have_value("Rhyme.")
    await page.get_by_role("link", name="Back to the chat").click()
    await page.get_by_role("link", name="Settings", exact=True).click()
    await expect(page.locator("#system_prompt")).not_to_have_value("Rhyme.")

    await page.get_by_role("link", name="Poet").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_role("link", name="Settings", exact=True).click()
    await expect(page.locator("#system_prompt")).to_have_value("Rhyme.")

    await page.fill("#preset_name", "Clerk")
    await page.press("#preset_name", "Enter")
    await page.get_by_role("link", name="Settings", exact=True).click()
    await page.get_by_role("button", name="Delete preset Poet").click()
    await expect(page.locator(".presets a")).to_have_text(["Clerk"])


async def contains(frame: Frame, text: str) -> bool:
    return text in await visible(frame)
