"""The style sheet and the scripts as browsers load them: without comments, indentation, and most spaces and line breaks
that mean nothing. Most scripts are in one file, for a single request and better compression. Pages load
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

# In a script, around operators and punctuation. A string or a template is within one line.
_STRING = re.compile(rb'("(?:[^"\\]|\\.)*"|`[^`]*`)')
_AROUND = re.compile(rb" *(===|!==|=>|&&|\|\||\?\?=?|[={}();,:?]|[<>]=?) *")
_LINE_BREAK = re.compile(rb"(?<=[;{,])\n")


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
    lines = filter(None, (_COMMENT.sub(b"", line).strip() for line in text.splitlines()))
    if name.endswith(".css"):
        return _SPACE.sub(b"", b"\n".join(lines))
    return _LINE_BREAK.sub(b"", b"\n".join(map(_tight, lines)))


def _tight(line: bytes) -> bytes:
    """A line of a script. One that may contain a regular expression stays as it is."""
    parts = _STRING.split(line)  # code, string, code, ...
    if any(character in code for code in parts[::2] for character in (b"'", b"`", b"/")):
        return line
    return b"".join(part if number % 2 else _AROUND.sub(rb"\1", part) for number, part in enumerate(parts))
