"""The chat page."""

import asyncio
from uuid import UUID

from starlette.responses import Response

from web.addresses import network
from web.contract import ChatWithMessages
from web.errors import NotFound
from web.generation.prompt import first_in_context
from web.pages import models, query
from web.pages.message_view import MessageView, message_view
from web.rendering.templates import is_htmx
from web.state import Request


async def chat_page(request: Request) -> Response:
    """Raises NotFound, or TooMany if the session loads many pages at once."""
    session = await request.state["sessions"].require(request)
    async with request.state["page_limit"].enter(session, network(request)):
        return await _chat_page(request, session)


async def _chat_page(request: Request, session: UUID) -> Response:
    dbapi, llama, chat_id = request.state["dbapi"], request.state["llama"], request.path_params["chat_id"]
    last, editing = query.last(request), query.id_parameter(request, "edit")
    # One message more than is shown: if it exists, the page offers earlier messages
    chat, chats = await asyncio.gather(dbapi.chat(session, chat_id, last=last + 1), dbapi.chats(session))
    if editing and editing not in _ids(chat)[-last:]:
        chat, last = await _with_message(request, session, chat, last, editing)
    messages = chat["messages"][-last:]
    max_tokens = request.state["settings"].answer_tokens(chat["parameters"].get("max_tokens"))
    views: list[MessageView] = []
    for message in messages:
        views.append(message_view(message))
        await asyncio.sleep(0)  # lets streams continue while a long chat is rendered
    return request.state["templates"].response(
        "chats/show.html",
        chat=chat,
        messages=views,
        chats=chats["chats"],
        list_state=chats["state"],
        last=last,
        earlier=last + query.PAGE_MESSAGES if len(chat["messages"]) > last else 0,
        first_in_context=first_in_context(messages, chat["system_prompt"], llama.context, max_tokens),
        context=llama.context,
        usage=next((message["usage"] for message in reversed(messages) if message["usage"]), None),
        editing=editing,
        limit=request.state["settings"].message_code_points,
        models=llama.models,
        default_model=models.default_name(request),
        is_tiny_model=llama.is_tiny,
        starters=request.state["settings"].starter_list,
        in_place=is_htmx(request),
        notice="",
    )


def _ids(chat: ChatWithMessages) -> list[str]:
    return [message["id"] for message in chat["messages"]]


async def _with_message(
    request: Request, session: UUID, chat: ChatWithMessages, last: int, message_id: str
) -> tuple[ChatWithMessages, int]:
    """The chat with enough messages to show this one, and how many; unchanged if the shown branch has no such one."""
    dbapi, chat_id = request.state["dbapi"], request.path_params["chat_id"]
    try:
        await dbapi.message(session, chat_id, UUID(message_id))
    except NotFound:
        return chat, last
    longer = await dbapi.chat(session, chat_id, last=query.MAX_MESSAGES + 1)
    ids = _ids(longer)[-query.MAX_MESSAGES :]
    return (longer, len(ids) - ids.index(message_id)) if message_id in ids else (chat, last)
