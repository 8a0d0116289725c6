"""A temporary chat in the browser: what its page says, and what leaving, reloading and keeping it do."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.browser.page import PHONE, ask, script
from tests.stack import Stack, until

pytestmark = pytest.mark.browser

LEFT = "SELECT left_at IS NOT NULL FROM chats WHERE id = $1"
RETURN = re.compile(r"/return\?page=")


@pytest.fixture
async def owner(stack: Stack) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(stack.cluster.owner_url(stack.database))
    yield connection
    await connection.close()


def id_of(url: str) -> UUID:
    return UUID(url.partition("/chats/")[2][:36])


async def start(page: Page) -> str:
    """Starts a temporary chat with the button; returns its URL."""
    before = page.url
    await page.get_by_role("button", name="Temporary chat", exact=True).click()
    await page.wait_for_url(lambda url: "/chats/" in url and url != before)
    await expect(page.locator("#temporary")).to_contain_text("Temporary chat.")
    return page.url


async def is_left(owner: Any, url: str) -> bool:
    return bool(await owner.fetchval(LEFT, id_of(url)))


async def test_the_page_says_that_the_chat_is_temporary(page: Page) -> None:
    await expect(page.locator("#temporary")).to_be_hidden()
    plain = page.url

    await start(page)

    notice = page.locator("#temporary")
    await expect(notice).to_contain_text("It is deleted when you leave this page, or 24 hours after your last message.")
    assert (await notice.inner_text()).count("24 hours") == 1, "the sentence for browsers without scripts is not shown"
    box, messages = await notice.bounding_box(), await page.locator("#messages").bounding_box()
    assert box
    assert messages
    assert box["y"] + box["height"] <= messages["y"]
    links = [await link.get_attribute("href") for link in await page.locator("#list .chats a").all()]
    assert links == [f"/chats/{id_of(plain)}"]


async def test_another_chat_leaves_a_temporary_one(page: Page, owner: Any) -> None:
    temporary = await start(page)
    await ask(page)
    assert not await is_left(owner, temporary)

    await page.locator("#list .chats a").first.click()
    await page.wait_for_url(lambda url: id_of(url) != id_of(temporary))

    await until(lambda: is_left(owner, temporary))


async def test_the_message_of_the_next_chat_names_the_page_that_was_left(page: Page, owner: Any) -> None:
    plain = page.url
    temporary = await start(page)
    await page.evaluate("Navigator.prototype.sendBeacon = () => true")  # a browser may lose it
    async with page.expect_request(RETURN) as returned:  # when the page has been open for a second
        pass
    number = (await returned.value).url.partition("page=")[2]

    await page.goto(plain)
    await until(lambda: is_left(owner, temporary))

    assert number == str(await owner.fetchval("SELECT left_by FROM chats WHERE id = $1", id_of(temporary)))


async def test_closing_the_tab_leaves_it(page: Page, owner: Any) -> None:
    tab = await page.context.new_page()
    await tab.goto(page.url)
    temporary = await start(tab)
    await tab.close(run_before_unload=True)

    await until(lambda: is_left(owner, temporary))


async def test_a_reload_does_not_leave_it(page: Page, owner: Any) -> None:
    temporary = await start(page)
    await ask(page, script("Because."))

    async with page.expect_response(RETURN):
        await page.reload()

    async def is_open() -> bool:  # the browser may deliver the message of the page before this one late, or lose it
        return not await is_left(owner, temporary)

    await until(is_open)
    await expect(page.locator(".assistant").last).to_contain_text("Because.")


async def test_a_visible_page_of_the_chat_reports_that_it_is_open(page: Page, owner: Any) -> None:
    """As if another window of the chat had been closed."""
    temporary = await start(page)
    async with page.expect_response(RETURN):
        pass  # of the page itself

    async with page.expect_response(RETURN):
        response = await page.request.post(f"{temporary}/leave", headers={"Sec-Fetch-Site": "same-origin"})
        assert response.status == 204

    async def is_back() -> bool:
        return not await is_left(owner, temporary)

    await until(is_back)


async def test_keep_makes_it_an_ordinary_chat(page: Page, owner: Any) -> None:
    temporary = await start(page)
    await ask(page, script("Because."))

    await page.get_by_role("button", name="Keep this chat").click()

    await expect(page.locator("#temporary")).to_be_hidden()
    await expect(page.locator("#list [aria-current=page]")).to_have_count(1)
    await page.locator("#new-chat").click()
    await page.wait_for_url(lambda url: id_of(url) != id_of(temporary))
    assert not await is_left(owner, temporary)


async def test_other_windows_learn_that_it_is_kept(page: Page) -> None:
    temporary = await start(page)
    async with page.expect_response(RETURN):
        pass

    response = await page.request.post(f"{temporary}/keep", headers={"Sec-Fetch-Site": "same-origin"}, max_redirects=0)

    assert response.status == 303
    await expect(page.locator("#temporary")).to_be_hidden()
    await expect(page.locator("#list [aria-current=page]")).to_have_count(1)


async def test_delete_now_deletes_it(page: Page) -> None:
    temporary = await start(page)
    await ask(page)

    await page.get_by_role("button", name="Delete now").click()

    await expect(page.get_by_text("Chat deleted.")).to_be_visible()
    gone = await page.goto(temporary)
    assert gone
    assert gone.status == 404


async def test_it_works_without_javascript(open_page: Callable[..., Any], owner: Any) -> None:
    page = await open_page(java_script_enabled=False)

    temporary = await start(page)

    notice = page.locator("#temporary")
    # Locators skip the text of <noscript>
    assert "It is deleted 24 hours after your last message." in await notice.inner_text()
    await expect(notice.get_by_text("when you leave this page")).to_be_hidden()
    await page.get_by_role("button", name="New chat", exact=True).click()
    await page.wait_for_url(lambda url: id_of(url) != id_of(temporary))
    assert await is_left(owner, temporary)
    await page.goto(temporary)
    await page.get_by_role("button", name="Keep this chat").click()
    await expect(page.locator("#temporary")).to_be_hidden()


@pytest.mark.parametrize("viewport", [None, PHONE])
async def test_the_notice_passes_axe_and_fits(open_page: Callable[..., Any], viewport: Any) -> None:
    page = await open_page(**({"viewport": viewport} if viewport else {}), reduced_motion="reduce")
    if viewport:
        await page.get_by_role("button", name="Chats", exact=True).click()
    await start(page)

    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        result = await Axe().run(page)
        assert [(each["id"], each["nodes"][0]["html"]) for each in result.response["violations"]] == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
