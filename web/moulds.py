"""The events of a running answer are alike: their template is rendered once for each kind of change, and then filled in."""

import re
from typing import NamedTuple

from sse_starlette import ServerSentEvent

SLOT = "\x1a"  # no text has it: SUBSTITUTE, a control character

_LINE_END = re.compile(r"\r\n|\r|\n")


class Change(NamedTuple):
    """How a step changes the content of a message."""

    mode: str  # "add" to what is open, "step": blocks before a new tail, "reset": blocks and a tail in place of everything
    new: str  # escaped text to add, or HTML of blocks
    tail: str = ""
    path: str = ""  # of what "add" adds to, from the tail

    def blank(self) -> "Change":
        """The same with slots for what is different in the next event of this kind."""
        return self._replace(new=SLOT if self.new or self.mode != "add" else "", tail=SLOT)


class Mould:
    """An event but for its id and the parts that are filled in, in the order of their slots."""

    def __init__(self, html: str) -> None:
        self._pieces = ServerSentEvent(data=html, id=SLOT, sep="\n").encode().decode().split(SLOT)

    def fill(self, *parts: str) -> bytes:
        filled = self._pieces[0]
        for part, piece in zip(parts, self._pieces[1:], strict=False):
            filled += (_LINE_END.sub("\ndata: ", part) if "\n" in part or "\r" in part else part) + piece
        return filled.encode()
