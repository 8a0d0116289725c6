"""Cleaning text and recognizing blank text."""

import pytest

from kit.text import clean, is_blank


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\0b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("x\udfffy", "x\ufffdy"),
        ("\ud83d\ude42", "\ufffd\ufffd"),
        ("🙂", "🙂"),
        ("e\u0301 é \u2028\r\n\x0b\ufeff\ufdd0\U0010ffff", "e\u0301 é \u2028\r\n\x0b\ufeff\ufdd0\U0010ffff"),
        ("", ""),
    ],
)
def test_only_characters_that_cannot_be_stored_are_replaced(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    clean(text).encode()


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t\r\x0b", "\u200b", "\u200d\ufeff\u2060", "\u00ad\u00a0\u3000", "\u2800\u3164", "\0"]
)
def test_text_without_a_visible_character_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", [".", " x ", "🙂", "東", "\ufffd", "\u200bx", "­-"])
def test_text_with_a_visible_character_is_not_blank(text: str) -> None:
    assert not is_blank(text)
