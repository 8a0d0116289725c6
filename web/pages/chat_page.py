"""The chat page."""

import asyncio
from uuid import UUID

from starlette.responses import Response

from web.addresses import network
from web.contract import ChatWithMessages, Message
from web.errors import NotFound
from web.generation.prompt import first_in_context
from web.pages import chat_list, models, query
from web.pages.message_view import MessageView, message_view
from web.rendering.templates import is_htmx
from web.state import Request


async def chat_page(request: Request) -> Response:
    """Raises NotFound, or TooMany if the session loads many pages at once."""
    session = await request.state["sessions"].require(request)
    async with request.state["page_limit"].enter(session, network(request)):
        return await _chat_page(request, session)


async def _chat_page(request: Request, session: UUID) -> Response:
    dbapi, all_models, chat_id = request.state["dbapi"], request.state["models"], request.path_params["chat_id"]
    last, named, editing = query.last(request), query.message(request), query.id_parameter(request, "edit")
    seen = "" if is_htmx(request) else str(chat_id)  # what htmx requests may be for a hidden page
    chat, chats = await asyncio.gather(
        dbapi.chat(session, chat_id, last), dbapi.chats(session, chat_list.LISTED_CHATS, seen=seen)
    )
    if chat["is_temporary"] and not is_htmx(request):  # without JavaScript, only this says that it is open again
        await dbapi.return_to_chat(session, chat_id)
    llama = all_models.of(chat["model"])
    for message_id in filter(None, (named, editing)):
        chat = await _with_message(request, session, chat, message_id)
    messages, last = chat["messages"], max(last, len(chat["messages"]))
    max_tokens = request.state["settings"].answer_tokens(chat["parameters"].get("max_tokens"))
    has_earlier = bool(messages and messages[0]["parent_id"]) and last < query.MAX_MESSAGES
    return request.state["templates"].response(
        "chats/show.html",
        200,
        chat=chat,
        messages=await _views(messages),
        **chat_list.values(request, chat, chats),
        last=last,
        earlier=last + query.PAGE_MESSAGES if has_earlier else 0,
        named=named if named in _ids(chat) else "",
        parent_id=_parent_id(chat),
        first_in_context=first_in_context(messages, chat["system_prompt"], llama.context, max_tokens),
        context=llama.context,
        usage=next((message["usage"] for message in reversed(messages) if message["usage"]), None),
        editing=editing,
        limit=request.state["settings"].message_code_points,
        models=models.choices(request),
        default_model=models.default_name(request),
        is_tiny_model=llama.is_tiny,
        temporary_hours=request.state["settings"].temporary_chat_hours,
        starters=request.state["settings"].starter_list,
        in_place=is_htmx(request),
        notice="",
    )


def _ids(chat: ChatWithMessages) -> list[str]:
    return [message["id"] for message in chat["messages"]]


async def _with_message(request: Request, session: UUID, chat: ChatWithMessages, message_id: str) -> ChatWithMessages:
    """The chat with a branch that contains this message. The given one if it does, or if the message was deleted."""
    if message_id in _ids(chat):
        return chat
    last = query.last(request)
    try:
        found = await request.state["dbapi"].chat(session, request.path_params["chat_id"], last, message_id)
    except NotFound:
        return chat
    ids = _ids(found)
    count = max(last, len(ids) - ids.index(message_id)) if message_id in ids else 0
    return {**found, "messages": found["messages"][-count:]} if 0 < count <= query.MAX_MESSAGES else chat


async def _views(messages: list[Message]) -> list[MessageView]:
    views: list[MessageView] = []
    for message in messages:
        views.append(message_view(message))
        await asyncio.sleep(0)  # lets streams continue while a long chat is rendered
    return views


def _parent_id(chat: ChatWithMessages) -> str:
    """What the next message follows, if the page shows another branch than the stored one; else an empty string.

    A message follows an answer. It takes the place of a question without one.
    """
    end = chat["messages"][-1] if chat["messages"] else None
    if end is None or end["id"] == chat["tip_id"]:
        return ""
    return end["id"] if end["role"] == "assistant" else end["parent_id"] or "root"
