"""The style sheet of all pages, without comments and the spaces that browsers do not need."""

import re
from functools import cache

from web.rendering.script import STATIC

NAME = "app.css"

_COMMENT = re.compile(rb"/\*.*?\*/", re.DOTALL)
_SPACE = re.compile(rb"(?<=[{};:,])\s+|\s+(?=[{}])|^\s+|\s+\Z")  # a colon before a space is never part of a selector


@cache
def content() -> bytes:
    return minified((STATIC / NAME).read_bytes())


def minified(sheet: bytes) -> bytes:
    """Strings in the sheet must not contain a colon, semicolon or comma before a space, nor braces or comments."""
    return _SPACE.sub(b"", _COMMENT.sub(b"", sheet))
