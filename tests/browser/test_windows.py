"""Many windows of one browser: they share one stream of events, since a browser has six connections for all of them."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.page import ask, begin, script, send
from tests.stack import until

pytestmark = pytest.mark.browser

WINDOWS = 9


async def open_windows(page: Page, count: int) -> list[Page]:
    windows = []
    for _ in range(count):
        windows.append(await page.context.new_page())
        await windows[-1].goto(page.url)
        await expect(windows[-1].locator("#content")).to_be_visible()
    return windows


async def open_streams(windows: list[Page]) -> int:
    return sum([await window.evaluate("Boolean(document.getElementById('listener')._htmx?.sse)") for window in windows])


async def share_one_stream(windows: list[Page]) -> None:
    counts: list[int] = []

    async def only_one() -> bool:
        counts.append(await open_streams(windows))
        return counts[-1] == 1

    await until(only_one, lambda: f"streams that were open: {counts}")


async def rename(page: Page, title: str) -> None:
    await page.locator("#chats [aria-current] ~ .more").click()
    await page.fill("#chat-menu input", title)
    await page.get_by_role("button", name="Rename").click()


async def test_nine_windows_need_one_connection_and_all_are_up_to_date(page: Page) -> None:
    windows = [page, *await open_windows(page, WINDOWS - 1)]

    for window in windows:
        await expect(window.locator("#content")).to_be_visible()
    await rename(windows[4], "Rivers")
    for window in windows:
        await expect(window.locator("#title")).to_have_text("Rivers")
    await ask(windows[5], "Why?")
    for window in windows:
        await expect(window.locator("article.user")).to_have_count(1)

    await share_one_stream(windows)


async def test_another_window_takes_over_when_the_first_is_closed(page: Page) -> None:
    windows = await open_windows(page, 3)
    await share_one_stream([page, *windows])
    await page.close()
    await share_one_stream(windows)

    await rename(windows[2], "Lakes")

    for window in windows:
        await expect(window.locator("#title")).to_have_text("Lakes")
    await share_one_stream(windows)


async def test_a_window_hears_of_changes_while_another_one_writes(page: Page) -> None:
    """The answer's stream carries the events, too, and afterwards the windows share one stream again."""
    windows = [page, *await open_windows(page, 2)]
    await send(page, script("word " * 60, delay_ms=30))
    await expect(page.locator(".live")).to_have_count(1)

    await rename(windows[1], "Seas")
    for window in windows:
        await expect(window.locator("#title")).to_have_text("Seas")
    for window in windows:
        await expect(window.locator("article.live")).to_have_count(0)
        await expect(window.locator("article.assistant").last).to_contain_text("word word")

    await share_one_stream(windows)


async def test_windows_without_locks_have_a_stream_each(open_page: Callable[..., Any]) -> None:
    page = await open_page(chat=False)
    await page.context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
    await begin(page)
    windows = [page, *await open_windows(page, 1)]

    await rename(page, "Brooks")

    await expect(windows[1].locator("#title")).to_have_text("Brooks")
    assert await open_streams(windows) == 2


async def test_six_windows_with_running_answers_leave_connections_for_others(page: Page) -> None:
    windows = [page]
    for _ in range(6):
        await send(windows[-1], script("word " * 150, delay_ms=250))
        await expect(windows[-1].locator(".live")).to_have_count(1)
        windows.append(await page.context.new_page())
        await windows[-1].goto(page.url)
        async with windows[-1].expect_navigation():
            await windows[-1].click("#new-chat")
    seventh = windows.pop()

    await expect(seventh.locator("#content")).to_be_visible()
    await expect(page.locator(".live .content")).to_contain_text("word word")
    await page.locator("#composer .stop").click()
    await expect(page.locator(".outcome")).to_have_text("Stopped.")
    for window in windows[1:]:
        await expect(window.locator("article.live")).to_have_count(0, timeout=60_000)
        assert (await window.locator("article.assistant .content").last.inner_text()).count("word") == 150
