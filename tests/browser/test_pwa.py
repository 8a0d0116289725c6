"""Page weight, offline page and installation."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.page import ask

pytestmark = pytest.mark.browser

KILOBYTE_BUDGET, REQUEST_BUDGET = 34, 12
ICON = "() => [...document.querySelectorAll('link[rel=icon]')].map((link) => link.href)"
KEPT = """
async () => {
  const caught = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
  return (await Promise.all(caught.map((cache) => cache.keys()))).flat().map(({url}) => url);
}
"""


async def test_the_first_load_is_small_and_contacts_no_other_host(open_page: Callable[..., Any], origin: str) -> None:
    page = await open_page()
    chat = page.url
    loaded: dict[str, Any] = {}
    fresh = await open_page(chat=False)
    await fresh.context.add_cookies(await page.context.cookies())
    fresh.context.on("request", lambda request: loaded.setdefault(request.url, request))

    await fresh.goto(chat)
    await fresh.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    addresses = {
        *loaded,
        f"{origin}/sw.js",
        f"{origin}/offline",
        f"{origin}/manifest.webmanifest",
        *await fresh.evaluate(ICON),
    }

    files = {address for address in addresses if not address.endswith("/events")}  # a stream that does not end
    weights = {address: len(gzip.compress(await (await fresh.request.get(address)).body(), 6)) for address in files}
    assert all(address.startswith(origin) for address in addresses)
    assert sum(weights.values()) <= KILOBYTE_BUDGET * 1024, weights
    assert len(addresses) <= REQUEST_BUDGET, addresses


async def test_offline_a_notice_is_shown_and_no_chat_is_cached(page: Page, origin: str) -> None:
    await ask(page, "a secret")
    await page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    await page.reload()
    await page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    kept = await page.evaluate(KEPT)
    await page.context.set_offline(True)

    await page.goto(page.url.partition("#")[0])

    await expect(page.locator("h1")).to_have_text("The server cannot be reached")
    assert (
        await page.locator("main").evaluate("(main) => getComputedStyle(main).maxWidth") != "none"
    )  # with its style sheet
    assert kept
    assert all(address.startswith((f"{origin}/static/", f"{origin}/offline")) for address in kept)
    await page.context.set_offline(False)


async def test_it_can_be_installed(page: Page) -> None:
    manifest = await (await page.request.get("/manifest.webmanifest")).json()

    assert (manifest["start_url"], manifest["scope"], manifest["display"]) == ("/", "/", "standalone")
    assert {"192x192", "512x512"} <= {icon["sizes"] for icon in manifest["icons"]}
    for icon in manifest["icons"]:
        assert (await page.request.get(icon["src"])).headers["content-type"] == icon["type"]
