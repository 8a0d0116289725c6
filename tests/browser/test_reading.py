"""Reading and writing as people do it: in a real browser, with a mouse, with keys alone, on a phone, without scripts."""

import gzip
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.stack import House, until

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
DESKTOP, PHONE = {"width": 1200, "height": 800}, {"width": 360, "height": 740}
EXPECTED_ERRORS = re.compile(r"status of (404|409|413|422)|ERR_INTERNET_DISCONNECTED")
PARAGRAPHS = "\n\n".join(f"Paragraph {number} is here. It has a second sentence." for number in range(40))
CODE = "for i in range(3):\n    print(i)  # a line that is much too long for the column it stands in, so that it has to be scrolled\n"
ANSWER = f"Look at *this*:\n\n```python\n{CODE}```\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\nDone."
expect.set_options(timeout=20_000)  # far more than it takes
KEPT = """
async () => {
  const caught = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
  return (await Promise.all(caught.map((cache) => cache.keys()))).flat().map(({url}) => url);
}
"""
KILOBYTE_BUDGET, REQUEST_BUDGET = 30, 12
TARGETS = """
() => [...document.querySelectorAll("a, button, summary, input:not([type=hidden]), textarea, select")]
  .filter((element) => element.checkVisibility() && !element.closest("p, .content, .visually-hidden"))
  .map((element) => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.width < 24 || box.height < 24) && box.bottom > 0)
  .map(([html]) => html)
"""


def script(text: str, **more: Any) -> str:
    return json.dumps({"text": text} | more)


@pytest.fixture(scope="session")
async def origin(house: House) -> str:
    return (await house.web()).url


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        if CHROMIUM:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        else:
            try:
                browser = await playwright.chromium.launch(args=ARGUMENTS)
            except Exception:
                pytest.skip("NO BROWSER: install Chromium to run the browser tests")
        yield browser
        await browser.close()


@pytest.fixture
async def opened(browser: Browser, origin: str) -> AsyncIterator[Callable[..., Any]]:
    """Opens a page of a new visitor, in a new chat. Nothing may be said on its console that a test does not expect."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    async def opened(viewport: Any = DESKTOP, chat: bool = True, **options: Any) -> Page:
        context = await browser.new_context(base_url=origin, viewport=viewport, **options)
        contexts.append(context)
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = await context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.goto("/")
        if chat:
            await page.fill("#username", "Ada")
            await page.click("button.primary")
            await page.wait_for_url("**/chats/*")
        return page

    yield opened
    for context in contexts:
        await context.close()
    assert [text for text in said if not EXPECTED_ERRORS.search(text)] == []


@pytest.fixture
async def page(opened: Callable[..., Any]) -> Page:
    found: Page = await opened()
    return found


async def send(page: Page, content: str) -> None:
    await page.fill("#content", content)
    await page.click("#composer .primary")


async def ask(page: Page, content: str = "Why?") -> None:
    """Sends a message, and waits until its answer has ended."""
    count = await page.locator("article").count()
    await send(page, content)
    await expect(page.locator("article")).to_have_count(count + 2)
    await expect(page.locator("article.live")).to_have_count(0)
    await expect(page.locator("article.assistant").last.locator("footer.actions")).to_be_attached()


def last(page: Page) -> Any:
    return page.locator("article").last


async def becomes(page: Page, expression: str) -> None:
    """Waits for it; not with wait_for_function, which evaluates text within the page, and that is forbidden there."""
    await until(lambda: page.evaluate(expression), lambda: f"{expression} never came true")


async def content(page: Page) -> str:
    return str(await last(page).locator(".content").evaluate("(element) => element.innerHTML"))


@asynccontextmanager
async def same_document(page: Page) -> AsyncIterator[None]:
    """Nothing within may load the page anew."""
    await page.evaluate("window.mark = 1")
    yield
    assert await page.evaluate("window.mark") == 1


# Writing


async def test_enter_sends_and_shift_enter_breaks_the_line(page: Page) -> None:
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")

    await expect(page.locator(".user .content")).to_have_text("one\ntwo")
    await expect(page.locator("#content")).to_have_value("")
    await expect(page.locator("#content")).to_be_focused()


async def test_enter_that_ends_a_composition_does_not_send(page: Page) -> None:
    await page.fill("#content", "にほん")

    for how in ("{isComposing: true}", "{keyCode: 229}"):
        await page.evaluate(
            f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: 'Enter', bubbles: true, ...{how}}}))"
        )

    assert await page.input_value("#content") == "にほん"
    assert await page.locator(".user").count() == 0


async def test_on_touch_enter_breaks_the_line(opened: Callable[..., Any]) -> None:
    page = await opened(PHONE, has_touch=True, is_mobile=True)

    await page.fill("#content", "one")
    await page.keyboard.press("Enter")

    assert await page.input_value("#content") == "one\n"


async def test_a_draft_survives_a_reload_and_is_of_its_chat(page: Page) -> None:
    await page.fill("#content", "half a thought")
    await page.reload()
    assert await page.input_value("#content") == "half a thought"

    await page.keyboard.press("Alt+n")
    await page.wait_for_load_state()
    assert await page.input_value("#content") == ""
    await page.go_back()
    await page.locator("#content").press("Enter")
    await expect(page.locator(".user .content")).to_have_text("half a thought")
    await page.reload()
    assert await page.input_value("#content") == ""


async def test_the_field_grows_with_its_text(page: Page) -> None:
    before = (await page.locator("#content").bounding_box())["height"]  # type: ignore[index]

    await page.fill("#content", "line\n" * 8)

    assert (await page.locator("#content").bounding_box())["height"] > 3 * before  # type: ignore[index]


async def test_one_can_write_on_while_an_answer_runs_and_the_next_message_waits(page: Page) -> None:
    await send(page, script("x " * 100, delay_ms=30))
    await expect(page.locator(".live")).to_have_count(1)
    await page.keyboard.type("and this?")
    await page.keyboard.press("Enter")

    await expect(page.locator(".user .content").last).to_have_text("and this?")
    await expect(last(page).locator(".progress")).to_contain_text("Waiting")
    await page.locator(".live .stop").first.click()
    await expect(last(page).locator("footer.actions")).to_be_attached()


async def test_what_was_refused_is_still_in_the_field(page: Page) -> None:
    await send(page, "x" * 32_001)

    await expect(page.locator("#notice")).to_contain_text("Please shorten it")
    assert len(await page.input_value("#content")) == 32_001


# Reading


async def test_the_page_follows_only_who_is_at_its_end(page: Page) -> None:
    where = "() => document.scrollingElement.scrollHeight - document.scrollingElement.scrollTop - innerHeight"
    await send(page, script(PARAGRAPHS, delay_ms=8))
    await becomes(page, "document.scrollingElement.scrollHeight > innerHeight + 400")
    assert await page.evaluate(where) < 60
    assert not await page.is_visible("#newest")

    await page.mouse.move(700, 400)
    await page.mouse.wheel(0, -400)
    await becomes(page, f"({where})() > 200")
    place = await page.evaluate("scrollY")
    await expect(page.locator(".live")).to_have_count(0)
    assert await page.evaluate("scrollY") == place

    await page.click("#newest")
    assert await page.evaluate(where) < 60
    assert not await page.is_visible("#newest")
    await expect(page.locator("#content")).to_be_focused()


async def test_what_was_streamed_is_what_a_reload_shows_whatever_was_copied(page: Page) -> None:
    await ask(page, script(ANSWER, delay_ms=2))
    await page.hover("article pre")
    await page.click("#code button")
    streamed = await content(page)

    await page.reload()

    assert await content(page) == streamed


async def test_messages_and_code_can_be_copied_and_it_is_said(page: Page) -> None:
    await ask(page, script(ANSWER))

    await page.hover("article pre")
    await page.click("#code button")
    await expect(page.locator("#said")).to_have_text("Code copied")
    assert await page.evaluate("navigator.clipboard.readText()") == CODE
    await page.focus("article pre")
    await page.evaluate("navigator.clipboard.writeText('')")
    await page.keyboard.press("Control+c")
    await becomes(page, f"async () => await navigator.clipboard.readText() === {json.dumps(CODE)}")
    await last(page).locator("button.copy").click()
    await expect(page.locator("#said")).to_have_text("Message copied")
    assert await page.evaluate("navigator.clipboard.readText()") == ANSWER
    await page.context.set_offline(True)
    await last(page).locator("button.copy").click()
    await becomes(page, "async () => (await navigator.clipboard.readText()).startsWith('Look at this:\\n\\n')")


async def test_formulas_are_drawn_and_a_wide_one_scrolls_within_itself(page: Page) -> None:
    await ask(page, script("So $x^2$ and\n\n$$ " + " + ".join(f"x_{{{n}}}" for n in range(60)) + " $$"))

    assert await last(page).locator(".content > p:first-child math msup").count() == 1
    assert await page.evaluate("document.querySelector('.math').scrollWidth > document.querySelector('.math').clientWidth")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_block_of_code_says_its_language_and_scrolls_within_itself(page: Page) -> None:
    await ask(page, script(ANSWER))

    label = await page.evaluate("getComputedStyle(document.querySelector('pre code'), '::before').content")
    assert label == '"language-python"'  # of which the style sheet hides the first nine characters
    assert await page.evaluate("document.querySelector('article pre').scrollWidth > document.querySelector('article pre').clientWidth")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_thinking_is_streamed_apart_and_folded(page: Page) -> None:
    await send(page, script("Done.", reasoning="I think about it. " * 5, delay_ms=20))

    await expect(last(page).locator(".thinking summary")).to_be_visible()
    assert not await last(page).locator(".thinking .plain").is_visible()
    await last(page).locator(".thinking summary").click()
    await expect(last(page).locator(".thinking .plain")).to_contain_text("I think about it.")
    await expect(last(page).locator(".content")).to_have_text("Done.\n")
    await page.reload()
    assert not await last(page).locator(".thinking .plain").is_visible()


async def test_the_end_of_an_answer_moves_nothing(page: Page) -> None:
    await send(page, script("one two three four", delay_ms=150))
    running = await last(page).locator("footer").bounding_box()
    await expect(last(page).locator("footer.actions")).to_be_attached()

    assert (await last(page).locator("footer").bounding_box())["height"] == pytest.approx(running["height"], abs=0.5)


# Acting


async def test_versions_are_switched_in_place_and_keep_the_focus(page: Page) -> None:
    await ask(page)
    async with same_document(page):
        await last(page).get_by_role("button", name="Regenerate").click()
        await expect(last(page).locator(".versions")).to_contain_text("2/")
        await last(page).get_by_role("button", name="Previous version").focus()
        await page.keyboard.press("Enter")

        await expect(last(page).locator(".versions")).to_contain_text("1/")
        await expect(last(page).get_by_role("button", name="Previous version")).to_be_focused()
    await page.reload()
    await expect(last(page).locator(".versions")).to_contain_text("1/")


async def test_a_message_is_changed_in_place_and_deleted_in_place(page: Page) -> None:
    await ask(page, "What is read?")
    async with same_document(page):
        await page.locator(".user").hover()
        await page.get_by_role("link", name="Edit").click()
        await expect(page.locator("#edited")).to_be_focused()
        await page.get_by_role("link", name="Cancel").click()
        await expect(page.locator(".user .content")).to_have_text("What is read?")
        await page.get_by_role("link", name="Edit").click()
    await page.fill("#edited", "What is red?")
    await page.get_by_role("button", name="Send changed").click()
    await expect(page.locator(".user .content")).to_have_text("What is red?")
    await expect(page.locator(".user .versions")).to_contain_text("2/")

    await expect(page.locator(".live")).to_have_count(0)
    async with same_document(page):
        await page.locator(".user summary").click()
        await page.get_by_role("button", name="Delete this and its answers").click()
        await expect(page.locator(".user")).to_have_count(0)


async def test_why_something_is_not_possible_is_said_and_the_page_stays(page: Page) -> None:
    await ask(page, script("cut off", finish_reason="length"))
    await page.evaluate("fetch(document.querySelector('form[action$=continue]').action, {method: 'POST'})")
    await page.wait_for_timeout(100)

    async with same_document(page):
        await page.evaluate("htmx.ajax('POST', location.pathname + '/messages/00000000-0000-4000-8000-000000000000/show', '#messages')")
        await expect(page.locator(".user")).to_have_count(1)


async def test_the_list_of_chats_tells_what_runs_and_learns_new_titles(page: Page) -> None:
    await send(page, script("x " * 60, delay_ms=30))
    await expect(page.locator("#chats [aria-current] .running")).to_have_count(1)
    await expect(page.locator("#title")).to_contain_text('{"text"')

    await page.locator(".live .stop").click()

    await expect(page.locator("#chats .running")).to_have_count(0)


async def test_a_chat_is_renamed_and_deleted_and_brought_back(page: Page) -> None:
    address = page.url
    await page.locator("#chats .more summary").click()
    await page.fill("#chats input[name=title]", "Bread")
    await page.get_by_role("button", name="Rename", exact=True).click()
    await expect(page.locator("#title")).to_have_text("Bread")

    await page.locator("#chats .more summary").click()
    await page.get_by_role("button", name="Delete chat").click()
    await page.get_by_role("button", name="Undo").click()

    await page.wait_for_url(address)
    await expect(page.locator("#title")).to_have_text("Bread")


# Keys


async def test_keys_do_what_the_help_says(page: Page) -> None:
    first = page.url
    await ask(page, script("First."))
    await page.locator("#content").blur()
    await page.keyboard.press("?")
    await expect(page.locator("#help")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#help")).not_to_be_visible()
    await page.keyboard.press("/")
    await expect(page.locator("#content")).to_be_focused()
    await page.keyboard.type("/?")
    assert await page.input_value("#content") == "/?"
    await page.fill("#content", "")

    await page.keyboard.press("Alt+c")
    await becomes(page, "async () => (await navigator.clipboard.readText()).trim() === 'First.'")
    await page.keyboard.press("Alt+n")
    await page.wait_for_url(lambda url: url != first)
    second = page.url
    await send(page, script("x " * 100, delay_ms=30))
    await expect(page.locator(".live .tail p")).to_have_count(1)
    await page.keyboard.press("Escape")  # stops nothing
    await page.keyboard.press("Alt+s")
    await expect(last(page).locator(".outcome")).to_have_text("Stopped.")
    await page.keyboard.press("Alt+ArrowDown")
    await page.wait_for_url(first)
    await page.keyboard.press("Alt+ArrowUp")
    await page.wait_for_url(second)


async def test_a_key_pressed_in_the_same_moment_as_the_help_is_closed_is_not_lost(page: Page) -> None:
    await page.locator("#content").blur()

    await page.evaluate("""() => {
        help.showModal();
        help.close();
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true}));
    }""")

    await expect(page.locator("#content")).to_be_focused()


async def test_keys_without_alt_can_be_switched_off_for_good(page: Page) -> None:
    await page.click("#ask-help")
    await page.uncheck("#single-keys")
    await page.keyboard.press("Escape")
    await page.reload()
    await page.locator("#content").blur()

    await page.keyboard.press("?")

    assert not await page.locator("#help").is_visible()


async def test_everything_can_be_done_with_keys_alone(opened: Callable[..., Any]) -> None:
    page = await opened(chat=False)

    async def tab_to(name: str, back: bool = False) -> None:
        for _ in range(60):
            await page.keyboard.press("Shift+Tab" if back else "Tab")
            about = await page.evaluate("document.activeElement.innerText || document.activeElement.title || document.activeElement.id")
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            if name in about:
                assert outline != "none", about
                return
        raise AssertionError(f"{name} is never reached")

    await page.keyboard.type("Ada")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/chats/*")
    await page.keyboard.type(script(ANSWER))
    await page.keyboard.press("Enter")
    await expect(last(page).locator(".facts")).to_be_attached()
    await tab_to("Details", back=True)
    await page.keyboard.press("Enter")
    await expect(last(page).locator(".facts dl")).to_be_visible()
    await page.keyboard.press("Enter")
    await tab_to("Regenerate", back=True)
    await page.keyboard.press("Enter")
    await expect(last(page).locator(".versions")).to_contain_text("2/")
    assert await page.evaluate("document.activeElement !== document.body")
    await tab_to("Edit", back=True)
    await page.keyboard.press("Enter")
    await expect(page.locator("#edited")).to_be_focused()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("Changed")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".user .content")).to_have_text("Changed")


# Screen readers


async def test_a_screen_reader_hears_whole_sentences_once(page: Page) -> None:
    heard = """
    () => { window.heard = []; new MutationObserver((all) => all.forEach(({addedNodes}) =>
      addedNodes.forEach((node) => heard.push(node.textContent)))).observe(document.getElementById("announcer"), {childList: true}); }
    """
    await page.evaluate(heard)
    text = "Version 3.14 is out. It has many things, and " + "more, " * 20 + "more. Here is one:\n\n```py\nx = 1\n```\n\nThat is all"

    await ask(page, script(text, delay_ms=60))

    await expect(page.locator("#announcer")).to_contain_text("finished")
    said = await page.evaluate("heard")
    assert said[-1] == "The answer is finished."
    assert all(re.search(r"[.:]$|all$", part) for part in said), said
    said.remove("The answer is being written.")
    assert " ".join(said[:-1]) == re.sub(r"```py\nx = 1\n```", "Code, 1 lines.", text).replace("\n\n", " ")
    assert len(said) > 2
    assert await page.locator(".content [aria-live], [aria-live] .content").count() == 0


async def test_what_is_announced_can_be_chosen_and_is_remembered(page: Page) -> None:
    await page.click("#ask-help")
    await page.get_by_label("only that it begins and ends").check()
    await page.keyboard.press("Escape")
    await page.reload()

    await ask(page, script("One. Two. Three."))

    await expect(page.locator("#announcer p")).to_have_text(["The answer is being written.", "The answer is finished."])


async def test_the_accessibility_tree_of_a_running_answer_is_in_order(page: Page) -> None:
    await send(page, script("# Title\n\nSome *text*.\n\n- item\n\n" + "word " * 50, delay_ms=40))
    await expect(page.locator(".live .content li")).to_have_count(1)

    tree = await page.locator("body").aria_snapshot()

    places = [
        tree.index(name)
        for name in ("banner", "navigation", "main", 'heading "You"', 'heading "Answer" [level=2]', "listitem: item", "Stop")
    ]
    assert places[:4] == sorted(places[:4])
    assert places[-2:] == sorted(places[-2:])
    assert 'textbox "Your message"' in tree
    await page.locator(".live .stop").click()


async def test_no_page_has_anything_that_axe_objects_to(opened: Callable[..., Any]) -> None:
    page, axe = await opened(chat=False, reduced_motion="reduce"), Axe()
    found: list[tuple[str, str, str, str]] = []

    async def look(name: str) -> None:
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            result = await axe.run(page)
            found.extend((name, scheme, each["id"], each["nodes"][0]["html"]) for each in result.response["violations"])

    await look("home")
    await page.fill("#username", "Ada")
    await page.click("button.primary")
    await page.wait_for_url("**/chats/*")
    chat = page.url
    await look("a new chat")
    await ask(page, script(ANSWER, reasoning="Hm."))
    await page.locator(".facts summary").click()
    await look("an answer and its facts")
    await send(page, script(ANSWER + " word" * 200, delay_ms=40))
    await expect(page.locator(".live .tail p")).to_have_count(1)
    await look("a running answer")
    await page.locator(".live .stop").click()
    await expect(last(page).locator(".outcome")).to_be_visible()
    await look("a stopped answer")
    await ask(page, script("", status=400))
    await look("a failed answer")
    await last(page).get_by_role("button", name="Regenerate").click()
    await expect(page.locator(".versions")).to_have_count(1)
    await look("versions")
    await page.goto(chat + "?edit=" + str(await page.locator(".user").last.get_attribute("id"))[8:])
    await look("editing")
    await page.locator("#chats summary").click()
    await look("renaming")
    await page.click("#ask-help")
    await look("help")
    await page.goto(f"{chat}/settings")
    await look("settings")
    await page.fill("#temperature", "9")
    await page.click("button.primary")
    await look("settings refused")
    await page.goto("/chats/00000000-0000-4000-8000-000000000000")
    await look("not found")
    await page.goto("/offline")
    await look("offline")
    await page.goto(chat)
    await page.set_viewport_size(PHONE)
    await page.click(".menu")
    await look("the list on a phone")
    await page.locator("#chats summary").click()
    await page.get_by_role("button", name="Delete chat").click()
    await look("undo")

    assert found == []


# Small and large


async def test_on_a_phone_everything_fits_and_can_be_touched(opened: Callable[..., Any]) -> None:
    page = await opened(PHONE, has_touch=True, is_mobile=True)
    await ask(page, script(ANSWER))

    await last(page).locator(".facts summary").tap()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not await page.locator("#chats").is_visible()
    assert await last(page).locator("button.copy").evaluate("(element) => getComputedStyle(element.parentElement).opacity") == "1"
    assert await page.evaluate(TARGETS) == []
    await page.tap(".menu")
    await expect(page.locator("#chats")).to_be_visible()
    assert await page.evaluate(TARGETS) == []
    await page.goto(f"{page.url.partition('#')[0]}/settings")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_first_load_of_a_chat_is_light_and_asks_nobody_else(opened: Callable[..., Any], origin: str) -> None:
    page = await opened()
    chat = page.url
    loaded: dict[str, Any] = {}
    fresh = await opened(chat=False)
    await fresh.context.add_cookies(await page.context.cookies())
    fresh.context.on("request", lambda request: loaded.setdefault(request.url, request))

    await fresh.goto(chat)
    await fresh.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    addresses = {*loaded, f"{origin}/sw.js", f"{origin}/offline", f"{origin}/manifest.webmanifest", *await fresh.evaluate(ICON)}

    weights = {address: len(gzip.compress(await (await fresh.request.get(address)).body(), 5)) for address in addresses}
    assert all(address.startswith(origin) for address in addresses)
    assert sum(weights.values()) <= KILOBYTE_BUDGET * 1024, weights
    assert len(addresses) <= REQUEST_BUDGET, addresses


ICON = "() => [...document.querySelectorAll('link[rel=icon]')].map((link) => link.href)"


# Installed


async def test_offline_an_honest_page_is_shown_and_no_chat_was_kept(page: Page, origin: str) -> None:
    await ask(page, "a secret")
    await page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    await page.reload()
    await page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    kept = await page.evaluate(KEPT)
    await page.context.set_offline(True)

    await page.goto(page.url.partition("#")[0])

    await expect(page.locator("h1")).to_have_text("The server can't be reached")
    assert await page.locator("main").evaluate("(main) => getComputedStyle(main).maxWidth") != "none"  # with its style sheet
    assert kept
    assert all(address.startswith((f"{origin}/static/", f"{origin}/offline")) for address in kept)
    await page.context.set_offline(False)


async def test_it_can_be_installed(page: Page) -> None:
    manifest = await (await page.request.get("/manifest.webmanifest")).json()

    assert (manifest["start_url"], manifest["scope"], manifest["display"]) == ("/", "/", "standalone")
    assert {"192x192", "512x512"} <= {icon["sizes"] for icon in manifest["icons"]}
    for icon in manifest["icons"]:
        assert (await page.request.get(icon["src"])).headers["content-type"] == icon["type"]


# Without scripts


async def test_everything_works_without_scripts(opened: Callable[..., Any]) -> None:
    page = await opened(java_script_enabled=False)

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
    await page.wait_for_timeout(300)
    await page.reload()
    assert "2/2" in re.sub(r"\s|Version|of", "", await page.inner_text(".versions"))
    await page.get_by_role("button", name="Previous version").click()
    assert "1/2" in re.sub(r"\s|Version|of", "", await page.inner_text(".versions"))

    await page.get_by_role("link", name="Edit").click()
    await page.fill("#edited", "Changed")
    await page.get_by_role("button", name="Send changed").click()
    assert await page.inner_text(".user .content") == "Changed"
    await page.wait_for_timeout(300)
    await page.reload()
    await page.locator(".user summary").click()
    await page.get_by_role("button", name="Delete this and its answers").click()
    assert await page.locator(".user .content").count() == 0 or await page.inner_text(".user .content") != "Changed"

    await page.get_by_role("link", name="Settings").click()
    await page.fill("#temperature", "0.3")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("link", name="Settings").click()
    assert await page.input_value("#temperature") == "0.3"
    await page.get_by_role("link", name="Cancel").click()

    await page.locator("#chats .more summary").click()
    await page.fill("#chats input[name=title]", "By hand")
    await page.get_by_role("button", name="Rename", exact=True).click()
    assert await page.inner_text("#title") == "By hand"
    await page.locator("#chats .more summary").click()
    await page.get_by_role("button", name="Delete chat").click()
    await page.get_by_role("button", name="Undo").click()
    assert await page.inner_text("#title") == "By hand"
    await page.set_viewport_size(PHONE)
    await page.click(".menu")
    assert await page.locator("#chats").is_visible()
