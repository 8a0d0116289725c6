"""A user of a browser: tabs that share one session, and the messages that the server has stored."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.stack import until

ANSWER = "#messages article.assistant:last-of-type"
CONTENT = f"{ANSWER} .content"
REPORT_CSP_VIOLATIONS = """addEventListener('securitypolicyviolation',
  (e) => console.error('policy', e.violatedDirective, e.blockedURI, e.sample))"""


class BrowserUser:
    def __init__(self, context: BrowserContext, page: Page, origin: str) -> None:
        self.context, self.page, self.origin = context, page, origin
        self.problems: list[str] = []
        self.requested_urls: list[str] = []
        self.expected = re.compile(r"(?!)")  # problems that a test provokes

    async def begin(self, name: str = "Ada") -> None:
        """Starts a chat on the home page."""
        await self.page.goto("/")
        await self.start(name)

    async def start(self, name: str) -> None:
        await self.page.fill("#username", name)
        await self.page.press("#username", "Enter")
        await self.page.wait_for_url("**/chats/*")

    async def say(self, content: str = "", **script: Any) -> None:
        """Types a message, or a script for the model server, presses Enter, and waits for the answer on the page."""
        before = await self.page.locator("article").count()
        await self.page.fill("#content", content or json.dumps(script))
        await self.page.press("#content", "Enter")
        await self.page.wait_for_function(
            "count => document.querySelectorAll('article').length === count", arg=before + 2
        )

    async def begun(self, words: int = 1) -> None:
        """Waits until the running answer shows this many words."""
        script = """([selector, words]) =>
            document.querySelector(selector)?.innerText.split(/\\s+/).filter(Boolean).length >= words"""
        await self.page.wait_for_function(script, arg=[f"{ANSWER}.live .content", words])

    async def ended(self, page: Page | None = None) -> None:
        await (page or self.page).wait_for_selector(f"{ANSWER}:not(.live)")

    async def is_live(self, page: Page | None = None) -> bool:
        return await (page or self.page).locator(f"{ANSWER}.live").count() == 1

    async def html(self, page: Page | None = None) -> str:
        """The HTML of the last answer."""
        return await (page or self.page).locator(CONTENT).inner_html()

    async def text(self, page: Page | None = None) -> str:
        return await (page or self.page).locator(CONTENT).inner_text()

    async def messages(self) -> list[dict[str, Any]]:
        """The messages that the server has stored."""
        chat = self.page.url.partition("#")[0].partition("?")[0]
        answer = await self.context.request.get(f"{chat}.json")
        assert answer.ok, await answer.text()
        found: list[dict[str, Any]] = (await answer.json())["messages"]
        return found

    async def stored(self) -> dict[str, Any]:
        """Waits until the last answer is final, and returns it as stored."""

        async def final() -> dict[str, Any] | None:
            last = (await self.messages())[-1]
            return last if last["status"] in ("complete", "stopped", "failed") else None

        message: dict[str, Any] = await until(final)
        return message

    async def new_tab(self) -> Page:
        page = await self.context.new_page()
        await page.goto(self.page.url)
        return page

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not self.expected.search(message.text):
            self.problems.append(f"{message.type}: {message.text}")

    def all_problems(self) -> list[str]:
        foreign = [url for url in self.requested_urls if not url.startswith((f"{self.origin}/", "about:", "data:"))]
        return self.problems + [f"asked for {url}" for url in foreign]


@asynccontextmanager
async def browser_user(browser: Browser, origin: str, **options: Any) -> AsyncIterator[BrowserUser]:
    """Opens a browser context. The block fails after an unexpected console error or a request to another host."""
    context = await browser.new_context(**{"base_url": origin, "viewport": {"width": 1100, "height": 760}} | options)
    context.set_default_timeout(30_000)
    await context.add_init_script(REPORT_CSP_VIOLATIONS)
    user = BrowserUser(context, await context.new_page(), origin)
    context.on("console", user.on_console)
    context.on("weberror", lambda error: user.problems.append(f"exception: {error.error}"))
    context.on("request", lambda request: user.requested_urls.append(request.url))
    try:
        yield user
        problems = user.all_problems()
        assert not problems, "\n".join(problems)
    finally:
        await context.close()
