"""A text as comrak should get it, so that no word of it is lost.

comrak swallows cells beyond a table's last column and definitions that nothing refers to, and it leaves HTML blocks
without an element. That is changed in the text, where it is a few characters, rather than in the result.
"""

import html
import re
from collections import Counter

from web.rendering.markdown import parser
from web.rendering.markdown.sanitizer import LINK

LITERAL = "=html"  # what HTML blocks are fenced as; no language is called so

_HTML = re.compile(r"^ {0,3}<", re.MULTILINE)
_DELIMITER_ROW = re.compile(r"^[|:\- \t]*+$", re.MULTILINE)
_PIPE = re.compile(r"(?<!\\)\|")
_DEFINITION = re.compile(
    r"^[ \t>]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t>]++)*(?=\[([^\[\]]{1,999})\]:[ \t]*+\n?[ \t>]*+<?([^\s<>]*))", re.MULTILINE
)
_LABEL = re.compile(r"\[([^\[\]]{1,999})\]")


def with_all_blocks(text: str) -> str:
    """`text` with its HTML blocks fenced as LITERAL, and pipes escaped that would start a cell too many."""
    if not _HTML.search(text) and not _may_overflow(text):
        return text
    starts = parser.line_starts(text)
    edits: list[tuple[int, int, str]] = []
    for block in parser.blocks(text):
        if block.kind == "html_block":
            start, end = starts[block.first], starts[block.last + 1]
            edits.append((start, end, _fenced(text[start:end])))
        elif block.kind == "table":
            header, _, *rows = zip(starts[block.first :], starts[block.first + 1 : block.last + 2], strict=False)
            columns = len(_inner_pipes(text, *header))
            surplus = (pipe for row in rows for pipe in _inner_pipes(text, *row)[columns:])
            edits += [(pipe, pipe, "\\") for pipe in surplus]
    return edited(text, edits)


def _may_overflow(text: str) -> bool:
    """Whether a row may have more cells than a table has columns."""
    if "|" not in text:
        return False
    widths = {len(_inner_pipes(text, *row.span())) for row in _DELIMITER_ROW.finditer(text) if "|" in row[0]}
    return any(re.search(rf"^[ \t>]*+\|?+(?:[^|\n]*+\|){{{width + 1}}}[ \t]*+\S", text, re.MULTILINE) for width in widths)


def hidden(text: str, output: str) -> list[int]:
    """The offsets of definitions to be shown as typed. Where footnotes don't add up for another reason, all of them."""
    if "]:" not in text:
        return []
    definitions = list(_DEFINITION.finditer(text))
    uses = Counter(_LABEL.findall(text.casefold()))
    uses.subtract(definition[1].casefold() for definition in definitions)
    unused = [definition for definition in definitions if not _is_used(definition, uses)]
    unseen = [definition.end() for definition in unused if html.escape(f"[{definition[1]}]:") not in output]
    notes = parser.footnotes(text) if "[^" in text else []
    shown = output.count('<li id="fn-') + len({*unseen} & {*notes})
    return sorted({*unseen, *notes}) if shown < len(notes) else unseen


def _is_used(definition: re.Match[str], uses: Counter[str]) -> bool:
    """Whether something refers to the definition, and it would give a link."""
    label, target = definition[1], definition[2]
    return uses[label.casefold()] > 0 and (label.startswith("^") or LINK.match(target) is not None)


def _inner_pipes(text: str, start: int, end: int) -> list[int]:
    """Where the cells of a table's row are separated."""
    pipes = [pipe.start() for pipe in _PIPE.finditer(text, start, end)]
    if pipes and not text[pipes[-1] + 1 : end].strip():
        pipes.pop()
    return pipes[1:] if pipes and not text[start : pipes[0]].strip() else pipes


def _fenced(block: str) -> str:
    fence = "~" * max(3, 1 + max(map(len, re.findall("~+", block)), default=0))
    return f"{fence}{LITERAL}\n{block.rstrip()}\n{fence}\n"


def edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    pieces, at = [], 0
    for start, end, instead in edits:
        pieces += [text[at:start], instead]
        at = end
    return "".join([*pieces, text[at:]])
