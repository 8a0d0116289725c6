"""Edits to a text before comrak parses it, so that no word is lost.

comrak drops cells beyond a table's last column and definitions that nothing refers to, and it writes HTML blocks
without an element around them. Changing a few characters in the text is simpler than changing the result.
"""

import html
import re
from collections import Counter

from web.rendering.markdown import parser
from web.rendering.markdown.sanitizer import LINK

LITERAL = "=html"  # the language of the code fences around HTML blocks; no real language has this name

_HTML = re.compile(r"^ {0,3}<", re.MULTILINE)
_DELIMITER_ROW = re.compile(r"^[|:\- \t>]*+$", re.MULTILINE)
_PIPE = re.compile(r"(?<!\\)\|")
_DEFINITION = re.compile(
    r"^[ \t>]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t>]++)*(?=\[([^\[\]]{1,999})\]:[ \t]*+\n?[ \t>]*+<?([^\s<>]*))", re.MULTILINE
)
_SHOWN = re.compile(r"\[([^\[\]]++)\]:")
_LABEL = re.compile(r"\[([^\[\]]{1,999})\]")


def protect(text: str) -> str:
    """Put HTML blocks into code fences marked LITERAL, and escape pipes that would start a surplus cell."""
    edits: list[tuple[int, int, str]] = []
    if _may_overflow(text):
        for header, *rows in parser.tables(text):
            columns = len(_inner_pipes(text, *header))
            surplus = (pipe for row in rows for pipe in _inner_pipes(text, *row)[columns:])
            edits += [(pipe, pipe, "\\") for pipe in surplus]
    if "<" in text and _HTML.search(text):
        edits = sorted(edits + _fence_html(text))
    return apply_edits(text, edits) if edits else text


def _fence_html(text: str) -> list[tuple[int, int, str]]:
    starts = parser.line_starts(text)
    edits: list[tuple[int, int, str]] = []
    for block in parser.blocks(text):
        if block.kind == "html_block":
            start, end = starts[block.first], starts[block.last + 1]
            edits.append((start, end, _as_code_fence(text[start:end])))
    return edits


def _may_overflow(text: str) -> bool:
    """Whether a row may have more cells than a table has columns."""
    if "|" not in text:
        return False
    rows = {row[0].strip(" \t>") for row in _DELIMITER_ROW.finditer(text) if "|" in row[0]}
    widths = {len(_inner_pipes(row, 0, len(row))) for row in rows}
    if not widths:
        return False
    surplus = rf"^[ \t>]*+\|?+(?:[^|\n]*+\|){{{min(widths) + 1}}}[ \t]*+\S"
    return re.search(surplus, text, re.MULTILINE) is not None


def hidden_definitions(text: str, output: str) -> list[int]:
    """The offsets of unused definitions that are missing in `output` and have to be shown as written.

    If footnotes are missing for another reason, the offsets of all footnote definitions, too.
    """
    if "]:" not in text:
        return []
    definitions = list(_DEFINITION.finditer(text))
    uses = Counter(_LABEL.findall(text.casefold()))
    uses.subtract(definition[1].casefold() for definition in definitions)
    unused = [definition for definition in definitions if not _is_used(definition, uses)]
    seen = set(_SHOWN.findall(output)) if unused else set()
    unseen = [definition.end() for definition in unused if html.escape(definition[1]) not in seen]
    notes = parser.footnotes(text) if "[^" in text else []
    shown = output.count('<li id="fn-') + len({*unseen} & {*notes})
    return sorted({*unseen, *notes}) if shown < len(notes) else unseen


def _is_used(definition: re.Match[str], uses: Counter[str]) -> bool:
    """Whether something refers to the definition, and the reference becomes a link or a footnote."""
    label, target = definition[1], definition[2]
    return uses[label.casefold()] > 0 and (label.startswith("^") or LINK.match(target) is not None)


def _inner_pipes(text: str, start: int, end: int) -> list[int]:
    """The offsets of the pipes between the cells of a table row."""
    pipes = [pipe.start() for pipe in _PIPE.finditer(text, start, end)]
    if pipes and not text[pipes[-1] + 1 : end].strip():
        pipes.pop()
    return pipes[1:] if pipes and not text[start : pipes[0]].strip() else pipes


def _as_code_fence(block: str) -> str:
    fence = "~" * max(3, 1 + max(map(len, re.findall("~+", block)), default=0))
    return f"{fence}{LITERAL}\n{block.rstrip()}\n{fence}\n"


def apply_edits(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Apply replacements (start, end, new text), which are in order and do not overlap."""
    pieces, at = [], 0
    for start, end, replacement in edits:
        pieces += [text[at:start], replacement]
        at = end
    return "".join([*pieces, text[at:]])
