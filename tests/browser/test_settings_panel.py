"""Settings open in a dialog on the chat page. Without JavaScript, they are pages."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.page import ask, script, send

pytestmark = pytest.mark.browser


async def open_settings(page: Page) -> None:
    await page.locator(".bar").get_by_role("link", name="Settings").click()
    await expect(page.locator("#panel[open] h1")).to_have_text("Chat settings")


async def test_settings_are_changed_without_leaving_a_running_answer(page: Page) -> None:
    await send(page, script("word " * 80, delay_ms=30))
    await expect(page.locator(".live .tail p")).to_be_visible()
    await page.fill("#content", "my draft")
    chat = page.url

    await open_settings(page)
    await page.locator("#panel summary").click()
    await page.locator("#panel #temperature").fill("0.5")
    await page.locator("#panel").get_by_role("button", name="Save", exact=True).click()

    await expect(page.locator("#panel")).not_to_be_visible()
    await expect(page.locator("#said")).to_have_text("Saved")
    assert page.url == chat
    assert await page.input_value("#content") == "my draft"
    await expect(page.locator(".live")).to_have_count(1)
    await open_settings(page)
    await expect(page.locator("#panel #temperature")).to_have_value("0.5")


async def test_nothing_covers_a_label(page: Page) -> None:
    await open_settings(page)
    await page.locator("#panel summary").click()

    for label in await page.locator("#panel label:visible").all():
        await label.scroll_into_view_if_needed()
        assert await label.evaluate("""(label) => {
          const { x, y, height } = label.getBoundingClientRect();
          return label.contains(document.elementFromPoint(x + 5, y + height / 2));
        }"""), await label.text_content()


async def test_a_refused_value_stays_in_its_field_with_a_notice(page: Page) -> None:
    await open_settings(page)
    await page.locator("#panel #system_prompt").fill("Be brief.")
    await page.locator("#panel summary").click()
    await page.locator("#panel #seed").fill("many")
    await page.locator("#panel").get_by_role("button", name="Save", exact=True).click()

    await expect(page.locator("#panel .notice")).to_contain_text("Seed must be a number")
    await expect(page.locator("#panel #seed")).to_be_focused()
    assert await page.input_value("#panel #seed") == "many"
    assert await page.input_value("#panel #system_prompt") == "Be brief."


async def test_without_a_connection_the_panel_keeps_what_was_typed(page: Page) -> None:
    await open_settings(page)
    await page.locator("#panel #system_prompt").fill("Be brief.")
    await page.route("**/settings", lambda route: route.fulfill(status=502, body="Bad gateway"))
    await page.locator("#panel").get_by_role("button", name="Save", exact=True).click()

    await expect(page.locator("#panel .notice")).to_contain_text("The server cannot be reached")
    assert await page.input_value("#panel #system_prompt") == "Be brief."


@pytest.mark.parametrize("close", ["Escape", "button", "backdrop"])
async def test_the_panel_closes_and_gives_the_focus_back(page: Page, close: str) -> None:
    await open_settings(page)
    if close == "Escape":
        await page.keyboard.press("Escape")
    elif close == "button":
        await page.locator("#panel").get_by_role("link", name="Cancel").click()
    else:
        await page.mouse.click(5, 400)

    await expect(page.locator("#panel")).not_to_be_visible()
    await expect(page.locator(".bar a[title=Settings]")).to_be_focused()


async def test_settings_saved_on_another_device_are_shown(page: Page) -> None:
    other = await page.context.new_page()
    await other.goto(page.url)
    await expect(other.locator("#content")).to_be_visible()
    await ask(page)
    before = await page.locator("#revision").get_attribute("value")

    await open_settings(other)
    await other.locator("#panel summary").click()
    await other.locator("#panel #temperature").fill("0.5")
    await other.locator("#panel").get_by_role("button", name="Save", exact=True).click()

    await expect(page.locator("#revision")).not_to_have_attribute("value", before or "")


async def test_theme_and_text_size_are_remembered_and_apply_to_every_page(page: Page) -> None:
    usual = await page.evaluate("getComputedStyle(document.body).fontSize")
    await page.locator(".account .more").click()
    await page.get_by_role("link", name="Appearance").click()
    await page.locator("#panel").get_by_label("Dark").check()
    await page.locator("#panel").get_by_label("Larger").check()
    async with page.expect_navigation():
        await page.locator("#panel").get_by_role("button", name="Save").click()

    chat = page.url
    for address in (chat, f"{chat}/settings", "/devices"):
        await page.goto(address)
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
        assert await page.evaluate("getComputedStyle(document.body).fontSize") == "20px" != usual


async def test_a_theme_is_independent_of_the_device(open_page: Callable[..., Any]) -> None:
    page = await open_page(color_scheme="dark")
    await page.goto("/appearance")
    await page.get_by_label("Light").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")

    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 248)"
    assert await page.locator("meta[name=theme-color]").count() == 1


async def test_without_javascript_appearance_is_a_page(open_page: Callable[..., Any]) -> None:
    page = await open_page(java_script_enabled=False)
    chat = page.url
    await page.goto(f"/appearance?chat={chat.rpartition('/')[2]}")
    await page.get_by_label("Dark").check()
    await page.get_by_role("button", name="Save").click()

    assert page.url == chat
    assert await page.locator("html").get_attribute("data-theme") == "dark"


async def test_presets_are_saved_applied_and_deleted_in_the_panel(page: Page) -> None:
    panel, chat = page.locator("#panel"), page.url
    await open_settings(page)
    await page.fill("#panel #system_prompt", "Answer in rhymes.")
    await page.fill("#panel #preset_name", "Poet")
    await panel.get_by_role("button", name="Save as preset").click()
    await expect(panel.get_by_role("link", name="Poet")).to_be_visible()
    await panel.get_by_role("link", name="Cancel").click()

    await open_settings(page)
    await expect(page.locator("#panel #system_prompt")).not_to_have_value("Answer in rhymes.")
    await panel.get_by_role("link", name="Poet").click()
    await expect(page.locator("#panel #system_prompt")).to_have_value("Answer in rhymes.")
    await panel.get_by_role("button", name="Save", exact=True).click()
    await expect(panel).not_to_be_visible()

    await open_settings(page)
    await expect(page.locator("#panel #system_prompt")).to_have_value("Answer in rhymes.")
    await panel.get_by_role("button", name="Delete preset Poet").click()
    await expect(panel.get_by_role("link", name="Poet")).to_have_count(0)
    assert page.url == chat
