"""A model of the log: its rules in a few lines of Python that are easy to verify."""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

CONTENT, REASONING, RESTART = 0, 1, 2
FINAL = ("complete", "stopped", "failed")


class Chunk(NamedTuple):
    seq: int
    fence: int
    kind: int
    text: str


@dataclass(eq=False)
class Generation:
    id: UUID
    session: UUID
    chat: UUID
    status: str = "queued"
    fence: int = 0
    owner: str | None = None
    lease_expired: bool = False
    chunks: list[Chunk] = field(default_factory=list)
    key: str | None = None
    offset: int = 0
    attempts: int = 0
    claim_seq: int = 0
    stop_requested: bool = False
    error: str | None = None
    final_rows: tuple[str, str] | None = None  # its rows when they were first read after the end

    @property
    def last_seq(self) -> int:
        return len(self.chunks)

    def accepts(self, fence: int, seq: int | None) -> bool:
        return self.status == "streaming" and self.fence == fence and (seq is None or seq == self.last_seq + 1)

    def append(self, fence: int, seq: int | None, kind: int, text: str, offset: int | None) -> bool:
        """A seq of None only renews the lease."""
        if not self.accepts(fence, seq):
            return False
        self.lease_expired = False
        self.offset = self.offset if offset is None else offset
        if seq is not None:
            self.chunks.append(Chunk(seq, fence, kind, text))
        return True

    def claim(self, writer: str) -> None:
        self.attempts = 1 if self.last_seq > self.claim_seq else self.attempts + 1
        self.status, self.fence, self.owner, self.lease_expired, self.claim_seq = (
            "streaming",
            self.fence + 1,
            writer,
            False,
            self.last_seq,
        )
        self.key = self.key or f"g-{self.id}-{self.fence}"

    def finish(self, fence: int, seq: int, status: str, error: str | None) -> bool:
        if self.status != "streaming" or self.fence != fence or self.last_seq != seq:
            return False
        self.status, self.error, self.owner, self.lease_expired = status, error, None, False
        return True

    def stop(self) -> None:
        if self.status not in FINAL:
            self.stop_requested = True
            self.status = "stopped" if self.status == "queued" else self.status


def fold(chunks: list[Chunk]) -> tuple[str, str]:
    """Content and reasoning: the text after the last restart."""
    start = max((chunk.seq for chunk in chunks if chunk.kind == RESTART), default=0)
    rest = chunks[start:]
    content, reasoning = ("".join(chunk.text for chunk in rest if chunk.kind == kind) for kind in (CONTENT, REASONING))
    return content, reasoning


def claimable(generations: list[Generation], slots: int) -> list[Generation]:
    """The generations a claim gets: running ones with an expired lease, and queued ones while slots are free.

    `generations` are in the order in which they were created.
    """
    running = [each for each in generations if each.status == "streaming"]
    waiting = [each for each in generations if each.status == "queued"]
    live = running + waiting
    turn = {each: sum(other.session == each.session for other in live[:index]) for index, each in enumerate(live)}
    first_of_chat = [each for index, each in enumerate(live) if all(other.chat != each.chat for other in live[:index])]
    fair = sorted(
        (each for each in waiting if each in first_of_chat), key=lambda each: (turn[each], waiting.index(each))
    )
    return [each for each in running if each.lease_expired] + fair[: max(0, slots - len(running))]
