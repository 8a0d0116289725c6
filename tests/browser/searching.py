"""The search next to a chat and the dialog of Ctrl+K, as a user operates them."""

from playwright.async_api import Locator, Page, expect

from tests.browser.page import ask, new_chat

FIELD, OPTIONS = "#search", "#found [role=option]"
COMMAND, CHOICES = "#command", "#choices [role=option]"
CHOSEN = (
    "() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.textContent.trim()"
)


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
