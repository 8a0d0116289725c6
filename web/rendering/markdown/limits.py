"""What is too much to render: a text beyond these limits is shown as it was written."""

import re

INPUT_CHARACTERS = 256 * 1024
OUTPUT_CHARACTERS = 1024 * 1024
OUTPUT_PER_INPUT = 20
OUTPUT_SPARE = 64 * 1024
LINK = 50  # characters that a link grows by after comrak: target and rel
NESTING = 50  # lists, quotes and emphasis inside each other; the sanitiser is quadratic in it
TABLE_COLUMNS = 64
TABLE_SPARE = 16  # empty cells a table may be filled up with, beyond one per two characters

_DELIMITER_ROW = re.compile(r"^[ \t>]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*\|?[ \t]*+$", re.MULTILINE)
_NESTABLE = re.compile(r"<(/?)(?:ul|ol|blockquote|em|strong|del)\b")
_NESTABLE_TAGS = ("<ul>", "<ol", "<blockquote>", "<em>", "<strong>", "<del>")


def first_excess(text: str, start: int = 0) -> int:
    """The offset of the first line that makes a table too wide, or too much wider than what fills it
    (short rows are filled up with empty cells), else the length. Later text never changes it."""
    if "|" not in text:
        return len(text)
    for row in _DELIMITER_ROW.finditer(text, start):
        columns = row[0].strip(" \t>|").count("|") + 1
        if columns > TABLE_COLUMNS:
            return row.start()
        if columns > 1 and (excess := _ragged(text, row.start(), columns)) is not None:
            return excess
    return len(text)


def _ragged(text: str, start: int, columns: int) -> int | None:
    line, rows = start, 0
    while (end := text.find("\n", line)) > line:
        rows += 1
        if columns * rows * 2 > end - start + 2 * (columns + TABLE_SPARE):
            return line
        line = end + 1
    return None


def too_long(text: str) -> bool:
    return len(text) > INPUT_CHARACTERS


def too_much(html: str, text: str) -> bool:
    """Whether `html` is out of proportion to the `text` it was made from, or nested too deeply."""
    most = min(OUTPUT_CHARACTERS, OUTPUT_PER_INPUT * len(text) + OUTPUT_SPARE)
    return len(html) + LINK * (html.count("<a ") + html.count("<img ")) > most or _nesting(html) > NESTING


def _nesting(html: str) -> int:
    if sum(map(html.count, _NESTABLE_TAGS)) <= NESTING:
        return 0
    depth = deepest = 0
    for tag in _NESTABLE.finditer(html):
        depth += -1 if tag[1] else 1
        deepest = max(deepest, depth)
    return deepest
