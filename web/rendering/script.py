"""The script of the chat page: all script files in one, for a single request and better compression."""

from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"
NAME = "app.js"
# page.js registers an extension before hx-sse adds its own
OWN = ("stream", "composer", "reading", "announcer", "chats", "panel", "keys")
FILES = ("htmx.min.js", "page.js", "hx-sse.min.js", *(f"{name}.js" for name in OWN))


@cache
def content() -> bytes:
    return b'"use strict";\n' + b"\n".join((STATIC / name).read_bytes() for name in FILES)
