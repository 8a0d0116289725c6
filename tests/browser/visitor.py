"""Somebody in front of a browser: tabs that share one session, and a look at what the server keeps."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.stack import until

ANSWER = "#messages article.assistant:last-of-type"
CONTENT = f"{ANSWER} .content"
COMPLAIN = "addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective, e.blockedURI, e.sample))"


class Visitor:
    def __init__(self, context: BrowserContext, page: Page, origin: str) -> None:
        self.context, self.page, self.origin = context, page, origin
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.expected = re.compile(r"(?!)")  # complaints that a test provokes

    async def begin(self, name: str = "Ada") -> None:
        """From the home page to a new chat."""
        await self.page.goto("/")
        await self.page.fill("#username", name)
        await self.page.press("#username", "Enter")
        await self.page.wait_for_url("**/chats/*")

    async def say(self, content: str = "", **script: Any) -> None:
        """Types a message, or a script for the model server, and presses Enter; returns when its answer is on the page."""
        before = await self.page.locator("article").count()
        await self.page.fill("#content", content or json.dumps(script))
        await self.page.press("#content", "Enter")
        await self.page.wait_for_function("count => document.querySelectorAll('article').length === count", arg=before + 2)

    async def begun(self, words: int = 1) -> None:
        """The running answer shows some words."""
        script = "([selector, words]) => document.querySelector(selector)?.innerText.split(/\\s+/).filter(Boolean).length >= words"
        await self.page.wait_for_function(script, arg=[f"{ANSWER}.live .content", words])

    async def ended(self, page: Page | None = None) -> None:
        await (page or self.page).wait_for_selector(f"{ANSWER}:not(.live)")

    async def is_live(self, page: Page | None = None) -> bool:
        return await (page or self.page).locator(f"{ANSWER}.live").count() == 1

    async def html(self, page: Page | None = None) -> str:
        """What the last answer is made of."""
        return await (page or self.page).locator(CONTENT).inner_html()

    async def text(self, page: Page | None = None) -> str:
        return await (page or self.page).locator(CONTENT).inner_text()

    async def messages(self) -> list[dict[str, Any]]:
        """As the server keeps them."""
        chat = self.page.url.partition("#")[0].partition("?")[0]
        answer = await self.context.request.get(f"{chat}.json")
        assert answer.ok, await answer.text()
        found: list[dict[str, Any]] = (await answer.json())["messages"]
        return found

    async def stored(self) -> dict[str, Any]:
        """The last answer as the server keeps it, once it is final."""

        async def final() -> dict[str, Any] | None:
            last = (await self.messages())[-1]
            return last if last["status"] in ("complete", "stopped", "failed") else None

        message: dict[str, Any] = await until(final)
        return message

    async def new_tab(self) -> Page:
        page = await self.context.new_page()
        await page.goto(self.page.url)
        return page

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not self.expected.search(message.text):
            self.complaints.append(f"{message.type}: {message.text}")

    def has_complaints(self) -> list[str]:
        foreign = [url for url in self.asked if not url.startswith((f"{self.origin}/", "about:", "data:"))]
        return self.complaints + [f"asked for {url}" for url in foreign]


@asynccontextmanager
async def visitor(browser: Browser, origin: str, **options: Any) -> AsyncIterator[Visitor]:
    """Until the end of the block, where nothing may have been complained of."""
    context = await browser.new_context(**{"base_url": origin, "viewport": {"width": 1100, "height": 760}} | options)
    context.set_default_timeout(15_000)
    await context.add_init_script(COMPLAIN)
    someone = Visitor(context, await context.new_page(), origin)
    context.on("console", someone.hear)
    context.on("weberror", lambda error: someone.complaints.append(f"exception: {error.error}"))
    context.on("request", lambda request: someone.asked.append(request.url))
    try:
        yield someone
        complaints = someone.has_complaints()
        assert not complaints, "\n".join(complaints)
    finally:
        await context.close()
