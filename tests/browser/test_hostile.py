"""What a model writes does nothing in a browser but stand there."""

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.documents import HOSTILE
from tests.browser.visitor import CONTENT, Visitor

pytestmark = pytest.mark.browser

FOOTNOTE = r"message-[\w-]+fn.*"
ALLOWED = {
    "a": rf"href=((https?://(?![^/]*@)|mailto:).*|#{FOOTNOTE})|rel=noopener noreferrer nofollow|target=_blank|id={FOOTNOTE}",
    "code": r"class=language-[a-z0-9+#-]+",
    "input": r"type=checkbox|disabled=|checked=",
    "li": rf"id={FOOTNOTE}",
    "ol": r"start=\d+",
    "pre": r"class=plain|tabindex=0",
    "table": r"tabindex=0",
    "span": r"class=tok-[a-z]",
    "section": r"class=footnotes",
    "sup": r"class=footnote-ref",
    "td": r"align=(left|center|right)",
    "th": r"align=(left|center|right)",
}
BARE = {"p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "del", "ul", "blockquote", "thead", "tbody", "tr"}
ALLOWED |= dict.fromkeys(BARE, "(?!)")
# Every element of the last answer, and each of its attributes; but for the ones that are ours.
ELEMENTS = """content => [...content.querySelectorAll('*:not(.tail, .void)')].map((element) =>
  [element.localName, [...element.attributes].map((attribute) => `${attribute.name}=${attribute.value}`)])"""
# Looks at every element that ever comes into the page, however short it stays.
WATCH = """() => {
  window.came = [];
  const attributes = (element) => [...element.attributes].map((attribute) => `${attribute.name}=${attribute.value}`);
  new MutationObserver((records) => {
    for (const record of records) for (const node of record.addedNodes) {
      if (node.nodeType !== 1 || !node.parentElement?.closest('.content')) continue;
      for (const element of [node, ...node.querySelectorAll('*')])
        if (!element.matches('.tail')) came.push([element.localName, attributes(element)]);
    }
  }).observe(document.getElementById('messages'), {subtree: true, childList: true});
}"""
WORDS = [
    "<script>",
    "onerror=",
    "over everything",
    "hx-partial",
    "a picture",
    "mine",
    "window.pwned = 1",
    "all of it",
    "<iframe",
    "</article>",
]


def not_allowed(elements: list[tuple[str, list[str]]]) -> list[Any]:
    return [
        (name, attributes)
        for name, attributes in elements
        if name not in ALLOWED or not all(re.fullmatch(ALLOWED[name], attribute, re.DOTALL) for attribute in attributes)
    ]


async def test_hostile_output_makes_no_request_and_no_element_of_its_own(ada: Visitor) -> None:
    await ada.page.evaluate(WATCH)
    before = len(ada.asked)

    await ada.say(text=HOSTILE, delay_ms=3)
    await ada.ended()

    own = re.compile("/static/|/offline$|/sw.js$|/chats/[0-9a-f-]{36}/list$")  # asked for by the page itself
    asked = [path for path in (url.removeprefix(ada.origin) for url in ada.asked[before:]) if not own.match(path)]
    assert [re.sub("[0-9a-f-]{36}", "ID", url) for url in asked] == ["/chats/ID/messages", "/chats/ID/messages/ID/stream?after=0.0"]
    came = await ada.page.evaluate("came")
    assert len(came) > 100, "it was looked at while it grew"
    assert not_allowed(came) == []
    await expect_harmless(ada)
    await ada.page.reload()
    await expect_harmless(ada)


async def test_hostile_output_says_all_of_its_words(ada: Visitor) -> None:
    await ada.say(text=HOSTILE, delay_ms=1)
    await ada.ended()

    shown = await ada.text()
    assert [word for word in WORDS if word not in shown] == []


async def test_a_link_of_the_model_tells_nothing_of_where_it_was_followed(ada: Visitor) -> None:
    await ada.say(text="[a link](https://good.test/)")
    await ada.ended()

    link = ada.page.locator(f"{CONTENT} a")
    await expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    await expect(link).to_have_attribute("target", "_blank")


async def test_what_people_type_is_shown_as_it_was_typed(ada: Visitor) -> None:
    typed = "<img src=/pwned onerror=window.pwned=1> **not bold** {{ 7 * 7 }}\n  <b>indented</b> &amp; [x](javascript:1)"
    await ada.page.evaluate(WATCH)
    await ada.say(typed)
    await ada.ended()

    mine = ada.page.locator("article.user .content")
    assert await mine.evaluate("element => element.textContent") == typed
    assert await mine.evaluate("element => element.children.length") == 0
    assert await ada.page.title() != ""
    await ada.page.goto("/")
    assert await ada.page.locator(".chats a *").evaluate_all("all => new Set(all.map((each) => each.localName)).size") == 2


async def expect_harmless(visitor: Visitor) -> None:
    elements = await visitor.page.locator(CONTENT).evaluate(ELEMENTS)
    assert len(elements) > 20
    assert not_allowed(elements) == []
    assert await visitor.page.evaluate("window.pwned") is None
    await expect(visitor.page.locator("#composer")).to_have_count(1)
    await expect(visitor.page.locator("#composer")).to_be_visible()
    await expect(visitor.page.locator("script")).to_have_count(6)
