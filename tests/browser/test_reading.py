"""Reading an answer: scrolling, copying, folding, and no layout shifts."""

import json

import pytest
from playwright.async_api import Page, expect

from tests.browser.documents import CODE, CODE_AND_TABLE
from tests.browser.page import ask, becomes, last, script, send

pytestmark = pytest.mark.browser

PARAGRAPHS = "\n\n".join(f"Paragraph {number} is here. It has a second sentence." for number in range(40))


async def content(page: Page) -> str:
    return str(await last(page).locator(".content").evaluate("(element) => element.innerHTML"))


async def test_the_page_scrolls_only_for_a_reader_at_its_end(page: Page) -> None:
    where = "() => document.scrollingElement.scrollHeight - document.scrollingElement.scrollTop - innerHeight"
    await send(page, script(PARAGRAPHS, delay_ms=8))
    await becomes(page, "document.scrollingElement.scrollHeight > innerHeight + 400")
    assert await page.evaluate(where) < 60
    assert not await page.is_visible("#newest")

    await page.mouse.move(700, 400)
    await page.mouse.wheel(0, -400)
    await becomes(page, f"({where})() > 200")
    place = await page.evaluate("scrollY")
    await expect(page.locator(".live")).to_have_count(0)
    assert await page.evaluate("scrollY") == place

    await page.click("#newest")
    assert await page.evaluate(where) < 60
    assert not await page.is_visible("#newest")
    await expect(page.locator("#content")).to_be_focused()


async def test_a_small_scroll_away_from_the_end_is_respected(page: Page) -> None:
    await send(page, script(PARAGRAPHS, delay_ms=8))
    await becomes(page, "document.querySelectorAll('.live p').length > 20")
    await page.mouse.move(700, 400)
    await page.mouse.wheel(0, -20)
    await expect(page.locator("#newest")).to_be_visible()
    place = await page.evaluate("scrollY")
    await expect(page.locator(".live")).to_have_count(0)
    assert await page.evaluate("scrollY") == place

    await page.mouse.wheel(0, 10_000)
    await expect(page.locator("#newest")).to_be_hidden()


async def test_the_font_for_formulas_is_loaded_only_for_a_formula(page: Page) -> None:
    font = "[...document.fonts].find((font) => font.family === 'Formulas').status"
    await ask(page, "a question without a formula")
    assert await page.evaluate(font) == "unloaded"

    await ask(page, script(r"$\frac{1}{2}$"))

    await becomes(page, f"{font} === 'loaded'")


async def test_copied_text_is_the_same_after_streaming_and_after_a_reload(page: Page) -> None:
    await ask(page, script(CODE_AND_TABLE, delay_ms=2))
    await page.hover("article pre")
    await page.click("#code button:last-child")
    streamed = await content(page)

    await page.reload()

    assert await content(page) == streamed


async def test_copying_messages_and_code_is_announced(page: Page) -> None:
    await ask(page, script(CODE_AND_TABLE))

    await page.hover("article pre")
    await page.click("#code button:last-child")
    await expect(page.locator("#said")).to_have_text("Code copied")
    assert await page.evaluate("navigator.clipboard.readText()") == CODE
    await page.focus("article pre")
    await page.evaluate("navigator.clipboard.writeText('')")
    await page.keyboard.press("Control+c")
    await becomes(page, f"async () => await navigator.clipboard.readText() === {json.dumps(CODE)}")
    await last(page).locator("button.copy").click()
    await expect(page.locator("#said")).to_have_text("Message copied")
    assert await page.evaluate("navigator.clipboard.readText()") == CODE_AND_TABLE
    await page.context.set_offline(True)
    await last(page).locator("button.copy").click()
    await becomes(page, "async () => (await navigator.clipboard.readText()).startsWith('Look at this:\\n\\n')")


async def test_formulas_are_drawn_and_a_wide_one_scrolls_within_itself(page: Page) -> None:
    await ask(page, script("So $x^2$ and\n\n$$ " + " + ".join(f"x_{{{n}}}" for n in range(60)) + " $$"))

    assert await last(page).locator(".content > p:first-child math msup").count() == 1
    assert await page.evaluate(
        "document.querySelector('.math').scrollWidth > document.querySelector('.math').clientWidth"
    )
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_code_block_shows_its_language_and_scrolls_within_itself(page: Page) -> None:
    await ask(page, script(CODE_AND_TABLE))

    label = await page.evaluate("getComputedStyle(document.querySelector('pre code'), '::before').content")
    assert label == '"language-python"'  # the style sheet hides its first nine characters
    assert await page.evaluate(
        "document.querySelector('article pre').scrollWidth > document.querySelector('article pre').clientWidth"
    )
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_reasoning_is_streamed_apart_and_collapsed(page: Page) -> None:
    await send(page, script("Done.", reasoning="I think about it. " * 5, delay_ms=20))

    await expect(last(page).locator(".thinking summary")).to_be_visible()
    assert not await last(page).locator(".thinking .plain").is_visible()
    await last(page).locator(".thinking summary").click()
    await expect(last(page).locator(".thinking .plain")).to_contain_text("I think about it.")
    await expect(last(page).locator(".content")).to_have_text("Done.\n")
    await page.reload()
    assert not await last(page).locator(".thinking .plain").is_visible()


async def test_the_end_of_an_answer_moves_nothing(page: Page) -> None:
    await send(page, script("one two three four", delay_ms=150))
    running = await last(page).locator("footer").bounding_box()
    await expect(last(page).locator("footer.actions")).to_be_attached()

    assert (await last(page).locator("footer").bounding_box())["height"] == pytest.approx(running["height"], abs=0.5)
