"""Long questions are folded, long code lines wrap on request, and limits show before they are reached."""

import re

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.page import ask, begin, script, send
from tests.fake_llama.server import running as running_llama
from tests.system.running import running

pytestmark = pytest.mark.browser

LINES = "\n".join(f"line {number}" for number in range(40))
CODE = "```python\n" + "x = 1  # a long comment " + "and more " * 40 + "\n```\n"
HEIGHT = "[...document.querySelectorAll('.user .content')].at(-1).offsetHeight"
WIDTH = "document.querySelector('.box').offsetWidth"


async def test_a_long_question_is_folded_until_the_reader_wants_all_of_it(page: Page) -> None:
    await ask(page, "short")
    await expect(page.locator(".fold")).to_have_count(0)

    await ask(page, LINES)
    question = page.locator("article.user").last
    folded = await page.evaluate(HEIGHT)
    await question.get_by_label("Show all").check()

    assert folded < 500
    assert await page.evaluate(HEIGHT) > 900
    assert await question.locator(".content").inner_text() == LINES


async def test_lines_of_code_wrap_on_request_and_stay_so(page: Page) -> None:
    overflows = "(() => { const pre = document.querySelector('pre'); return pre.scrollWidth > pre.clientWidth; })()"
    await ask(page, script(CODE))
    assert await page.evaluate(overflows)

    await page.locator("pre").hover()
    await page.get_by_role("button", name="Wrap lines of code").click()
    assert not await page.evaluate(overflows)
    await page.reload()

    assert not await page.evaluate(overflows)
    await expect(page.get_by_role("button", name="Wrap lines of code")).to_have_attribute("aria-pressed", "true")


async def test_the_number_of_characters_is_shown_near_the_limit_only(page: Page) -> None:
    count = page.locator("#count")
    await page.fill("#content", "x" * 20_000)
    await expect(count).to_be_empty()
    await page.fill("#content", "😀" * 31_000)
    await expect(count).to_have_text("31,000 / 32,000")
    await page.fill("#content", "x" * 32_001)
    await expect(count).to_have_class("failed")


async def test_a_long_word_does_not_widen_the_message_field(page: Page) -> None:
    before = await page.evaluate(WIDTH)
    await page.fill("#content", "x" * 5_000)

    assert await page.evaluate(WIDTH) == before


async def test_the_context_is_shown_once_half_of_it_is_used(chromium: Browser) -> None:
    with running_llama(n_ctx=4000, delay_ms=1) as url, running(LLAMA_URL=url) as runnel:
        context = await chromium.new_context(base_url=runnel.origin)
        page = await context.new_page()
        await begin(page)
        shown = page.locator("#context")

        await ask(page, script("short"))
        await expect(shown).to_be_empty()
        await ask(page, script("word ", repeat=1200))
        await expect(shown).to_contain_text("% of the context is used.")
        await expect(shown).not_to_contain_text("oldest messages")
        await ask(page, script("word ", repeat=2000))
        await expect(shown).to_contain_text("Soon, the model no longer reads the oldest messages.")
        live = await shown.inner_text()
        await page.reload()

        assert await shown.inner_text() == live
        await context.close()


async def test_thoughts_say_how_long_they_took(page: Page) -> None:
    thinking = page.locator("article.assistant").last.locator(".thinking summary")
    await send(page, script("Yes.", reasoning="Hm, well, let me think. " * 8, delay_ms=60))
    await expect(thinking).to_have_text("Thinking")

    await expect(thinking).to_have_text(re.compile(r"Thought for \d+ s"))
    text = await thinking.inner_text()
    await page.reload()

    assert await thinking.inner_text() == text
