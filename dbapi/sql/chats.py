"""Chats of the session that the transaction was opened for. Each question names the session again, besides the policies."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.errors import NotFound
from dbapi.tables import Chat


async def create(db: AsyncSession, session_id: UUID, username: str, model: str | None, system_prompt: str) -> Chat:
    values = {"session_id": session_id, "username": username, "model": model, "system_prompt": system_prompt}
    return (await db.scalars(insert(Chat).values(values).returning(Chat))).one()


async def get(db: AsyncSession, session_id: UUID, chat_id: UUID, lock: bool = False) -> Chat:
    """Raises NotFound. With `lock`, writers of one chat take turns."""
    query = select(Chat).where(Chat.session_id == session_id, Chat.id == chat_id)
    chat = await db.scalar(query.with_for_update() if lock else query)
    if chat is None:
        raise NotFound
    return chat


async def latest(db: AsyncSession, session_id: UUID, username: str) -> Chat:
    """The chat of this name that was written in last. Raises NotFound."""
    of_name = select(Chat).where(Chat.session_id == session_id, Chat.username == username)
    chat = await db.scalar(of_name.order_by(Chat.updated_at.desc(), Chat.id).limit(1))
    if chat is None:
        raise NotFound
    return chat


async def all_of(db: AsyncSession, session_id: UUID, most: int) -> Sequence[Chat]:
    """Latest first."""
    own = select(Chat).where(Chat.session_id == session_id)
    return (await db.scalars(own.order_by(Chat.updated_at.desc(), Chat.id).limit(most))).all()
