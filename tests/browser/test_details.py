"""Small things that people notice: tables, scrollbars, print, directions, copying over plain HTTP, proxies."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.page import PHONE, ask, becomes, last, script, send

TABLE = (
    "| model | parameters | context length | remarks |\n|---|---|---|---|\n"
    "| name | 1996 | 128,000 tokens | multilingual conversation |\n"
)
LONG_CODE = "```python\n" + "\n".join(f"line_{number} = {number}" for number in range(80)) + "\n```\n"
ARABIC_AND_ENGLISH = "مرحبا بالعالم هذا نص عربي\n\nThis is English (inside) Arabic!\n"
OVERFLOW = "document.scrollingElement.scrollHeight - innerHeight"
# The number of lines of every word of the table
BROKEN_WORDS = """() => [...document.querySelectorAll(".content :is(th, td)")].flatMap((cell) => {
  const text = cell.firstChild, range = document.createRange();
  return [...text.data.matchAll(/\\S+/g)].filter(({ 0: word, index }) => {
    range.setStart(text, index);
    range.setEnd(text, index + word.length);
    return range.getClientRects().length > 1;
  }).map(([word]) => word);
})"""


async def top(element: Locator) -> float:
    return float(await element.evaluate("(element) => element.getBoundingClientRect().top"))


async def test_tables_scroll_instead_of_breaking_words(open_page: Callable[..., Any]) -> None:
    page = await open_page(PHONE)
    await ask(page, script(TABLE))

    assert await page.evaluate(BROKEN_WORDS) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    table = last(page).locator("table")
    assert await table.evaluate("(table) => table.scrollWidth > table.clientWidth")


async def test_a_short_chat_has_no_scrollbar(page: Page) -> None:
    assert await page.evaluate(OVERFLOW) == 0
    await ask(page, script("Yes."))
    assert await page.evaluate(OVERFLOW) == 0


async def test_every_block_has_the_direction_of_its_text(page: Page) -> None:
    await ask(page, script(ARABIC_AND_ENGLISH))
    left_edges = (
        await last(page)
        .locator(".content p")
        .evaluate_all(
            """(paragraphs) => paragraphs.map((paragraph) => {
          const range = document.createRange();
          range.selectNodeContents(paragraph);
          return range.getBoundingClientRect().left - paragraph.getBoundingClientRect().left;
        })"""
        )
    )

    assert left_edges[0] > 100  # right to left, so at the right edge
    assert left_edges[1] < 1


async def test_the_button_that_copies_a_long_code_block_stays_in_reach(page: Page) -> None:
    await ask(page, script(LONG_CODE))
    await page.mouse.move(5, 5)

    await page.evaluate("document.scrollingElement.scrollTop -= 500")

    button = page.locator("#code button:last-child")
    await expect(button).to_be_in_viewport()
    await becomes(page, "getComputedStyle(document.querySelector('#code div'), '::before').content === '\"python\"'")
    widths = """() => ["pre", "#code div"].map((name) => document.querySelector(name).getBoundingClientRect().width)"""
    width, header = await page.evaluate(widths)
    assert header == width  # so that no line of code shows beside it
    await button.click()
    await expect(page.locator("#said")).to_have_text("Code copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("line_0 = 0\n")
    assert copied.rstrip().endswith("line_79 = 79")


async def test_copying_works_without_the_clipboard_of_secure_pages(page: Page) -> None:
    await ask(page, script("Some **words**."))
    await page.evaluate("Object.defineProperty(Navigator.prototype, 'clipboard', { get: () => undefined })")

    await last(page).locator("button.copy").click()

    await expect(page.locator("#said")).to_have_text("Message copied")
    await page.evaluate("delete Navigator.prototype.clipboard")
    await page.fill("#content", "")
    await page.focus("#content")
    await page.keyboard.press("Control+v")
    await expect(page.locator("#content")).to_have_value("Some **words**.")


async def test_editing_begins_at_the_end_and_has_keys(page: Page) -> None:
    await ask(page, "What is green?")
    await page.locator(".user").get_by_role("link", name="Edit").click()
    await expect(page.locator("#edited")).to_be_focused()
    async with page.expect_response(lambda response: response.request.method == "GET") as canceled:
        await page.keyboard.press("Escape")
    assert (await canceled.value).status == 200
    await expect(page.locator("#edited")).to_have_count(0)

    await page.locator(".user").get_by_role("link", name="Edit").click()
    await expect(page.locator("#edited")).to_be_focused()
    await page.keyboard.type(" And red?")
    await page.keyboard.press("Control+Enter")

    await expect(page.locator(".user .content")).to_have_text("What is green? And red?")


async def test_the_version_buttons_stay_under_the_hand(page: Page) -> None:
    await ask(page, script("Short."))
    await last(page).get_by_role("button", name="Regenerate").click()
    await expect(page.locator(".versions")).to_contain_text("2/")
    await expect(page.locator(".live")).to_have_count(0)
    await ask(page, script("\n\n".join("A paragraph." for _ in range(60))))
    pager = page.locator(".versions").first
    await page.evaluate("scrollTo(0, 0)")
    before = await top(pager)

    await pager.get_by_role("button", name="Previous").click()
    await expect(page.locator(".versions")).to_contain_text("1/")

    assert abs(await top(pager) - before) < 2


async def test_a_failed_answer_offers_one_way_to_try_again(page: Page) -> None:
    await ask(page, script("", status=400))

    await expect(last(page).get_by_role("button", name="Try again")).to_be_visible()
    await expect(last(page).get_by_role("button", name="Regenerate")).to_have_count(0)


async def test_print_shows_the_messages_only(page: Page) -> None:
    await ask(page, script(LONG_CODE + TABLE))
    await page.emulate_media(media="print")

    for selector in (".bar", "#chats", "#composer", ".actions"):
        assert await page.locator(selector).first.is_hidden(), selector
    assert await page.locator("pre").first.evaluate("(pre) => getComputedStyle(pre).whiteSpace") == "pre-wrap"


async def test_the_backdrop_of_the_help_covers_the_gutter_of_the_scrollbar(page: Page) -> None:
    canvas = "getComputedStyle(document.documentElement).backgroundColor"
    before = await page.evaluate(canvas)
    await page.click("#ask-help")

    assert await page.evaluate(canvas) != before


@pytest.mark.parametrize(("status", "body"), [(502, "<h1>Bad Gateway</h1>"), (500, ""), (403, "<p>Blocked</p>")])
async def test_an_error_page_of_a_proxy_changes_nothing_but_the_notice(page: Page, status: int, body: str) -> None:
    async def fail(route: Route) -> None:
        if route.request.method == "POST":
            await route.fulfill(status=status, body=body, content_type="text/html")
        else:
            await route.continue_()

    await ask(page, script("Yes."))
    await page.route("**/messages/**", fail)
    for attempt in range(2):
        await last(page).get_by_role("button", name="Regenerate").click()
        await expect(page.locator("#notice")).to_contain_text(f"error {status}")
        await expect(page.locator("article")).to_have_count(3)
        await page.evaluate("document.getElementById('notice').textContent = ''") if not attempt else None
    await page.unroute("**/messages/**")
    await page.route("**/messages", fail)
    await send(page, "Kept")
    await expect(page.locator("#notice")).to_contain_text("Your message is still here")

    assert await page.input_value("#content") == "Kept"


async def test_a_message_to_a_chat_that_was_deleted_elsewhere_is_kept_with_the_reason(page: Page) -> None:
    await page.evaluate("fetch(location.pathname + '/delete', { method: 'POST' }).then(() => 0)")

    await send(page, "Where did it go?")

    await expect(page.locator("#notice")).to_contain_text("This page does not exist")
    assert await page.input_value("#content") == "Where did it go?"
