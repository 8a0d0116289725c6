"""comrak: its options, its HTML, and the lines of each top-level block."""

import re
from typing import NamedTuple

import comrak

_EXTENSIONS = comrak.ExtensionOptions(
    table=True,
    tasklist=True,
    strikethrough=True,
    autolink=True,
    footnotes=True,
    math_dollars=True,
    math_code=True,
    math_latex=True,
)
# Formulas do not change the blocks, and comrak takes quadratic time for unfinished ones.
_BLOCK_EXTENSIONS = comrak.ExtensionOptions(table=True, tasklist=True, footnotes=True)
_IN_PLACE = comrak.ParseOptions(leave_footnote_definitions=True)
_PARSE = comrak.ParseOptions()
_ESCAPE = comrak.RenderOptions(escape=True)
_POSITIONS = comrak.RenderOptions(escape=True, sourcepos=True)

# comrak indents its XML by two spaces per level and escapes every `<` in the text.
_TOP_LEVEL = re.compile(r'\n  <(\w+) sourcepos="(\d+):\d+-(\d+):')
_FOOTNOTE = re.compile(r'\n +<footnote_definition sourcepos="(\d+):(\d+)-')
_TABLE = re.compile(r'\n +<table(_row)? sourcepos="(\d+):(\d+)-')
_LINE_END = re.compile("\n")


class Block(NamedTuple):
    kind: str  # comrak's name: paragraph, list, code_block, html_block, footnote_definition, ...
    first: int  # index of its first line
    last: int  # index of its last line


def normalize_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def to_html(text: str) -> str:
    """HTML in which all HTML in the text is escaped. It is not safe yet, see `rendering`."""
    return comrak.markdown_to_html(_from_second_line(text), _EXTENSIONS, _PARSE, _ESCAPE)


def blocks(text: str) -> list[Block]:
    """The top-level blocks in order. Reference definitions belong to no block, or to the start of a paragraph."""
    return [Block(kind, int(first) - 2, int(last) - 2) for kind, first, last in _TOP_LEVEL.findall(_xml(text))]


def footnotes(text: str) -> list[int]:
    """The offsets of all footnote definitions, at any depth."""
    starts = [*line_starts(text), len(text)]
    found = []
    for line, column in _FOOTNOTE.findall(_xml(text)):
        found.append(_span(text, starts, line, column)[0])
    return found


def tables(text: str) -> list[list[tuple[int, int]]]:
    """The rows of all tables, at any depth, without the row of dashes: where each starts, and the end of its line."""
    starts = [*line_starts(text), len(text)]
    found: list[list[tuple[int, int]]] = []
    for is_row, line, column in _TABLE.findall(_xml(text)):
        if is_row:
            found[-1].append(_span(text, starts, line, column))
        else:
            found.append([])
    return found


def _span(text: str, starts: list[int], line: str, column: str) -> tuple[int, int]:
    """The offset of a position in the XML, and of the end of its line."""
    start, end = starts[int(line) - 2 : int(line)]
    before = text[start:end].encode()[: int(column) - 1]  # columns are bytes
    return start + len(before.decode(errors="ignore")), end


def line_starts(text: str) -> list[int]:
    """The offset of each line, and of the end of the text."""
    starts = [0, *(end.end() for end in _LINE_END.finditer(text))]
    return starts if starts[-1] == len(text) else [*starts, len(text)]


def _xml(text: str) -> str:
    return comrak.markdown_to_xml(_from_second_line(text), _BLOCK_EXTENSIONS, _IN_PLACE, _POSITIONS)


def _from_second_line(text: str) -> str:
    # comrak skips a byte order mark at the start of its input. Parts of a text must render as they do in the whole.
    return "\n" + text
