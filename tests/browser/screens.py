"""Takes the screenshots of docs/screens: `python -m tests.browser.screens` runs Runnel with prepared answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.conftest import FLAGS, chromium_path
from tests.browser.page import ask, send
from tests.fake_llama.oddities import DONE, OddServer, Replies, Reply, event, piece
from tests.stack import ROOT
from tests.system.running import running

SCREENS = ROOT / "docs" / "screens"
WIDE, PHONE = {"width": 1200, "height": 800}, {"width": 360, "height": 700}
THOUGHT = "The user wants the words of a text file, so a counter from the standard library is enough."
ANSWER = """\
Here is how it works:

1. First, **read** the file.
2. Then count its words.

```python
from collections import Counter

def words(path):
    with open(path) as file:
        return Counter(file.read().split())  # every word, once per appearance, in any order

print(words('a.txt').most_common(3))
```

| word | count |
|---|---:|
| the | 42 |
| a | 17 |

Done. See [the manual](https://docs.python.org/3/library/collections.html) for `Counter`.
"""
FORMULAS = r"""
The roots of $ax^2 + bx + c = 0$, for $a \ne 0$, are
$$x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}$$
and with $\Delta = b^2 - 4ac$ we get
$$\boxed{x_{1,2} = \frac{-b \pm \sqrt{\Delta}}{2a}}$$

An integral, step by step:

\[\begin{aligned}\int_0^1 x^2\,dx &= \left[\frac{x^3}{3}\right]_0^1 \\ &= \frac13\end{aligned}\]

1. A matrix $\begin{pmatrix} a & b \\ c & d \end{pmatrix}$ in a line, with $\sum_{i=1}^n i$
2. $$f(x) = \begin{cases} 1 & x > 0 \\ 0 & \text{otherwise}\end{cases}$$

It costs $5 or $6, and $\unknown{x}$ is shown as written.
"""
FORMULA_QUESTION, WORDS = "How do I solve a quadratic equation?", "How do I count the words of a file?"
QUESTIONS = {
    "How do I bake bread?": "With flour, water, salt and patience.",
    "Was ist ein Gezeitenkraftwerk?": "Ein Kraftwerk, das Ebbe und Flut nutzt.",
    FORMULA_QUESTION: FORMULAS,
}


def parts(text: str) -> list[bytes]:
    tokens = [text[start : start + 4] for start in range(0, len(text), 4)]
    usage = {"prompt_tokens": 301, "completion_tokens": len(tokens), "total_tokens": 301 + len(tokens)}
    timings = {"prompt_n": 45, "cache_n": 256, "predicted_n": len(tokens), "predicted_per_second": 62.5}
    return [
        piece(None, reasoning_content=THOUGHT),
        *map(piece, tokens),
        piece("", "stop"),
        event(choices=[], usage=usage, timings=timings),
        DONE,
    ]


def unfinished(text: str) -> Reply:
    """The model pauses before the end of the text for as long as a screenshot takes."""
    shown = parts(text)
    return Reply([*shown[: int(len(shown) * 0.75)], *[b": wait\n\n"] * 2000], pause=0.01)


@asynccontextmanager
async def runnel() -> AsyncIterator[str]:
    """The origin of a running system whose model server knows the answers."""
    replies: dict[str, Replies] = {WORDS: [unfinished(ANSWER), Reply(parts(ANSWER), pause=0.001)]}
    for question, answer in QUESTIONS.items():
        replies[question] = [Reply(parts(answer), pause=0.001)]
    async with OddServer(replies).running() as server:
        system = running(LLAMA_URL=server.url, TITLES="off")
        started = await asyncio.to_thread(system.__enter__)
        try:
            yield started.origin
        finally:
            await asyncio.to_thread(system.__exit__, None, None, None)


async def take(page: Page, name: str) -> None:
    await page.evaluate("document.fonts.ready")
    await page.screenshot(path=SCREENS / f"{name}.png", animations="disabled")


async def new_tab(browser: Browser, origin: str, cookies: Any = (), **options: Any) -> Page:
    context = await browser.new_context(base_url=origin, **options)
    await context.add_cookies(cookies)
    return await context.new_page()


async def write_chats(page: Page) -> None:
    """Asks every question in a chat of its own. The answer to the last one is stopped and generated again."""
    await page.goto("/")
    await page.fill("#username", "Ann")
    await page.press("#username", "Enter")
    for question in QUESTIONS:
        await page.wait_for_url("**/chats/*")
        await ask(page, question)
        if question == FORMULA_QUESTION:
            await page.locator("article").last.screenshot(path=SCREENS / "formulas.png")
        await page.click("#new-chat")
        await expect(page.locator("article.user")).to_have_count(0)
    await take(page, "empty")
    await send(page, WORDS)
    await expect(page.locator("article.live table")).to_be_visible()
    await take(page, "streaming")
    await page.click("#composer .stop")
    await page.click("article:last-of-type button[title=Regenerate]")
    await expect(page.locator("article:last-of-type .versions")).to_contain_text("of 2")
    await expect(page.locator("article.live")).to_have_count(0)


async def main() -> None:
    async with runnel() as origin, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path(playwright), args=FLAGS, ignore_default_args=["--hide-scrollbars"]
        )
        wide = await new_tab(browser, origin, viewport=WIDE)
        await write_chats(wide)
        await wide.click("article:last-of-type .facts.more")
        await take(wide, "desktop")
        await wide.keyboard.press("Escape")
        await wide.click("#ask-help")
        await take(wide, "help")
        await wide.keyboard.press("Escape")
        await wide.fill("#search", "words file")
        await expect(wide.locator("#found mark").first).to_be_visible()
        await wide.keyboard.press("ArrowDown")
        await take(wide, "search")
        await wide.keyboard.press("Control+k")
        await wide.keyboard.type("bread")
        await expect(wide.locator("#matches mark").first).to_be_visible()
        await wide.keyboard.press("Control+k")
        await wide.keyboard.press("Control+k")
        await take(wide, "actions")
        await wide.keyboard.press("Escape")

        chat, cookies = wide.url.partition("#")[0], await wide.context.cookies()
        dark = await new_tab(browser, origin, cookies, viewport=WIDE, color_scheme="dark")
        await dark.goto(chat)
        await take(dark, "dark")
        await dark.context.close()
        settings = await new_tab(browser, origin, cookies, viewport=WIDE)
        await settings.goto(chat)
        await settings.click(".bar a[title=Settings]")
        await settings.fill("#preset_name", "Teacher")
        await settings.get_by_role("button", name="Save as preset").click()
        await expect(settings.get_by_role("link", name="Teacher")).to_be_visible()
        await take(settings, "settings")
        phone = await new_tab(browser, origin, cookies, viewport=PHONE, device_scale_factor=1.5, has_touch=True)
        await phone.goto(chat)
        await take(phone, "phone")
        await phone.click(".menu")
        await phone.click("#chats [aria-current] ~ .more")
        await take(phone, "phone-chats")
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
