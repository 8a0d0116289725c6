"""Hostile output of a model has no effect in a browser."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.browser_user import CONTENT, BrowserUser
from tests.browser.documents import HOSTILE
from tests.browser.elements import ELEMENTS, WATCH, not_allowed

pytestmark = pytest.mark.browser

WORDS = [
    "<script>",
    "onerror=",
    "over everything",
    "hx-partial",
    "a picture",
    "mine",
    "window.pwned = 1",
    "all of it",
    "<iframe",
    "</article>",
]


async def test_hostile_output_creates_no_requests_and_no_elements(ada: BrowserUser) -> None:
    await ada.page.evaluate(WATCH)
    before = len(ada.requested_urls)

    await ada.say(text=HOSTILE, delay_ms=3)
    await ada.ended()

    own = re.compile(
        "/static/|/offline$|/sw.js$|/chats/[0-9a-f-]{36}/list(\\?seen=1)?$"
    )  # requested by the page itself
    requested = [
        path for path in (url.removeprefix(ada.origin) for url in ada.requested_urls[before:]) if not own.match(path)
    ]
    assert [re.sub("[0-9a-f-]{36}", "ID", url) for url in requested] == [
        "/chats/ID/messages",
        "/chats/ID/messages/ID/stream?after=0.0",
        "/chats/ID/events",
    ]
    came = await ada.page.evaluate("came")
    assert len(came) > 100, "it was looked at while it grew"
    assert not_allowed(came) == []
    await expect_harmless(ada)
    await ada.page.reload()
    await expect_harmless(ada)


async def test_hostile_output_keeps_all_its_words(ada: BrowserUser) -> None:
    await ada.say(text=HOSTILE, delay_ms=1)
    await ada.ended()

    shown = await ada.text()
    assert [word for word in WORDS if word not in shown] == []


async def test_a_link_in_an_answer_sends_no_referrer(ada: BrowserUser) -> None:
    await ada.say(text="[a link](https://good.test/)")
    await ada.ended()

    link = ada.page.locator(f"{CONTENT} a")
    await expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    await expect(link).to_have_attribute("target", "_blank")


async def test_user_text_is_shown_as_typed(ada: BrowserUser) -> None:
    typed = (
        "<img src=/pwned onerror=window.pwned=1> **not bold** {{ 7 * 7 }}\n  <b>indented</b> &amp; [x](javascript:1)"
    )
    await ada.page.evaluate(WATCH)
    await ada.say(typed)
    await ada.ended()

    mine = ada.page.locator("article.user .content")
    assert await mine.evaluate("element => element.textContent") == typed
    assert await mine.evaluate("element => element.children.length") == 0
    assert await ada.page.title() != ""
    await ada.page.goto("/?offset=0")
    assert (
        await ada.page.locator(".chats a *").evaluate_all("all => new Set(all.map((each) => each.localName)).size") == 2
    )


async def expect_harmless(visitor: BrowserUser) -> None:
    elements = await visitor.page.locator(CONTENT).evaluate(ELEMENTS)
    assert len(elements) > 20
    assert not_allowed(elements) == []
    assert await visitor.page.evaluate("window.pwned") is None
    await expect(visitor.page.locator("#composer")).to_have_count(1)
    await expect(visitor.page.locator("#composer")).to_be_visible()
    await expect(visitor.page.locator("script")).to_have_count(1)
