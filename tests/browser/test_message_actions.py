"""Actions on messages and chats change the page in place and can be undone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, expect

from tests.browser.page import ask, last, script, send

pytestmark = pytest.mark.browser


@asynccontextmanager
async def same_document(page: Page) -> AsyncIterator[None]:
    """Fails if the page is reloaded within the block."""
    await page.evaluate("window.mark = 1")
    yield
    assert await page.evaluate("window.mark") == 1


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
        await page.locator(".user").get_by_role("link", name="Edit").click()
        await expect(page.locator("#edited")).to_be_focused()
        await page.get_by_role("link", name="Cancel").click()
        await expect(page.locator(".user .content")).to_have_text("What is read?")
        await page.locator(".user").get_by_role("link", name="Edit").click()
    await page.fill("#edited", "What is red?")
    await page.get_by_role("button", name="Save and send").click()
    await expect(page.locator(".user .content")).to_have_text("What is red?")
    await expect(page.locator(".user .versions")).to_contain_text("2/")

    await expect(page.locator(".live")).to_have_count(0)
    async with same_document(page):
        await page.locator(".user .more").click()
        await page.get_by_role("button", name="Delete message and answers").click()
        await expect(page.locator(".user")).to_have_count(0)


async def test_an_answer_is_edited_in_place(page: Page) -> None:
    await ask(page, script("Some **words**."))
    field, save = page.locator("#edited"), page.get_by_role("button", name="Save", exact=True)
    async with same_document(page):
        await last(page).get_by_role("link", name="Edit").click()
        await expect(field).to_be_focused()
        await expect(field).to_have_value("Some **words**.")
        await page.keyboard.press("Escape")
        await expect(last(page).locator(".content")).to_have_text("Some words.")
        await last(page).get_by_role("link", name="Edit").click()
        for text, notice in ((" ", "Please write a message first."), ("y" * 32_001, "Please shorten it.")):
            await field.fill(text)
            await save.click()
            await expect(page.locator("#notice")).to_contain_text(notice)
            await expect(field).to_have_value(text)
        await field.fill("Other *words*.")
        await save.click()

        await expect(last(page).locator(".content em")).to_have_text("words")
        await expect(last(page).locator(".versions")).to_contain_text("2/")
        await expect(page.locator("#notice")).to_have_text("")
        await expect(page.locator("#content")).to_be_focused()
        await last(page).locator(".facts.more").click()
        await expect(last(page).locator("dl.sheet")).to_contain_text("Editedby you")
    await page.reload()
    await expect(last(page).locator(".content")).to_have_text("Other words.")


async def test_an_answer_is_deleted_in_place(page: Page) -> None:
    await ask(page, script("First."))
    await ask(page, script("Second."))
    async with same_document(page):
        await last(page).get_by_title("Delete").click()
        await expect(page.get_by_role("button", name="Delete answer", exact=True)).to_be_visible()
        await page.keyboard.press("Escape")
        answer = page.locator(".assistant", has_text="First.")
        await answer.hover()
        await answer.get_by_title("Delete").click()
        await page.get_by_role("button", name="Delete answer and all below").click()
        await expect(page.locator(".user")).to_have_count(1)
        await expect(page.locator("#content")).to_be_focused()

        await page.get_by_role("button", name="Answer again").click()
        await expect(last(page).locator(".content")).to_have_text("First.")
        await expect(page.get_by_role("button", name="Answer again")).to_have_count(0)
        await expect(page.locator(".live")).to_have_count(0)
        await last(page).get_by_role("button", name="Regenerate").click()
        await expect(last(page).locator(".versions")).to_contain_text("2/")
        await expect(page.locator(".live")).to_have_count(0)
        await last(page).get_by_title("Delete").click()
        await page.get_by_role("button", name="Delete this version").click()
        await expect(page.locator(".versions")).to_have_count(0)


async def test_a_message_takes_the_place_of_a_question_without_answer(page: Page) -> None:
    await ask(page, "The first question")
    await last(page).get_by_title("Delete").click()
    await page.get_by_role("button", name="Delete answer").click()
    await expect(page.locator(".outcome")).to_contain_text("This message has no answer.")

    await send(page, "Another question")

    await expect(page.locator(".user .content")).to_have_text("Another question")
    await expect(page.locator(".user .versions")).to_contain_text("2/")
    await expect(last(page)).to_contain_text("About Another question")
    await expect(page.locator("#content")).to_have_value("")


async def test_a_refused_action_shows_its_reason_and_the_page_stays(page: Page) -> None:
    await ask(page, script("cut off", finish_reason="length"))
    await page.evaluate(
        "fetch(document.querySelector('form[action$=continue]').action, {method: 'POST'}).then(() => 0)"
    )

    async with same_document(page):
        await page.evaluate(
            "htmx.ajax('POST', location.pathname + '/messages/00000000-0000-4000-8000-000000000000/show', '#messages')"
        )
        await expect(page.locator(".user")).to_have_count(1)


async def test_the_chat_list_marks_running_answers_and_updates_titles(page: Page) -> None:
    await send(page, script("x " * 60, delay_ms=30))
    await expect(page.locator("#chats [aria-current] .running")).to_have_count(1)
    await expect(page.locator("#title")).to_contain_text('{"text"')

    await page.locator("#composer .stop").click()

    await expect(page.locator("#chats .running")).to_have_count(0)


async def test_a_chat_can_be_renamed_deleted_and_restored(page: Page) -> None:
    address = page.url
    await page.locator("#chats [aria-current] ~ .more").click()
    await page.fill("#chats input[name=title]", "Bread")
    await page.get_by_role("button", name="Rename", exact=True).click()
    await expect(page.locator("#title")).to_have_text("Bread")

    await page.locator("#chats [aria-current] ~ .more").click()
    await page.get_by_role("button", name="Delete chat").click()
    await page.get_by_role("button", name="Undo").click()

    await page.wait_for_url(address)
    await expect(page.locator("#title")).to_have_text("Bread")
