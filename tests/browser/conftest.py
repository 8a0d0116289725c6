"""A real Chromium in front of nginx and two web processes, with a model server that follows scripts.

Every tab is watched: in no test may a page complain, break its own policy or ask another host.
"""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Playwright, async_playwright

from tests.browser.visitor import Visitor, visitor
from tests.fake_llama import running as running_llama
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
