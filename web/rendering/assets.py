"""The style sheet and the scripts as browsers load them: without comments and indentation, the style sheet also without
other spaces that mean nothing. Most scripts are in one file, for a single request and better compression. Pages load
the others only if they need them.
"""

import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"
# page.js registers an extension before hx-sse adds its own
OWN = ("stream", "composer", "reading", "announcer", "chats", "panel", "keys")
FILES = {
    "app.css": ("app.css",),
    **{name: (name,) for name in ("search.js", "temporary.js")},
    "app.js": ("htmx.min.js", "page.js", "hx-sse.min.js", *(f"{name}.js" for name in OWN)),
}
MEDIA_TYPES = {name: "text/css" if name.endswith(".css") else "text/javascript" for name in FILES}
_COMMENT = re.compile(rb"(?:^|\s)// .*|/\*.*?\*/")
# In a style sheet. A colon before a space is never part of a selector.
_SPACE = re.compile(rb"(?<=[{};:,])\s+|\s+(?=[{}])")


@cache
def content(name: str) -> bytes:
    """What a browser gets for this name."""
    if name not in FILES:
        return (STATIC / name).read_bytes()
    beginning = b'"use strict";\n' if name.endswith(".js") else b""
    return beginning + b"\n".join(map(_file, FILES[name]))


def _file(name: str) -> bytes:
    """A vendored file as it is. In ours, all that is left out is outside of strings."""
    text = (STATIC / name).read_bytes()
    if ".min." in name:
        return text
    lines = b"\n".join(filter(None, (_COMMENT.sub(b"", line).strip() for line in text.splitlines())))
    return _SPACE.sub(b"", lines) if name.endswith(".css") else lines
