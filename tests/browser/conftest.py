"""A real Chromium with nginx and two web processes, or with one web process alone, and a scripted model server.

Every tab is monitored: a test fails if a page logs an error, violates its CSP or contacts another host.
"""

import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright, expect

from tests.browser.browser_user import BrowserUser, browser_user
from tests.browser.page import DESKTOP
from tests.fake_llama.server import running as running_llama
from tests.stack import Stack
from tests.system.running import Runnel, running

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell")
FLAGS = [
    "--no-sandbox",  # the sandbox needs a kernel feature that containers lack
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EXPECTED_ERRORS = re.compile(r"status of (403|404|409|413|422|500|502)|ERR_INTERNET_DISCONNECTED")

expect.set_options(timeout=20_000)  # far more than any wait takes


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        path = chromium_path(playwright)
        if path is None:
            names = ", ".join(NAMES)
            message = f"no Chromium found ({names}, or Playwright's own): the browser tests are skipped"
            pytest.fail(message) if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip(message)
        browser = await playwright.chromium.launch(
            executable_path=path, args=FLAGS, ignore_default_args=["--hide-scrollbars"]
        )
        yield browser
        await browser.close()


def chromium_path(playwright: Playwright) -> str | None:
    named = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    own = playwright.chromium.executable_path
    return named or (own if Path(own).exists() else None)


@pytest.fixture(scope="session")
def model() -> Iterator[str]:
    """The URL of the scripted model server."""
    with running_llama(delay_ms=2) as url:
        yield url


@pytest.fixture(scope="session")
def runnel(chromium: Browser, model: str) -> Iterator[Runnel]:
    limits = {"MAX_TOKENS": "100000", "WRITES_PER_SESSION": "0", "WRITES_PER_ADDRESS": "0", "TITLES": "off"}
    with running(LLAMA_URL=model, WEB_REPLICAS="2", **limits) as runnel:
        yield runnel


@pytest.fixture
async def new_user(chromium: Browser, runnel: Runnel) -> AsyncIterator[Callable[..., Any]]:
    """Opens a browser for a new user, with Playwright's context options."""
    async with AsyncExitStack() as stack:

        async def new_user(**options: Any) -> BrowserUser:
            return await stack.enter_async_context(browser_user(chromium, runnel.origin, **options))

        yield new_user


@pytest.fixture
async def ada(new_user: Callable[..., Any]) -> BrowserUser:
    """A user in a new chat."""
    ada: BrowserUser = await new_user()
    await ada.begin()
    return ada


@pytest.fixture(scope="session")
async def origin(stack: Stack) -> str:
    """The origin of one web process, without nginx."""
    return (await stack.web()).url


@pytest.fixture
async def open_page(chromium: Browser, origin: str) -> AsyncIterator[Callable[..., Any]]:
    """Opens a page for a new user, in a new chat. The test fails if its console shows an unexpected error."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    async def open_page(viewport: Any = DESKTOP, chat: bool = True, **options: Any) -> Page:
        context = await chromium.new_context(base_url=origin, viewport=viewport, **options)
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

    yield open_page
    for context in contexts:
        await context.close()
    assert [text for text in said if not EXPECTED_ERRORS.search(text)] == []


@pytest.fixture
async def page(open_page: Callable[..., Any]) -> Page:
    found: Page = await open_page()
    return found
