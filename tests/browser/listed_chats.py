"""The list of chats next to a chat, as a user operates it."""

from playwright.async_api import Locator, Page, expect

from tests.browser.page import ask, new_chat
from tests.stack import until

TITLES = """all => all.map((list) =>
  [list.ariaLabel, [...list.querySelectorAll("a span[dir]")].map((title) => title.textContent)])"""


async def three_chats(page: Page) -> None:
    """The page shows the third."""
    await ask(page, "The first")
    await new_chat(page, "The second")
    await new_chat(page, "The third")
    await expect(page.locator("#chats .running")).to_have_count(0)


def row(page: Page, title: str) -> Locator:
    return page.locator("#chats li", has=page.get_by_text(title, exact=True))


async def press(page: Page, title: str, name: str) -> None:
    """Presses a button in the menu of a chat."""
    await row(page, title).hover()
    await row(page, title).locator(".more").click()
    await page.locator("#chat-menu").get_by_role("button", name=name, exact=True).click()


async def expect_groups(page: Page, groups: dict[str, list[str]]) -> None:
    """The titles in each group, by its name."""

    async def same() -> bool:
        return dict(await page.locator("#list ul").evaluate_all(TITLES)) == groups

    await until(same, lambda: f"the list never had the groups {groups}")
