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
        self._pieces = ServerSentEvent(data=html, id=SLOT, sep="\n").encode().decode().split(SLOT)

    def fill(self, message_id: str, *parts: str) -> bytes:
        first, *others = (piece.replace(MESSAGE, message_id) for piece in self._pieces)
        filled = [first]
        for part, piece in zip(parts, others, strict=False):
            filled += (_LINE_END.sub("\ndata: ", part) if "\n" in part or "\r" in part else part), piece
        return "".join(filled).encode()


class Moulds:
    """Of all answers, each made with the first event of its kind. How deep lists are nested is the model's to say, so not all are kept."""

    def __init__(self) -> None:
        self._made: dict[Change, Mould] = {}

    def get(self, kind: Change, make: Callable[[], str]) -> Mould:
        if kind not in self._made:
            if len(self._made) >= MOST:
                self._made.clear()
            self._made[kind] = Mould(make())
        return self._made[kind]
