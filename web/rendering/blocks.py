"""Incremental rendering of a growing text: finished blocks are frozen, the last block stays open.

All functions are pure functions of the text, so every process computes the same steps.
"""

import html
import re
from typing import NamedTuple

from web.rendering.byte_cache import ByteCache
from web.rendering.markdown import open_code, parser
from web.rendering.markdown.deadline import Overtime, deadline
from web.rendering.markdown.mend import mend
from web.rendering.markdown.rendering import escape, is_plain, render
from web.rendering.patches import Patch
from web.rendering.positions import START, TextPosition, position

MAX_CACHED_BYTES = 64 * 1024
CODE_END = "</code></pre>\n"

# A definition affects blocks before and after it, so parts rendered separately may differ from the whole.
_DEFINITION = re.compile(r"^[ \t>*+\-\d.)]*\[(?:[^\[\]\\]|\\.){1,1000}\]:", re.MULTILINE | re.DOTALL)


class OpenLine(NamedTuple):
    """The last line of an open block, if plain words appended to it change nothing else in the HTML."""

    since: TextPosition  # the position at which the line was rendered
    last_word: int  # offset of its last word at that time
    path: str  # CSS, from the tail to the element that ends with the line, by way of last children only

    def end_in(self, html: str) -> int:
        """The end of the line in the HTML of the open block."""
        end = len(html)
        for _ in range(self.path.count(" > ")):
            end = html.rindex("</", 0, end)
        return end


class Step(NamedTuple):
    """HTML that takes a page from one position to a later one."""

    frozen: str  # the blocks finished since then, to be inserted before the tail
    tail: str  # the new content of the tail
    patch: Patch | None = None  # if not None: the change of the tail, instead of both
    line: OpenLine | None = None  # of the tail


class End(NamedTuple):
    """HTML that turns a page of an unfinished text into a page of the finished one."""

    html: str  # replaces the tail ...
    whole: bool  # ... or everything, if the parts would not add up to `render(text)`


def step(text: str, before: TextPosition, after: TextPosition, prefix: str = "") -> Step:
    """The update for a viewer who has `text` up to `before` and needs it up to `after`."""
    if before.open_code_fence and before.open_code_fence == after.open_code_fence:
        patch = _fence_patch(text, before, after)
        if patch:
            return Step("", "", patch)
    tail, line = open_block(text, after, prefix)
    return Step(finished_blocks(text, before, after, prefix), tail, line=line)


def finished_blocks(text: str, before: TextPosition, after: TextPosition, prefix: str = "") -> str:
    """The HTML of the blocks that were finished between two positions."""
    return render(text[before.boundary : after.boundary], prefix)


def open_block(text: str, at: TextPosition, prefix: str = "") -> tuple[str, OpenLine | None]:
    """The whole HTML of the block that is open at a position, and its last line."""
    if at.open_code_fence:
        return _render_open_fence(text, at), None
    source = text[at.boundary : at.length]
    mended = _mended(source)
    tail = _without_growing_link(render(mended, prefix, finished=False), source)
    return tail, _open_line(source, mended, tail, at)


def added_words(text: str, line: OpenLine, before: TextPosition, after: TextPosition) -> str | None:
    """A cheap alternative to `step`: the text to append to `line`. Plain words need no escaping.

    None if anything else was added.
    """
    since = line.since
    if before[1:] != since[1:] or after[1:] != since[1:] or before.length < since.length:
        return None
    if not _WORDS.fullmatch(text, line.last_word, after.length):
        return None
    # Spaces at the end of a line are held back until its next word.
    shown = len(text[since.boundary : before.length].rstrip(" "))
    return text[since.boundary + shown : after.length].rstrip(" ")


def snapshot(text: str, prefix: str = "") -> Step:
    """An unfinished text for a page that shows nothing of it yet. Later steps continue from `position(text)`."""
    return step(text, START, position(text), prefix)


def end(text: str, before: TextPosition, prefix: str = "") -> End:
    """The last update, once the text is finished: the page then shows exactly `render(text)`."""
    if _DEFINITION.search(parser.normalize_line_ends(text)) or is_plain(text):
        return End(render(text, prefix), whole=True)
    return End(render(text[before.boundary :], prefix), whole=False)


def _mended(source: str) -> str:
    try:
        with deadline(source):
            return mend(source)
    except Overtime:
        return source


_PUNCTUATION = ".,;:!?'\")*_~"  # after an address, unless more of it follows
_LAST_LINK = re.compile(rf'<a href="[^"]*"[^>]*>([^<]*)</a>((?:[{_PUNCTUATION}]|&quot;)*(?:</\w+>\s*)*)\Z')


def _without_growing_link(tail: str, source: str) -> str:
    """An address at the very end may still grow, so it is no link yet."""
    link = tail.rfind('<a href="')
    found = _LAST_LINK.match(tail, link) if link >= 0 else None
    if not found or not source.rstrip(_PUNCTUATION).endswith(html.unescape(found[1]).rstrip(_PUNCTUATION)):
        return tail
    return tail[: found.start()] + found[1] + found[2]


# An open code fence has its new text at the end of <code>, or of the last <span> if it has colours.
_CODE, _LAST_SPAN = " code", " code > span:last-child"

_openings: ByteCache[str] = ByteCache(MAX_CACHED_BYTES)  # HTML of opening lines


def _render_open_fence(text: str, at: TextPosition) -> str:
    assert at.open_code_fence
    code_start = at.open_code_fence.code_start
    opening = text[at.boundary : code_start]
    opened = _openings.get((opening,), lambda: render(opening, finished=False).removesuffix(CODE_END))
    if at.lexer:
        return opened + open_code.render(at.lexer, text, code_start, _shown_end(text, at)) + CODE_END
    return opened + escape(text[code_start : _shown_end(text, at)]) + CODE_END


def _fence_patch(text: str, before: TextPosition, after: TextPosition) -> Patch | None:
    """The change of an open code fence, or None if all of it has to be rendered."""
    old, new = before.lexer, after.lexer
    start, end = _shown_end(text, before), _shown_end(text, after)
    if old and new and (old.coloured, old.kind) != (new.coloured, new.kind):
        return Patch(True, open_code.render(new, text, old.coloured, end), _LAST_SPAN)
    if "\r" in text[start - 1 : end] or bool(old) != bool(new):
        return None
    return Patch(False, escape(text[start:end]), _LAST_SPAN if new else _CODE)


# Plain words consist of characters that open, close or change nothing anywhere in a line. That excludes the ASCII
# characters listed here (parentheses end links, a slash begins addresses), and all other characters that are spaces or
# invisible. "www" is excluded, too: it begins a link.
_SPECIAL = r"\x00-\x1f#$&()*/<>@\[\\\]^_`|~\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
_WORDS = re.compile(rf"(?:[^wW{_SPECIAL}]++|[wW](?![wW]{{2}}))*+")
_WORD_EDGES = " \n*_~`"
_LETTER = re.compile(r"[^\W\d_]")
_MENDED = re.compile(r"[*_~`]*")
_ENDINGS = re.compile(r"(?:</(?:em|strong|del|code)>)*(?:</(?:p|li|h[1-6]|ul|ol|blockquote|t[dhr]|tbody|table)>\n*)+")
_ENDING = re.compile(r"</(\w+)>")


def _open_line(source: str, mended: str, tail: str, at: TextPosition) -> OpenLine | None:
    """The last line of the open block. `tail` is the HTML of `mended`, which is the mended `source`."""
    shown = source.rstrip(" ")
    word_start = max(map(shown.rfind, _WORD_EDGES)) + 1
    word = shown[word_start:]
    at_word = tail.rfind(word + "</") if word else -1
    if not word or at_word < 0 or not _LETTER.search(shown, shown.rfind("\n") + 1) or "]:" in source:
        return None
    if not mended.startswith(shown) or not _MENDED.fullmatch(mended.rstrip(" "), len(shown)):
        return None
    ends = _ENDINGS.fullmatch(tail, at_word + len(word))
    if not ends or not _WORDS.fullmatch(word):
        return None
    path = "".join(f" > {tag}:last-child" for tag in reversed(_ENDING.findall(ends[0])))
    return OpenLine(at, at.boundary + word_start, path)


def _shown_end(text: str, at: TextPosition) -> int:
    """The end of the visible code of an open fence. A last line that may still close the fence is held back."""
    assert at.open_code_fence
    line = text[at.complete_lines : at.length].strip(" \t\r")
    return at.length if line.strip(at.open_code_fence.marker[0]) else at.complete_lines
