"""The text rule: what a string may hold before it is stored, shown or sent to a model."""

import re

REPLACEMENT = "\ufffd"
_UNFIT = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """NUL and lone surrogates, which neither PostgreSQL nor UTF-8 can hold, become U+FFFD. All else stays as it is."""
    return text if text.isascii() and "\0" not in text else _UNFIT.sub(REPLACEMENT, text)


def is_blank(text: str) -> bool:
    """Nothing a person could see: white space, zero-width and other format characters only."""
    return not any(character.isprintable() and not character.isspace() and character not in _INVISIBLE for character in text)


_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # printable by their category, blank by their looks
