"""Menus and sheets: open next to their buttons, stay in the window, and close like menus do."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, ViewportSize, expect

from tests.browser.page import PHONE, ask, last

OPEN = ":popover-open"
INSIDE = """() => [...document.querySelectorAll(".sheet:popover-open")].every((sheet) => {
  const { left, top, right, bottom } = sheet.getBoundingClientRect();
  return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
})"""


async def new_chat(page: Page, question: str) -> None:
    await page.click("#new-chat")
    await expect(page.locator("article.user")).to_have_count(0)
    await ask(page, question)


async def test_every_chat_in_the_list_has_a_menu(page: Page) -> None:
    await ask(page, "The first")
    await new_chat(page, "The second")
    here = page.url
    row = page.locator("#chats li", has_text="The first")

    await row.hover()
    await row.locator(".more").click()
    await expect(page.locator("#chat-menu input")).to_have_value("The first")
    await page.fill("#chat-menu input", "Renamed")
    await page.get_by_role("button", name="Rename", exact=True).click()

    await expect(page.locator("#chats li", has_text="Renamed")).to_have_count(1)
    await expect(page.locator("#title")).to_have_text("The second")
    assert page.url == here
    row = page.locator("#chats li", has_text="Renamed")
    await row.hover()
    await row.locator(".more").click()
    await page.get_by_role("button", name="Delete chat").click()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("#title")).to_have_text("Renamed")


@pytest.mark.parametrize("opener", ["[aria-current] ~ .more", ".facts.more", ".user .more"])
@pytest.mark.parametrize("size", [{"width": 1000, "height": 500}, {"width": 1000, "height": 400}, PHONE])
async def test_a_menu_stays_in_the_window_and_closes(
    open_page: Callable[..., Any], size: ViewportSize, opener: str
) -> None:
    page = await open_page(size)
    await ask(page, "Why?")
    in_list = "aria-current" in opener
    button = page.locator(opener).last
    await expect(button).to_be_attached()

    for close in ("Escape", "outside", "button"):
        if in_list and size == PHONE and not await page.locator("#chats").is_visible():
            await page.click(".menu")
        await button.click()
        await expect(page.locator(f".sheet{OPEN}")).to_be_visible()
        assert await page.evaluate(INSIDE)
        match close:
            case "Escape":
                await page.keyboard.press("Escape")
            case "outside":
                await page.mouse.click(2, 2)
            case _:
                await button.click()
        await expect(page.locator(f".sheet{OPEN}")).to_have_count(0)


async def test_arrow_keys_move_in_a_menu(page: Page) -> None:
    await ask(page, "Why?")
    await expect(page.locator("#chats .running")).to_have_count(0)  # the list is loaded again after an answer
    await page.locator("#chats [aria-current] ~ .more").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#chat-menu")).to_be_visible()
    await page.locator("#chat-menu input").focus()

    focused = []
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp", "ArrowUp"):
        await page.keyboard.press(key)
        focused.append(await page.evaluate("document.activeElement.innerText || document.activeElement.name"))

    assert focused == ["Rename", "Pin", "Rename", "title", "Delete chat"]


async def test_arrow_keys_reach_only_what_the_menu_shows(page: Page) -> None:
    await page.locator("#chats [aria-current] ~ .more").click()
    await page.locator("#chat-menu input").focus()

    focused = []
    while "title" not in focused:
        await page.keyboard.press("ArrowDown")
        focused.append(await page.evaluate("document.activeElement.innerText || document.activeElement.name"))

    assert focused == ["Rename", "Pin", "Archive", "Export as Markdown", "JSON", "Delete chat", "title"]


async def test_the_current_chat_of_a_long_list_is_in_sight(page: Page) -> None:
    oldest = page.url
    await ask(page, "The oldest")
    for number in range(25):
        await page.evaluate(
            """async (title) => {
              const name = new URLSearchParams({ username: "Ada", new: 1 });
              const created = await fetch("/chats", { method: "POST", body: name });
              const path = new URL(created.url).pathname + "/title";
              await fetch(path, { method: "POST", body: new URLSearchParams({ title }) });
            }""",
            f"chat {number}",
        )
    await page.set_viewport_size({"width": 1200, "height": 500})

    await page.goto(oldest)

    await expect(page.locator("#chats [aria-current]")).to_be_in_viewport()
    assert await page.evaluate("scrollY") == 0 or await last(page).is_visible()
