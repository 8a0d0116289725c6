"""Changes of HTML that replace or extend its last elements only, so that a long block need not be sent again."""

import re
from typing import NamedTuple

MAX_SHARE = 0.5  # a patch as long as this part of the HTML saves too little
_VOID = ("<br", "<hr", "<input")
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)")


class Patch(NamedTuple):
    """HTML that replaces an element, or is added to its end."""

    replaces: bool
    html: str
    path: str  # CSS, from the parent of the HTML to the element, by way of last children only


class _Element(NamedTuple):
    start: int
    inner_end: int
    end: int
    path: str


def patch(old: str, new: str) -> Patch | None:
    """The change from `old` to `new`, if only the end differs. Both are HTML as the sanitizer writes it."""
    if old == new:
        return Patch(False, "", "")
    common = _common_length(old, new)
    for element in reversed(_last_elements(old, common)):
        if common >= element.inner_end and (html := _between(old, new, element.inner_end, element.inner_end)):
            return Patch(False, html, element.path)
        if html := _between(old, new, element.start, element.end):
            return Patch(True, html, element.path)
    return None


def _common_length(old: str, new: str) -> int:
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _last_elements(html: str, limit: int) -> list[_Element]:
    """The last element, its last child, and so on, as far as they begin before `limit`."""
    elements: list[_Element] = []
    path, first, end = "", 0, html.rfind(">") + 1
    while end > first and (start := _start(html, end)) is not None and first <= start < limit:
        tag = _TAG.match(html, start)
        if not tag:
            break
        path += f" > {tag[2]}:last-child"
        inner_end = html.rfind("</", start, end)
        if inner_end <= start:  # it has no end tag
            break
        elements.append(_Element(start, inner_end, end, path))
        first, end = html.index(">", start) + 1, html.rfind(">", start, inner_end) + 1
    return elements


def _start(html: str, end: int) -> int | None:
    """The start of the element that ends at `end`."""
    at, depth = end, 0
    while (at := html.rfind("<", 0, at)) >= 0:
        if html.startswith("</", at):
            depth += 1
        elif not html.startswith(_VOID, at):
            depth -= 1
        if depth <= 0:
            return at
    return None


def _between(old: str, new: str, start: int, end: int) -> str | None:
    """What `new` has instead of `old[start:end]`, if that is short and opens and closes the same elements."""
    rest = old[end:]
    stop = len(new) - len(rest)
    if not start < stop <= start + MAX_SHARE * len(new) or not new.endswith(rest):
        return None
    html, depth = new[start:stop], 0
    for tag in _TAG.finditer(html):
        if not html.startswith(_VOID, tag.start()):
            depth += -1 if tag[1] else 1
        if depth < 0:
            return None
    return None if depth else html
