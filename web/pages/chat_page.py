"""The chat page: a response to its own URL, and to a message that was refused."""

import asyncio

from starlette.responses import Response

from web.generation.prompt import first_in_context
from web.pages import query
from web.pages.message_view import MessageView, message_view
from web.rendering.templates import is_htmx
from web.state import Request


async def chat_page(request: Request, draft: str = "", notice: str = "", status: int = 200) -> Response:
    """`draft` fills the message field; `notice` is shown above it. Raises NotFound."""
    session, chat_id = await request.state["sessions"].require(request), request.path_params["chat_id"]
    dbapi, llama = request.state["dbapi"], request.state["llama"]
    last = query.last(request)
    # One message more than is shown: if it exists, the page offers earlier messages
    chat, chats = await asyncio.gather(dbapi.chat(session, chat_id, last=last + 1), dbapi.chats(session))
    editing = query.id_parameter(request, "edit")
    if editing and editing not in [message["id"] for message in chat["messages"][-last:]]:
        last = query.MAX_MESSAGES
        chat = await dbapi.chat(session, chat_id, last=last + 1)
    messages = chat["messages"][-last:]
    max_tokens = chat["parameters"].get("max_tokens") or request.state["settings"].max_tokens
    views: list[MessageView] = []
    for message in messages:
        views.append(message_view(message))
        await asyncio.sleep(0)  # lets streams continue while a long chat is rendered
    return request.state["templates"].response(
        "chats/show.html",
        status,
        chat=chat,
        messages=views,
        chats=chats,
        earlier=last + query.PAGE_MESSAGES if len(chat["messages"]) > last else 0,
        first_in_context=first_in_context(messages, chat["system_prompt"], llama.context, max_tokens),
        context=llama.context,
        editing=editing,
        in_place=is_htmx(request),
        draft=draft,
        notice=notice,
    )
