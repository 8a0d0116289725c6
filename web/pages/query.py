"""Query parameters of the chat page. Anything invalid counts as absent: people edit addresses by hand."""

import re
from uuid import UUID

from kit.ids import IdConvertor
from web.rendering.templates import is_htmx
from web.state import Request

PAGE_MESSAGES, MAX_MESSAGES = 60, 2000

_LAST = re.compile(r"(?:^|&)last=([0-9]{1,6})(?:&|$)")
_MESSAGE = re.compile(rf"(?:^|&)message=({IdConvertor.regex})(?:&|$)")


def id_parameter(request: Request, name: str) -> str:
    """An id, or an empty string."""
    text = request.query_params.get(name, "")
    return text if re.fullmatch(IdConvertor.regex, text) else ""


def message(request: Request) -> str:
    """The id of a message: the page shows a branch with it. What htmx requests is a part of the page in the browser."""
    return id_parameter(request, "message") or (_of_page(request, _MESSAGE) if is_htmx(request) else "")


def last(request: Request) -> int:
    """How many of the newest messages to show."""
    of_page = int(_of_page(request, _LAST) or 0) if is_htmx(request) else 0
    return min(_number(request, "last") or of_page or PAGE_MESSAGES, MAX_MESSAGES)


def page(request: Request) -> int:
    """The random number that a page has given itself."""
    return _number(request, "page")


def same_view(request: Request, message_id: UUID | str = "") -> str:
    """A query string with which the next page shows the same messages as the page that sent this request.

    If that page shows the branch with a certain message, the next one shows the branch with `message_id`.
    """
    last, message = _of_page(request, _LAST), _of_page(request, _MESSAGE)
    values = [f"last={last}"] if last else []
    values += [f"message={message_id or message}"] if message else []
    return f"?{'&'.join(values)}" if values else ""


def _of_page(request: Request, parameter: re.Pattern[str]) -> str:
    """A query parameter of the page that sent this request, or an empty string."""
    address = request.headers.get("hx-current-url") or request.headers.get("referer", "")
    found = parameter.search(address.partition("#")[0].partition("?")[2])
    return found[1] if found else ""


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,6}", text) else 0
