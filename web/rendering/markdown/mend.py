"""Mending of half-typed Markdown: incomplete syntax at the end is closed, or held back until the rest arrives.

Its relative in JavaScript is remend, which does the same for Streamdown. The result is only for display and is not
kept: the next step starts from the original text again.
"""

import re
from typing import NamedTuple

MAX_REACH = 4000  # characters; emphasis that began further back stays as typed
MAX_MARKER_CHARACTERS = 400  # a longer line is more than a marker
MAX_LABEL_CHARACTERS = 200  # a bracket that stays open for longer is not a link

_FENCE = re.compile(r"^[ \t>]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)*(`{3,}(?=[^`\n]*$)|~{3,})(.*)$", re.MULTILINE)
_CLOSING_FENCE = re.compile(r"[ \t>]*(?:`+|~+)[ \t\r]*")
# A line that is only a marker, or may still become one: list, heading, rule, underline, table, task, emphasis.
_MARKER_LINE = re.compile(
    r"[ \t>]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)*(?:[-+*_=~`#|:> \t]*|\d{1,9}[.)]?|\[[ xX]?\]?[ \t]*)"
)
_HEADER_ROW = re.compile(r"(?:^|\n)(?!\|)[^\n]*\n(\|[^\n]*)\n?$|^(\|[^\n]*)\n?$")
_PIPE = re.compile(r"(?<!\\)\|")
_INLINE_START = re.compile(
    r"^[ \t>]*+(?:$|(?:[-*+]|\d{1,9}[.)])[ \t]++(?:\[[ xX]\][ \t])?|#{1,6}[ \t](?:.*\n)?)", re.MULTILINE
)


def mend(text: str) -> str:
    """Complete the end of `text`. Only markers at the very end that have no effect yet are dropped."""
    line = text.rfind("\n") + 1
    fence = _open_fence(text)
    if fence:
        if fence.end() == len(text):  # its language is not complete
            return mend(text[: fence.start()]) if fence.start() else ""
        return text[:line] if _CLOSING_FENCE.fullmatch(text, line) else text
    if 0 < len(text) - line < MAX_MARKER_CHARACTERS and _MARKER_LINE.fullmatch(text, line):
        text = text[:line]
    start = _start_of_inline(text)
    text = text[:start] + _close_inline(text[start:])
    header = _HEADER_ROW.search(text) if "|" in text else None
    return text.rstrip("\n") + _delimiter_row(header[1] or header[2]) if header else text


def _open_fence(text: str) -> re.Match[str] | None:
    if "```" not in text and "~~~" not in text:
        return None
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2].strip():
            opened = None
    return opened


def _delimiter_row(header: str) -> str:
    """The text that turns the first row of a table into a table."""
    row = header.rstrip()
    closing = "" if len(row) > 1 and row.endswith("|") and not row.endswith("\\|") else "|"
    columns = len(_PIPE.findall(row + closing)) - 1
    return f"{closing}\n{'|-' * columns}|" if columns else ""


def _start_of_inline(text: str) -> int:
    start = _start_of_block(text, max(0, len(text) - MAX_REACH))
    cell = text.rfind("\n") + 1
    return max(start, text.rfind("|") + 1) if text.startswith("|", cell) else start


def _start_of_block(text: str, first: int) -> int:
    """The end of the last marker or empty line that begins at `first` or later, else `first`."""
    end = len(text)
    while (line := text.rfind("\n", max(0, first - 1), end) + 1) or not first:
        if block := _INLINE_START.match(text, line):
            return block.end()
        if not line:
            break
        end = line - 1
    return first


_INLINE_MARK = re.compile(r"[$\\`*_~!\[\]<]")  # the first character of each match of _INLINE; faster to find
_INLINE = re.compile(
    r"""(\$\$? | \\[(\[])       # formula
    | \\.                    # an escaped character
    | (`+)                   # code
    | (\*+ | _+ | ~~+ | ~$)  # emphasis
    | (!?\[) | (\])          # link or image
    | ([<\\]$ | <(?=(?:ht{0,2} | https? | (?:https?|mailto):[^\s<>]*)$))  # an incomplete escape or <address>
    """,
    re.DOTALL | re.VERBOSE,
)
_TARGET = re.compile(r"\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)", re.DOTALL)
_HALF_TARGET = re.compile(r"(?:\([ \t]*+<?[^\s<>]*+(?:[ \t]++(?:[\"'(][^\"')]*+[\"']?[ \t]*+)?)?)?$")

# The end of each formula, and what an unfinished one may contain: a dollar before a digit is more likely a price.
_FORMULAS = {
    "$": (re.compile(r"(?<![\s\\])\$(?!\d)"), re.compile(r"(?![\s\d])[^$]{0,200}\$?$")),
    "$$": (re.compile(r"\$\$"), re.compile(r"[^$]{0,2000}\$?$")),
    "\\(": (re.compile(r"\\\)"), re.compile(r".{0,200}+\Z", re.DOTALL)),
    "\\[": (re.compile(r"\\\]"), re.compile(r".{0,2000}+\Z", re.DOTALL)),
}


class _Mark(NamedTuple):
    text: str
    at: int


def _close_inline(text: str) -> str:
    """Close open emphasis, code and links in inline text."""
    marks: list[_Mark] = []  # open emphasis
    brackets: list[_Mark] = []
    dropped: list[tuple[int, int]] = []
    unended: set[str] = set()  # formulas whose end occurs nowhere in the rest
    at, closers = 0, ""
    while token := _next_token(text, at):
        at = token.end()
        formula, code, emphasis, bracket, closing, half = token.groups()
        if formula:
            ending, growing = _FORMULAS[formula]
            if formula not in unended and (end := ending.search(text, at)):
                at = end.end()
                continue
            unended.add(formula)
            if growing.match(text, at):
                dropped.append((token.start(), len(text)))
                break
        elif code and (end := re.compile(rf"(?<!`){code}(?!`)").search(text, at)):
            at = end.end()
        elif code:
            closers = code if text[at:].strip(" \n`") else ""
            text = text.rstrip(" \n").rstrip("`") if closers else text[: token.start()]
            break
        elif emphasis:
            unused = _apply_emphasis(text, token, marks)
            text = text[: at - unused] if at == len(text) else text
        elif bracket:
            brackets.append(_Mark(bracket, token.start()))
        elif closing and brackets:
            if target := _TARGET.match(text, at):
                at = target.end()
            elif _HALF_TARGET.match(text, at):
                dropped.append((token.start(), len(text)))
                break
            brackets.pop()
        elif half:
            dropped.append(token.span())
    dropped += filter(None, (_unfinished_link(text, bracket) for bracket in brackets))
    closers += "".join(mark.text for mark in reversed(marks))
    text = _without(text, dropped)
    return text.rstrip() + closers if closers else text


def _next_token(text: str, at: int) -> re.Match[str] | None:
    while mark := _INLINE_MARK.search(text, at):
        if token := _INLINE.match(text, mark.start()):
            return token
        at = mark.end()
    return None


def _apply_emphasis(text: str, token: re.Match[str], marks: list[_Mark]) -> int:
    """Close or open emphasis with a run of marks. Returns how many of them do neither."""
    run, before, after = token[0], text[: token.start()][-1:], text[token.end() :][:1]
    left, right = _flanks(before, after)
    if run[0] == "_":
        left, right = left and not before.isalnum(), right and not after.isalnum()
    while run and right and (at := _last_index(marks, run[0])) is not None:
        opening = marks[at]
        marks[at:] = [opening._replace(text=opening.text[len(run) :])] if len(run) < len(opening.text) else []
        run = run[len(opening.text) :]
    if run and after and left and not (len(run) == 1 and _in_word(before)):
        marks.append(_Mark(run, token.start()))
        return 0
    return len(run)


def _last_index(marks: list[_Mark], character: str) -> int | None:
    return next((at for at in reversed(range(len(marks))) if marks[at].text[0] == character), None)


def _unfinished_link(text: str, bracket: _Mark) -> tuple[int, int] | None:
    """The span to leave out of a link whose end is missing: its bracket, or the number of a footnote."""
    inside = text[bracket.at + len(bracket.text) :]
    if inside.startswith("^"):
        return bracket.at, len(text) if len(inside) < MAX_LABEL_CHARACTERS and " " not in inside else bracket.at
    if (
        _in_word(text[: bracket.at][-1:])
        or inside[:1].isspace()
        or len(inside) > MAX_LABEL_CHARACTERS
        or "\n" in inside
    ):
        return None
    return bracket.at, bracket.at + len(bracket.text)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept, at = "", 0
    for start, end in sorted(spans):
        kept += text[at : max(at, start)]
        at = max(at, end)
    return kept + text[at:]


def _in_word(before: str) -> bool:
    """Inside a word, a mark is more likely a multiplication sign than emphasis, and a bracket an index than a link."""
    return before.isascii() and before.isalnum()


def _flanks(before: str, after: str) -> tuple[bool, bool]:
    """Whether marks between two characters can open emphasis, and whether they can close it."""
    space_before, space_after = not before.strip(), not after.strip()
    punctuation_before, punctuation_after = _is_punctuation(before), _is_punctuation(after)
    left = not space_after and (not punctuation_after or space_before or punctuation_before)
    right = not space_before and (not punctuation_before or space_after or punctuation_after)
    return left, right


def _is_punctuation(character: str) -> bool:
    return bool(character.strip()) and not character.isalnum()
