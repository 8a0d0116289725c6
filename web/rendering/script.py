"""The script of the chat page: all script files in one, for a single request and better compression."""

import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"
NAME = "app.js"
# page.js registers an extension before hx-sse adds its own
OWN = ("stream", "composer", "reading", "announcer", "chats", "panel", "keys", "search")
FILES = ("htmx.min.js", "page.js", "hx-sse.min.js", *(f"{name}.js" for name in OWN))

_COMMENT_OR_INDENTATION = re.compile(rb"^ +(?://.*\n)?|^//.*\n| // .*$", re.MULTILINE)


@cache
def content() -> bytes:
    return b'"use strict";\n' + b"\n".join(map(_file, FILES))


def _file(name: str) -> bytes:
    """A vendored file as it is; ours without comments and indentation, which browsers do not need.

    In our scripts, a comment is all that follows two slashes between spaces.
    """
    text = (STATIC / name).read_bytes()
    return text if name.endswith(".min.js") else _COMMENT_OR_INDENTATION.sub(b"", text)
