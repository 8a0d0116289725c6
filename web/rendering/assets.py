"""The style sheet and the script as browsers load them: without comments, and all script files in one, for a single
request and better compression."""

import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"
# page.js registers an extension before hx-sse adds its own
OWN = ("stream", "composer", "reading", "announcer", "chats", "temporary", "panel", "keys", "search")
FILES = {
    "app.css": ("app.css",),
    "app.js": ("htmx.min.js", "page.js", "hx-sse.min.js", *(f"{name}.js" for name in OWN)),
}
MEDIA_TYPES = {"app.css": "text/css", "app.js": "text/javascript"}
_COMMENT = re.compile(rb"(?:^|\s)// .*|/\*.*?\*/")


@cache
def content(name: str) -> bytes:
    """What a browser gets for this name."""
    if name not in FILES:
        return (STATIC / name).read_bytes()
    beginning = b'"use strict";\n' if name.endswith(".js") else b""
    return beginning + b"\n".join(map(_file, FILES[name]))


def _file(name: str) -> bytes:
    """A vendored file as it is; ours without comments and indentation. Both are outside of strings there."""
    text = (STATIC / name).read_bytes()
    if ".min." in name:
        return text
    return b"\n".join(filter(None, (_COMMENT.sub(b"", line).strip() for line in text.splitlines())))
