"""Chats of one session."""

from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.auth import CANONICAL_UUID, SessionId
from dbapi.endpoint import Query, endpoint, number
from dbapi.errors import Invalid, NotFound
from dbapi.schemas.chats import (
    ChatChange,
    ChatRecord,
    ChatState,
    ChatWithMessages,
    NewChat,
    NewTitle,
    StoredTitle,
    Tip,
    TitleRequest,
    TitleWish,
)
from dbapi.sql import chat_list, chats, messages, sessions
from dbapi.sql.messages import MAX_MESSAGES
from dbapi.state import Request
from dbapi.tables import Chat


@endpoint(status=201)
async def create(request: Request, session: SessionId, new: NewChat) -> ChatWithMessages:
    """Creates a chat with its first messages."""
    if any(message.role == "system" for message in new.messages[1:]):
        raise Invalid("Only the first message may be the system prompt.")
    async with request.state["database"].write(session) as db:
        await sessions.ensure(db, session)
        settings = await _settings_of_new(db, session, new)
        if new.reuse_empty and (empty := await chats.empty(db, session, new.username, new.is_temporary)):
            await chats.change(db, empty, {**settings, "left_at": None, "updated_at": func.clock_timestamp()})
            await db.refresh(empty)
            return await _with_messages(db, empty)
        chat = await chats.create(db, session, new.username, settings, new.is_temporary)
        parent = None
        for message in new.messages:
            if message.role != "system":
                added = await messages.add(db, chat, role=message.role, content=message.content, parent_id=parent)
                parent = added.id
        await db.refresh(chat)  # its messages gave it a title
        return await _with_messages(db, chat)


async def _settings_of_new(db: AsyncSession, session: UUID, new: NewChat) -> dict[str, Any]:
    """Those of another chat, else the session's defaults, else those of the request. A model in the request counts."""
    prompts = [message.content for message in new.messages if message.role == "system"]
    settings: dict[str, Any] = {"model": None, "system_prompt": "".join(prompts), "parameters": {}}
    try:
        if new.settings_of:
            settings = chats.settings(await chats.get(db, session, new.settings_of))
        else:
            settings |= await sessions.chat_defaults(db, session)
    except NotFound:  # it was deleted meanwhile
        settings |= await sessions.chat_defaults(db, session)
    return settings | ({"model": new.model} if new.model else {})


@endpoint(status=204)
async def set_defaults(request: Request, session: SessionId, chat_id: UUID) -> None:
    """Makes the settings of this chat those of new chats."""
    async with request.state["database"].write(session) as db:
        chat = await chats.get(db, session, chat_id)
        await sessions.set_chat_defaults(db, session, chats.settings(chat))


def _id(text: str) -> UUID:
    """Raises NotFound, as for an unknown id."""
    if not CANONICAL_UUID.fullmatch(text):
        raise NotFound
    return UUID(text)


Last = Annotated[int, Query(number(MAX_MESSAGES), {"type": "integer", "minimum": 1, "maximum": 9_999_999})]
MessageId = Annotated[UUID | None, Query(_id, {"type": "string", "format": "uuid"})]


@endpoint()
async def show(
    request: Request, session: SessionId, chat_id: UUID, last: Last = MAX_MESSAGES, message: MessageId = None
) -> ChatWithMessages:
    """Returns a chat with the messages of its shown branch, or with `?last=N` the newest N of them.

    With `?message=`, it is the branch through this message, and the messages begin at this one or earlier. The shown
    branch remains what it is.
    """
    async with request.state["database"].session(session) as db:
        return await _with_messages(db, await chats.get(db, session, chat_id), last, message)


@endpoint()
async def state(request: Request, session: SessionId, chat_id: UUID) -> ChatState:
    """Returns what tells an open page of this chat whether it is out of date."""
    async with request.state["database"].session(session) as db:
        revision = await chats.revision(db, session, chat_id)
        return ChatState(revision=revision, list_state=await chat_list.state(db, session))


@endpoint()
async def change(request: Request, session: SessionId, chat_id: UUID, wanted: ChatChange) -> ChatRecord:
    """Changes the title, model, system prompt and parameters, and whether the chat is pinned or archived."""
    values = wanted.model_dump(exclude_unset=True, exclude={"pinned", "archived"})
    values |= chats.flags(wanted.pinned, wanted.archived)
    for name in ("title", "model"):
        if name in values:
            values[name] = (values[name] or "").strip() or None
    if "parameters" in values:
        given = values["parameters"] or {}
        values["parameters"] = {name: value for name, value in given.items() if value is not None}
    if "title" in values:
        values["title_from"] = "user"
    if values.get("system_prompt", "") is None:
        values["system_prompt"] = ""
    async with request.state["database"].write(session) as db:
        chat = await chats.get(db, session, chat_id, lock=True)
        await chats.change(db, chat, values)
    return ChatRecord.model_validate(chat)


@endpoint(status=204)
async def delete(request: Request, session: SessionId, chat_id: UUID) -> None:
    """Deletes a chat, which can be restored for an hour."""
    async with request.state["database"].write(session) as db:
        await chats.delete(db, session, chat_id)


@endpoint()
async def restore(request: Request, session: SessionId, chat_id: UUID) -> ChatRecord:
    """Restores a deleted chat."""
    async with request.state["database"].write(session) as db:
        chat = await chats.restore(db, session, chat_id)
    return ChatRecord.model_validate(chat)


@endpoint()
async def request_title(request: Request, session: SessionId, chat_id: UUID, wish: TitleWish) -> TitleRequest:
    """Grants at most one request for a title from the model, in the whole life of a chat.

    Not while an answer waits for a slot of the pool, or has the last one.
    """
    async with request.state["database"].session(session) as db:
        revision = await chats.revision(db, session, chat_id)
        is_due = await chats.request_title(db, session, chat_id, wish.pool, wish.slots)
    return TitleRequest(is_due=is_due, revision=revision)


@endpoint()
async def store_title(request: Request, session: SessionId, chat_id: UUID, new: NewTitle) -> StoredTitle:
    """Stores the model's title, but not over one of the user."""
    async with request.state["database"].session(session) as db:
        return StoredTitle(is_stored=await chats.store_title(db, session, chat_id, new.title))


PageNumber = Annotated[int, Query(number(0), {"type": "integer", "minimum": 0, "maximum": 9_999_999})]


@endpoint(status=204)
async def leave(request: Request, session: SessionId, chat_id: UUID, page: PageNumber = 0) -> None:
    """The page with this number, of a temporary chat, was left. Other chats do not change."""
    async with request.state["database"].session(session) as db:
        await chats.leave(db, session, chat_id, page)


@endpoint(status=204)
async def come_back(request: Request, session: SessionId, chat_id: UUID, page: PageNumber = 0) -> None:
    """The page with this number, of a temporary chat, is open. Other chats do not change."""
    async with request.state["database"].session(session) as db:
        await chats.come_back(db, session, chat_id, page)


@endpoint()
async def keep(request: Request, session: SessionId, chat_id: UUID) -> ChatRecord:
    """Makes a temporary chat an ordinary one."""
    async with request.state["database"].write(session) as db:
        chat = await chats.keep(db, session, chat_id)
    return ChatRecord.model_validate(chat)


@endpoint()
async def show_branch(request: Request, session: SessionId, chat_id: UUID, wanted: Tip) -> ChatRecord:
    """Shows the branch through this message from now on."""
    async with request.state["database"].write(session) as db:
        chat = await chats.get(db, session, chat_id, lock=True)
        await chats.change(db, chat, {"tip_id": await messages.newest_leaf(db, chat, wanted.message_id)})
    return ChatRecord.model_validate(chat)


@endpoint()
async def show_latest(request: Request, session: SessionId, username: str) -> ChatWithMessages:
    """Returns the most recently used chat with this username."""
    async with request.state["database"].session(session) as db:
        return await _with_messages(db, await chats.latest(db, session, username))


async def _with_messages(
    db: AsyncSession, chat: Chat, limit: int = MAX_MESSAGES, through: UUID | None = None
) -> ChatWithMessages:
    shown = messages.branch_through(db, chat, through, limit) if through else messages.branch(db, chat, limit)
    branch = await shown
    record = ChatRecord.model_validate(chat).model_dump()
    return ChatWithMessages.model_validate({**record, "messages": [dict(row) for row in branch]})
