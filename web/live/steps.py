"""Steps: the moments at which viewers of a live answer receive what is new.

Tokens arrive faster than a page needs them, so an answer collects text and makes one step for all its viewers.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from web.contract import FINAL, Status
from web.rendering.positions import TextPosition

MIN_STEP_SECONDS, MAX_STEP_SECONDS = 0.033, 0.150
CHARACTERS_PER_SECOND = 250_000  # of the open block, which each step renders again; a large one makes steps rarer
PAUSE_PER_COST = 4  # an answer whose steps are expensive uses at most a fifth of the process ...
MAX_PAUSE_SECONDS = 2.0  # ... but its viewers do not wait longer than this
CHEAP_SECONDS = 0.002  # of a step
PAGE_STEP_SECONDS = 0.2  # of growing pages
MAX_REPETITIONS = 8  # of the text in a growing page
FREE_REPETITIONS = 2_000  # characters on top of that, so that short answers grow smoothly


class Snapshot(NamedTuple):
    """A live answer as viewers see it between two steps. Equal snapshots look equal."""

    seq: int
    fencing_token: int
    position: TextPosition
    reasoning_length: int
    epoch: int  # a snapshot of a later epoch replaces everything that was shown before
    status: Status | None  # None if only the text is known
    queue_position: int | None
    notice: str

    @property
    def cursor(self) -> str:
        """The id of the event that leads to this snapshot."""
        return f"{self.seq}.{self.fencing_token}"

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def progress(self) -> str:
        """The text below an unfinished answer."""
        if self.status != "queued":
            return self.notice
        if self.queue_position:
            return f"Waiting for the model: number {self.queue_position} in line."
        return "Waiting for its turn …"

    def differs_only_in_content(self, other: "Snapshot") -> bool:
        return self[3:] == other[3:]

    def is_behind(self, seen: "Snapshot | None") -> bool:
        """Whether a viewer has seen more of the same text. Such a snapshot would remove text without a reset."""
        return seen is not None and seen.epoch == self.epoch and seen.seq > self.seq


class PageSteps:
    """The newest step of all growing pages of an answer.

    Every step repeats the open block, and the page keeps them all. So a large block is repeated less often: all the
    repetitions together are at most MAX_REPETITIONS times as long as the text, and code with colours up to twice that.
    """

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.tail = ""  # HTML of its open block
        self.parts: dict[Snapshot | None, str] = {}  # steps to it, by the snapshot seen before
        self._shown_at = 0.0
        self._size = self._repeated = 0  # characters: of the tail, and of all tails

    def is_due(self, newest: Snapshot) -> bool:
        shown = self.snapshot
        if shown is None or newest.is_final or newest.epoch != shown.epoch:
            return newest != shown
        if time.monotonic() < self._shown_at + PAGE_STEP_SECONDS:
            return False
        is_small = self._repeated + self._size <= MAX_REPETITIONS * newest.position.length + FREE_REPETITIONS
        return newest != shown and is_small

    def show(self, snapshot: Snapshot, tail: str) -> None:
        self.snapshot, self.tail = snapshot, tail
        self.parts.clear()
        self._shown_at = time.monotonic()
        self._size = _counted_size(snapshot.position, tail)
        self._repeated += self._size


def _counted_size(at: TextPosition, tail: str) -> int:
    """Characters of the tail. Of code with colours, half: it is about twice as long, also in the finished answer."""
    return max(len(tail) // 2, at.length - at.boundary) if at.lexer else len(tail)


class StepTimer:
    """Makes a step at once after a pause, else when the pause is over.

    It keeps no reference to its answer, unless a step is due. Otherwise only the garbage collector would free answers.
    """

    def __init__(self) -> None:
        self._last_at = self._cost = 0.0  # seconds of the last step
        self._handle: asyncio.TimerHandle | None = None

    def plan(self, make_step: Callable[[], None], open_characters: int, is_urgent: bool) -> None:
        """`open_characters` is the size of the text to render. An urgent step does not wait."""
        if self._handle and not is_urgent:
            return
        pause = min(max(MIN_STEP_SECONDS, open_characters / CHARACTERS_PER_SECOND), MAX_STEP_SECONDS)
        pause = max(pause, min(self._cost * PAUSE_PER_COST, MAX_PAUSE_SECONDS))
        delay = self._last_at + pause - time.monotonic()
        if delay <= 0 or is_urgent:
            self._step(make_step)
        else:
            self._handle = asyncio.get_running_loop().call_later(delay, self._step, make_step)

    def stepped(self) -> None:
        self._last_at = time.monotonic()

    def _step(self, make_step: Callable[[], None]) -> None:
        if self._handle:
            self._handle.cancel()
            self._handle = None
        # Only CPU time counts, but asking for it is a system call, which costs as much as a small step.
        clock = time.thread_time if self._cost > CHEAP_SECONDS else time.monotonic
        started_at = clock()
        make_step()
        self._cost = clock() - started_at


class Subscriber:
    """Receives every step until its connection is slow, the answer ends, or the process shuts down.

    The answer calls it directly, so an error here must not reach the answer.
    """

    def __init__(self, seen: Snapshot, write: Callable[[bytes], bool]) -> None:
        self.seen, self._write = seen, write
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def deliver(self, snapshot: Snapshot, render: Callable[[Snapshot], bytes]) -> None:
        """Writes the step from the snapshot seen last to this one."""
        if self.done.done() or snapshot.is_behind(self.seen):
            return
        try:
            if not snapshot.is_final and self._write(render(self.seen)):
                self.seen = snapshot
            else:
                self.end()
        except Exception as error:
            self.done.set_exception(error)

    def end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
