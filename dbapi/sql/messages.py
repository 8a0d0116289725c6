"""The tree of a chat's messages, with SQLAlchemy only: users read and change it click by click. See also turns.py."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, Select, and_, case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.errors import Conflict, NotFound
from dbapi.sql.branch import NAMED
from dbapi.tables import Chat, Message
from dbapi.titles import title_of

MAX_MESSAGES = 1_000_000


async def branch(db: AsyncSession, chat: Chat, limit: int = MAX_MESSAGES) -> Sequence[RowMapping]:
    """The shown branch or its newest messages, oldest first."""
    return await _branch_to(db, chat, chat.tip_id, limit)


async def branch_through(db: AsyncSession, chat: Chat, message_id: UUID, limit: int) -> Sequence[RowMapping]:
    """The branch through this message or its newest messages, from this one on at the latest. Raises NotFound."""
    leaf, length = await _path_down(db, chat, message_id)
    return await _branch_to(db, chat, leaf, max(limit, length))


async def _branch_to(db: AsyncSession, chat: Chat, tip_id: UUID | None, limit: int) -> Sequence[RowMapping]:
    values = {"session_id": chat.session_id, "chat_id": chat.id, "tip_id": tip_id, "limit": limit}
    return (await db.execute(text(NAMED), values)).mappings().all()


async def add(db: AsyncSession, chat: Chat, **values: Any) -> Message:
    """Adds a message as the tip of the shown branch. The chat must be locked."""
    own = {"session_id": chat.session_id, "chat_id": chat.id, **values}
    message = (await db.scalars(insert(Message).values(own).returning(Message))).one()
    changed: dict[str, Any] = {"tip_id": message.id, "updated_at": func.clock_timestamp(), "left_at": None}
    if message.role == "user":
        is_first = and_(Chat.title.is_(None), Chat.title_from.is_(None))
        changed["title"] = func.coalesce(Chat.title, title_of(message.content))
        changed["title_from"] = case((is_first, "words"), else_=Chat.title_from)
    of_chat = update(Chat).where(Chat.session_id == chat.session_id, Chat.id == chat.id)
    await db.execute(of_chat.values(changed).execution_options(synchronize_session=False))
    chat.tip_id = message.id
    return message


async def newest_leaf(db: AsyncSession, chat: Chat, message_id: UUID) -> UUID:
    """The end of the branch through this message, following the newest reply each time. Raises NotFound."""
    return (await _path_down(db, chat, message_id))[0]


async def _path_down(db: AsyncSession, chat: Chat, message_id: UUID) -> tuple[UUID, int]:
    """The newest leaf below this message, and the number of messages from this one to the leaf. Raises NotFound."""
    values = {"session_id": chat.session_id, "chat_id": chat.id, "message_id": message_id}
    leaf = (await db.execute(text(_LEAF), values)).one_or_none()
    if leaf is None:
        raise NotFound
    return UUID(str(leaf.id)), int(leaf.depth)


_LEAF = """
WITH RECURSIVE path AS (
  SELECT m.id, 1 AS depth FROM messages m
   WHERE m.session_id = :session_id AND m.chat_id = :chat_id AND m.id = :message_id
  UNION ALL
  SELECT (SELECT m.id FROM messages m
           WHERE m.session_id = :session_id AND m.chat_id = :chat_id AND m.parent_id = path.id
           ORDER BY m.position DESC LIMIT 1), path.depth + 1 FROM path WHERE path.id IS NOT NULL
)
SELECT id, depth FROM path WHERE id IS NOT NULL ORDER BY depth DESC LIMIT 1
"""


async def edit_answer(db: AsyncSession, chat: Chat, message_id: UUID, content: str) -> tuple[UUID, bool]:
    """Shows the version of this answer that has this text, and adds it if there is none.

    Returns its id, and whether it is new. No model wrote a new version, so it has no generation; it keeps the thoughts
    that led to the answer. An unchanged text changes nothing. Raises NotFound, Conflict.
    """
    answer = await _message(db, chat, message_id)
    _check_finished_answer(answer)
    if content == answer.content:
        return answer.id, False
    same = _versions(chat, answer).where(Message.content == content)
    existing = await db.scalar(same.order_by(Message.position.desc()).limit(1))
    if existing is None:
        values = {"content": content, "reasoning": answer.reasoning, "parent_id": answer.parent_id}
        return (await add(db, chat, role="assistant", **values)).id, True
    end = await newest_leaf(db, chat, existing)
    await db.execute(text(_SET_TIP), {"session_id": chat.session_id, "chat_id": chat.id, "tip_id": end})
    return existing, False


async def delete(db: AsyncSession, chat: Chat, message_id: UUID) -> None:
    """Deletes a user's message with all its answers, or one version of a finished answer. Raises NotFound, Conflict."""
    message = await _message(db, chat, message_id)
    if message.role == "user":
        await _delete_pair(db, chat, message_id)
    else:
        _check_finished_answer(message)
        await _delete_version(db, chat, message)


async def _delete_version(db: AsyncSession, chat: Chat, answer: Message) -> None:
    """Messages that followed this version follow the nearest other one: that before it, else that after it.

    Without another version, they are deleted as well, since a user's message must follow an answer. The question
    remains. If the shown end of the chat is deleted, the end of the branch of what remains is shown.
    """
    values = {"session_id": chat.session_id, "chat_id": chat.id, "message_id": answer.id}
    order = Message.position > answer.position, func.abs(Message.position - answer.position)
    nearest = await db.scalar(_versions(chat, answer).where(Message.id != answer.id).order_by(*order).limit(1))
    if nearest:
        await db.execute(text(_MOVE_TO), values | {"parent_id": nearest})
    await db.execute(text(_DELETE), values)  # with all below; if the tip was among them, the chat has none now
    remaining = nearest or answer.parent_id
    assert remaining
    end = await newest_leaf(db, chat, remaining)
    await db.execute(text(_KEEP_TIP), values | {"tip_id": end})  # in any case, since it announces the change


_KEEP_TIP = """
UPDATE chats SET tip_id = coalesce(tip_id, :tip_id) WHERE session_id = :session_id AND id = :chat_id
"""
_MOVE_TO = """
UPDATE messages SET parent_id = :parent_id
 WHERE session_id = :session_id AND chat_id = :chat_id AND parent_id = :message_id
"""
_DELETE = "DELETE FROM messages WHERE session_id = :session_id AND chat_id = :chat_id AND id = :message_id"


async def _message(db: AsyncSession, chat: Chat, message_id: UUID) -> Message:
    own = select(Message).where(Message.session_id == chat.session_id, Message.chat_id == chat.id)
    message = await db.scalar(own.where(Message.id == message_id))
    if message is None:
        raise NotFound
    return message


def _check_finished_answer(message: Message) -> None:
    if message.role != "assistant" or message.parent_id is None:
        raise Conflict("This message is not an answer.")
    if message.status in ("queued", "streaming"):
        raise Conflict("This answer is not finished yet.")


def _versions(chat: Chat, answer: Message) -> Select[UUID]:
    """The ids of all answers to the same message."""
    own = select(Message.id).where(Message.session_id == chat.session_id, Message.chat_id == chat.id)
    return own.where(Message.parent_id == answer.parent_id, Message.role == "assistant")


async def _delete_pair(db: AsyncSession, chat: Chat, message_id: UUID) -> None:
    """Messages that followed the answers move up."""
    values = {"session_id": chat.session_id, "chat_id": chat.id, "message_id": message_id}
    pair = (await db.execute(text(_PAIR), values)).one()
    tip_id = pair.parent_id if chat.tip_id in pair.removed else chat.tip_id
    await db.execute(text(_SET_TIP), values | {"tip_id": tip_id})  # in any case, since it announces the change
    await db.execute(text(_MOVE_UP), values | {"parent_id": pair.parent_id})
    await db.execute(text(_DELETE), values)


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
