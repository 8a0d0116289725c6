"""Chats of the session that the transaction was opened for. Each question names the session again, besides the policies."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete as delete_rows
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.errors import NotFound
from dbapi.tables import Chat, Generation


async def create(db: AsyncSession, session_id: UUID, username: str, model: str | None, system_prompt: str) -> Chat:
    values = {"session_id": session_id, "username": username, "model": model, "system_prompt": system_prompt}
    return (await db.scalars(insert(Chat).values(values).returning(Chat))).one()


async def get(db: AsyncSession, session_id: UUID, chat_id: UUID, lock: bool = False) -> Chat:
    """Raises NotFound. With `lock`, writers of one chat take turns."""
    query = select(Chat).where(Chat.session_id == session_id, Chat.id == chat_id, Chat.deleted_at.is_(None))
    chat = await db.scalar(query.with_for_update() if lock else query)
    if chat is None:
        raise NotFound
    return chat


async def lock(raw: Any, session_id: UUID, chat_id: UUID) -> Any:
    """As `get` with a lock, for `raw_writing`: what a turn needs to know of its chat. Raises NotFound."""
    chat = await raw.fetchrow(_LOCK, session_id, chat_id)
    if chat is None:
        raise NotFound
    return chat


_LOCK = """
SELECT id, session_id, tip_id, model, system_prompt, parameters FROM chats
 WHERE session_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE
"""


async def system_prompt(raw: Any, session_id: UUID, chat_id: UUID) -> str:
    """Raises NotFound."""
    found = await raw.fetchval(
        "SELECT system_prompt FROM chats WHERE session_id = $1 AND id = $2 AND deleted_at IS NULL", session_id, chat_id
    )
    if found is None:
        raise NotFound
    return str(found)


async def latest(db: AsyncSession, session_id: UUID, username: str) -> Chat:
    """The chat of this name that was written in last. Raises NotFound."""
    of_name = select(Chat).where(Chat.session_id == session_id, Chat.username == username, Chat.deleted_at.is_(None))
    chat = await db.scalar(of_name.order_by(Chat.updated_at.desc(), Chat.id).limit(1))
    if chat is None:
        raise NotFound
    return chat


async def all_of(db: AsyncSession, session_id: UUID, most: int) -> Sequence[tuple[Chat, bool]]:
    """Chats, and whether an answer is being written in each; latest first."""
    live = select(Generation.id).where(
        Generation.session_id == session_id, Generation.chat_id == Chat.id, Generation.status.in_(("queued", "streaming"))
    )
    own = select(Chat, live.exists()).where(Chat.session_id == session_id, Chat.deleted_at.is_(None))
    return (await db.execute(own.order_by(Chat.updated_at.desc(), Chat.id).limit(most))).tuples().all()


async def change(db: AsyncSession, chat: Chat, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(chat, name, value)
    await db.flush()


async def delete(db: AsyncSession, session_id: UUID, chat_id: UUID) -> None:
    """Away, but for a while it can be restored. Its answers are stopped. Raises NotFound."""
    chat = await get(db, session_id, chat_id, lock=True)
    await change(db, chat, {"deleted_at": func.clock_timestamp()})
    live = update(Generation).where(Generation.session_id == session_id, Generation.chat_id == chat_id)
    await db.execute(live.where(Generation.status.in_(("queued", "streaming"))).values(stop_requested=True))


async def restore(db: AsyncSession, session_id: UUID, chat_id: UUID) -> Chat:
    """Raises NotFound if it is really gone."""
    chat = await db.scalar(select(Chat).where(Chat.session_id == session_id, Chat.id == chat_id).with_for_update())
    if chat is None:
        raise NotFound
    await change(db, chat, {"deleted_at": None})
    return chat


async def empty_bin(db: AsyncSession, session_id: UUID) -> None:
    """What was deleted an hour ago is gone for good."""
    old = func.clock_timestamp() - text("interval '1 hour'")
    await db.execute(delete_rows(Chat).where(Chat.session_id == session_id, Chat.deleted_at < old))
