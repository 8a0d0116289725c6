"""The HTML of a step: server-sent events for htmx, and parts of a page that grows for browsers without JavaScript."""

from typing import Literal, TypedDict

from sse_starlette import ServerSentEvent

from web.contract import Message
from web.live.steps import Snapshot
from web.rendering import blocks, positions
from web.rendering.event_templates import MESSAGE_ID, Change
from web.rendering.markdown import render
from web.rendering.patches import Patch, patch
from web.rendering.templates import Templates, id_prefix

RECONNECT_MILLISECONDS = 100
MIN_PATCHED_CHARACTERS = 1000  # of HTML; a shorter open block is sent again as a whole


# A named event: the page's script sees it, unlike a comment.
PING = ServerSentEvent(event="ping", data="", sep="\n").encode()
MOVED = ServerSentEvent(event="moved", data="", retry=RECONNECT_MILLISECONDS, sep="\n").encode()


class Reasoning(TypedDict):
    """New text of the model's reasoning, and how htmx adds it to the page."""

    mode: Literal["innerHTML", "beforeend"]
    text: str


class FinalContent(TypedDict):
    """HTML that replaces the whole content of a message, or its tail."""

    mode: Literal["whole", "end"]
    html: str


class _OpenBlock:
    """The open block of pages that received the last step."""

    __slots__ = ("html", "position", "words")

    def __init__(self, position: positions.TextPosition = positions.START, html: str = "") -> None:
        self.position, self.html = position, html
        self.words: list[str] = []  # added to its open line since


NO_REASONING = Reasoning(mode="innerHTML", text="")


class EventRenderer:
    """Renders the steps of one answer. Remembers its open line, to which plain words can be added without rendering."""

    def __init__(self, templates: Templates, chat_id: str, message: Message) -> None:
        self._templates, self._chat_id, self._message = templates, chat_id, message
        self._prefix = id_prefix(message["id"])
        self._open_line: blocks.OpenLine | None = None
        self._open_block = _OpenBlock()

    def reset(self) -> None:
        """The text was replaced."""
        self._open_line, self._open_block = None, _OpenBlock()

    # Server-sent events

    def step(self, text: str, reasoning: str, seen: Snapshot | None, snapshot: Snapshot) -> bytes:
        """The event that takes a page from `seen` to `snapshot`."""
        change = self._change(text, seen, snapshot)
        if seen and seen.differs_only_in_content(snapshot):
            template = self._templates.event_templates.get(change, self._blank_html)
            return template.render(self._message["id"], snapshot.cursor, change.new, change.tail)
        html = self._templates.html(
            "messages/_step.html",
            message={**self._message, "status": snapshot.status},
            chat_id=self._chat_id,
            change=change,
            reasoning=_new_reasoning(reasoning, seen, snapshot),
            progress=snapshot.progress,
            shows_progress=seen is None or seen.progress != snapshot.progress,
        )
        return ServerSentEvent(data=html, id=snapshot.cursor, sep="\n").encode()

    def closing(self, message: Message, content: FinalContent, context: int | None) -> bytes:
        """The last events of a finished answer. `context` is the size of the model's context in tokens."""
        html = self._templates.html(
            "messages/_end.html", message=message, chat_id=self._chat_id, content=content, context=context
        )
        done = ServerSentEvent(event="done", data=message["status"], sep="\n")
        return ServerSentEvent(data=html, sep="\n").encode() + done.encode()

    def end_from(self, text: str, seen: Snapshot | None, epoch: int) -> FinalContent:
        """The rest of a finished answer for a page that shows `seen`."""
        if seen is None or seen.epoch != epoch:
            return self.whole(text)
        end = blocks.end(text, seen.position, self._prefix)
        return FinalContent(mode="whole" if end.whole else "end", html=end.html)

    def whole(self, text: str) -> FinalContent:
        return FinalContent(mode="whole", html=render(text, self._prefix))

    def _blank_html(self, blank: Change) -> str:
        """The HTML of a step with placeholders."""
        return self._templates.html(
            "messages/_step.html",
            message={"id": MESSAGE_ID},
            chat_id=self._chat_id,
            change=blank,
            reasoning=NO_REASONING,
            shows_progress=False,
        )

    def _change(self, text: str, seen: Snapshot | None, snapshot: Snapshot) -> Change:
        is_reset = seen is None or seen.epoch != snapshot.epoch
        before = positions.START if is_reset or seen is None else seen.position
        if self._open_line and not is_reset:
            words = blocks.added_words(text, self._open_line, before, snapshot.position)
            if words is not None:
                if before == self._open_block.position:
                    self._open_block.words.append(words)
                    self._open_block.position = snapshot.position
                return Change("add", words, "", self._open_line.path)
        step = blocks.step(text, before, snapshot.position, self._prefix)
        if step.patch:
            return _patched(step.patch)
        change = None if is_reset or step.frozen else self._patch(before, snapshot.position, step.tail)
        self._open_line, self._open_block = step.line, _OpenBlock(snapshot.position, step.tail)
        if change:
            return _patched(change)
        return Change("reset" if is_reset else "step", step.frozen, step.tail)

    def _patch(self, before: positions.TextPosition, after: positions.TextPosition, tail: str) -> Patch | None:
        """The change of a long open block that a page shows since the last step."""
        shown = self._open_block
        if len(tail) < MIN_PATCHED_CHARACTERS or before != shown.position or before.boundary != after.boundary:
            return None
        html = shown.html
        if shown.words:
            assert self._open_line
            end = self._open_line.end_in(html)
            html = html[:end] + "".join(shown.words) + html[end:]
        return patch(html, tail)

    # The growing page

    def page_step(self, text: str, since: positions.TextPosition, snapshot: Snapshot, tail: str, is_reset: bool) -> str:
        """The page cannot add to its open block, so it repeats the whole block: `tail`."""
        frozen = blocks.finished_blocks(text, since, snapshot.position, self._prefix)
        return self._templates.html(
            "messages/frame_step.html", frozen=frozen, tail=tail, progress=snapshot.progress, void=is_reset
        )

    def open_block(self, text: str, snapshot: Snapshot) -> str:
        return blocks.open_block(text, snapshot.position, self._prefix)[0]

    def page_end(self, message: Message, html: str, is_reset: bool) -> str:
        return self._templates.html(
            "messages/frame_end.html", message=message, chat_id=self._chat_id, content=html, void=is_reset
        )


def _patched(patch: Patch) -> Change:
    return Change("replace" if patch.replaces else "add", patch.html, "", patch.path)


def _new_reasoning(reasoning: str, seen: Snapshot | None, snapshot: Snapshot) -> Reasoning:
    if seen is None or seen.epoch != snapshot.epoch:
        return Reasoning(mode="innerHTML", text=reasoning[: snapshot.reasoning_length])
    return Reasoning(mode="beforeend", text=reasoning[seen.reasoning_length : snapshot.reasoning_length])
