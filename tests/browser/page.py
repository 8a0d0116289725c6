"""Actions on the page of a chat."""

import json
from typing import Any

from playwright.async_api import Page, expect

from tests.stack import until

DESKTOP, PHONE = {"width": 1200, "height": 800}, {"width": 360, "height": 740}


def script(text: str, **more: Any) -> str:
    return json.dumps({"text": text} | more)


async def begin(page: Page) -> None:
    """Gives a name on the home page, and waits for the chat."""
    await page.goto("/")
    await page.fill("#username", "Ada")
    await page.press("#username", "Enter")
    await page.wait_for_url("**/chats/*")


async def send(page: Page, content: str) -> None:
    await page.fill("#content", content)
    await page.click("#composer .primary")


async def ask(page: Page, content: str = "Why?") -> None:
    """Sends a message and waits until its answer has ended."""
    await page.wait_for_load_state("domcontentloaded")
    count = await page.locator("article").count()
    await send(page, content)
    await expect(page.locator("article")).to_have_count(count + 2)
    await expect(page.locator("article.live")).to_have_count(0)
    await expect(page.locator("article.assistant").last.locator("footer.actions")).to_be_attached()


async def new_chat(page: Page, question: str) -> None:
    await page.click("#new-chat")
    await expect(page.locator("article.user")).to_have_count(0)
    await ask(page, question)


def last(page: Page) -> Any:
    return page.locator("article").last


async def stored_answer(page: Page) -> None:
    """Waits until the last answer of the chat has ended, on a page that does not show it by itself."""
    chat = page.url.partition("#")[0].partition("?")[0]

    async def is_final() -> bool:
        messages = (await (await page.request.get(f"{chat}.json")).json())["messages"]
        return messages[-1]["status"] not in ("queued", "streaming")

    await until(is_final)


async def becomes(page: Page, expression: str) -> None:
    """Polls an expression; wait_for_function would evaluate text within the page, which its CSP forbids."""
    await until(lambda: page.evaluate(expression), lambda: f"{expression} never came true")
