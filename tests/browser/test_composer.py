"""Starting a chat and writing messages."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.browser_user import ANSWER, BrowserUser

pytestmark = pytest.mark.browser


async def test_a_user_name_opens_a_chat_and_finds_it_again(new_user: Callable[..., Any]) -> None:
    ada = await new_user()
    await ada.begin("Ada Lovelace")
    chat = ada.page.url

    await expect(ada.page.locator("article.assistant")).to_have_count(1)
    await expect(ada.page.locator(".who")).to_have_text("Ada Lovelace")

    await ada.page.click("a.brand")
    await ada.start("Grace")
    assert ada.page.url != chat
    await ada.page.click("a.brand")
    await ada.start("Ada Lovelace")
    assert ada.page.url == chat
    await ada.page.goto("/")
    await ada.page.wait_for_url(lambda url: "/chats/" in url)
    await ada.page.click("#new-chat")
    await ada.page.click("#new-chat")
    await ada.page.click("a.brand")
    await expect(ada.page.locator(".chats li")).to_have_count(2)


async def test_enter_sends_and_shift_enter_breaks_the_line(ada: BrowserUser) -> None:
    field = ada.page.locator("#content")
    await expect(field).to_be_focused()

    await ada.page.keyboard.type("one")
    await ada.page.keyboard.press("Shift+Enter")
    await ada.page.keyboard.type("two")
    await expect(field).to_have_value("one\ntwo")
    await ada.page.keyboard.press("Enter")

    await expect(ada.page.locator("article.user .content")).to_have_text("one\ntwo", use_inner_text=True)
    await expect(field).to_have_value("")
    await ada.ended()
    assert [message["content"] for message in await ada.messages()][1] == "one\ntwo"


async def test_enter_in_an_empty_field_sends_nothing(ada: BrowserUser) -> None:
    await ada.page.keyboard.type("   ")
    await ada.page.keyboard.press("Enter")
    await ada.say("a real one")

    await ada.ended()
    assert [message["content"] for message in await ada.messages() if message["role"] == "user"] == ["a real one"]


async def test_the_composer_keeps_focus_and_text_typed_during_an_answer(ada: BrowserUser) -> None:
    await ada.say(text="Some words to be read. " * 20, delay_ms=8)
    await ada.begun()

    await ada.page.keyboard.type("the next one")

    await ada.ended()
    await expect(ada.page.locator("#content")).to_be_focused()
    await expect(ada.page.locator("#content")).to_have_value("the next one")


async def test_everything_can_be_done_with_the_keyboard(new_user: Callable[..., Any]) -> None:
    ada = await new_user()
    keyboard = ada.page.keyboard
    await ada.page.goto("/")

    await keyboard.type("Ada")
    await keyboard.press("Enter")
    await ada.page.wait_for_url("**/chats/*")
    await keyboard.type('{"text": "never to be finished", "repeat": 200, "delay_ms": 20}')
    await keyboard.press("Enter")
    await ada.begun(3)
    await keyboard.press("Tab")
    focused = ada.page.locator(":focus")
    await expect(focused).to_have_text("Stop")
    assert await focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid", (
        "one sees where one is"
    )
    await keyboard.press("Enter")

    await ada.ended()
    await expect(ada.page.locator(f"{ANSWER} .outcome")).to_have_text("Stopped.")
    assert (await ada.stored())["status"] == "stopped"
    await expect(ada.page.locator("#content")).to_be_focused()
    await keyboard.type("And now?")
    await keyboard.press("Enter")
    await expect(ada.page.locator("article")).to_have_count(5)
    await ada.ended()


async def test_landmarks_and_labels_are_named_for_screen_readers(ada: BrowserUser) -> None:
    await ada.say(text="Some words.", repeat=50, delay_ms=10)
    await ada.begun()

    await expect(ada.page.get_by_role("heading", level=1)).to_have_count(1)
    await expect(ada.page.get_by_role("heading", name="You", exact=True)).to_have_count(1)
    await expect(ada.page.get_by_role("heading", name="Answer", exact=True)).to_have_count(2)
    await expect(ada.page.get_by_role("textbox", name="Your message")).to_be_visible()
    await expect(ada.page.locator("#announcer")).to_contain_text("The answer is being written.")

    await ada.page.get_by_role("button", name="Stop").click()
    await ada.ended()
    await expect(ada.page.locator("#announcer")).to_contain_text("Stopped.")
