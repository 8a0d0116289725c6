"""The position in a growing text: which blocks are finished, and which one is open.

All functions are pure functions of the text, so every process computes the same positions.
"""

import re
from typing import NamedTuple

from web.rendering.markdown import limits, open_code, parser
from web.rendering.markdown.open_code import LexerState

WINDOW_CHARACTERS = 64 * 1024  # a longer block is frozen only at the end of the text, unless it is a code fence

_OPENING_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_EDGE = re.compile(r"^[ \t]*+\n[^ \t\n]|^ {0,3}(?:```|~~~)", re.MULTILINE)
_INDENTED_OR_BLANK = re.compile(r"[ \t\n]")
_BLANK = re.compile(r"[ \t]*\n")


class CodeFence(NamedTuple):
    """A top-level code fence that is not closed yet. It is the open block."""

    code_start: int  # offset of its first line of code
    marker: str  # the backticks or tildes that opened it


class TextPosition(NamedTuple):
    """The parser's state after the first `length` characters of a text. The first three fields are offsets."""

    length: int = 0
    boundary: int = 0  # all top-level blocks before it are finished, the open block begins here
    complete_lines: int = 0  # end of the last complete line
    open_code_fence: CodeFence | None = None
    lexer: LexerState | None = None  # after the complete lines of the open code fence; None if it has no colours


START = TextPosition()


def position(text: str, since: TextPosition = START) -> TextPosition:
    """The position at the end of `text`. `since`, the position at the end of a prefix of it, only saves work."""
    complete_lines = text.rfind("\n", since.complete_lines) + 1 or since.complete_lines
    boundary, fence = since.boundary, since.open_code_fence
    if complete_lines == since.complete_lines:
        return TextPosition(len(text), boundary, complete_lines, fence, since.lexer)
    if _may_freeze(text, since.complete_lines, complete_lines):
        boundary, fence = _parse(text, since, complete_lines)
    after = TextPosition(len(text), boundary, complete_lines, fence)
    return after._replace(lexer=_lexer_state(text, since, after, fence)) if fence else after


def _parse(text: str, since: TextPosition, complete_lines: int) -> tuple[int, CodeFence | None]:
    """The boundary and the open code fence after the complete lines."""
    boundary, fence, parsed = since.boundary, since.open_code_fence, since.complete_lines
    while True:
        if fence:
            closing = _closing_fence(fence).search(text, parsed, complete_lines)
            if not closing:
                break
            boundary = closing.end()
        window = _window(text, boundary, complete_lines)
        parsed = boundary + len(window)
        start, fence = _open_block(window)
        if fence:
            fence = CodeFence(boundary + fence.code_start, fence.marker)
        boundary += start
        if not fence and (not start or parsed == complete_lines):
            break
    return boundary, fence


def _lexer_state(text: str, since: TextPosition, at: TextPosition, fence: CodeFence) -> LexerState | None:
    """The state of the lexer after the complete lines of an open code fence."""
    state, start = since.lexer, since.complete_lines
    if fence != since.open_code_fence:
        start = fence.code_start
        state = open_code.first_state(text[at.boundary : start], start)
    return open_code.next_state(state, text, start, at.complete_lines) if state else None


def _may_freeze(text: str, start: int, complete_lines: int) -> bool:
    """Whether the lines added after `start` can end a block, see `_open_block`. Earlier lines were checked before."""
    line_before = text.rfind("\n", 0, max(0, start - 1)) + 1
    return _EDGE.search(text, line_before, complete_lines) is not None or "\r" in text[line_before:complete_lines]


def _closing_fence(fence: CodeFence) -> re.Pattern[str]:
    return re.compile(rf"(?:^|(?<=\r)) {{0,3}}{fence.marker}{fence.marker[0]}*[ \t]*(?:\r\n?|\n)", re.MULTILINE)


def _window(text: str, start: int, complete_lines: int) -> str:
    """The text to parse next: complete lines up to the first one beyond the limits."""
    stop = text.rfind("\n", start, min(complete_lines, start + WINDOW_CHARACTERS)) + 1 or start
    window = text[start:stop].replace("\r\n", " \n").replace("\r", "\n")  # keeps the length
    return window[: limits.first_excess(window)]


_DOCUMENT = parser.Block("document", -1, -1)


def _open_block(window: str) -> tuple[int, CodeFence | None]:
    """The start of the last block, and its code fence if that is still open. `window` has complete lines only.

    The block starts where no later line can join it to the block before: at a line after an empty line that starts a
    top-level block, or at either edge of a top-level code fence. The start is 0 if there is no such line.
    """
    starts = parser.line_starts(window)
    below = len(starts) - 1
    for block in [*reversed(parser.blocks(window)), _DOCUMENT]:
        for line in range(below - 1, block.last, -1):  # there may be definitions between blocks
            if _starts_new_block(window, starts, line):
                return starts[line], None
        if block.kind == "code_block" and (opening := _OPENING_FENCE.match(window, starts[block.first])):
            fence = CodeFence(starts[block.first + 1], opening[1])
            if block.last > block.first and _closing_fence(fence).match(window, starts[block.last]):
                return starts[block.last + 1], None
            return starts[block.first], fence
        if _starts_new_block(window, starts, block.first):
            return starts[block.first], None
        below = block.first
    return 0, None


def _starts_new_block(window: str, starts: list[int], line: int) -> bool:
    after_blank = line > 0 and _BLANK.match(window, starts[line - 1]) is not None
    return after_blank and not _INDENTED_OR_BLANK.match(window, starts[line])
