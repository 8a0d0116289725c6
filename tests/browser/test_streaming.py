"""An answer during and after streaming."""

import asyncio
import json
import re
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.browser.browser_user import ANSWER, CONTENT, BrowserUser
from tests.browser.documents import EVERYTHING, GROWING_CODE, HOSTILE, PARAGRAPH, REFERENCES, SAMPLE
from tests.stack import until
from web.rendering import blocks
from web.rendering.markdown import render

pytestmark = pytest.mark.browser

ONE_ORIGIN = 6  # connections that a browser opens to one host over HTTP/1.1

# Checks the last answer at each change: outside code no Markdown source may be visible.
WATCH = """() => {
  window.seen = {steps: 0, wrong: [], lengths: []};
  new MutationObserver(() => {
    const content = [...document.querySelectorAll('#messages article.assistant .content')].at(-1);
    const words = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) {
      const node = words.currentNode;
      const isCode = node.parentElement.closest('pre, code');
      if (!isCode && /\\*|\\||`|~~|\\[|\\]\\(|^#/.test(node.data)) seen.wrong.push(node.data);
    }
    for (const table of content.querySelectorAll('table')) {
      const widths = new Set([...table.rows].map((row) => row.cells.length));
      if (widths.size > 1) seen.wrong.push(table.outerHTML);
    }
    seen.steps += 1;
    seen.lengths.push(content.textContent.length);
  }).observe(document.getElementById('messages'), {subtree: true, childList: true, characterData: true});
}"""
# Records the HTML of the growing code, which htmx marks for a moment.
WATCH_CODE = """() => {
  window.codes = [];
  new MutationObserver(() => {
    const code = document.querySelector('#messages article.live .tail code');
    if (code) codes.push(code.innerHTML);
  }).observe(document.getElementById('messages'), {subtree: true, childList: true, characterData: true});
}"""
TEMPORARY = re.compile(r' class=""|(?<=class=")htmx-\w+ ?| ?htmx-\w+(?=")')
# Layout shifts without user input, except of the line below the answer, which must move down.
SHIFTS = """() => {
  window.shifts = [];
  const moved = (entry) => entry.sources.map((source) => source.node?.nodeName);
  new PerformanceObserver((list) => shifts.push(...list.getEntries()
    .filter((entry) => !entry.hadRecentInput && moved(entry).some((name) => name !== 'FOOTER'))
    .map((entry) => [entry.value, moved(entry)]))).observe({type: 'layout-shift'});
}"""


async def test_the_first_words_are_read_while_the_answer_is_written(ada: BrowserUser) -> None:
    await ada.say(text="Slowly, word by word. ", repeat=30, delay_ms=10)
    await ada.begun(4)
    early = await ada.text()

    assert (await ada.messages())[-1]["status"] == "streaming"
    await ada.ended()
    assert (await ada.text()).startswith(early)
    assert len(await ada.text()) > 2 * len(early)


async def test_markdown_is_right_at_every_moment(ada: BrowserUser) -> None:
    await ada.page.evaluate(WATCH)
    await ada.say(text=SAMPLE, delay_ms=8)
    await ada.ended()

    seen = await ada.page.evaluate("seen")
    assert seen["wrong"] == []
    assert len(set(seen["lengths"])) > 15, "it was looked at while it grew"
    answer = ada.page.locator(CONTENT)
    await expect(answer.locator("h2 strong")).to_have_text("short")
    await expect(answer.locator("> ul > li")).to_have_count(3)
    await expect(answer.locator("> ul ol > li")).to_have_text(["nested", "twice"])
    await expect(answer.locator("tbody td")).to_have_text(["a", "1", "x", "b", "22", "y"])
    await expect(answer.locator("pre code.language-python")).to_contain_text(
        "    return x * 2  # <b>not bold</b> & **not either**\n"
    )
    await expect(answer.locator("blockquote del")).to_have_text("nothing")


async def test_lines_of_code_have_colours_while_the_next_line_is_written(ada: BrowserUser) -> None:
    await ada.page.evaluate(WATCH_CODE)
    await ada.say(tokens=re.findall(r".{1,5}|\n", GROWING_CODE), delay_ms=40)
    await expect(ada.page.locator(f"{ANSWER}.live code .tok-k").first).to_have_text("def")
    await ada.page.wait_for_function(
        "selector => document.querySelector(selector)?.textContent.includes('one')",
        arg=f"{ANSWER}.live code > .tok-s:last-child",
    )
    await ada.ended()

    moments = [TEMPORARY.sub("", html) for html in await ada.page.evaluate("codes")]
    tails = "\0".join(blocks.snapshot(GROWING_CODE[:end]).tail for end in range(len(GROWING_CODE) + 1))
    assert set(moments) <= set(re.findall("<code[^>]*>([^\0]*)</code>", tails))
    assert len({moment for moment in moments if '<span class="tok-k">def</span>' in moment}) > 5
    assert (await ada.html()).startswith(render(GROWING_CODE))
    assert (await ada.stored())["content"] == GROWING_CODE


async def test_a_reload_during_an_answer_continues_live_and_ends_the_same(ada: BrowserUser) -> None:
    await ada.say(text=SAMPLE, delay_ms=12)
    await ada.begun(12)

    await ada.page.reload()
    await ada.begun(12)
    early = await ada.text()
    await ada.page.evaluate(WATCH)

    await ada.ended()
    live = await ada.html()
    assert len(set((await ada.page.evaluate("seen"))["lengths"])) > 10
    assert len(await ada.text()) > len(early)
    await ada.page.reload()
    assert await ada.html() == live
    assert (await ada.stored())["content"] == SAMPLE


async def test_an_answer_ends_complete_although_the_script_loads_late(ada: BrowserUser) -> None:
    await ada.say(text=SAMPLE, delay_ms=10)
    await ada.begun()

    async def late(route: Route) -> None:
        await asyncio.sleep(0.3)
        await route.continue_()

    await ada.page.route("**/app.js*", late)
    await ada.page.reload()
    assert await ada.is_live()

    await ada.ended()
    assert (await ada.text()).endswith("A quote, and then nothing the end.")


@pytest.mark.parametrize("text", [SAMPLE, HOSTILE, REFERENCES], ids=["sample", "hostile", "references"])
async def test_after_the_stream_the_page_equals_a_reload(ada: BrowserUser, text: str) -> None:
    await ada.say(text=text, delay_ms=2)
    await ada.ended()
    live = await ada.html()

    await ada.page.reload()

    assert await ada.html() == live
    assert (await ada.stored())["content"] == text


async def test_after_a_long_and_fast_stream_the_page_equals_a_reload(ada: BrowserUser) -> None:
    times = 60_000 // len(EVERYTHING)
    await ada.say(text=EVERYTHING, repeat=times, delay_ms=0)
    await ada.ended()
    live = await ada.html()

    await ada.page.reload()

    assert await ada.html() == live
    assert (await ada.stored())["content"] == EVERYTHING * times


async def test_two_tabs_see_the_same(ada: BrowserUser) -> None:
    await ada.say(text=SAMPLE, delay_ms=12)
    await ada.begun(5)

    other = await ada.new_tab()
    assert await ada.is_live(other)
    await ada.ended(other)
    await ada.ended()

    assert await ada.html(other) == await ada.html()


async def test_a_hidden_tab_shows_the_whole_answer(ada: BrowserUser) -> None:
    await ada.say(text=SAMPLE, delay_ms=6)
    await ada.begun(5)
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
    hide += "Object.defineProperty(document, 'visibilityState', "
    hide += "{value: hidden ? 'hidden' : 'visible', configurable: true});"
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"

    await ada.page.evaluate(hide, True)
    await ada.stored()
    assert await ada.is_live(), "a hidden tab receives no events"
    await ada.page.evaluate(hide, False)

    await ada.ended()
    live = await ada.html()
    await ada.page.reload()
    assert await ada.html() == live


async def test_closing_the_browser_does_not_stop_the_answer(ada: BrowserUser) -> None:
    await ada.say(text="Nobody reads this to its end. ", repeat=30, delay_ms=10)
    await ada.begun(3)

    await ada.page.close()

    ada.page = await ada.context.new_page()
    await ada.page.goto("/")
    answer = await ada.page.locator(".chats a").get_attribute("href")
    await ada.page.goto("about:blank")

    async def complete() -> Any:
        messages = (await (await ada.context.request.get(f"{answer}.json")).json())["messages"]
        return messages[-1] if messages[-1]["status"] == "complete" else None

    assert (await until(complete))["content"] == "Nobody reads this to its end. " * 30


async def test_the_page_follows_the_answer_only_while_its_reader_is_at_the_end(ada: BrowserUser) -> None:
    await ada.say(text=PARAGRAPH * 24, delay_ms=4)
    await ada.page.wait_for_function("() => document.scrollingElement.scrollTop > 300")
    jump = ada.page.locator("#newest")
    await expect(jump).to_be_hidden()

    await ada.page.mouse.move(400, 300)
    await ada.page.mouse.wheel(0, -250)
    await expect(jump).to_be_visible()
    at, length = await ada.page.evaluate(PLACE)
    await ada.page.wait_for_function("length => document.scrollingElement.scrollHeight > length + 300", arg=length)
    assert (await ada.page.evaluate(PLACE))[0] == at, "it is left where it was"

    await jump.click()
    await expect(jump).to_be_hidden()
    await ada.ended()
    assert await ada.page.evaluate("scrollY + innerHeight >= document.scrollingElement.scrollHeight - 1"), (
        "and follows again"
    )


async def test_nothing_jumps_while_the_answer_is_written(ada: BrowserUser) -> None:
    await ada.say(text="Hello.")
    await ada.ended()
    await ada.say(text=SAMPLE * 2, delay_ms=4)
    await ada.page.evaluate(SHIFTS)

    await ada.ended()

    shifts = await ada.page.evaluate("new Promise((done) => setTimeout(() => done(shifts), 100))")
    assert sum(value for value, _ in shifts) < 0.01, shifts


async def test_stop_keeps_the_text(ada: BrowserUser) -> None:
    await ada.say(text="On and on. ", repeat=300, delay_ms=10)
    await ada.begun(5)

    await ada.page.get_by_role("button", name="Stop").click()

    await ada.ended()
    await expect(ada.page.locator(f"{ANSWER} .outcome")).to_have_text("Stopped.")
    stored, shown = await ada.stored(), await ada.text()
    assert stored["status"] == "stopped"
    assert stored["content"].split() == shown.split()
    await ada.page.reload()
    assert await ada.text() == shown


async def test_a_message_sent_during_an_answer_shows_that_it_waits(ada: BrowserUser) -> None:
    await ada.say(text="One after the other. ", repeat=20, delay_ms=8)
    await ada.begun()
    await ada.say(text="The second.")

    await expect(ada.page.locator(f"{ANSWER} .progress")).to_contain_text("Waiting")
    await ada.ended()

    assert [message["content"] for message in await ada.messages()][2::2] == [
        "One after the other. " * 20,
        "The second.",
    ]


async def test_an_answer_is_requested_once(ada: BrowserUser) -> None:
    for number in range(ONE_ORIGIN - 2):
        await ada.say(text=f"Number {number} is written slowly. ", repeat=4, delay_ms=8)

    await ada.ended()
    streams = [url.partition("?")[0] for url in ada.requested_urls if "/stream" in url]
    assert len(streams) == ONE_ORIGIN - 2
    assert len(set(streams)) == len(streams), "neither twice nor in a frame"


async def test_reasoning_first_and_an_empty_answer_are_shown(ada: BrowserUser) -> None:
    await ada.say(content=json.dumps({"reasoning": "Hm, let me see.", "text": "So: **yes**."}))
    await ada.ended()
    assert await ada.text() == "So: yes."
    assert (await ada.stored())["reasoning"] == "Hm, let me see."

    await ada.say(content=json.dumps({"tokens": [""]}))
    await ada.ended()
    await expect(ada.page.locator(f"{ANSWER} .outcome")).to_have_text("The answer is empty.")


PLACE = "[document.scrollingElement.scrollTop, document.scrollingElement.scrollHeight]"
