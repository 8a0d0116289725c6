"""Chats, with SQLAlchemy only: users read and change them click by click.

Every statement names the session, although the row-level security policies restrict it as well.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Update, case, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.errors import NotFound
from dbapi.tables import Chat, Message

KEEP_DELETED = timedelta(hours=1)  # a deleted chat can be restored for as long


async def create(
    db: AsyncSession, session_id: UUID, username: str, settings: dict[str, Any], is_temporary: bool = False
) -> Chat:
    """See `settings`."""
    values = {"session_id": session_id, "username": username, "is_temporary": is_temporary, **settings}
    return (await db.scalars(insert(Chat).values(values).returning(Chat))).one()


async def get(db: AsyncSession, session_id: UUID, chat_id: UUID, lock: bool = False) -> Chat:
    """With `lock`, writers of one chat take turns. Raises NotFound."""
    query = select(Chat).where(Chat.session_id == session_id, Chat.id == chat_id, Chat.deleted_at.is_(None))
    chat = await db.scalar(query.with_for_update() if lock else query)
    if chat is None:
        raise NotFound
    return chat


def settings(chat: Chat) -> dict[str, Any]:
    """What a new chat can take over."""
    return {"model": chat.model, "system_prompt": chat.system_prompt, "parameters": chat.parameters}


async def latest(db: AsyncSession, session_id: UUID, username: str) -> Chat:
    """The most recently used chat with this username that is not temporary; an archived one if there is no other.

    Raises NotFound.
    """
    named = select(Chat).where(Chat.session_id == session_id, Chat.username == username, Chat.deleted_at.is_(None))
    order = Chat.archived_at.is_not(None), Chat.updated_at.desc(), Chat.id
    chat = await db.scalar(named.where(~Chat.is_temporary).order_by(*order).limit(1))
    if chat is None:
        raise NotFound
    return chat


async def empty(db: AsyncSession, session_id: UUID, username: str, is_temporary: bool = False) -> Chat | None:
    """The latest chat with this username in which the user has written nothing, locked."""
    written = select(Message.id).where(
        Message.session_id == session_id, Message.chat_id == Chat.id, Message.role == "user"
    )
    named = select(Chat).where(Chat.session_id == session_id, Chat.username == username, Chat.deleted_at.is_(None))
    unused = named.where(Chat.title.is_(None), Chat.archived_at.is_(None), Chat.is_temporary == is_temporary)
    latest = unused.where(~written.exists()).order_by(Chat.updated_at.desc(), Chat.id)
    return await db.scalar(latest.limit(1).with_for_update())


async def revision(db: AsyncSession, session_id: UUID, chat_id: UUID) -> int:
    """Raises NotFound."""
    own = select(Chat.revision).where(Chat.session_id == session_id, Chat.id == chat_id, Chat.deleted_at.is_(None))
    found = await db.scalar(own)
    if found is None:
        raise NotFound
    return found


async def change(db: AsyncSession, chat: Chat, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(chat, name, value)
    await db.flush()


def flags(pinned: bool | None, archived: bool | None) -> dict[str, Any]:
    """The columns of these flags, each of which may stay as it is. A chat is not both: archiving it removes the pin."""
    values: dict[str, Any] = {}
    now = datetime.now(UTC)
    if pinned is not None:
        values |= {"pinned_at": now, "archived_at": None} if pinned else {"pinned_at": None}
    if archived is not None:
        values |= {"archived_at": now, "pinned_at": None} if archived else {"archived_at": None}
    return values


async def delete(db: AsyncSession, session_id: UUID, chat_id: UUID) -> None:
    """Marks a chat as deleted and stops its answers. `restore` reverts the former. Raises NotFound.

    A temporary chat can be restored for as long as one whose page was left.
    """
    chat = await get(db, session_id, chat_id, lock=True)
    left_at = {"left_at": func.clock_timestamp()} if chat.is_temporary else {}
    await change(db, chat, {"deleted_at": func.clock_timestamp(), **left_at})
    await _stop_answers(db, session_id, [chat_id])


async def _stop_answers(db: AsyncSession, session_id: UUID, chat_ids: Collection[UUID]) -> None:
    """The chats must be locked."""
    own = {"session_id": session_id, "chat_ids": list(chat_ids)}
    for answer in (await db.execute(text(_STOP_ALL), own)).all():
        if answer.status == "stopped":
            await db.execute(text(_STOP_MESSAGE), {"session_id": session_id, "message_id": answer.message_id})
        payload = f"{answer.id}:{answer.last_seq}:stop"
        await db.execute(text("SELECT pg_notify('runnel_log', :payload)"), {"payload": payload})


_STOP_ALL = """
UPDATE generations
   SET stop_requested = true,
       status = CASE status WHEN 'queued' THEN 'stopped' ELSE status END,
       address = CASE status WHEN 'queued' THEN NULL ELSE address END,
       finished_at = CASE status WHEN 'queued' THEN clock_timestamp() END
 WHERE session_id = :session_id AND chat_id = ANY (CAST(:chat_ids AS uuid[])) AND status IN ('queued', 'streaming')
RETURNING id, message_id, status, last_seq
"""
_STOP_MESSAGE = "UPDATE messages SET status = 'stopped' WHERE session_id = :session_id AND id = :message_id"


async def restore(db: AsyncSession, session_id: UUID, chat_id: UUID) -> Chat:
    """Raises NotFound unless the chat exists and was deleted less than KEEP_DELETED ago."""
    own = select(Chat).where(Chat.session_id == session_id, Chat.id == chat_id)
    recent = or_(Chat.deleted_at.is_(None), Chat.deleted_at > func.clock_timestamp() - KEEP_DELETED)
    chat = await db.scalar(own.where(recent).with_for_update())
    if chat is None:
        raise NotFound
    await change(db, chat, {"deleted_at": None, "left_at": None})
    return chat


async def change_many(
    db: AsyncSession, session_id: UUID, chat_ids: Collection[UUID], values: dict[str, Any], deleted: bool | None = None
) -> list[UUID]:
    """Like `change`, and `delete` or `restore`, for several chats. Returns the ids of those that were found."""
    own = select(Chat.id).where(Chat.session_id == session_id, Chat.id.in_(chat_ids))
    recent = Chat.deleted_at > func.clock_timestamp() - KEEP_DELETED
    own = own.where(recent if deleted is False else Chat.deleted_at.is_(None))
    found = list(await db.scalars(own.order_by(Chat.id).with_for_update()))  # the order prevents deadlocks
    if deleted is not None:
        left_at = case((Chat.is_temporary, func.clock_timestamp())) if deleted else None
        values = {**values, "deleted_at": func.clock_timestamp() if deleted else None, "left_at": left_at}
    if found and values:
        changed = update(Chat).where(Chat.session_id == session_id, Chat.id.in_(found)).values(values)
        await db.execute(changed.execution_options(synchronize_session=False))
    if found and deleted:
        await _stop_answers(db, session_id, found)
    return found


# Titles from the model


async def request_title(db: AsyncSession, session_id: UUID, chat_id: UUID, pool: str, slots: int) -> bool:
    """Whether the caller may request a title from the model: at most one caller a chat ever may.

    No one may while an answer waits for a slot of the pool, or all slots are taken.
    """
    if not await db.scalar(text(_HAS_ROOM), {"pool": pool, "slots": slots}):
        return False
    due = _own(session_id, chat_id).where(Chat.title_from == "words", ~Chat.is_temporary)
    return await _update(db, due.values(title_from="requested"))


_HAS_ROOM = "SELECT log_has_room(:pool, :slots)"


async def store_title(db: AsyncSession, session_id: UUID, chat_id: UUID, title: str) -> bool:
    """Stores the requested title, unless the user has set one meanwhile. Raises NotFound."""
    await revision(db, session_id, chat_id)
    requested = _own(session_id, chat_id).where(Chat.title_from == "requested")
    return await _update(db, requested.values(title=title, title_from="model"))


# Temporary chats. The three functions change no other chat.


async def leave(db: AsyncSession, session_id: UUID, chat_id: UUID, page: int) -> None:
    """The chat is removed soon, unless another page opens it. Without its number (0), a page does not count as another
    one. Raises NotFound."""
    await revision(db, session_id, chat_id)
    is_news = or_(Chat.left_at.is_(None), Chat.left_by.is_distinct_from(page or Chat.left_by))
    here = _own(session_id, chat_id).where(Chat.is_temporary, is_news)
    await _update(db, here.values(left_at=func.coalesce(Chat.left_at, func.clock_timestamp()), left_by=page))


async def come_back(db: AsyncSession, session_id: UUID, chat_id: UUID, page: int) -> None:
    """Changes nothing if this page was left last: its report was overtaken. Raises NotFound."""
    await revision(db, session_id, chat_id)
    is_other = Chat.left_by.is_distinct_from(page or -1)  # 0 is no number, and counts as another page
    left = _own(session_id, chat_id).where(Chat.is_temporary, Chat.left_at.is_not(None), is_other)
    await _update(db, left.values(left_at=None, left_by=None))


async def keep(db: AsyncSession, session_id: UUID, chat_id: UUID) -> Chat:
    """Makes the chat an ordinary one. A trigger stores its words, so that searches find it. Raises NotFound."""
    chat = await get(db, session_id, chat_id, lock=True)
    if chat.is_temporary:
        await change(db, chat, {"is_temporary": False, "left_at": None, "updated_at": func.clock_timestamp()})
    return chat


def _own(session_id: UUID, chat_id: UUID) -> Update:
    return update(Chat).where(Chat.session_id == session_id, Chat.id == chat_id, Chat.deleted_at.is_(None))


async def _update(db: AsyncSession, statement: Update) -> bool:
    """Whether a row was changed."""
    returning = statement.returning(Chat.id).execution_options(synchronize_session=False)
    return await db.scalar(returning) is not None
