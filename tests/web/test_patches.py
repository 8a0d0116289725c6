"""A patch turns the HTML of a page into the new one, on the page and as text."""

import re
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.dom import parse
from tests.web.visitor import parsed
from web.contract import Message
from web.live.events import EventRenderer
from web.live.steps import Snapshot
from web.rendering import blocks, positions
from web.rendering.patches import Patch, patch
from web.rendering.templates import Templates

CORPUS = "\n\n".join(path.read_text() for path in sorted((Path(__file__).parent / "corpus").glob("*.md"))[:60])
PIECES = [*re.findall(r"\w+|[ \t]+|\n+|[^\w\s]+", CORPUS), "\n- ", "\n> ", "\n| a | b |\n|-|-|\n", "*a* ", "\n  - "]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


MESSAGE = cast(Message, {"id": "m", "status": "streaming"})
PAGE = """<article id="message-m"><div id="message-m-thought"></div><div class="content"></div>
<footer id="message-m-footer"></footer></article>"""


def tail(text: str) -> str:
    return blocks.open_block(text, positions.position(text))[0]


def patched(html: str, change: Patch) -> str:
    """The page after the event of this patch."""
    page = parse(f'<div class="tail" id="tail">{html}</div>')
    swap = "outerHTML" if change.replaces else "beforeend"
    page.swap(f'<hx-partial hx-target="#tail{change.path}" hx-swap="{swap}">{change.html}</hx-partial>')
    return page.select("#tail").inner


def check(old: str, new: str) -> bool:
    change = patch(old, new)
    expected = parse(f'<div id="tail">{new}</div>').select("#tail").inner
    assert not change or not change.path or patched(old, change) == expected
    return change is not None


@given(texts, texts)
def test_a_patched_page_equals_the_new_one(text: str, more: str) -> None:
    check(tail(text), tail(text + more))


ITEMS = {
    "list": ("- an *item* of `code`\n", ""),
    "loose list": ("- an item\n\n  and more of it\n\n", ""),
    "nested list": ("- an item\n  - with *another* one\n    1. and one\n", ""),
    "quote": ("> a *quoted* line\n", ""),
    "quoted paragraphs": ("> a *quoted* line\n>\n", ""),
    "table": ("| a *cell* | another |\n", "| a | b |\n|---|---|\n"),
    "paragraph": ("some *emphasis* in `one` paragraph\n", ""),
    "code in a list": ("  x = [1, 2]\n", "- look:\n\n  ```py\n"),
}


@pytest.mark.parametrize("size", [7, 40])
@pytest.mark.parametrize("name", ITEMS)
def test_a_page_that_receives_all_events_shows_the_open_block(name: str, size: int) -> None:
    item, start = ITEMS[name]
    few = 1500 // len(item)
    text = start + item * (few + 10)
    renderer, page, modes = EventRenderer(Templates(), "1", MESSAGE), parse(PAGE), set()
    seen: Snapshot | None = None
    for seq, end in enumerate(range(len(start + item * few), len(text), size)):
        snapshot = Snapshot(seq, 1, positions.position(text[:end]), 0, 0, "streaming", None, "")
        event = parsed(renderer.step(text[:end], "", seen, snapshot).decode().strip())
        assert event
        page.swap(event.data)
        modes |= set(re.findall(r'hx-target="#message-m-tail( >)?', event.data))
        expected = parse(f'<div id="tail">{tail(text[:end])}</div>').select("#tail").inner
        assert page.select("#message-m-tail").inner == expected
        seen = snapshot

    assert " >" in modes


@pytest.mark.parametrize("name", ITEMS)
def test_steps_of_a_long_block_are_short(name: str) -> None:
    """Far less is sent than 20 times the final HTML, although hundreds of steps show it."""
    item, start = ITEMS[name]
    text = start + item * 150
    sent, shown = 0, tail(start + item * 3)
    for end in range(len(start + item * 3), len(text), 37):
        new = tail(text[:end])
        change = patch(shown, new)
        assert change is None or end % 10 or check(shown, new)
        sent += len(change.html if change else new)
        shown = new

    assert sent < 10 * len(shown)
