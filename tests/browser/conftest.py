"""A real Chromium in front of nginx and two web processes, or of one web process alone, with a model server that follows scripts.

Every tab is watched: in no test may a page complain, break its own policy or ask another host.
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

from tests.browser.page import DESKTOP
from tests.browser.visitor import Visitor, visitor
from tests.fake_llama.server import running as running_llama
from tests.stack import Stack
from tests.system.running import Runnel, running

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # which needs a kernel feature that containers lack
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EXPECTED_ERRORS = re.compile(r"status of (404|409|413|422)|ERR_INTERNET_DISCONNECTED")

expect.set_options(timeout=20_000)  # far more than it takes


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        path = _path(playwright)
        if path is None:
            message = f"no Chromium found (as {', '.join(NAMES)} or Playwright's own), so nothing of what a browser does is tested"
            pytest.fail(message) if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip(message)
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


def _path(playwright: Playwright) -> str | None:
    named = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    own = playwright.chromium.executable_path
    return named or (own if Path(own).exists() else None)


@pytest.fixture(scope="session")
def model() -> Iterator[str]:
    """The address of the scripted model server."""
    with running_llama(delay_ms=2) as url:
        yield url


@pytest.fixture(scope="session")
def runnel(chromium: Browser, model: str) -> Iterator[Runnel]:
    with running(LLAMA_URL=model, WEB_REPLICAS="2", MAX_TOKENS="100000", WRITES_PER_SESSION="0", WRITES_PER_ADDRESS="0") as runnel:
        yield runnel


@pytest.fixture
async def visit(chromium: Browser, runnel: Runnel) -> AsyncIterator[Callable[..., Any]]:
    """Opens a browser of somebody new, with Playwright's options for one."""
    async with AsyncExitStack() as stack:

        async def visit(**options: Any) -> Visitor:
            return await stack.enter_async_context(visitor(chromium, runnel.origin, **options))

        yield visit


@pytest.fixture
async def ada(visit: Callable[..., Any]) -> Visitor:
    """In a new chat."""
    ada: Visitor = await visit()
    await ada.begin()
    return ada


@pytest.fixture(scope="session")
async def origin(stack: Stack) -> str:
    """Of one web process, without nginx."""
    return (await stack.web()).url


@pytest.fixture
async def opened(chromium: Browser, origin: str) -> AsyncIterator[Callable[..., Any]]:
    """Opens a page of a new visitor, in a new chat. Nothing may be said on its console that a test does not expect."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    async def opened(viewport: Any = DESKTOP, chat: bool = True, **options: Any) -> Page:
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

    yield opened
    for context in contexts:
        await context.close()
    assert [text for text in said if not EXPECTED_ERRORS.search(text)] == []


@pytest.fixture
async def page(opened: Callable[..., Any]) -> Page:
    found: Page = await opened()
    return found
