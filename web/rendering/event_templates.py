"""The events of running answers are alike: their template is rendered once for each kind of change, and then filled in."""

import re
from collections.abc import Callable
from typing import NamedTuple

from sse_starlette import ServerSentEvent

SLOT, MESSAGE = "\x1a", "\x1b"  # stand for a part and for the message's id; in a mould there is no other text than the template's
MOST = 200

_LINE_END = re.compile(r"\r\n|\r|\n")


class Change(NamedTuple):
    """How a step changes the content of a message."""

    mode: str  # "add" to what is open, "step": blocks before a new tail, "reset": blocks and a tail in place of everything
    new: str  # escaped text to add, or HTML of blocks
    tail: str = ""
    path: str = ""  # of what "add" adds to, from the tail

    def blank(self) -> "Change":
        """The same with slots for what is different in the next event of this kind."""
        return Change(self.mode, SLOT if self.new or self.mode != "add" else "", SLOT, self.path)


class Mould:
    """An event but for its id, the message's id, and the parts that are filled in, in the order of their slots."""

    def __init__(self, html: str) -> None:
        event = ServerSentEvent(data=html, id=SLOT, sep="\n").encode().decode()
        first, *others = event.replace("{", "{{").replace("}", "}}").replace(MESSAGE, "{0}").split(SLOT)
        self._format = first + "".join(f"{{{number}}}{piece}" for number, piece in enumerate(others, 1))

    def fill(self, message_id: str, *parts: str) -> bytes:
        lines = [_LINE_END.sub("\ndata: ", part) if "\n" in part or "\r" in part else part for part in parts]
        return self._format.format(message_id, *lines).encode()


class Moulds:
    """Of all answers, each made with the first event of its kind. How deep lists are nested is the model's to say, so not all are kept."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, bool, str], Mould] = {}

    def get(self, change: Change, make: Callable[[Change], str]) -> Mould:
        """The mould of this kind of change, made of the HTML of one with slots."""
        kind = change.mode, not change.new, change.path
        if kind not in self._made:
            if len(self._made) >= MOST:
                self._made.clear()
            self._made[kind] = Mould(make(change.blank()))
        return self._made[kind]
