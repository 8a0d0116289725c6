"""A viewer who follows an answer ends up with the same page as one who reloads, however the text arrives in chunks."""

from collections.abc import Callable
from typing import Any

import comrak
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.block_viewer import PREFIX, Viewer, prefixes
from tests.web.markdown_texts import CORPUS, SHORT, texts
from web.rendering import blocks, positions
from web.rendering.markdown import render
from web.rendering.markdown.rendering import plain
from web.rendering.patches import Patch


def boundary(text: str, start: int = 0) -> int:
    """The boundary in `text`, if parsing starts at `start` without any other state."""
    return positions.position(text, positions.TextPosition(start, start, start)).boundary


def check(text: str, sizes: list[int]) -> None:
    viewer, last_boundary = Viewer(), 0
    for prefix in prefixes(text, sizes):
        viewer.see(prefix)
        assert viewer.at == positions.position(prefix)
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
    assert positions.position(text) == positions.position(text, positions.position(text[:cut]))


@given(texts, st.data())
def test_a_page_loaded_during_an_answer_ends_like_a_reload(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    viewer = Viewer()

    viewer.frozen, viewer.tail, *_ = blocks.snapshot(text[:cut], PREFIX)
    viewer.at = positions.position(text[:cut])
    viewer.see(text)

    assert viewer.finish(text) == render(text, PREFIX)


@pytest.mark.parametrize(
    "name", ["answer", "lists-mixed", "fence-adjacent", "setext", "quotes", "unicode", "html", "diff", "long"]
)
def test_an_ordinary_answer_is_not_replaced_at_the_end(name: str) -> None:
    assert not blocks.end(CORPUS[name], positions.START).whole


@pytest.mark.parametrize("name", ["references", "footnotes", "too-long", "too-deep", "too-wide", "too-ragged"])
def test_an_answer_whose_parts_differ_from_the_whole_is_replaced_at_the_end(name: str) -> None:
    assert blocks.end(CORPUS[name], positions.START).whole


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
    before = positions.position(text[:-4])
    step = blocks.step(text, before, positions.position(text, before))

    assert step == ("", "", Patch(False, "ass\n", " code"), None)


@pytest.mark.parametrize("ending", ["`", "``", "```", "``` ", "  ```", "````"])
def test_a_line_that_may_close_a_code_fence_is_held_back(ending: str) -> None:
    text = f"```py\nx\n{ending}"

    assert blocks.snapshot(text).tail == '<pre tabindex="0"><code class="language-py">x\n<span></span></code></pre>\n'
    if "```" in ending:
        assert positions.position(text + "\n").boundary == len(text) + 1
    assert blocks.snapshot(text + "x").tail.count("`") == ending.count("`")


def test_a_closed_code_fence_is_frozen_at_once() -> None:
    frozen, tail, patch, _ = blocks.snapshot("```py\nreturn 1\n```\n")

    assert "tok-k" in frozen
    assert (tail, patch) == ("", None)


def test_a_tail_beyond_the_limits_is_plain_text() -> None:
    text = ">" * 500 + "a"

    assert blocks.snapshot(text).tail == plain(text)
