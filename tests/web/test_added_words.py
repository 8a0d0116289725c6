"""Plain words are appended to the open line of an answer; text that may be markup is rendered."""

import pytest

from tests.web.block_viewer import Viewer
from web.rendering import blocks, positions


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
    before, after = positions.position(text), positions.position(text + word)
    line = blocks.snapshot(text).line

    assert line
    assert line.path == "".join(f" > {tag}:last-child" for tag in path)
    assert blocks.added_words(text + word, line, before, after) == word


def test_a_long_line_that_does_not_end_in_a_plain_word_is_recognized_quickly() -> None:
    text = "w" + " word" * 10_000
    line, before = blocks.snapshot("w").line, positions.position("w")

    assert line
    assert blocks.added_words(text + "*", line, before, positions.position(text + "*")) is None
    assert blocks.added_words(text + " www", line, before, positions.position(text + " www")) is None
    assert blocks.added_words(text, line, before, positions.position(text)) == text[1:]


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
        or blocks.added_words(text + more, line, positions.position(text), positions.position(text + more)) is None
    )


def test_only_words_next_to_markup_are_rendered() -> None:
    viewer, text = Viewer(), ""
    for word in ("word *and* `code` and so on, " * 50).split(" "):
        text += f"{word} "
        viewer.see(text)

    assert viewer.word_steps == 3 * 50
