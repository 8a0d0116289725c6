"""Contrast, widths and touch targets on all screens and colour schemes."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.browser_user import ANSWER, BrowserUser
from tests.browser.documents import CODE_AND_TABLE, SAMPLE, WIDE
from tests.browser.page import PHONE, ask, last, script

pytestmark = pytest.mark.browser

READ = ["p", "a", "li", "blockquote", "td", "th", "p code", "pre code", ".tok-k", ".tok-n", ".tok-f", ".tok-c"]
READ = [f".content {each}" for each in READ] + [
    "article.user .content",
    ".who",
    "a.brand",
    "#composer button",
    f"{ANSWER} .outcome",
]
# The contrast ratio of an element's text to its background, after WCAG.
CONTRAST = """element => {
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const luminance = (color) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = color; paint.fillRect(0, 0, 1, 1);
    const [red, green, blue] = [...paint.getImageData(0, 0, 1, 1).data]
      .map((value) => value / 255).map((value) => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4);
    return .2126 * red + .7152 * green + .0722 * blue;
  };
  let behind = element;
  while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
  const colors = [getComputedStyle(behind ?? document.body).backgroundColor, getComputedStyle(element).color];
  const [paper, ink] = colors.map(luminance);
  return (Math.max(paper, ink) + .05) / (Math.min(paper, ink) + .05);
}"""
TARGETS = """
() => [...document.querySelectorAll("a, button, summary, input:not([type=hidden]), textarea, select")]
  .filter((element) => element.checkVisibility() && !element.closest("p, .content, .visually-hidden"))
  .map((element) => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.width < 24 || box.height < 24) && box.bottom > 0)
  .map(([html]) => html)
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_enough_contrast(new_user: Callable[..., Any], scheme: str) -> None:
    ada = await new_user(color_scheme=scheme)
    await ada.begin()
    await ada.say(text=SAMPLE, delay_ms=1)
    await ada.ended()
    await ada.say(text="This one breaks off.", error_after=3)
    await ada.ended()

    background = await ada.page.evaluate("getComputedStyle(document.body).backgroundColor")
    contrast = {selector: await ada.page.locator(selector).last.evaluate(CONTRAST) for selector in READ}

    assert {selector: ratio for selector, ratio in contrast.items() if ratio < 4.5} == {}
    assert background == ("rgb(251, 250, 248)" if scheme == "light" else "rgb(21, 24, 27)")


@pytest.mark.parametrize("width", [320, 360])
async def test_nothing_is_wider_than_the_screen(new_user: Callable[..., Any], width: int) -> None:
    ada = await new_user(viewport={"width": width, "height": 700})
    await ada.page.goto("/")
    await expect_no_overflow(ada.page)
    await ada.begin("a" * 90)
    await ada.say("word" * 60)
    await ada.ended()
    await ada.say(tokens=[WIDE])
    await ada.ended()

    await expect_no_overflow(ada.page)
    assert await ada.page.locator(f"{ANSWER} pre").last.evaluate(
        "element => element.scrollWidth > element.clientWidth"
    ), "it scrolls by itself"
    await ada.page.goto("/")
    await expect_no_overflow(ada.page)


async def test_buttons_are_large_enough_for_a_thumb(new_user: Callable[..., Any]) -> None:
    ada: BrowserUser = await new_user(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    await ada.page.goto("/")
    await ada.page.fill("#username", "Ada")
    await ada.page.get_by_role("button", name="Start chatting").tap()
    await ada.page.wait_for_url("**/chats/*")
    await ada.page.fill("#content", '{"text": "On and on. ", "repeat": 100, "delay_ms": 10}')
    await ada.page.press("#content", "Enter")
    assert "\n" in await ada.page.input_value("#content"), "on such a keyboard Enter breaks the line"
    await ada.page.get_by_role("button", name="Send").tap()
    await ada.begun()

    heights = await ada.page.locator("button:visible").evaluate_all(
        "all => all.map((each) => each.getBoundingClientRect().height)"
    )
    await ada.page.get_by_role("button", name="Stop").tap()

    await ada.ended()
    assert len(heights) >= 3
    assert min(heights) >= 32


async def test_on_a_phone_everything_fits_and_can_be_touched(open_page: Callable[..., Any]) -> None:
    page = await open_page(PHONE, has_touch=True, is_mobile=True)
    await ask(page, script(CODE_AND_TABLE))

    await last(page).locator(".facts.more").tap()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not await page.locator("#chats").is_visible()
    assert (
        await last(page).locator("button.copy").evaluate("(element) => getComputedStyle(element.parentElement).opacity")
        == "1"
    )
    assert await page.evaluate(TARGETS) == []
    await page.tap(".menu")
    await expect(page.locator("#chats")).to_be_visible()
    assert await page.evaluate(TARGETS) == []
    await page.goto(f"{page.url.partition('#')[0]}/settings")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.fill("#preset_name", "Wide" * 25)
    await page.get_by_role("button", name="Save as preset").tap()
    await expect(page.locator(".presets a")).to_have_count(1)
    await expect_no_overflow(page)
    assert await page.evaluate(TARGETS) == []


async def test_a_long_draft_leaves_room_for_the_conversation(ada: BrowserUser) -> None:
    await ada.page.fill("#content", "line\n" * 100)

    height = await ada.page.locator(".box").evaluate("element => element.getBoundingClientRect().height")

    assert 100 < height < 760 / 2


async def expect_no_overflow(page: Page) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") <= await page.evaluate(
        "document.documentElement.clientWidth"
    )
