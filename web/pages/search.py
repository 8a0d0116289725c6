"""The search over all chats of a session: a page, and for htmx its results alone."""

from uuid import UUID

from starlette.responses import Response

from kit.text import clean, is_blank
from web.addresses import network
from web.contract import MAX_FOUND_CHATS, MAX_QUERY_CODE_POINTS, SearchResults
from web.pages import query
from web.rendering.templates import is_htmx
from web.state import Request

# In an address, a byte takes up to three characters. httpx refuses addresses of more than 65,536
_MAX_QUERY_BYTES = 20_000
MAX_LISTED_CHATS = 20  # next to a chat, where the results are read while typing


async def show(request: Request) -> Response:
    """`?q=` is the query, and `?chat=<id>` the chat to return to."""
    session = await request.state["sessions"].require(request)
    text = _text(request)
    async with request.state["search_limit"].enter(session, network(request)):
        found = await _find(request, session, text)
    values: dict[str, object] = {**found, "summary": _summary(found) if text else "", "is_listbox": is_htmx(request)}
    if is_htmx(request):
        return request.state["templates"].response("search/results.html", 200, **values)
    values |= {"text": text, "chat_id": query.id_parameter(request, "chat"), "limit": MAX_FOUND_CHATS}
    page = request.state["templates"].response("search/show.html", 200, **values)
    request.state["sessions"].renew(request, page)
    return page


def _text(request: Request) -> str:
    """The query, cut to what fits into an address of dbapi."""
    text = clean(request.query_params.get("q", ""))[:MAX_QUERY_CODE_POINTS]
    text = text.encode()[:_MAX_QUERY_BYTES].decode(errors="ignore")
    return "" if is_blank(text) else text


async def _find(request: Request, session: UUID, text: str) -> SearchResults:
    if not text:
        return {"results": [], "is_complete": True}
    limit, typing = MAX_LISTED_CHATS if is_htmx(request) else MAX_FOUND_CHATS, request.query_params.get("typing") == "1"
    return await request.state["dbapi"].search(session, text, limit, typing=typing)


def _summary(found: SearchResults) -> str:
    """A chat is a result if only its title matches; otherwise its messages are."""
    count = sum(len(chat["hits"]) or 1 for chat in found["results"])
    summary = f"{count} result{'s' if count > 1 else ''}" if count else "Nothing found"
    return summary if found["is_complete"] else f"{summary}. The search took too long, so some may be missing."
