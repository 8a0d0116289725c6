"""Chats of one session."""

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from dbapi import body
from dbapi.auth import session_id
from dbapi.database import driver
from dbapi.errors import Invalid
from dbapi.schemas import ChatChange, ChatInList, ChatList, ChatRecord, ChatWithMessages, NewChat, Tip
from dbapi.sql import chats, messages, sessions
from dbapi.tables import Chat

MOST_CHATS = 200
ALL_MESSAGES = 1_000_000


async def create(request: Request) -> Response:
    """A chat with its first messages."""
    session, new = session_id(request), await body.read(request, NewChat)
    if any(message.role == "system" for message in new.messages[1:]):
        raise Invalid("Only the first message may be the system prompt.")
    async with request.state["database"].writing(session) as db:
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
        await chats.empty_bin(db, session)
        found = await chats.all_of(db, session, MOST_CHATS)
    return body.answer(ChatList(chats=[ChatInList(**ChatRecord.model_validate(chat).model_dump(), running=live) for chat, live in found]))


async def show(request: Request) -> Response:
    """A chat with its messages: all of the shown branch, or with `?last=N` the newest N of it."""
    session, last = session_id(request), request.query_params.get("last", "")
    most = int(last) if last.isascii() and last.isdecimal() and 0 < len(last) < 8 else ALL_MESSAGES
    async with request.state["database"].session(session) as db:
        shown = await _with_messages(db, await chats.get(db, session, request.path_params["chat_id"]), most)
    return body.answer(shown)


async def change(request: Request) -> Response:
    """Title, model, system prompt and parameters."""
    session, wanted = session_id(request), await body.read(request, ChatChange)
    values = wanted.model_dump(exclude_unset=True)
    for name in ("title", "model"):
        if name in values:
            values[name] = (values[name] or "").strip() or None
    if "parameters" in values:
        values["parameters"] = {name: value for name, value in (values["parameters"] or {}).items() if value is not None}
    if values.get("system_prompt", "") is None:
        values["system_prompt"] = ""
    async with request.state["database"].writing(session) as db:
        chat = await chats.get(db, session, request.path_params["chat_id"], lock=True)
        await chats.change(db, chat, values)
    return body.answer(ChatRecord.model_validate(chat))


async def delete(request: Request) -> Response:
    """Deletes a chat; for an hour it can be restored."""
    session = session_id(request)
    async with request.state["database"].writing(session) as db:
        await chats.delete(db, session, request.path_params["chat_id"])
    return Response(status_code=204)


async def restore(request: Request) -> Response:
    """Brings a deleted chat back."""
    session = session_id(request)
    async with request.state["database"].writing(session) as db:
        chat = await chats.restore(db, session, request.path_params["chat_id"])
    return body.answer(ChatRecord.model_validate(chat))


async def show_branch(request: Request) -> Response:
    """Makes the branch through this message the one that is shown."""
    session, wanted = session_id(request), await body.read(request, Tip)
    async with request.state["database"].writing(session) as db:
        chat = await chats.get(db, session, request.path_params["chat_id"], lock=True)
        await chats.change(db, chat, {"tip_id": await messages.newest_leaf(db, chat, wanted.message_id)})
    return body.answer(ChatRecord.model_validate(chat))


async def show_latest(request: Request) -> Response:
    """The chat of this name that was written in last."""
    session = session_id(request)
    async with request.state["database"].session(session) as db:
        shown = await _with_messages(db, await chats.latest(db, session, request.path_params["username"]))
    return body.answer(shown)


async def _with_messages(db: AsyncSession, chat: Chat, most: int = ALL_MESSAGES) -> ChatWithMessages:
    branch = await messages.branch(await driver(db), chat.session_id, chat.id, chat.tip_id, most)
    return ChatWithMessages.model_validate({**ChatRecord.model_validate(chat).model_dump(), "messages": [dict(row) for row in branch]})
