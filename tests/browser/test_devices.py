"""One session in two browsers."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.browser.browser_user import ANSWER, BrowserUser

pytestmark = pytest.mark.browser

SIGNED_OUT_MILLISECONDS = 2000
LONG_ENOUGH_TO_COME_BACK = 5000  # milliseconds; a lost stream is opened again after half a second


async def link(page: Page) -> str:
    """The link that the devices page shows after its button is pressed."""
    await page.goto("/")
    await page.get_by_role("button", name="Menu of Ada", exact=True).click()
    await page.get_by_role("link", name="Devices and sign-out").click()
    await page.get_by_role("button", name="Add a device").click()
    return str(await page.locator(".address a").get_attribute("href"))


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_link_brings_the_chats_to_another_browser(new_user: Callable[..., Any], javascript: bool) -> None:
    ada: BrowserUser = await new_user(java_script_enabled=javascript)
    phone: BrowserUser = await new_user(java_script_enabled=javascript)
    await ada.begin()
    chat = ada.page.url

    await phone.page.goto(await link(ada.page))
    await phone.page.get_by_role("button", name="Open my chats here").click()
    await phone.page.wait_for_url("**/")
    await phone.page.goto(chat)

    await expect(phone.page.locator("article")).to_have_count(1)
    await ada.page.goto("/devices")
    await expect(ada.page.locator(".devices li")).to_have_count(2)


async def test_a_signed_out_device_shows_it_and_sends_no_more_requests(
    ada: BrowserUser, new_user: Callable[..., Any]
) -> None:
    phone: BrowserUser = await new_user()
    phone.expected = re.compile("404")
    await phone.page.goto(await link(ada.page))
    await phone.page.get_by_role("button", name="Open my chats here").click()
    await phone.page.locator("ul.chats a").click()
    await phone.page.wait_for_url("**/chats/*")
    await phone.say(text="word " * 50, hang_after=10)
    await phone.begun(5)
    requests_before = len(phone.requested_urls)

    await ada.page.goto("/devices")
    await ada.page.locator(".devices li").filter(has_not_text="this device").get_by_role("button").click()

    await expect(phone.page.locator(ANSWER)).to_contain_text(
        "This device was signed out.", timeout=SIGNED_OUT_MILLISECONDS
    )
    await phone.page.wait_for_timeout(LONG_ENOUGH_TO_COME_BACK)
    assert len([url for url in phone.requested_urls[requests_before:] if "/stream" in url]) <= 2
    assert not await phone.is_live()
    await phone.page.reload()
    await expect(phone.page.locator("#notice")).to_contain_text("belongs to another session")


async def test_the_device_pages_pass_axe(ada: BrowserUser, new_user: Callable[..., Any]) -> None:
    phone: BrowserUser = await new_user(viewport={"width": 360, "height": 740})
    await phone.begin("Grace")
    address = await link(ada.page)
    await phone.page.goto(address)

    for page in (ada.page, phone.page):
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            assert [each["id"] for each in (await Axe().run(page)).response["violations"]] == []
        width = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], "nothing is wider than the window"


async def test_errors_from_nginx_look_like_the_application(new_user: Callable[..., Any]) -> None:
    visitor: BrowserUser = await new_user()
    visitor.expected = re.compile("414")

    await visitor.page.goto("/" + "x" * 62_000)

    await expect(visitor.page.get_by_role("alert")).to_be_visible()
    ours = await visitor.page.evaluate(
        "[getComputedStyle(document.documentElement).backgroundColor, document.styleSheets.length]"
    )
    assert ours == ["rgb(251, 250, 248)", 1]
    assert [each["id"] for each in (await Axe().run(visitor.page)).response["violations"]] == []


async def test_the_only_device_is_signed_out_after_a_second_confirmation(ada: BrowserUser) -> None:
    """Nobody can open its chats afterwards."""
    await ada.page.goto("/devices")
    confirmed = ada.page.get_by_role("button", name="Sign out, and give up the chats")
    await expect(confirmed).to_be_hidden()

    await ada.page.get_by_text("Sign out …").click()
    await expect(ada.page.locator("main")).to_contain_text("nobody can open these chats")
    await confirmed.click()

    await expect(ada.page.get_by_role("button", name="Start chatting")).to_be_visible()
