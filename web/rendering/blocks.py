"""A growing text as frozen blocks and one open block: what a viewer gets from one length to a later one.

Everything here is a pure function of the text, so any process computes the same difference.
"""

import re
from typing import NamedTuple

from web.rendering.markdown import limits, parser
from web.rendering.markdown.mend import mend
from web.rendering.markdown.rendering import escape, is_plain, render

WINDOW = 64 * 1024  # characters; a longer block is frozen at the end only, unless it is a fence
CLOSED_CODE = "</code></pre>\n"

_OPENING = re.compile(r" {0,3}(`{3,}|~{3,})")
_EDGE = re.compile(r"^[ \t]*+\n[^ \t\n]|^ {0,3}(?:```|~~~)", re.MULTILINE)
_INDENTED_OR_BLANK = re.compile(r"[ \t\n]")
_BLANK = re.compile(r"[ \t]*\n")
# A definition acts on blocks before and after it, so that parts rendered one by one may differ from the whole.
_DEFINITION = re.compile(r"^[ \t>*+\-\d.)]*\[(?:[^\[\]\\]|\\.){1,1000}\]:", re.MULTILINE | re.DOTALL)


class Fence(NamedTuple):
    """A code fence that is still open, and is the open block."""

    inside: int  # offset of its first line of code
    marker: str  # the backticks or tildes that opened it


class Place(NamedTuple):
    """Where a running text stands."""

    length: int = 0
    boundary: int = 0  # before it every top-level block is finished, after it is the open one
    complete: int = 0  # end of the last complete line
    fence: Fence | None = None


class Line(NamedTuple):
    """The last line of an open block, if it is such that plain words added to it change nothing but its end."""

    start: Place  # from which on it was
    word: int  # offset of its last word at that time
    path: str  # CSS, from the tail to the element whose end is the line's: each on the way is the last of its parent's


class Step(NamedTuple):
    """HTML that takes a page from one place to a later one."""

    frozen: str  # the blocks finished since, to be put before the tail
    tail: str  # the new inside of the tail
    append: str | None = None  # if not None, escaped text for the end of the tail's <code>, instead of both
    line: Line | None = None  # of the tail


class End(NamedTuple):
    """HTML that makes a page of a running text one of the finished text."""

    html: str  # to be put in place of the tail ...
    whole: bool  # ... or of everything, where the parts would not add up to `render(text)`


START = Place()


def place(text: str, since: Place = START) -> Place:
    """Where `text` stands; `since`, the place of a beginning of it, only saves work."""
    complete = text.rfind("\n", since.complete) + 1 or since.complete
    if complete == since.complete or not _may_freeze(text, since.complete, complete):
        return Place(len(text), since.boundary, complete, since.fence)
    boundary, fence, seen = since.boundary, since.fence, since.complete
    while True:
        if fence:
            closing = _closing(fence).search(text, seen, complete)
            if not closing:
                break
            boundary = closing.end()
        window = _window(text, boundary, complete)
        seen = boundary + len(window)
        start, fence = _open_block(window)
        if fence:
            fence = Fence(boundary + fence.inside, fence.marker)
        boundary += start
        if not fence and (not start or seen == complete):
            break
    return Place(len(text), boundary, complete, fence)


def boundary(text: str, start: int = 0) -> int:
    """The offset before which every top-level block is finished, `start` being that of a beginning of `text`."""
    return place(text, Place(start, start, start)).boundary


def step(text: str, before: Place, after: Place, prefix: str = "") -> Step:
    """What a viewer who has `text` up to one place needs to have it up to a later one."""
    if before.fence and before.fence == after.fence:
        start, end = _shown(text, before), _shown(text, after)
        if "\r" not in text[start - 1 : end]:
            return Step("", "", escape(text[start:end]))
    frozen = render(text[before.boundary : after.boundary], prefix)
    if after.fence:
        return Step(frozen, _code(text, after, prefix))
    source = text[after.boundary : after.length]
    mended = mend(source)
    tail = render(mended, prefix, finished=False)
    return Step(frozen, tail, line=_line(source, mended, tail, after))


def words(text: str, line: Line, before: Place, after: Place) -> str | None:
    """As `step`, if all that came since are plain words: escaped text for the end of the line. None if something else came."""
    start = line.start
    if before[1:] != start[1:] or after[1:] != start[1:] or before.length < start.length:
        return None
    if not _WORDS.fullmatch(text, line.word, after.length):
        return None
    shown = len(text[start.boundary : before.length].rstrip(" "))  # spaces at the end of a line wait for its next word
    return escape(text[start.boundary + shown : after.length].rstrip(" "))


def snapshot(text: str, prefix: str = "") -> Step:
    """A running text for a page that has nothing of it yet; it continues from `place(text)`."""
    return step(text, START, place(text), prefix)


def end(text: str, before: Place, prefix: str = "") -> End:
    """What a viewer needs when the text has ended: afterwards the page is what `render(text)` gives."""
    if _DEFINITION.search(parser.unix(text)) or is_plain(text):
        return End(render(text, prefix), whole=True)
    return End(render(text[before.boundary :], prefix), whole=False)


def _code(text: str, at: Place, prefix: str) -> str:
    assert at.fence
    opened = render(text[at.boundary : at.fence.inside], prefix, finished=False)
    return opened.removesuffix(CLOSED_CODE) + escape(text[at.fence.inside : _shown(text, at)]) + CLOSED_CODE


# Words of characters that open, close or change nothing wherever in a line they stand: of ASCII, all but those named here
# (parentheses end links, a slash begins addresses); of the others, all but spaces and what can't be seen. "www" begins a link.
_SPECIAL = r"\x00-\x1f#$&()*/<>@\[\\\]^_`|~\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
_WORDS = re.compile(rf"(?:[^wW{_SPECIAL}]++|[wW](?![wW]{{2}}))*+")
_WORD = re.compile(r"[^ \n*_~`]+\Z")
_LETTER = re.compile(r"[^\W\d_]")
_MENDED = re.compile(r"[*_~`]*")
_ENDINGS = re.compile(r"(?:</(?:em|strong|del|code)>)*(?:</(?:p|li|h[1-6]|ul|ol|blockquote|t[dhr]|tbody|table)>\n*)+")
_ENDING = re.compile(r"</(\w+)>")


def _line(source: str, mended: str, tail: str, at: Place) -> Line | None:
    """The line that ends with `source`, of which `mended` gave the HTML `tail`."""
    shown = source.rstrip(" ")
    word = _WORD.search(shown, max(shown.rfind(" "), shown.rfind("\n")) + 1)
    at_word = tail.rfind(word[0] + "</") if word else -1
    if not word or at_word < 0 or not _LETTER.search(shown, shown.rfind("\n") + 1) or "]:" in source:
        return None
    if not mended.startswith(shown) or not _MENDED.fullmatch(mended.rstrip(" "), len(shown)):
        return None
    ends = _ENDINGS.fullmatch(tail, at_word + len(word[0]))
    if not ends or not _WORDS.fullmatch(word[0]):
        return None
    path = "".join(f" > {tag}:last-child" for tag in reversed(_ENDING.findall(ends[0])))
    return Line(at, at.boundary + word.start(), path)


def _shown(text: str, at: Place) -> int:
    """How far the code of an open fence goes: a last line that may yet close it is held back."""
    assert at.fence
    line = text[at.complete : at.length].strip(" \t\r")
    return at.length if line.strip(at.fence.marker[0]) else at.complete


def _may_freeze(text: str, start: int, complete: int) -> bool:
    """Whether the lines added from `start` on can end a block, see `_open_block`; earlier lines have been asked."""
    before = text.rfind("\n", 0, max(0, start - 1)) + 1
    return _EDGE.search(text, before, complete) is not None or "\r" in text[before:complete]


def _closing(fence: Fence) -> re.Pattern[str]:
    return re.compile(rf"(?:^|(?<=\r)) {{0,3}}{fence.marker}{fence.marker[0]}*[ \t]*(?:\r\n?|\n)", re.MULTILINE)


def _window(text: str, start: int, complete: int) -> str:
    """What to parse at once: whole lines, and none that goes beyond the limits."""
    stop = text.rfind("\n", start, min(complete, start + WINDOW)) + 1 or start
    window = text[start:stop].replace("\r\n", " \n").replace("\r", "\n")  # of the same length
    return window[: limits.first_excess(window)]


_TOP = parser.Block("document", -1, -1)


def _open_block(window: str) -> tuple[int, Fence | None]:
    """Where the last block starts that no further line can join to the one before, 0 if there is only one;
    and the fence, if it is one that is open. `window` has complete lines only.

    That is a line after an empty line that starts a top-level block, or any line at the edge of a top-level fence.
    """
    starts = parser.line_starts(window)
    below = len(starts) - 1
    for block in [*reversed(parser.blocks(window)), _TOP]:
        for line in range(below - 1, block.last, -1):  # between blocks there may be definitions
            if _starts_afresh(window, starts, line):
                return starts[line], None
        if block.kind == "code_block" and (opening := _OPENING.match(window, starts[block.first])):
            fence = Fence(starts[block.first + 1], opening[1])
            if block.last > block.first and _closing(fence).match(window, starts[block.last]):
                return starts[block.last + 1], None
            return starts[block.first], fence
        if _starts_afresh(window, starts, block.first):
            return starts[block.first], None
        below = block.first
    return 0, None


def _starts_afresh(window: str, starts: list[int], line: int) -> bool:
    after_blank = line > 0 and _BLANK.match(window, starts[line - 1]) is not None
    return after_blank and not _INDENTED_OR_BLANK.match(window, starts[line])
