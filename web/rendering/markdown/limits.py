"""Limits of rendering. A text beyond them is shown as written."""

import re

MAX_INPUT_CHARACTERS = 256 * 1024
MAX_OUTPUT_CHARACTERS = 1024 * 1024
MAX_OUTPUT_PER_INPUT = 20  # characters of HTML per character of text
OUTPUT_ALLOWANCE = 64 * 1024  # characters of HTML on top of that
LINK_CHARACTERS = 50  # added to each link after comrak: target and rel
MAX_NESTING = 50  # lists, quotes and emphasis inside each other; the sanitizer takes quadratic time in it
MAX_TABLE_COLUMNS = 64
MAX_FORMULA_CHARACTERS = 50_000_000  # read in search of the ends of formulas; comrak reads about 1,000 in 1 µs
MAX_MOVED_CHARACTERS = 1_000_000_000  # to read definitions; comrak moves about 10,000 in 1 µs
EMPTY_CELLS_ALLOWANCE = 16  # empty cells that comrak may add to a table, beyond one per two characters

_DELIMITER_ROW = re.compile(r"^[ \t>]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*\|?[ \t]*+$", re.MULTILINE)
_FORMULA_MARK = re.compile(r"(?=(\\[(\[]|\$`|(?<!\\)\\[)\]]|`\$)|(?:^[ \t]*+\n|^ {0,3}(?:```|~~~)))", re.MULTILINE)
_PARAGRAPH_END = re.compile(r"^[ \t]*+\n|^(?= {0,3}(?:```|~~~))", re.MULTILINE)
_CLOSING_MARKS = {"\\(": "\\)", "\\[": "\\]", "$`": "`$"}
_NESTABLE = re.compile(r"<(/?)(?:ul|ol|blockquote|em|strong|del)\b")
_NESTABLE_TAGS = ("<ul>", "<ol", "<blockquote>", "<em>", "<strong>", "<del>")


def first_excess(text: str, start: int = 0) -> int:
    """The offset of the first line that makes a table too wide or too sparse, else the length of the text.

    A table is too sparse if comrak fills its short rows with too many empty cells. Later text never changes the result.
    """
    if "|" not in text:
        return len(text)
    while row := _DELIMITER_ROW.search(text, start):
        excess, start = _first_sparse_row(text, row.start())
        if excess is not None:
            return excess
    return len(text)


def _first_sparse_row(text: str, line: int) -> tuple[int | None, int]:
    """The offset of the first excess in the lines from `line` to an empty one, and the offset behind these lines.

    Each delimiter row may begin a table. Of those with equal columns, only the one that is closest to its limit counts:
    its `slack` is lowest. Tables of many columns soon exceed the limit, so the time is linear.
    """
    slack: dict[int, int] = {}  # by number of columns
    rows = 0
    while True:
        if delimiter := _DELIMITER_ROW.match(text, line):
            columns = delimiter[0].strip(" \t>|").count("|") + 1
            if columns > MAX_TABLE_COLUMNS:
                return line, line
            if columns > 1:
                here = 2 * columns * rows - line
                slack[columns] = min(slack.get(columns, here), here)
        end = text.find("\n", line)
        if end <= line:
            return None, end + 1 if end >= 0 else len(text)
        rows += 1
        for columns, lowest in slack.items():
            if 2 * columns * rows - end - lowest > 2 * (columns + EMPTY_CELLS_ALLOWANCE):
                return line, line
        line = end + 1


def too_long(text: str) -> bool:
    return len(text) > MAX_INPUT_CHARACTERS


def too_many_open_formulas(text: str) -> bool:
    """Whether comrak would take too long: from each opening mark of a formula, it reads on to the closing one.

    It reads no further than to an empty line or a code fence. So the result for a text is that for its blocks.
    """
    if sum(map(text.count, ("\\(", "\\[", "$`"))) * len(text) <= MAX_FORMULA_CHARACTERS:
        return False
    read, stop = 0, len(text)
    closing: dict[str, int] = {}
    for mark in reversed(list(_FORMULA_MARK.finditer(text))):
        if mark[1] is None:
            stop = mark.start()
            closing.clear()
        elif mark[1] in _CLOSING_MARKS:
            read += closing.get(_CLOSING_MARKS[mark[1]], stop) - mark.start()
        else:
            closing[mark[1]] = mark.start()
    return read > MAX_FORMULA_CHARACTERS


def too_many_definitions(text: str) -> bool:
    """Whether comrak would take too long: it moves the rest of a paragraph for each definition at its start."""
    if text.count("]:") * len(text) <= MAX_MOVED_CHARACTERS:
        return False
    moved = sum(part.count("]:") * len(part) for part in _PARAGRAPH_END.split(text))
    return moved > MAX_MOVED_CHARACTERS


def too_much(html: str, text: str) -> bool:
    """Whether `html` is too long for the `text` it was made from, or nested too deeply."""
    max_length = min(MAX_OUTPUT_CHARACTERS, MAX_OUTPUT_PER_INPUT * len(text) + OUTPUT_ALLOWANCE)
    length = len(html) + LINK_CHARACTERS * (html.count("<a ") + html.count("<img "))
    return length > max_length or _nesting(html) > MAX_NESTING


def _nesting(html: str) -> int:
    if html.count("<") <= MAX_NESTING or sum(map(html.count, _NESTABLE_TAGS)) <= MAX_NESTING:
        return 0
    depth = deepest = 0
    for tag in _NESTABLE.finditer(html):
        depth += -1 if tag[1] else 1
        deepest = max(deepest, depth)
    return deepest
