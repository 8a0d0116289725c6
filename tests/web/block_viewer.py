"""Applies the steps of a growing text to a page."""

import re

from web.rendering import blocks, positions
from web.rendering.patches import Patch

PREFIX = "message-1-"


class Viewer:
    """Applies steps as the page does."""

    def __init__(self) -> None:
        self.at, self.frozen, self.tail = positions.START, "", ""
        self.line: blocks.OpenLine | None = None
        self.word_steps = 0  # steps that only added words

    def see(self, text: str) -> None:
        now = positions.position(text, self.at)
        if self.line and (words := blocks.added_words(text, self.line, self.at, now)) is not None:
            ends = re.compile(
                "".join(rf"</{tag}>\n*" for tag in reversed(re.findall(r" > (\w+):last-child", self.line.path))) + r"\Z"
            ).search(self.tail)
            assert ends
            self.tail = self.tail[: ends.start()] + words + self.tail[ends.start() :]
            self.at, self.word_steps = now, self.word_steps + 1
            return
        step = blocks.step(text, self.at, now, PREFIX)
        self.line = step.line
        if step.patch is None:
            self.frozen, self.tail = self.frozen + step.frozen, step.tail
        else:
            assert step.frozen == step.tail == ""
            self.tail = patched(self.tail, step.patch)
        self.at = now

    def finish(self, text: str) -> str:
        end = blocks.end(text, self.at, PREFIX)
        return end.html if end.whole else self.frozen + end.html


def patched(tail: str, patch: Patch) -> str:
    """The tail with another end of its only <code>, or of the last <span> in it."""
    tag = "code" if patch.path == " code" else "span"
    start, end = tail.rindex(f"<{tag}"), tail.rindex(f"</{tag}>")
    if not patch.replaces:
        return tail[:end] + patch.html + tail[end:]
    return tail[:start] + patch.html + tail[end:].removeprefix("</span>")


def prefixes(text: str, sizes: list[int]) -> list[str]:
    lengths = [0]
    while lengths[-1] < len(text):
        lengths.append(lengths[-1] + sizes[len(lengths) % len(sizes)])
    return [text[:length] for length in lengths]
