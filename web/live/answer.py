"""An answer that somebody watches: its text so far, in steps that are rendered once for all viewers of this process."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from web.generation.log_writer import ANEW, CONTENT
from web.rendering import blocks

STEP_SECONDS, LONGEST_STEP_SECONDS = 0.033, 0.150
RENDERED_PER_SECOND = 250_000  # characters of the open block; a large one is rendered less often
FINAL = frozenset(("complete", "stopped", "failed"))


class Frame(NamedTuple):
    """What viewers see from one step to the next. Equal frames look equal."""

    seq: int
    fence: int
    place: blocks.Place
    reasoning: int  # length of it
    epoch: int  # another one: what was shown before is void
    status: str
    queue_place: int | None
    notice: str

    @property
    def cursor(self) -> str:
        return f"{self.seq}.{self.fence}"

    def is_behind(self, seen: "Frame | None") -> bool:
        """Whether a viewer has seen more of the same text. Such a frame is never shown: it would take text away without a reset."""
        return seen is not None and seen.epoch == self.epoch and seen.seq > self.seq

    @property
    def beside_content(self) -> tuple[object, ...]:
        """All that is shown but the content."""
        return self[3:]


class Live:
    def __init__(self, generation_id: str, message: dict[str, Any]) -> None:
        self.id, self.message = generation_id, message
        self.text = self.reasoning = ""
        self.fence = 0
        self.is_loaded = False  # the log was read
        self.is_written_here = False  # by this process, so that it need not be read
        self.viewers = 0
        self.left = False  # this process ends
        self.status = str(message["status"])
        self.queue_place: int | None = None
        self.notice = self.remark = ""  # why there is no text yet; what else happened
        self._marks: list[tuple[int, int, int]] = [(0, 0, 0)]  # after seq: fence, length of text, length of reasoning
        self._epoch = 0
        self._stepped = asyncio.Event()  # set for a moment only: for those who wait just then
        self._stepped_at = 0.0
        self._followers: set[_Follower] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.line: blocks.Line | None = None  # where plain words can be added to what was last rendered
        self._rendered: dict[Frame | None, bytes] = {}  # steps to the newest frame, by where they begin
        self.frame = self._frame(blocks.START)

    @property
    def last_seq(self) -> int:
        return len(self._marks) - 1

    def at(self, seq: int, fence: int) -> Frame | None:
        """What a viewer saw whose last event had this id; None if this log knows no such event."""
        if not 0 <= seq < len(self._marks) or self._marks[seq][0] != fence:
            return None
        _, length, reasoning = self._marks[seq]
        place = blocks.place(self.text[:length])
        return self.frame._replace(seq=seq, fence=fence, place=place, reasoning=reasoning, status="", queue_place=None, notice="")

    # Growing

    def extend(self, seq: int, fence: int, kind: int, text: str) -> bool:
        """Adds the next chunk; returns False if it is not the next one. A pruned log begins later than with 1."""
        is_next = self._add(seq, fence, kind, text)
        if is_next:
            self._plan_step()
        return is_next

    def _add(self, seq: int, fence: int, kind: int, text: str) -> bool:
        if len(self._marks) == 1 and seq > 1 and not self.is_loaded:
            self._marks += [(-1, 0, 0)] * (seq - 1)
        if seq != len(self._marks):
            return False
        if kind == CONTENT:
            self.text += text
        elif kind == ANEW:
            self.text, self.reasoning, self.remark = "", "", text
            self._void_marks()
            self._void()
        else:
            self.reasoning += text
        self.fence = fence
        self._marks.append((fence, len(self.text), len(self.reasoning)))
        return True

    def replace(self, chunks: list[tuple[int, int, int, str]]) -> None:
        """Rebuilds the text from the log as it is now (seq, fence, kind, text). Viewers see the result only, never a part of it."""
        marks, text, reasoning = self._marks, self.text, self.reasoning
        self._marks, self.text, self.reasoning = [(0, 0, 0)], "", ""
        for chunk in chunks:
            self._add(*chunk)
        if self._marks[: len(marks)] != marks or not self.text.startswith(text) or not self.reasoning.startswith(reasoning):
            self._void()
        self._plan_step()

    def set_state(self, status: str, queue_place: int | None, notice: str) -> None:
        if (status, queue_place, notice) != (self.status, self.queue_place, self.notice):
            self.status, self.queue_place, self.notice = status, queue_place, notice
            self._plan_step()

    def finish(self, message: dict[str, Any]) -> None:
        """The stored message is what counts."""
        self.message = message
        if (message["content"], message["reasoning"]) != (self.text, self.reasoning):
            self.text, self.reasoning = message["content"], message["reasoning"]
            self._void_marks()
            self._void()
        self.set_state(message["status"], None, "")

    def _void_marks(self) -> None:
        """The chunks so far are not in the text: no viewer can continue from one of them."""
        self._marks = [(-1, 0, 0)] * len(self._marks)

    def _void(self) -> None:
        """What was shown before is not what the log says."""
        self._epoch += 1
        self.line = None

    # Watching

    async def next_frame(self, seen: Frame | None) -> Frame | None:
        """Waits until the newest frame is another than this one, and not an earlier one: the text may be ahead of its frame.
        None after the answer's end, or when this process ends."""
        while not self.left and (seen is None or seen.status not in FINAL):
            frame = self.frame
            if frame is seen or frame == seen or frame.is_behind(seen):
                await self._stepped.wait()
            else:
                return frame
        return None

    async def follow(self, seen: Frame, take: Callable[[Frame, Frame], bool]) -> Frame:
        """Calls `take` with the frame seen last and the newest, as soon as there is one, without waking a task for it. Returns the last
        one taken: when one was not, or when the answer's last is there, or when this process ends. Raises what `take` raises."""
        follower = _Follower(seen, take)
        self._followers.add(follower)
        try:
            if self.frame is seen and not self.left:
                await follower.gone
        finally:
            self._followers.discard(follower)
        return follower.seen

    async def loaded(self) -> None:
        """Waits until the log was read, or this process ends."""
        while not (self.is_loaded or self.left):
            await self._stepped.wait()

    def set_loaded(self) -> None:
        self.is_loaded = True
        self._wake()

    def leave(self) -> None:
        self.left = True
        for follower in self._followers:
            follower.let_go()
        self._wake()

    def rendered(self, seen: Frame | None, render: Callable[[], bytes]) -> bytes:
        """The step from there to the newest frame, made once for all viewers who go it."""
        event = self._rendered.get(seen)
        if event is None:
            event = self._rendered[seen] = render()
        return event

    def _plan_step(self) -> None:
        """Steps at once after a pause, else when the pause is over. The end and a reset never wait: until the step, `frame` describes
        a text that is not there any more."""
        is_urgent = self.status in FINAL or self._epoch != self.frame.epoch
        if self._timer and is_urgent:
            self._timer.cancel()
        elif self._timer:
            return
        pause = min(max(STEP_SECONDS, (len(self.text) - self.frame.place.boundary) / RENDERED_PER_SECOND), LONGEST_STEP_SECONDS)
        delay = self._stepped_at + pause - time.monotonic()
        if delay <= 0 or is_urgent:
            self._step()
        else:
            self._timer = asyncio.get_running_loop().call_later(delay, self._step)

    def _step(self) -> None:
        self._timer = None
        since = self.frame.place if self.frame.epoch == self._epoch else blocks.START
        frame = self._frame(blocks.place(self.text, since))
        if frame != self.frame:
            self.frame, self._stepped_at = frame, time.monotonic()
            self._rendered.clear()
            for follower in self._followers:
                follower.go_on(frame)
            self._wake()

    def _wake(self) -> None:
        self._stepped.set()
        self._stepped.clear()

    def _frame(self, place: blocks.Place) -> Frame:
        fence = self._marks[-1][0]
        return Frame(
            self.last_seq, fence, place, len(self.reasoning), self._epoch, self.status, self.queue_place, self.notice or self.remark
        )


class _Follower:
    """Goes along with the steps, called by whoever makes them: so nothing raised here may reach that one."""

    def __init__(self, seen: Frame, take: Callable[[Frame, Frame], bool]) -> None:
        self.seen, self._take = seen, take
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def go_on(self, frame: Frame) -> None:
        if self.gone.done() or frame.is_behind(self.seen):
            return
        try:
            if frame.status not in FINAL and self._take(self.seen, frame):
                self.seen = frame
            else:
                self.let_go()
        except Exception as error:
            self.gone.set_exception(error)

    def let_go(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
