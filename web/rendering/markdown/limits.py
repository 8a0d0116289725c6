"""Limits of rendering. A text beyond them is shown as written."""

import re

MAX_INPUT_CHARACTERS = 256 * 1024
MAX_OUTPUT_CHARACTERS = 1024 * 1024
MAX_OUTPUT_PER_INPUT = 20  # characters of HTML per character of text
OUTPUT_ALLOWANCE = 64 * 1024  # characters of HTML on top of that
LINK_CHARACTERS = 50  # added to each link after comrak: target and rel
MAX_NESTING = 50  # lists, quotes and emphasis inside each other; the sanitizer takes quadratic time in it
MAX_TABLE_COLUMNS = 64
EMPTY_CELLS_ALLOWANCE = 16  # empty cells that comrak may add to a table, beyond one per two characters

_DELIMITER_ROW = re.compile(r"^[ \t>]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*\|?[ \t]*+$", re.MULTILINE)
_NESTABLE = re.compile(r"<(/?)(?:ul|ol|blockquote|em|strong|del)\b")
_NESTABLE_TAGS = ("<ul>", "<ol", "<blockquote>", "<em>", "<strong>", "<del>")


def first_excess(text: str, start: int = 0) -> int:
    """The offset of the first line that makes a table too wide or too sparse, else the length of the text.

    A table is too sparse if comrak fills its short rows with too many empty cells. Later text never changes the result.
    """
    if "|" not in text:
        return len(text)
    for row in _DELIMITER_ROW.finditer(text, start):
        columns = row[0].strip(" \t>|").count("|") + 1
        if columns > MAX_TABLE_COLUMNS:
            return row.start()
        if columns > 1 and (excess := _first_sparse_row(text, row.start(), columns)) is not None:
            return excess
    return len(text)


def _first_sparse_row(text: str, start: int, columns: int) -> int | None:
    line, rows = start, 0
    while (end := text.find("\n", line)) > line:
        rows += 1
        if columns * rows * 2 > end - start + 2 * (columns + EMPTY_CELLS_ALLOWANCE):
            return line
        line = end + 1
    return None


def too_long(text: str) -> bool:
    return len(text) > MAX_INPUT_CHARACTERS


def too_much(html: str, text: str) -> bool:
    """Whether `html` is too long for the `text` it was made from, or nested too deeply."""
    max_length = min(MAX_OUTPUT_CHARACTERS, MAX_OUTPUT_PER_INPUT * len(text) + OUTPUT_ALLOWANCE)
    length = len(html) + LINK_CHARACTERS * (html.count("<a ") + html.count("<img "))
    return length > max_length or _nesting(html) > MAX_NESTING


def _nesting(html: str) -> int:
    if sum(map(html.count, _NESTABLE_TAGS)) <= MAX_NESTING:
        return 0
    depth = deepest = 0
    for tag in _NESTABLE.finditer(html):
        depth += -1 if tag[1] else 1
        deepest = max(deepest, depth)
    return deepest
