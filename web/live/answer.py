"""A live answer: its text so far, the steps that viewers receive, and the rendered bytes of the newest steps.

The answer is the only owner of this state. A subscriber receives bytes.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from web.contract import CONTENT, FINAL, RESTART, Chunk, Message, Status
from web.live.events import EventRenderer
from web.live.steps import PAGE_STEP_SECONDS, PageSteps, Snapshot, StepTimer, Subscriber
from web.rendering import positions


class _Mark(NamedTuple):
    """The text after one chunk. Marks are indexed by seq."""

    fencing_token: int
    length: int
    reasoning_length: int


_START = _Mark(0, 0, 0)
_UNKNOWN = _Mark(-1, 0, 0)  # no viewer can continue from here


class LiveAnswer:
    def __init__(self, message: Message, renderer: EventRenderer, context: Callable[[], int | None]) -> None:
        """`context` returns the size of the model's context in tokens."""
        assert message["generation_id"]
        self.id, self.message = message["generation_id"], message
        self.text = self.reasoning = ""
        self.status: Status = message["status"]
        self.queue_position: int | None = None
        self.fencing_token = 0
        self.is_loaded = False  # the log was read
        self.is_leaving = False  # the process shuts down
        self._renderer, self._context = renderer, context
        self._notice = self._remark = ""  # why there is no text yet; what else happened
        self._marks = [_START]
        self._epoch = 0
        self._timer = StepTimer()
        self._changed = asyncio.Event()  # pulsed: wakes the tasks that wait at this moment
        self._subscribers: set[Subscriber] = set()
        self._pages = PageSteps()
        self._rendered: dict[Snapshot | None, bytes] = {}  # steps to the newest snapshot, by the snapshot seen before
        self.snapshot = self._take_snapshot(positions.START)

    @property
    def last_seq(self) -> int:
        return len(self._marks) - 1

    def ends_at(self, seq: int, fencing_token: int) -> bool:
        """Whether this chunk is the last one of the text. After a crash of PostgreSQL, two chunks may have one seq."""
        return self.last_seq == seq and (not seq or self.fencing_token == fencing_token)

    @property
    def has_text(self) -> bool:
        return bool(self.text or self.reasoning)

    # Input: the log, the queue, and the stored message

    def extend(self, chunk: Chunk) -> bool:
        """Adds the next chunk. Returns False if it is not the next one."""
        is_next = self._add(chunk)
        if is_next:
            self._plan_step()
        return is_next

    def replace(self, chunks: Sequence[Chunk], fencing_token: int) -> None:
        """Rebuilds the text from the whole log. Viewers see the result only, never a part of it.

        `fencing_token` is the one of the writer that holds the answer now.
        """
        marks, text, reasoning = self._marks, self.text, self.reasoning
        self._marks, self.text, self.reasoning = [_START], "", ""
        for chunk in chunks:
            self._add(chunk)
        is_continued = self.text.startswith(text) and self.reasoning.startswith(reasoning)
        if self._marks[: len(marks)] != marks or not is_continued:
            self._reset()
        self.fencing_token = fencing_token
        self._plan_step()

    def set_state(self, status: Status, queue_position: int | None, notice: str) -> None:
        if (status, queue_position, notice) != (self.status, self.queue_position, self._notice):
            self.status, self.queue_position, self._notice = status, queue_position, notice
            self._plan_step()

    def set_notice(self, notice: str) -> None:
        self.set_state(self.status, self.queue_position, notice)

    def finish(self, message: Message) -> None:
        """The stored message replaces the text of the log."""
        self.message = message
        if (message["content"], message["reasoning"]) != (self.text, self.reasoning):
            self.text, self.reasoning = message["content"], message["reasoning"]
            self._discard_marks()
            self._reset()
        self.status, self.queue_position, self._notice = message["status"], None, ""
        self._plan_step()

    def set_loaded(self) -> None:
        self.is_loaded = True
        self._wake()

    def shut_down(self) -> None:
        """Ends all streams, so that viewers reconnect to another process."""
        self.is_leaving = True
        for subscriber in self._subscribers:
            subscriber.end()
        self._wake()

    def _add(self, chunk: Chunk) -> bool:
        if len(self._marks) == 1 and chunk.seq > 1 and not self.is_loaded:  # the start of the log was pruned
            self._marks += [_UNKNOWN] * (chunk.seq - 1)
        if chunk.seq != len(self._marks):
            return False
        if chunk.kind == CONTENT:
            self.text += chunk.text
        elif chunk.kind == RESTART:
            self.text, self.reasoning, self._remark = "", "", chunk.text
            self._discard_marks()
            self._reset()
        else:
            self.reasoning += chunk.text
        self.fencing_token = chunk.fencing_token
        self._marks.append(_Mark(chunk.fencing_token, len(self.text), len(self.reasoning)))
        return True

    def _discard_marks(self) -> None:
        """The chunks so far are not part of the text, so no viewer can continue from one of them."""
        self._marks = [_UNKNOWN] * len(self._marks)

    def _reset(self) -> None:
        """The text shown before is not the beginning of the text now."""
        self._epoch += 1
        self._renderer.reset()

    # Output: snapshots, and the events between them

    def at(self, seq: int, fencing_token: int) -> Snapshot | None:
        """The snapshot of a viewer whose last event had this id, or None if the log does not contain it."""
        if not 0 <= seq < len(self._marks) or self._marks[seq].fencing_token != fencing_token:
            return None
        mark = self._marks[seq]
        position = positions.position(self.text[: mark.length])
        return self.snapshot._replace(
            seq=seq,
            fencing_token=fencing_token,
            position=position._replace(lexer=None),  # an older version may have rendered the page without colours
            reasoning_length=mark.reasoning_length,
            status=None,
            queue_position=None,
            notice="",
        )

    async def loaded(self) -> None:
        """Waits until the log was read, or the process shuts down."""
        while not (self.is_loaded or self.is_leaving):
            await self._changed.wait()

    async def next_snapshot(self, seen: Snapshot | None) -> Snapshot | None:
        """Waits until the newest snapshot is another one than `seen`.

        Returns None after the end of the answer, or when the process shuts down.
        """
        while not self.is_leaving and (seen is None or not seen.is_final):
            snapshot = self.snapshot
            if snapshot is seen or snapshot == seen or snapshot.is_behind(seen):
                await self._changed.wait()
            else:
                return snapshot
        return None

    async def subscribe(self, seen: Snapshot, write: Callable[[bytes], bool]) -> Snapshot:
        """Calls `write` synchronously with the event of every new step.

        Returns the snapshot written last when `write` returns False, the answer is final, or the process shuts down.
        Raises what `write` raises.
        """
        subscriber = Subscriber(seen, write)
        self._subscribers.add(subscriber)
        try:
            if self.snapshot is seen and not self.is_leaving:
                await subscriber.done
        finally:
            self._subscribers.discard(subscriber)
        return subscriber.seen

    def event(self, seen: Snapshot | None) -> bytes:
        """The event from `seen` to the newest snapshot, rendered once for all viewers."""
        event = self._rendered.get(seen)
        if event is None:
            event = self._rendered[seen] = self._render(seen)
        return event

    def _render(self, seen: Snapshot | None) -> bytes:
        if not self.snapshot.is_final:
            return self._renderer.step(self.text, self.reasoning, seen, self.snapshot)
        end = self._renderer.end_from(self.text, seen, self.snapshot.epoch)
        return self._renderer.closing(self.message, end, self._context())

    async def next_page_snapshot(self, seen: Snapshot | None) -> Snapshot | None:
        """Like `next_snapshot`, for growing pages. All of them receive the same snapshots, so each is rendered once."""
        while newest := await self.next_snapshot(seen):
            if self._pages.is_due(newest):
                self._pages.show(newest, "" if newest.is_final else self._renderer.open_block(self.text, newest))
            if self._pages.snapshot != seen:
                return self._pages.snapshot
            await asyncio.sleep(PAGE_STEP_SECONDS)
        return None

    def page_part(self, seen: Snapshot | None) -> str:
        """The HTML that a growing page appends, from `seen` to the newest snapshot of growing pages."""
        part = self._pages.parts.get(seen)
        if part is None:
            part = self._pages.parts[seen] = self._page_part(seen, self._pages.snapshot)
        return part

    def _page_part(self, seen: Snapshot | None, snapshot: Snapshot | None) -> str:
        assert snapshot
        is_reset = seen is not None and seen.epoch != snapshot.epoch
        if snapshot.is_final:
            end = self._renderer.end_from(self.text, seen, snapshot.epoch)
            replaces = seen is not None and end["mode"] == "whole"
            return self._renderer.page_end(self.message, end["html"], is_reset or replaces)
        since = positions.START if seen is None or is_reset else seen.position
        return self._renderer.page_step(self.text, since, snapshot, self._pages.tail, is_reset)

    def _plan_step(self) -> None:
        """The end and a reset are urgent: until the step, `snapshot` describes a text that no longer exists."""
        is_urgent = self.status in FINAL or self._epoch != self.snapshot.epoch
        self._timer.plan(self._make_step, len(self.text) - self.snapshot.position.boundary, is_urgent)

    def _make_step(self) -> None:
        since = self.snapshot.position if self.snapshot.epoch == self._epoch else positions.START
        snapshot = self._take_snapshot(positions.position(self.text, since))
        if snapshot == self.snapshot:
            return
        self.snapshot = snapshot
        self._timer.stepped()
        self._rendered.clear()
        for subscriber in self._subscribers:
            subscriber.deliver(snapshot, self.event)
        self._wake()

    def _take_snapshot(self, position: positions.TextPosition) -> Snapshot:
        return Snapshot(
            self.last_seq,
            self._marks[-1].fencing_token,
            position,
            len(self.reasoning),
            self._epoch,
            self.status,
            self.queue_position,
            self._notice or self._remark,
        )

    def _wake(self) -> None:
        self._changed.set()
        self._changed.clear()
