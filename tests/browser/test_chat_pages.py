"""The page of all chats."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.browser_user import BrowserUser
from tests.browser.listed_chats import expect_groups, press, three_chats
from tests.browser.page import PHONE, ask

pytestmark = pytest.mark.browser

OVERFLOWS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


async def test_chosen_chats_are_archived_and_the_change_is_undone(page: Page) -> None:
    await three_chats(page)
    here = page.url.partition("#")[0]
    await page.get_by_role("link", name="All chats").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("All chats")

    await page.get_by_role("button", name="Archive").click()
    await expect(page.get_by_role("alert")).to_have_text("Please choose chats first.")
    for title in ("The first", "The second"):
        await page.get_by_role("checkbox", name=title).check()
    await page.get_by_role("button", name="Archive").click()
    await expect(page.get_by_role("status")).to_have_text("2 chats archived.")
    await expect(page.locator("li a")).to_have_text([re.compile("The third")])
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("li a")).to_have_count(3)

    await page.get_by_role("link", name="Back").click()
    await page.wait_for_url(here)


async def test_everything_works_without_javascript(new_user: Callable[..., Any]) -> None:
    plain: BrowserUser = await new_user(java_script_enabled=False)
    await plain.begin()
    page = plain.page
    for title in ("The first", "The second"):
        await page.locator("#chats [aria-current] ~ .more").click()
        await page.fill("#chats input[name=title]", title)
        await page.get_by_role("button", name="Rename", exact=True).click()
        await expect(page.locator("#title")).to_have_text(title)
        if title == "The first":
            await page.click("#new-chat")
            await expect(page.locator("#title")).to_have_text("New chat")

    await press(page, "The second", "Pin")
    await expect_groups(page, {"Pinned": ["The second"], "Today": ["The first"]})
    await press(page, "The second", "Archive")
    await expect_groups(page, {"Today": ["The first"], "Archived": ["The second"]})
    await page.get_by_role("button", name="List of chats").click()
    await expect(page.locator("#chats")).not_to_be_visible()
    await page.get_by_role("button", name="List of chats").click()
    await page.get_by_role("link", name="All chats").click()
    await page.get_by_role("link", name="Archived chats").click()
    await page.get_by_role("checkbox", name="The second").check()
    await page.get_by_role("button", name="Unarchive").click()
    await expect(page.get_by_role("status")).to_have_text("1 chat taken out of the archive.")
    await page.get_by_role("link", name="All chats").click()
    for title in ("The first", "The second"):
        await page.get_by_role("checkbox", name=title).check()
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("status")).to_have_text("2 chats deleted.")
    await expect(page.locator("li a")).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("li a")).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_of_all_chats_fits_a_phone(open_page: Callable[..., Any], scheme: str) -> None:
    page = await open_page(PHONE, has_touch=True, color_scheme=scheme)
    await ask(page, "Wide" * 60)
    await page.click(".menu")
    await page.get_by_role("link", name="All chats").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("All chats")

    assert not await page.evaluate(OVERFLOWS)
    await page.get_by_role("checkbox").tap()
    await expect(page.get_by_role("checkbox")).to_be_checked()
    sizes = await page.locator("[type=checkbox], .selected button").evaluate_all(
        "all => all.map((each) => Math.min(each.offsetWidth, each.offsetHeight))"
    )
    assert min(sizes) >= 24
    await page.get_by_role("button", name="Pin", exact=True).tap()
    await expect(page.get_by_role("status")).to_have_text("1 chat pinned.")
    assert not await page.evaluate(OVERFLOWS)
