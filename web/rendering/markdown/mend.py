"""The open block as it looks while it is typed: what is half there is closed, or waits for the rest.

Only for the eye: nothing of this is kept, the next step starts from the text again.
"""

import re
from typing import NamedTuple

REACH = 4000  # characters; emphasis that began further back stays as typed
MARKER = 400  # characters; a longer line is not only a marker

_FENCE = re.compile(r"^[ \t>]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)*(`{3,}(?=[^`\n]*$)|~{3,})(.*)$", re.MULTILINE)
_CLOSING = re.compile(r"[ \t>]*(?:`+|~+)[ \t\r]*")
# A line that is a marker only, or can still become one: list, heading, rule, underline, table, task, emphasis.
_MARKER = re.compile(r"[ \t>]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)*(?:[-+*_=~`#|:> \t]*|\d{1,9}[.)]?|\[[ xX]?\]?[ \t]*)")
_HEADER = re.compile(r"(?:^|\n)(?!\|)[^\n]*\n(\|[^\n]*)\n?$|^(\|[^\n]*)\n?$")
_PIPE = re.compile(r"(?<!\\)\|")
_INLINE_START = re.compile(r"^[ \t>]*+(?:$|(?:[-*+]|\d{1,9}[.)])[ \t]++(?:\[[ xX]\][ \t])?|#{1,6}[ \t](?:.*\n)?)", re.MULTILINE)


def mend(text: str) -> str:
    """`text` with its end made whole; drops nothing but a marker at the very end that says nothing yet."""
    line = text.rfind("\n") + 1
    fence = _open_fence(text)
    if fence:
        if fence.end() == len(text):  # its language is being typed
            return mend(text[: fence.start()]) if fence.start() else ""
        return text[:line] if _CLOSING.fullmatch(text, line) else text
    if 0 < len(text) - line < MARKER and _MARKER.fullmatch(text, line):
        text = text[:line]
    start = _start_of_inline(text)
    text = text[:start] + _closed(text[start:])
    header = _HEADER.search(text) if "|" in text else None
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
    """What makes a table of its first row."""
    row = header.rstrip()
    closing = "" if len(row) > 1 and row.endswith("|") and not row.endswith("\\|") else "|"
    columns = len(_PIPE.findall(row + closing)) - 1
    return f"{closing}\n{'|-' * columns}|" if columns else ""


def _start_of_inline(text: str) -> int:
    start = max(0, len(text) - REACH)
    for block in _INLINE_START.finditer(text, start):
        start = block.end()
    cell = text.rfind("\n") + 1
    return text.rfind("|") + 1 if text.startswith("|", cell) else start


_INLINE = re.compile(
    r"""(\$\$? | \\[(\[])       # formula
    | \\.                    # an escaped character
    | (`+)                   # code
    | (\*+ | _+ | ~~+ | ~$)  # emphasis
    | (!?\[) | (\])          # link or image
    | ([<\\]$ | <(?=(?:ht{0,2} | https? | (?:https?|mailto):[^\s<>]*)$))  # half an escape or <address>
    """,
    re.DOTALL | re.VERBOSE,
)
_TARGET = re.compile(r"\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)", re.DOTALL)
_HALF_TARGET = re.compile(r"(?:\([ \t]*<?[^\s<>]*(?:[ \t]+(?:[\"'(][^\"')]*[\"']?[ \t]*)?)?)?$")
LABEL = 200  # characters; a bracket that stays open for longer is just a bracket

# How each formula ends, and how an unfinished one goes on: a dollar before a digit is more likely a price.
_FORMULAS = {
    "$": (re.compile(r"(?<![\s\\])\$(?!\d)"), re.compile(r"(?![\s\d])[^$]{0,200}\$?$")),
    "$$": (re.compile(r"\$\$"), re.compile(r"[^$]{0,2000}\$?$")),
    "\\(": (re.compile(r"\\\)"), re.compile(r"(?:[^\\]|\\[^)]){0,200}\\?$")),
    "\\[": (re.compile(r"\\\]"), re.compile(r"(?:[^\\]|\\[^]]){0,2000}\\?$")),
}


class _Mark(NamedTuple):
    text: str
    at: int


def _closed(text: str) -> str:
    """Inline text with its open emphasis, code and links closed."""
    marks: list[_Mark] = []  # that emphasis was opened with
    brackets: list[_Mark] = []
    dropped: list[tuple[int, int]] = []
    at, closers = 0, ""
    while token := _INLINE.search(text, at):
        at = token.end()
        formula, code, emphasis, bracket, closing, half = token.groups()
        if formula:
            ending, growing = _FORMULAS[formula]
            if end := ending.search(text, at):
                at = end.end()
            elif growing.match(text, at):
                dropped.append((token.start(), len(text)))
                break
        elif code and (end := re.compile(rf"(?<!`){code}(?!`)").search(text, at)):
            at = end.end()
        elif code:
            closers = code if text[at:].strip(" \n`") else ""
            text = text.rstrip(" \n").rstrip("`") if closers else text[: token.start()]
            break
        elif emphasis:
            unused = _emphasis(text, token, marks)
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
    dropped += filter(None, (_unlinked(text, bracket) for bracket in brackets))
    closers += "".join(mark.text for mark in reversed(marks))
    text = _without(text, dropped)
    return text.rstrip() + closers if closers else text


def _emphasis(text: str, token: re.Match[str], marks: list[_Mark]) -> int:
    """Closes or opens emphasis with a run of marks; how many of them do neither."""
    run, before, after = token[0], text[: token.start()][-1:], text[token.end() :][:1]
    left, right = _flanks(before, after)
    if run[0] == "_":
        left, right = left and not before.isalnum(), right and not after.isalnum()
    while run and right and (at := _last(marks, run[0])) is not None:
        opening = marks[at]
        marks[at:] = [opening._replace(text=opening.text[len(run) :])] if len(run) < len(opening.text) else []
        run = run[len(opening.text) :]
    if run and after and left and not (len(run) == 1 and _in_word(before)):
        marks.append(_Mark(run, token.start()))
        return 0
    return len(run)


def _last(marks: list[_Mark], character: str) -> int | None:
    return next((at for at in reversed(range(len(marks))) if marks[at].text[0] == character), None)


def _unlinked(text: str, bracket: _Mark) -> tuple[int, int] | None:
    """What to leave out of a link whose end is not there yet: its bracket, or all of a footnote's number."""
    inside = text[bracket.at + len(bracket.text) :]
    if inside.startswith("^"):
        return bracket.at, len(text) if len(inside) < LABEL and " " not in inside else bracket.at
    if _in_word(text[: bracket.at][-1:]) or inside[:1].isspace() or len(inside) > LABEL or "\n" in inside:
        return None
    return bracket.at, bracket.at + len(bracket.text)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept, at = "", 0
    for start, end in sorted(spans):
        kept += text[at : max(at, start)]
        at = max(at, end)
    return kept + text[at:]


def _in_word(before: str) -> bool:
    """Here a lone mark is more likely a sign of multiplication, a bracket an index, than the start of something."""
    return before.isascii() and before.isalnum()


def _flanks(before: str, after: str) -> tuple[bool, bool]:
    """Whether marks between two characters can open, and whether they can close."""
    space_before, space_after = not before.strip(), not after.strip()
    mark_before, mark_after = _is_mark(before), _is_mark(after)
    left = not space_after and (not mark_after or space_before or mark_before)
    right = not space_before and (not mark_before or space_after or mark_after)
    return left, right


def _is_mark(character: str) -> bool:
    return bool(character.strip()) and not character.isalnum()
