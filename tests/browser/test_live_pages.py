"""A page that is only looked at shows what happens to the chat and the list of chats on another device."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.browser_user import BrowserUser
from tests.browser.page import ask, becomes, last, new_chat, script
from tests.browser.test_devices import link
from tests.stack import until

pytestmark = pytest.mark.browser


@pytest.fixture
async def phone(ada: BrowserUser, new_user: Callable[..., Any]) -> BrowserUser:
    """Another device with the same chat open."""
    chat = ada.page.url
    phone: BrowserUser = await new_user()
    await phone.page.goto(await link(ada.page))
    await phone.page.get_by_role("button", name="Open my chats here").click()
    for user in (ada, phone):
        await user.page.goto(chat)
    return phone


def row(page: Page, title: str) -> Locator:
    return page.locator("#chats li", has=page.get_by_text(title, exact=True))


async def open_menu(page: Page, title: str) -> None:
    await row(page, title).hover()
    await row(page, title).locator(".more").click()


async def rename(page: Page, title: str, new: str) -> None:
    await open_menu(page, title)
    await page.fill("#chat-menu input", new)
    await page.get_by_role("button", name="Rename", exact=True).click()


async def test_turns_and_actions_of_another_device_appear(ada: BrowserUser, phone: BrowserUser) -> None:
    there = phone.page
    await ada.say(text="one two " * 200, delay_ms=50)
    await expect(there.locator("article.user")).to_have_count(1)
    await expect(there.locator("article.live .content")).to_contain_text("one two")

    await ada.page.get_by_role("button", name="Stop").click()
    await expect(last(there)).to_contain_text("Stopped.")

    await ada.page.get_by_role("button", name="Continue").click()
    await expect(there.locator("article.live")).to_have_count(1)
    await ada.page.get_by_role("button", name="Stop").click()
    await expect(there.locator("article.live")).to_have_count(0)

    await ada.page.get_by_role("button", name="Regenerate").click()
    await expect(there.locator("article.live")).to_have_count(1)
    await ada.page.get_by_role("button", name="Stop").click()
    await expect(last(there).locator(".versions")).to_contain_text("Version 2")
    await ada.page.get_by_role("button", name="Previous version").click()
    await expect(last(there).locator(".versions")).to_contain_text("Version 1")
    await ada.page.get_by_role("button", name="Next version").click()
    await expect(last(there).locator(".versions")).to_contain_text("Version 2")

    await last(ada.page).get_by_title("Edit").click()
    await ada.page.fill("#edited", "An edited answer")
    await ada.page.get_by_role("button", name="Save", exact=True).click()
    await expect(last(there).locator(".content")).to_have_text("An edited answer")
    await expect(last(there).locator(".versions")).to_contain_text("Version 3")
    await last(ada.page).get_by_title("Delete").click()
    await ada.page.get_by_role("button", name="Delete this version").click()
    await expect(last(there).locator(".versions")).to_contain_text("Version 2/ of 2")

    await ada.page.locator("article.user").get_by_title("Edit").click()
    await ada.page.fill("#edited", "Another question")
    await ada.page.get_by_role("button", name="Save and send").click()
    await expect(there.locator("article.user .content")).to_have_text("Another question")
    await expect(last(there)).to_contain_text("About Another question")

    await phone.say("From the phone")
    await expect(ada.page.locator("article.user .content").last).to_have_text("From the phone")
    await expect(ada.page.locator("article.live")).to_have_count(0)

    await last(ada.page).get_by_title("Delete").click()
    await ada.page.get_by_role("button", name="Delete answer", exact=True).click()
    await expect(there.get_by_role("button", name="Answer again")).to_be_visible()
    await phone.page.get_by_role("button", name="Answer again").click()
    for user in (ada, phone):
        await expect(last(user.page)).to_contain_text("About From the phone")
        await expect(user.page.locator("article.live")).to_have_count(0)

    await ada.page.locator("article.user").last.get_by_title("Delete").click()
    await ada.page.get_by_role("button", name="Delete message and answers").click()
    await expect(there.locator("article.user")).to_have_count(1)
    assert await there.locator("#messages article").evaluate_all(
        "all => all.map(({ id }) => id)"
    ) == await ada.page.locator("#messages article").evaluate_all("all => all.map(({ id }) => id)")


async def test_changes_of_the_list_appear(ada: BrowserUser, phone: BrowserUser) -> None:
    there = phone.page
    ada.expected = re.compile("404")  # the page of a deleted chat may hear of it before it is left
    await ada.say("First chat")
    await expect(row(there, "First chat")).to_have_count(1)
    await rename(ada.page, "First chat", "Renamed")
    await expect(row(there, "Renamed")).to_have_count(1)
    await expect(there.locator("#title")).to_have_text("Renamed")
    await expect(there).to_have_title(re.compile("Renamed"))

    await ada.page.click("#new-chat")
    await expect(row(there, "New chat")).to_have_count(1)
    await ada.say(text="word " * 20, hang_after=5)
    await expect(there.locator("#chats li .running")).to_have_count(1)
    await ada.page.get_by_role("button", name="Stop").click()
    await expect(there.locator("#chats li .running")).to_have_count(0)
    await expect(ada.page.locator("#title")).not_to_have_text("New chat")
    await rename(ada.page, str(await ada.page.locator("#title").text_content()), "Second chat")
    await expect(row(there, "Second chat")).to_have_count(1)

    await open_menu(ada.page, "Second chat")
    await ada.page.get_by_role("button", name="Delete chat").click()
    await expect(row(there, "Second chat")).to_have_count(0)
    await ada.page.get_by_role("button", name="Undo").click()
    await expect(row(there, "Second chat")).to_have_count(1)


async def test_changes_of_the_list_do_not_scroll_the_messages(ada: BrowserUser, phone: BrowserUser) -> None:
    page = ada.page
    await ask(page, script("A paragraph.\n\n" * 40))
    await page.mouse.move(700, 400)
    await page.mouse.wheel(0, -20)
    await becomes(page, "document.scrollingElement.scrollHeight - scrollY - innerHeight === 20")

    await new_chat(phone.page, "A question elsewhere")
    await expect(row(page, "A question elsewhere")).to_be_visible()
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    assert await page.evaluate("document.scrollingElement.scrollHeight - scrollY - innerHeight") == 20
    await expect(page.locator("#newest")).to_be_hidden()


async def test_a_chat_deleted_elsewhere_says_so(ada: BrowserUser, phone: BrowserUser) -> None:
    ada.expected = phone.expected = re.compile("404")  # the deleting page may hear of it before it is left
    await ada.say("First chat")
    await expect(phone.page.locator("article.user")).to_have_count(1)

    await open_menu(ada.page, "First chat")
    await ada.page.get_by_role("button", name="Delete chat").click()

    await expect(phone.page.locator("#notice")).to_contain_text("does not exist")


async def test_a_page_that_was_away_catches_up(ada: BrowserUser, phone: BrowserUser) -> None:
    phone.expected = re.compile("ERR_INTERNET_DISCONNECTED|hx-sse|fetch|network", re.IGNORECASE)
    await phone.context.set_offline(True)

    await ada.say("While the phone was away")
    await ada.ended()
    await phone.context.set_offline(False)

    await expect(phone.page.locator("article.user .content")).to_have_text("While the phone was away")
    await expect(row(phone.page, "While the phone was away")).to_have_count(1)


async def test_what_is_being_written_stays(ada: BrowserUser, phone: BrowserUser) -> None:
    await phone.say("First question")
    await phone.ended()
    await phone.page.fill("#content", "A draft")
    await phone.page.locator("article.user").get_by_title("Edit").click()
    await phone.page.fill("#edited", "A better question")

    await expect(ada.page.locator("article.user")).to_have_count(1)
    await ada.say("Second question")
    await expect(row(phone.page, "First question").locator(".running")).to_have_count(0)
    await expect(phone.page.locator("#edited")).to_have_value("A better question")
    await phone.page.keyboard.press("Escape")

    await expect(phone.page.locator("article.user")).to_have_count(2)
    await expect(phone.page.locator("#content")).to_have_value("A draft")


async def test_a_change_that_is_being_loaded_does_not_close_an_editor_or_a_menu(
    ada: BrowserUser, phone: BrowserUser
) -> None:
    page = phone.page
    await phone.say("First question")
    await phone.ended()
    await expect(ada.page.locator("article.user")).to_have_count(1)
    loading, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        loading.set()
        await go_on.wait()
        await route.continue_()

    for open_it, opened in (("Edit", page.locator("#edited")), ("Delete", page.locator("#messages :popover-open"))):
        loading.clear()
        go_on.clear()
        count = await ada.page.locator("article.user").count()
        await page.route("**/chats/*?last=*", hold)
        await ada.say("Another question")
        await asyncio.wait_for(loading.wait(), 10)
        await page.locator("article.user").first.get_by_title(open_it).click()
        await expect(opened).to_be_visible()
        async with page.expect_response("**/chats/*?last=*"):
            go_on.set()
        await page.wait_for_timeout(300)

        await expect(opened).to_be_visible()
        await page.unroute("**/chats/*?last=*")
        await page.keyboard.press("Escape")
        await expect(page.locator("article.user")).to_have_count(count + 1)


async def test_an_answer_that_grows_is_not_disturbed(ada: BrowserUser, phone: BrowserUser) -> None:
    await phone.say(text="word " * 40, delay_ms=50)
    await phone.begun(3)

    await expect(ada.page.locator("#title")).not_to_have_text("New chat")
    await rename(ada.page, str(await ada.page.locator("#title").text_content()), "Renamed")

    await expect(phone.page.locator("#title")).to_have_text("Renamed")
    await phone.ended()
    assert (await phone.text()).split() == ["word"] * 40


async def test_a_page_has_one_stream(ada: BrowserUser) -> None:
    """Those of its answers and that of its chat take turns."""
    await expect(ada.page.locator("article.live")).to_have_count(0)
    script = """() => ["#listener", ".message.live"].map((name) =>
        Boolean(document.querySelector(name)?._htmx?.sse))"""
    await ada.page.wait_for_function(f"() => String(({script})()) === 'true,false'")
    await ada.say(text="word " * 20, hang_after=5)
    await ada.page.wait_for_function(f"() => String(({script})()) === 'false,true'")
    await ada.page.get_by_role("button", name="Stop").click()
    await ada.page.wait_for_function(f"() => String(({script})()) === 'true,false'")


async def test_a_late_stream_of_the_list_is_closed_while_there_is_another(ada: BrowserUser) -> None:
    """Its request was on its way when an answer began, and there may be a second request when the answer has ended."""
    page, streams = (
        ada.page,
        """() => ["#listener", ".message"].map((name) =>
        Boolean([...document.querySelectorAll(name)].at(-1)?._htmx?.sse?.reader))""",
    )
    await page.goto("/")
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await page.route("**/events", hold)
    await page.click("#new-chat")
    await until(lambda: bool(held))
    await ada.say(text="word " * 20, hang_after=5)
    await becomes(page, f"String(({streams})()) === 'false,true'")
    await held.pop().continue_()
    await expect(page.locator(".live")).to_have_count(1)
    await page.wait_for_timeout(500)
    assert await page.evaluate(streams) == [False, True]

    await page.unroute("**/events")
    await page.get_by_role("button", name="Stop").click()
    await becomes(page, f"String(({streams})()) === 'true,false'")


async def test_a_stream_opens_even_if_another_one_closes_while_its_answer_is_inserted(ada: BrowserUser) -> None:
    """The other one asks for the next stream before htmx has processed the new answer."""
    await ada.say("Why?")
    await ada.ended()
    await ada.page.evaluate("""() => document.addEventListener("htmx:before:settle", () => {
        const closed = new CustomEvent("htmx:sse:close", { bubbles: true, detail: {} });
        document.getElementById("listener").dispatchEvent(closed);
    })""")

    await ada.page.get_by_role("button", name="Regenerate").click()

    await expect(last(ada.page).locator(".versions")).to_contain_text("Version 2")


async def test_the_page_of_a_deleted_chat_sends_no_more_requests(ada: BrowserUser, phone: BrowserUser) -> None:
    ada.expected = phone.expected = re.compile("404")
    await ada.page.request.post(f"{ada.page.url}/delete", headers={"Origin": ada.origin})
    await expect(phone.page.locator("#notice")).to_contain_text("does not exist")
    await ada.page.goto("/devices")
    (other,) = await ada.page.locator(".devices li").filter(has_not_text="this device").get_by_role("button").all()
    await other.click()  # ends the stream, so the page would open it again
    await phone.page.wait_for_timeout(3000)

    before = len(phone.requested_urls)
    await phone.page.wait_for_timeout(5000)

    assert phone.requested_urls[before:] == []


async def test_the_page_of_an_answer_that_was_deleted_meanwhile_says_so(ada: BrowserUser, phone: BrowserUser) -> None:
    ada.expected = phone.expected = re.compile("404|ERR_INTERNET_DISCONNECTED|Failed to fetch")
    await phone.say(text="word " * 20, hang_after=5)
    await phone.begun(3)
    await phone.page.context.set_offline(True)
    await ada.page.request.post(f"{ada.page.url}/delete", headers={"Origin": ada.origin})
    await phone.page.context.set_offline(False)

    await expect(phone.page.locator("#notice")).to_contain_text("does not exist")
    await expect(phone.page.locator("article.live")).to_have_count(0)
    await phone.page.wait_for_timeout(3000)
    before = len(phone.requested_urls)
    await phone.page.wait_for_timeout(5000)
    assert phone.requested_urls[before:] == []
