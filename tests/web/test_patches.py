"""A patch turns the HTML of a page into the new one, on the page and as text."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.dom import parse
from web.rendering import blocks
from web.rendering.patches import Patch, patch

CORPUS = "\n\n".join(path.read_text() for path in sorted((Path(__file__).parent / "corpus").glob("*.md"))[:60])
PIECES = [*re.findall(r"\w+|[ \t]+|\n+|[^\w\s]+", CORPUS), "\n- ", "\n> ", "\n| a | b |\n|-|-|\n", "*a* ", "\n  - "]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def tail(text: str) -> str:
    return blocks.open_block(text, blocks.position(text))[0]


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
