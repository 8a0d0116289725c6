"""Chats of one session."""

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from dbapi import body
from dbapi.access import session_id
from dbapi.errors import Invalid
from dbapi.schemas import ChatList, ChatRecord, ChatWithMessages, NewChat
from dbapi.sql import chats, messages, sessions
from dbapi.tables import Chat

MOST_CHATS = 200


async def create(request: Request) -> Response:
    """A chat with its first messages."""
    session, new = session_id(request), await body.read(request, NewChat)
    if any(message.role == "system" for message in new.messages[1:]):
        raise Invalid("Only the first message may be the system prompt.")
    async with request.state["database"].session(session) as db:
        await sessions.ensure(db, session)
        prompts = [message.content for message in new.messages if message.role == "system"]
        chat = await chats.create(db, session, new.username, new.model, "".join(prompts))
        parent = None
        for message in new.messages:
            if message.role != "system":
                added = await messages.add(db, chat, role=message.role, content=message.content, parent_id=parent)
                parent = added.id
        await db.refresh(chat)  # its messages gave it a title
        shown = await _with_messages(db, chat)
    return body.answer(shown, 201)


async def index(request: Request) -> Response:
    """This session's chats, latest first."""
    session = session_id(request)
    async with request.state["database"].session(session) as db:
        found = await chats.all_of(db, session, MOST_CHATS)
    return body.answer(ChatList(chats=[ChatRecord.model_validate(chat) for chat in found]))


async def show(request: Request) -> Response:
    """A chat with its messages."""
    session = session_id(request)
    async with request.state["database"].session(session) as db:
        shown = await _with_messages(db, await chats.get(db, session, request.path_params["chat_id"]))
    return body.answer(shown)


async def show_latest(request: Request) -> Response:
    """The chat of this name that was written in last."""
    session = session_id(request)
    async with request.state["database"].session(session) as db:
        shown = await _with_messages(db, await chats.latest(db, session, request.path_params["username"]))
    return body.answer(shown)


async def _with_messages(db: AsyncSession, chat: Chat) -> ChatWithMessages:
    branch = await messages.branch(db, chat.session_id, chat.id, chat.tip_id)
    return ChatWithMessages.model_validate({**ChatRecord.model_validate(chat).model_dump(), "messages": [row._mapping for row in branch]})
