"""The search next to a chat, the dialog that Ctrl+K opens, the page of results, and links to messages."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Error, Locator, Page, Route, expect

from tests.browser.page import PHONE, ask, last, script, send
from tests.stack import until

pytestmark = pytest.mark.browser

FIELD, OPTIONS = "#search", "#found [role=option]"
COMMAND, CHOICES = "#command", "#choices [role=option]"
CHOSEN = (
    "() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.textContent.trim()"
)


async def new_chat(page: Page, question: str) -> None:
    await page.click("#new-chat")
    await expect(page.locator("article.user")).to_have_count(0)
    await ask(page, question)


async def two_chats(page: Page) -> tuple[str, str]:
    """The addresses of a chat about granite and of a later one about sourdough, which the page shows."""
    await ask(page, "Is granite hard?")
    first = page.url
    await new_chat(page, "Is sourdough bread?")
    return first, page.url


async def hide_branch(page: Page) -> None:
    """Asks about granite, and replaces the question by one about slate."""
    await ask(page, "Is granite hard?")
    await ask(page, "Why is that so?")
    await page.locator(".user").first.hover()
    await page.locator(".user").first.get_by_role("link", name="Edit").click()
    await page.fill("#edited", "Is slate hard?")
    await page.get_by_role("button", name="Save and send").click()
    await expect(page.locator(".user .content")).to_have_text(["Is slate hard?"])
    await expect(page.locator(".live")).to_have_count(0)


def hit(page: Page, text: str) -> Locator:
    return page.locator("#found a[href*=message]", has_text=text).first


async def chosen(page: Page) -> str | None:
    """What screen readers call the current option of the focused field."""
    found: str | None = await page.evaluate(CHOSEN)
    return found


async def open_dialog(page: Page) -> None:
    """Waits for the script, which is loaded with the first use."""
    await page.keyboard.press("Control+k")
    await expect(page.locator(CHOICES).first).to_be_visible()


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


# The dialog


async def test_the_dialog_offers_the_actions_of_the_page(page: Page) -> None:
    await page.locator("#content").focus()
    await open_dialog(page)

    await expect(page.locator(COMMAND)).to_be_focused()
    assert await page.locator(CHOICES).all_text_contents() == [
        "New chat",
        "Temporary chat",
        "Settings of this chat",
        "Appearance",
        "Export this chat",
        "Devices and sign-out",
        "Help and keyboard shortcuts",
    ]
    assert await chosen(page) == "New chat"
    await page.keyboard.press("ArrowUp")
    assert await chosen(page) == "Help and keyboard shortcuts"
    await page.keyboard.press("Enter")
    await expect(page.locator("#help")).to_be_visible()
    await expect(page.locator("#palette")).not_to_be_visible()
    await page.keyboard.press("Control+k")
    await expect(page.locator("#palette")).not_to_be_visible()  # one dialog at a time
    await page.keyboard.press("Escape")

    await page.keyboard.press("Control+k")
    await page.keyboard.type("APPEAR")
    await expect(page.locator(CHOICES)).to_have_text(["Appearance", "Nothing found"])
    await page.keyboard.press("Enter")
    await expect(page.locator("#panel[open] h1")).to_have_text("Appearance")


@pytest.mark.parametrize("close", ["Escape", "Control+k", "backdrop"])
async def test_the_dialog_closes_and_gives_the_focus_back(page: Page, close: str) -> None:
    await page.locator("#content").focus()
    await open_dialog(page)
    await page.keyboard.type("granite")

    if close == "backdrop":
        await page.mouse.click(5, 700)
    else:
        await page.keyboard.press(close)

    await expect(page.locator("#palette")).not_to_be_visible()
    await expect(page.locator("#content")).to_be_focused()
    await page.keyboard.press("Control+k")
    await expect(page.locator(COMMAND)).to_have_value("")


async def test_what_is_typed_before_the_script_is_loaded_is_found(page: Page) -> None:
    await ask(page, "Is granite hard?")
    requested, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        requested.set()
        await go_on.wait()
        await route.continue_()

    await page.context.route("**/static/search.js*", hold)
    await page.reload()
    assert not requested.is_set()
    await page.keyboard.press("Control+k")
    await page.keyboard.type("granite")
    await expect(page.locator("#matches mark").first).to_be_visible()
    await requested.wait()
    go_on.set()

    await expect(page.locator("#palette [role=status]")).to_have_text(re.compile(r"^\d results?$"))
    assert await chosen(page) == "Is granite hard?"
    await page.keyboard.press("Escape")
    await expect(page.locator("#palette")).not_to_be_visible()


async def test_the_dialog_finds_chats_and_messages(page: Page) -> None:
    first, here = await two_chats(page)
    await page.fill(FIELD, "sourdough")
    await expect(page.locator("#found mark").first).to_be_visible()

    await page.keyboard.press("Control+k")
    await expect(page.locator("#found")).to_be_empty()
    await expect(page.get_by_role("group", name="Latest chats").get_by_role("option")).to_have_text(
        ["Is granite hard?"]
    )
    await page.keyboard.type("gran")
    await expect(page.locator("#matches mark").first).to_have_text(re.compile("^gran"))
    await expect(page.get_by_role("group", name="Latest chats").get_by_role("option")).to_have_count(0)
    await expect(page.locator("#palette [role=status]")).to_have_text(re.compile(r"^\d results?$"))
    assert await chosen(page) == "Is granite hard?"
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")

    await page.wait_for_url("**?message=*")
    assert page.url.startswith(first)
    await page.keyboard.press("Control+k")
    await page.get_by_role("group", name="Latest chats").get_by_role("option", name="Is sourdough bread?").click()
    await page.wait_for_url(here)


async def test_the_dialog_stays_usable_while_an_answer_is_written(page: Page) -> None:
    await ask(page, "Is granite hard?")
    await send(page, script("word " * 60, delay_ms=30))
    await expect(page.locator(".live .tail")).to_contain_text("word word")
    await open_dialog(page)
    await page.keyboard.type("granite")
    await expect(page.locator("#matches mark").first).to_be_visible()
    await page.keyboard.press("ArrowDown")
    before = await chosen(page)

    await expect(page.locator(".live")).to_have_count(0)

    await expect(page.locator(COMMAND)).to_be_focused()
    await expect(page.locator(COMMAND)).to_have_value("granite")
    assert await chosen(page) == before
    assert (await last(page).locator(".content").inner_text()).split() == ["word"] * 60


async def test_an_action_of_the_dialog_works_on_a_phone(open_page: Callable[..., Any]) -> None:
    page = await open_page(PHONE)
    await ask(page, "Is granite hard?")
    here = page.url
    await open_dialog(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    await page.keyboard.press("Enter")

    await page.wait_for_url(lambda url: url != here)
    await expect(page.locator("article.user")).to_have_count(0)


# Links to messages


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


# Without JavaScript


async def test_without_javascript_the_search_is_a_page(open_page: Callable[..., Any]) -> None:
    page = await open_page(java_script_enabled=False)
    await page.fill("#content", script("Granite is hard."))
    await page.click("#composer .primary")
    chat = page.url.partition("#")[0]
    await page.wait_for_timeout(300)
    await page.goto(chat)
    await page.get_by_role("button", name="Regenerate").click()
    await page.wait_for_timeout(300)

    await page.goto(chat)
    await page.fill(FIELD, "granite")
    await page.press(FIELD, "Enter")
    await expect(page.get_by_role("search")).to_be_visible()
    await page.fill("[name=q]", "nowhere")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("status")).to_have_text("Nothing found")
    await page.fill("[name=q]", "Granite hard")
    await page.get_by_role("button", name="Search").click()
    assert await page.locator("mark").all_text_contents() != []
    await page.locator("#results ul a", has_text="Answer").last.click()

    assert page.url.startswith(f"{chat}?message=")
    assert await page.locator("article:target .content").inner_text() == "Granite is hard."
    await page.fill("#content", script("Indeed."))
    await page.click("#composer .primary")
    await page.wait_for_timeout(300)
    await page.goto(chat)
    assert await page.locator(".user").count() == 2
    await page.get_by_role("link", name="Runnel").click()
    await page.get_by_role("searchbox").fill("granite")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Back").click()
    await expect(page.locator("#username")).to_be_visible()
