"""Rules for text that is stored, shown or sent to a model."""

import re

REPLACEMENT = "\ufffd"
_INVALID = re.compile("[\x00\ud800-\udfff]")
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # printable by their Unicode category, but rendered blank


def clean(text: str) -> str:
    """Replace NUL and lone surrogates, which PostgreSQL and UTF-8 cannot store, with U+FFFD."""
    return text if text.isascii() and "\0" not in text else _INVALID.sub(REPLACEMENT, text)


def is_blank(text: str) -> bool:
    """Return whether the text has no visible character, only white space and format characters."""
    return not any(_is_visible(character) for character in text)


def _is_visible(character: str) -> bool:
    return character.isprintable() and not character.isspace() and character not in _INVISIBLE
