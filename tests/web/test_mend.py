"""Half-typed Markdown looks finished while an answer is written."""

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.web.markdown_texts import texts
from web.rendering import blocks
from web.rendering.markdown import render
from web.rendering.markdown.mend import _INLINE, _INLINE_START, _next_token, _start_of_block, mend


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("a **bold", "<p>a <strong>bold</strong></p>"),
        ("a **bold*", "<p>a <strong>bold</strong></p>"),
        ("a **bold ", "<p>a <strong>bold</strong></p>"),
        ("a **", "<p>a</p>"),
        ("a *em **both", "<p>a <em>em <strong>both</strong></em></p>"),
        ("~~gone~", "<p><del>gone</del></p>"),
        ("__x", "<p><strong>x</strong></p>"),
        ("5*x and snake_case", "<p>5*x and snake_case</p>"),
        ("2 * 3", "<p>2 * 3</p>"),
        ("中文**粗", "<p>中文<strong>粗</strong></p>"),
        ("see `co", "<p>see <code>co</code></p>"),
        ("see ``c`o", "<p>see <code>c`o</code></p>"),
        ("see `", "<p>see</p>"),
        ("see `a` `**b", "<p>see <code>a</code> <code>**b</code></p>"),
        ("a [lin", "<p>a lin</p>"),
        ("a [link](http://e.exa", "<p>a link</p>"),
        ('a [link](http://e.example "ti', "<p>a link</p>"),
        ("a [**link", "<p>a <strong>link</strong></p>"),
        ("a **[link](http", "<p>a <strong>link</strong></p>"),
        ("a ![alt](http", "<p>a alt</p>"),
        ("a[0", "<p>a[0</p>"),
        ("note[^1", "<p>note</p>"),
        ("<https://e.example", None),
        ("so $x", "<p>so</p>"),
        ("so $x$", "<p>so <math><mi>x</mi></math></p>"),
        ("so $x$, **b", "<p>so <math><mi>x</mi></math>, <strong>b</strong></p>"),
        ("so $$", "<p>so</p>"),
        ("so $$x * y$", "<p>so</p>"),
        ("so $$x$$", '<p>so <span class="math" tabindex="0"><math display="block"><mi>x</mi></math></span></p>'),
        ("so \\(x \\", "<p>so</p>"),
        ("so \\[x_1 \\", "<p>so</p>"),
        ("so \\[x\\]", '<p>so <span class="math" tabindex="0"><math display="block"><mi>x</mi></math></span></p>'),
        ("**so $x", "<p><strong>so</strong></p>"),
        ("for $5 or **m", "<p>for $5 or <strong>m</strong></p>"),
        ("for $5 or $6", "<p>for $5 or $6</p>"),
        ("a $ b", "<p>a $ b</p>"),
        ("so $`x`$", "<p>so <math><mi>x</mi></math></p>"),
        ("- item\n- **b", "<ul>\n<li>item</li>\n<li><strong>b</strong></li>\n</ul>"),
        ("- **a\n- b", "<ul>\n<li>**a</li>\n<li>b</li>\n</ul>"),
        ("text\n-", "<p>text</p>"),
        ("text\n--", "<p>text</p>"),
        ("text\n==", "<p>text</p>"),
        ("text\n#", "<p>text</p>"),
        ("text\n1.", "<p>text</p>"),
        ("text\n>", "<p>text</p>"),
        ("text\n```", "<p>text</p>"),
        ("text\n```pyth", "<p>text</p>"),
        ("- item\n  - [", "<ul>\n<li>item</li>\n</ul>"),
        ("# **head", "<h1><strong>head</strong></h1>"),
        ("text \\", "<p>text</p>"),
        ("| a | b", '<table tabindex="0">\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n</table>'),
        ("| a | b |\n", '<table tabindex="0">\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n</table>'),
        ("| a | b |\n|--", '<table tabindex="0">\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n</table>'),
        (
            "- x\n\n  ```sh\n  ls **",
            '<ul>\n<li>\n<p>x</p>\n<pre tabindex="0"><code class="language-sh">ls **</code></pre>\n</li>\n</ul>',
        ),
    ],
)
def test_half_typed_markdown_looks_finished(typed: str, shown: str | None) -> None:
    tail = blocks.snapshot(typed).tail

    assert "&lt;" not in tail
    if shown:
        assert tail == f"{shown}\n"


ADDRESSES = {
    "see https://one.example/a.b/c?d=e&f=g. And": "https://one.example/a.b/c?d=e&f=g",
    "see <https://two.example/path> now": "https://two.example/path",
    "- **https://three.example/x_y/**\n\nmore": "https://three.example/x_y/",
    "[name](https://four.example/(a)) and": "https://four.example/(a)",
    "| a |\n|---|\n| https://five.example/z |\n": "https://five.example/z",
    "(https://six.example/q, or": "https://six.example/q",
    "write to ada@seven.example today": "mailto:ada@seven.example",
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_a_half_typed_address_is_no_link(text: str) -> None:
    hrefs = {
        html.unescape(href)
        for end in range(1, len(text) + 1)
        for href in re.findall(r'href="([^"]*)"', blocks.snapshot(text[:end]).tail + blocks.snapshot(text[:end]).frozen)
    }

    assert hrefs == {ADDRESSES[text]}
    assert html.escape(ADDRESSES[text]) in render(text)


@given(texts.filter(lambda text: not re.search(r"\]\(|\[\^|\[x|```|~~~|\$|\\[(\[]", text, re.IGNORECASE)))
def test_mending_drops_words_only_from_targets_languages_and_formulas(text: str) -> None:
    assert re.findall(r"[^\W\d_]+", mend(text)) == re.findall(r"[^\W\d_]+", text)


def test_mending_does_not_change_complete_markdown() -> None:
    for text in ["a **b** `c` [d](http://e.example) e", "- [x] done", "# head", "| a |\n|---|\n| b |"]:
        assert mend(text) == text


@given(texts)
def test_the_first_characters_lead_to_every_token(text: str) -> None:
    found, at = [], 0
    while token := _next_token(text, at):
        found.append(token.span())
        at = token.end()

    assert found == [token.span() for token in _INLINE.finditer(text)]


@given(texts, st.integers(0, 50))
@example("a\n- b", 2)
@example("a\n- b", 3)
def test_the_start_of_a_block_is_the_end_of_its_last_marker(text: str, first: int) -> None:
    first = min(first, len(text))
    ends = [marker.end() for marker in _INLINE_START.finditer(text, first)]

    assert _start_of_block(text, first) == (ends[-1] if ends else first)
