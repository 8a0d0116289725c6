"""Chats, with SQLAlchemy only: users read and change them click by click.

Every statement names the session, although the row-level security policies restrict it as well.
"""

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
    """With `lock`, writers of one chat take turns. Raises NotFound."""
    query = select(Chat).where(Chat.session_id == session_id, Chat.id == chat_id, Chat.deleted_at.is_(None))
    chat = await db.scalar(query.with_for_update() if lock else query)
    if chat is None:
        raise NotFound
    return chat


async def latest(db: AsyncSession, session_id: UUID, username: str) -> Chat:
    """The most recently used chat with this username. Raises NotFound."""
    named = select(Chat).where(Chat.session_id == session_id, Chat.username == username, Chat.deleted_at.is_(None))
    chat = await db.scalar(named.order_by(Chat.updated_at.desc(), Chat.id).limit(1))
    if chat is None:
        raise NotFound
    return chat


async def all_of(db: AsyncSession, session_id: UUID, limit: int) -> Sequence[tuple[Chat, bool]]:
    """Chats, latest first, each with whether an answer is queued or being written in it."""
    live = select(Generation.id).where(
        Generation.session_id == session_id,
        Generation.chat_id == Chat.id,
        Generation.status.in_(("queued", "streaming")),
    )
    own = select(Chat, live.exists()).where(Chat.session_id == session_id, Chat.deleted_at.is_(None))
    return (await db.execute(own.order_by(Chat.updated_at.desc(), Chat.id).limit(limit))).tuples().all()


async def change(db: AsyncSession, chat: Chat, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(chat, name, value)
    await db.flush()


async def delete(db: AsyncSession, session_id: UUID, chat_id: UUID) -> None:
    """Marks a chat as deleted and stops its answers. `restore` reverts the former. Raises NotFound."""
    chat = await get(db, session_id, chat_id, lock=True)
    await change(db, chat, {"deleted_at": func.clock_timestamp()})
    live = update(Generation).where(Generation.session_id == session_id, Generation.chat_id == chat_id)
    await db.execute(live.where(Generation.status.in_(("queued", "streaming"))).values(stop_requested=True))


async def restore(db: AsyncSession, session_id: UUID, chat_id: UUID) -> Chat:
    """Raises NotFound if the row no longer exists."""
    chat = await db.scalar(select(Chat).where(Chat.session_id == session_id, Chat.id == chat_id).with_for_update())
    if chat is None:
        raise NotFound
    await change(db, chat, {"deleted_at": None})
    return chat


async def purge_deleted(db: AsyncSession, session_id: UUID) -> None:
    """Removes the chats that were deleted more than an hour ago."""
    old = func.clock_timestamp() - text("interval '1 hour'")
    await db.execute(delete_rows(Chat).where(Chat.session_id == session_id, Chat.deleted_at < old))
