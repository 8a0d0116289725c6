"""The tree of a chat's messages, with SQLAlchemy only: users read and change it click by click. See also turns.py."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.errors import NotFound
from dbapi.sql.branch import NAMED
from dbapi.tables import Chat, Message
from dbapi.titles import title_of

MAX_MESSAGES = 1_000_000


async def branch(db: AsyncSession, chat: Chat, limit: int = MAX_MESSAGES) -> Sequence[RowMapping]:
    """The shown branch or its newest messages, oldest first."""
    values = {"session_id": chat.session_id, "chat_id": chat.id, "tip_id": chat.tip_id, "limit": limit}
    return (await db.execute(text(NAMED), values)).mappings().all()


async def add(db: AsyncSession, chat: Chat, **values: Any) -> Message:
    """Adds a message as the tip of the shown branch. The chat must be locked."""
    own = {"session_id": chat.session_id, "chat_id": chat.id, **values}
    message = (await db.scalars(insert(Message).values(own).returning(Message))).one()
    title = title_of(message.content) if message.role == "user" else None
    await db.execute(
        update(Chat)
        .where(Chat.session_id == chat.session_id, Chat.id == chat.id)
        .values(tip_id=message.id, updated_at=func.clock_timestamp(), title=func.coalesce(Chat.title, title))
        .execution_options(synchronize_session=False)
    )
    chat.tip_id = message.id
    return message


async def newest_leaf(db: AsyncSession, chat: Chat, message_id: UUID) -> UUID:
    """The end of the branch through this message, following the newest reply each time. Raises NotFound."""
    values = {"session_id": chat.session_id, "chat_id": chat.id, "message_id": message_id}
    leaf = await db.scalar(text(_LEAF), values)
    if leaf is None:
        raise NotFound
    return UUID(str(leaf))


_LEAF = """
WITH RECURSIVE path AS (
  SELECT m.id, 1 AS depth FROM messages m
   WHERE m.session_id = :session_id AND m.chat_id = :chat_id AND m.id = :message_id
  UNION ALL
  SELECT (SELECT m.id FROM messages m
           WHERE m.session_id = :session_id AND m.chat_id = :chat_id AND m.parent_id = path.id
           ORDER BY m.position DESC LIMIT 1), path.depth + 1 FROM path WHERE path.id IS NOT NULL
)
SELECT id FROM path WHERE id IS NOT NULL ORDER BY depth DESC LIMIT 1
"""


async def delete_pair(db: AsyncSession, chat: Chat, message_id: UUID) -> None:
    """Deletes a user's message with all its answers. Messages that followed them move up. Raises NotFound."""
    values = {"session_id": chat.session_id, "chat_id": chat.id, "message_id": message_id}
    pair = (await db.execute(text(_PAIR), values)).one_or_none()
    if pair is None:
        raise NotFound
    tip_id = pair.parent_id if chat.tip_id in pair.removed else chat.tip_id
    await db.execute(text(_SET_TIP), values | {"tip_id": tip_id})  # in any case, since it announces the change
    await db.execute(text(_MOVE_UP), values | {"parent_id": pair.parent_id})
    await db.execute(
        text("DELETE FROM messages WHERE session_id = :session_id AND chat_id = :chat_id AND id = :message_id"), values
    )


_SET_TIP = "UPDATE chats SET tip_id = :tip_id WHERE session_id = :session_id AND id = :chat_id"
_PAIR = """
SELECT m.parent_id, m.id || ARRAY(
         SELECT a.id FROM messages a
          WHERE a.session_id = :session_id AND a.chat_id = :chat_id AND a.parent_id = m.id) AS removed
  FROM messages m WHERE m.session_id = :session_id AND m.chat_id = :chat_id AND m.id = :message_id AND m.role = 'user'
"""
_MOVE_UP = """
UPDATE messages f SET parent_id = :parent_id FROM messages a
 WHERE a.session_id = :session_id AND a.chat_id = :chat_id AND a.parent_id = :message_id
   AND f.session_id = :session_id AND f.chat_id = :chat_id AND f.parent_id = a.id
"""


async def stop(db: AsyncSession, session_id: UUID, chat_id: UUID, message_id: UUID) -> str:
    """Requests a running answer to stop, ends a queued one. Returns the new status. Raises NotFound."""
    values = {"session_id": session_id, "chat_id": chat_id, "message_id": message_id}
    row = (await db.execute(text(_STOP), values)).one_or_none()
    if row is None:
        return await _status(db, session_id, chat_id, message_id)
    if row.status == "stopped":
        await db.execute(text(_STOP_MESSAGE), {"session_id": session_id, "message_id": message_id})
    await db.execute(text("SELECT pg_notify('runnel_log', :payload)"), {"payload": f"{row.id}:{row.last_seq}:stop"})
    return str(row.status)


_STOP = """
UPDATE generations
   SET stop_requested = true,
       status = CASE status WHEN 'queued' THEN 'stopped' ELSE status END,
       address = CASE status WHEN 'queued' THEN NULL ELSE address END,
       finished_at = CASE status WHEN 'queued' THEN clock_timestamp() END
 WHERE session_id = :session_id AND chat_id = :chat_id AND message_id = :message_id
   AND status IN ('queued', 'streaming')
   AND EXISTS (SELECT FROM chats c WHERE c.session_id = :session_id AND c.id = :chat_id AND c.deleted_at IS NULL)
RETURNING id, status, last_seq
"""
_STOP_MESSAGE = "UPDATE messages SET status = 'stopped' WHERE session_id = :session_id AND id = :message_id"


async def _status(db: AsyncSession, session_id: UUID, chat_id: UUID, message_id: UUID) -> str:
    own = select(Message.status).where(Message.session_id == session_id, Message.chat_id == chat_id)
    shown = select(Chat.id).where(Chat.session_id == session_id, Chat.id == chat_id, Chat.deleted_at.is_(None))
    status = await db.scalar(own.where(Message.id == message_id, shown.exists()))
    if status is None:
        raise NotFound
    return status
