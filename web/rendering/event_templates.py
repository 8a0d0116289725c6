"""Events of running answers, cached as templates: each kind of change is rendered once, then only filled in."""

import re
from collections.abc import Callable
from typing import NamedTuple

from sse_starlette import ServerSentEvent

# They stand for a changing part and for the message's id. When they are looked for, the event holds no text except that
# of the Jinja template, so neither occurs in it by accident.
PLACEHOLDER, MESSAGE_ID = "\x1a", "\x1b"
MAX_TEMPLATES = 200

_LINE_END = re.compile(r"\r\n|\r|\n")


class Change(NamedTuple):
    """How a step changes the content of a message."""

    # "add" appends to an open element, and "replace" replaces it. "step" inserts blocks before a new tail, and "reset"
    # replaces everything by both.
    mode: str
    new: str  # HTML
    tail: str = ""
    path: str = ""  # CSS, from the tail to the element that "add" and "replace" change

    def blank(self) -> "Change":
        """The same change with placeholders for the parts that differ from event to event."""
        has_new = self.new or self.mode in ("step", "reset")
        return Change(self.mode, PLACEHOLDER if has_new else "", PLACEHOLDER, self.path)


class EventTemplate:
    """A server-sent event in which only the event's id, the message's id and the changing parts are missing."""

    def __init__(self, html: str) -> None:
        event = ServerSentEvent(data=html, id=PLACEHOLDER, sep="\n").encode().decode()
        first, *others = event.replace("{", "{{").replace("}", "}}").replace(MESSAGE_ID, "{0}").split(PLACEHOLDER)
        self._format = first + "".join(f"{{{number}}}{text}" for number, text in enumerate(others, 1))

    def render(self, message_id: str, *parts: str) -> bytes:
        """The parts in the order of their placeholders; the first one is the event's id."""
        lines = [_LINE_END.sub("\ndata: ", part) if "\n" in part or "\r" in part else part for part in parts]
        return self._format.format(message_id, *lines).encode()


class EventTemplates:
    """Shared by all answers and built on first use. The model chooses how deep lists nest, so the cache is bounded."""

    def __init__(self) -> None:
        self._templates: dict[tuple[str, bool, str], EventTemplate] = {}

    def get(self, change: Change, render_html: Callable[[Change], str]) -> EventTemplate:
        """The template of this kind of change. `render_html` renders a change that holds placeholders."""
        kind = change.mode, not change.new, change.path
        template = self._templates.get(kind)
        if template is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            template = self._templates[kind] = EventTemplate(render_html(change.blank()))
        return template
