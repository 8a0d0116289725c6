"""A viewer who follows an answer ends up with the same page as one who reloads, however the text arrives in chunks."""

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comrak
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.block_viewer import PREFIX, Viewer, prefixes
from web.rendering import blocks
from web.rendering.markdown import render
from web.rendering.markdown.mend import mend
from web.rendering.markdown.rendering import plain
from web.rendering.patches import Patch

CORPUS = {path.stem: path.read_bytes().decode() for path in sorted((Path(__file__).parent / "corpus").glob("*.md"))}
CORPUS |= {
    "long": CORPUS["answer"] * 70,
    "long-fence": "```py\n" + "x = [1, 2]  # <code>\n" * 5000 + "```\n\nend\n",
    "long-paragraph": "word *and* `code` " * 4000,
    "long-table": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 1000 + "\nend\n",
    "too-long": "a paragraph\n\n" * 30_000,
    "too-deep": "fine\n\n" + ">" * 200 + "a\n\nfine\n",
    "too-wide": "fine\n\n" + "|a" * 99 + "|\n" + "|-" * 99 + "|\n\nfine\n",
    "too-ragged": "fine\n\n" + "|a" * 40 + "|\n" + "|-" * 40 + "|\n" + "x\n" * 99 + "\nfine\n",
    "ragged-in-fence": "fine\n\n```\n" + "|-" * 40 + "|\n" + "x\n" * 99 + "```\nfine\n\nfine\n",
}
SHORT = [name for name, text in CORPUS.items() if len(text) < 2500]
PIECES = re.findall(r"\w+|[ \t]+|\n+|\r\n?|[^\w\s]+", "".join(CORPUS[name] for name in SHORT))
PIECES += [
    "```",
    "\n```\n",
    "```py\n",
    "~~~",
    "\n\n",
    "\n",
    "- ",
    "[a]: /x\n",
    "\n\n[^1]: x\n",
    "|a|b|\n|-|-|\n",
    "    ",
    "<!--",
    "\r\n",
    "\r",
]
texts = st.lists(st.sampled_from(PIECES), max_size=50).map("".join)


def boundary(text: str, start: int = 0) -> int:
    """The boundary in `text`, if parsing starts at `start` without any other state."""
    return blocks.position(text, blocks.TextPosition(start, start, start)).boundary


def check(text: str, sizes: list[int]) -> None:
    viewer, last_boundary = Viewer(), 0
    for prefix in prefixes(text, sizes):
        viewer.see(prefix)
        assert viewer.at == blocks.position(prefix)
        assert last_boundary <= viewer.at.boundary <= len(prefix)
        last_boundary = viewer.at.boundary
        if viewer.at.open_code_fence or viewer.line:
            assert viewer.tail == blocks.snapshot(prefix, PREFIX).tail
    assert viewer.finish(text) == render(text, PREFIX)


@pytest.mark.parametrize("sizes", [[1], [3, 7, 2], [40]])
@pytest.mark.parametrize("name", SHORT)
def test_streaming_the_corpus_ends_like_a_reload(name: str, sizes: list[int]) -> None:
    check(CORPUS[name], sizes)


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in SHORT])
def test_streaming_a_long_answer_ends_like_a_reload(name: str) -> None:
    check(CORPUS[name], [3001, 7919] if len(CORPUS[name]) < 200_000 else [60_001])


@given(texts, st.lists(st.integers(1, 15), min_size=1, max_size=5))
def test_streaming_any_text_ends_like_a_reload(text: str, sizes: list[int]) -> None:
    check(text, sizes)


@given(texts, st.data())
def test_the_boundary_does_not_depend_on_what_was_seen_before(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))

    assert boundary(text) == boundary(text, boundary(text[:cut]))
    assert blocks.position(text) == blocks.position(text, blocks.position(text[:cut]))


@given(texts, st.data())
def test_a_page_loaded_during_an_answer_ends_like_a_reload(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    viewer = Viewer()

    viewer.frozen, viewer.tail, *_ = blocks.snapshot(text[:cut], PREFIX)
    viewer.at = blocks.position(text[:cut])
    viewer.see(text)

    assert viewer.finish(text) == render(text, PREFIX)


@pytest.mark.parametrize(
    "name", ["answer", "lists-mixed", "fence-adjacent", "setext", "quotes", "unicode", "html", "diff", "long"]
)
def test_an_ordinary_answer_is_not_replaced_at_the_end(name: str) -> None:
    assert not blocks.end(CORPUS[name], blocks.START).whole


@pytest.mark.parametrize("name", ["references", "footnotes", "too-long", "too-deep", "too-wide", "too-ragged"])
def test_an_answer_whose_parts_differ_from_the_whole_is_replaced_at_the_end(name: str) -> None:
    assert blocks.end(CORPUS[name], blocks.START).whole


def test_finished_blocks_are_sent_once() -> None:
    text = CORPUS["answer"]
    viewer = Viewer()
    sent = ""
    for prefix in prefixes(text, [5]):
        before = viewer.frozen
        viewer.see(prefix)
        assert viewer.frozen.startswith(before)
        sent += viewer.frozen[len(before) :]

    assert sent == viewer.frozen
    assert "<table " in sent
    assert viewer.tail.startswith("<p>Would you")


@pytest.mark.parametrize("name", ["too-wide", "too-ragged"])
def test_nothing_is_parsed_beyond_a_table_out_of_proportion(name: str) -> None:
    assert boundary(CORPUS[name] + "more\n\n" * 9) == CORPUS[name].index("|")


@pytest.mark.parametrize("name", ["answer", "lists-mixed", "table-no-outer-pipes", "math", "quotes"])
def test_parsing_cost_grows_linearly_with_the_answer(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    parsed = 0

    def counted(parse: Callable[..., str]) -> Callable[..., str]:
        def count(text: str, *options: Any) -> str:
            nonlocal parsed
            parsed += len(text)
            return parse(text, *options)

        return count

    for parse in ("markdown_to_html", "markdown_to_xml"):
        monkeypatch.setattr(comrak, parse, counted(getattr(comrak, parse)))
    per_character = []
    for characters in (2_000, 8_000, 32_000):
        text = f"{CORPUS[name]}\n\nAnd so on.\n\n" * (characters // len(CORPUS[name]))
        viewer, parsed = Viewer(), 0
        for prefix in prefixes(text, [3, 4, 5]):
            viewer.see(prefix)
        viewer.finish(text)
        per_character.append(parsed / len(text))

    assert per_character[-1] < 1.2 * per_character[0]


def test_an_open_code_fence_receives_only_its_new_text() -> None:
    code = "if a < b:\n    pass\n" * 3000
    text = "Look:\n```py\n" + code
    before = blocks.position(text[:-4])
    step = blocks.step(text, before, blocks.position(text, before))

    assert step == ("", "", Patch(False, "ass\n", " code"), None)


@pytest.mark.parametrize(
    ("text", "word", "path"),
    [
        ("A line", " more", ("p",)),
        ("A **bold**, first line\nand", " more", ("p",)),
        ("It is **very", " bold", ("p", "strong")),
        ("Use `x", " = 1", ("p", "code")),
        ("- one\n- two", ", or so.", ("ul", "li")),
        ("1. one\n   - deep", "er", ("ol", "li", "ul", "li")),
        ("> quoted", " words", ("blockquote", "p")),
        ("## Title", " of it", ("h2",)),
        ("| a | b |\n|---|---|\n| c | d", " e", ("table", "tbody", "tr", "td")),
        ("日本", "語です。", ("p",)),
    ],
)
def test_plain_words_are_appended_to_their_line(text: str, word: str, path: tuple[str, ...]) -> None:
    before, after = blocks.position(text), blocks.position(text + word)
    line = blocks.snapshot(text).line

    assert line
    assert line.path == "".join(f" > {tag}:last-child" for tag in path)
    assert blocks.added_words(text + word, line, before, after) == word


def test_a_long_line_that_does_not_end_in_a_plain_word_is_recognized_quickly() -> None:
    text = "w" + " word" * 10_000
    line, before = blocks.snapshot("w").line, blocks.position("w")

    assert line
    assert blocks.added_words(text + "*", line, before, blocks.position(text + "*")) is None
    assert blocks.added_words(text + " www", line, before, blocks.position(text + " www")) is None
    assert blocks.added_words(text, line, before, blocks.position(text)) == text[1:]


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("A line", " *more"),
        ("A line", "\nmore"),
        ("A line", "_more"),
        ("A line &am", "p;"),
        ("See ww", "w.example.org"),
        ("See http:", "//example.org"),
        ("See [it](https://example.org", ' "title")'),
        ("12", ". more"),
        ("Title\n-", "-"),
        ("    code", " more"),
        ("a note[^1]\n\n[^1]: it", " says"),
        ("[a]: b", " c"),
        ("| a | b |\n|---|---|\n| c", " d"),
    ],
)
def test_text_that_may_be_markup_is_not_appended(text: str, more: str) -> None:
    line = blocks.snapshot(text).line

    assert (
        line is None
        or blocks.added_words(text + more, line, blocks.position(text), blocks.position(text + more)) is None
    )


def test_only_words_next_to_markup_are_rendered() -> None:
    viewer, text = Viewer(), ""
    for word in ("word *and* `code` and so on, " * 50).split(" "):
        text += f"{word} "
        viewer.see(text)

    assert viewer.word_steps == 3 * 50


@pytest.mark.parametrize("ending", ["`", "``", "```", "``` ", "  ```", "````"])
def test_a_line_that_may_close_a_code_fence_is_held_back(ending: str) -> None:
    text = f"```py\nx\n{ending}"

    assert blocks.snapshot(text).tail == '<pre tabindex="0"><code class="language-py">x\n<span></span></code></pre>\n'
    if "```" in ending:
        assert blocks.position(text + "\n").boundary == len(text) + 1
    assert blocks.snapshot(text + "x").tail.count("`") == ending.count("`")


def test_a_closed_code_fence_is_frozen_at_once() -> None:
    frozen, tail, patch, _ = blocks.snapshot("```py\nreturn 1\n```\n")

    assert "tok-k" in frozen
    assert (tail, patch) == ("", None)


# Half-typed Markdown


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


def test_a_tail_beyond_the_limits_is_plain_text() -> None:
    text = ">" * 500 + "a"

    assert blocks.snapshot(text).tail == plain(text)
