"""Screen reader announcements, and axe on all pages."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.browser.documents import CODE_AND_TABLE
from tests.browser.page import PHONE, ask, last, script, send

pytestmark = pytest.mark.browser


async def test_screen_readers_receive_each_whole_sentence_once(page: Page) -> None:
    heard = """
    () => { window.heard = []; new MutationObserver((all) => all.forEach(({addedNodes}) =>
      addedNodes.forEach((node) => heard.push(node.textContent))))
    .observe(document.getElementById("announcer"), {childList: true}); }
    """
    await page.evaluate(heard)
    text = (
        "Version 3.14 is out. It has many things, and "
        + "more, " * 20
        + "more. Here is one:\n\n```py\nx = 1\n```\n\nThat is all"
    )

    await ask(page, script(text, delay_ms=60))

    await expect(page.locator("#announcer")).to_contain_text("finished")
    said = await page.evaluate("heard")
    assert said[-1] == "The answer is finished."
    assert all(re.search(r"[.:]$|all$", part) for part in said), said
    said.remove("The answer is being written.")
    assert " ".join(said[:-1]) == re.sub(r"```py\nx = 1\n```", "Code, 1 line.", text).replace("\n\n", " ")
    assert len(said) > 2
    assert await page.locator(".content [aria-live], [aria-live] .content").count() == 0


async def test_the_announcement_setting_is_remembered(page: Page) -> None:
    await page.click("#ask-help")
    await page.get_by_label("Only the start and the end").check()
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
        for name in (
            "banner",
            "navigation",
            "main",
            'heading "You"',
            'heading "Answer" [level=2]',
            "listitem: item",
            "Stop",
        )
    ]
    assert places[:4] == sorted(places[:4])
    assert places[-2:] == sorted(places[-2:])
    assert 'textbox "Your message"' in tree
    await page.locator("#composer .stop").click()


async def test_all_pages_pass_axe(open_page: Callable[..., Any]) -> None:
    page, axe = await open_page(chat=False, reduced_motion="reduce"), Axe()
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
    await ask(page, script(CODE_AND_TABLE, reasoning="Hm."))
    await page.locator(".facts.more").click()
    await look("an answer and its facts")
    await send(page, script(CODE_AND_TABLE + " word" * 200, delay_ms=40))
    await expect(page.locator(".live .tail p")).to_have_count(1)
    await look("a running answer")
    await page.locator("#composer .stop").click()
    await expect(last(page).locator(".outcome")).to_be_visible()
    await look("a stopped answer")
    await ask(page, script("", status=400))
    await look("a failed answer")
    await ask(page)
    await last(page).get_by_role("button", name="Regenerate").click()
    await expect(page.locator(".versions")).to_have_count(1)
    await look("versions")
    await page.goto(chat + "?edit=" + str(await page.locator(".user").last.get_attribute("id"))[8:])
    await look("editing")
    await page.goto(chat + "?edit=" + str(await last(page).get_attribute("id"))[8:])
    await look("editing an answer")
    await page.get_by_role("link", name="Cancel").click()
    await expect(page.locator(".edit")).to_have_count(0)
    await last(page).get_by_title("Delete").click()
    await look("deleting an answer")
    await page.get_by_role("button", name="Delete this version").click()
    await expect(page.locator(".versions")).to_have_count(0)
    await last(page).get_by_title("Delete").click()
    await page.get_by_role("button", name="Delete answer", exact=True).click()
    await expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    await look("a question without answer")
    await page.fill("#search", "why")
    await expect(page.locator("#found mark").first).to_be_visible()
    await page.keyboard.press("ArrowDown")
    await look("results next to the chat")
    await page.fill("#search", "nowhere")
    await expect(page.locator("#found")).to_have_text("Nothing found")
    await look("no results next to the chat")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+k")
    await expect(page.locator("#palette")).to_be_visible()
    await look("the dialog with actions")
    await page.keyboard.type("why")
    await expect(page.locator("#matches mark").first).to_be_visible()
    await look("the dialog with results")
    await page.keyboard.press("Escape")
    await page.goto(str(await page.get_by_role("link", name="Link to this message").first.get_attribute("href")))
    await look("a message to which a link leads")
    await page.goto("/search?q=why")
    await look("search")
    await page.goto("/search?q=nowhere")
    await look("search without results")
    await page.goto(chat)
    await page.evaluate("fetch(location.pathname + '/pin', {method: 'POST'})")
    await expect(page.get_by_role("list", name="Pinned")).to_be_visible()
    await look("a pinned chat")
    await page.click("#toggle")
    await look("a chat without the list")
    await page.click("#toggle")
    await page.get_by_role("link", name="All chats").click()
    await look("all chats")
    await page.get_by_role("button", name="Archive").click()
    await look("no chat chosen")
    await page.get_by_role("checkbox").first.check()
    await page.get_by_role("button", name="Archive").click()
    await look("an archived chat, with undo")
    await page.get_by_role("link", name="Archived chats").click()
    await look("the archive")
    await page.goto(chat)
    await expect(page.get_by_role("list", name="Archived")).to_be_visible()
    await look("the page of an archived chat")
    await page.evaluate("fetch(location.pathname + '/unarchive', {method: 'POST'})")
    await expect(page.get_by_role("list", name="Today")).to_be_visible()
    await page.locator("#chats [aria-current] ~ .more").click()
    await look("renaming")
    await page.click("#ask-help")
    await look("help")
    await page.get_by_role("button", name="Close").click()
    for label in ("Settings of this chat", "Appearance"):
        await page.locator(".account .more").click()
        await page.get_by_role("link", name=label).click()
        await expect(page.locator("#panel[open] h1")).to_be_visible()
        await look(label)
        await page.locator("#panel .close").click()
    await page.goto(f"/appearance?chat={chat.rpartition('/')[2]}")
    await look("appearance")
    await page.goto(f"{chat}/settings")
    await look("settings")
    await page.fill("#preset_name", "Poet")
    await page.get_by_role("button", name="Save as preset").click()
    await expect(page.get_by_role("button", name="Delete preset Poet")).to_be_visible()
    await look("settings with a preset")
    await page.click(".panel summary")
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
    await page.locator("#chats [aria-current] ~ .more").click()
    await page.get_by_role("button", name="Delete chat").click()
    await look("undo")

    assert found == []
