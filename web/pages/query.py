"""Query parameters of the chat page. Anything invalid counts as absent: people edit addresses by hand."""

import re
from urllib.parse import urlsplit

from kit.ids import IdConvertor
from web.state import Request

PAGE_MESSAGES, MAX_MESSAGES = 60, 2000

_LAST = re.compile(r"(?:^|&)(last=[0-9]{1,6})(?:&|$)")


def id_parameter(request: Request, name: str) -> str:
    """An id, or an empty string."""
    text = request.query_params.get(name, "")
    return text if re.fullmatch(IdConvertor.regex, text) else ""


def last(request: Request) -> int:
    """How many of the newest messages to show."""
    return min(_number(request, "last") or PAGE_MESSAGES, MAX_MESSAGES)


def offset(request: Request) -> int:
    """How many of the latest chats to leave out."""
    return _number(request, "offset")


def same_last(request: Request) -> str:
    """A query string with the `last` of the page that sent this request: the next page shows the same messages."""
    page = request.headers.get("hx-current-url") or request.headers.get("referer", "")
    found = _LAST.search(urlsplit(page).query)
    return f"?{found[1]}" if found else ""


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,6}", text) else 0
