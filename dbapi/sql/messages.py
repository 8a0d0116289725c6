"""The tree of a chat's messages, and the branch that is shown."""

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.database import driver
from dbapi.errors import NotFound
from dbapi.tables import Chat, Generation, Message

TITLE_CODE_POINTS = 60

# From a message up to the root, oldest first. What is still being written is read from the log, with its place there
# in the same snapshot, so that a viewer can go on from exactly here.
# Each message is looked up by its id, and its siblings by their parent's. No index serves IS NOT DISTINCT FROM, and
# OFFSET 0 keeps a lookup from becoming another join: left to itself, the planner may read the whole chat once per message.
BRANCH = """
WITH RECURSIVE branch AS (
  SELECT m.*, 1 AS height FROM messages m
   WHERE m.session_id IS NOT DISTINCT FROM $1 AND m.chat_id IS NOT DISTINCT FROM $2 AND m.id = $3
  UNION ALL
  SELECT parent.*, branch.height + 1 FROM branch CROSS JOIN LATERAL (
    SELECT m.* FROM messages m
     WHERE m.session_id IS NOT DISTINCT FROM $1 AND m.chat_id IS NOT DISTINCT FROM $2 AND m.id = branch.parent_id OFFSET 0
  ) parent WHERE branch.height < $4
)
SELECT b.id, b.parent_id, b.role, b.status, b.error, b.model, b.usage, b.timings, b.created_at,
       CASE WHEN g.live THEN coalesce(log.content, '') ELSE b.content END AS content,
       CASE WHEN g.live THEN coalesce(log.reasoning, '') ELSE b.reasoning END AS reasoning,
       g.id AS generation_id, coalesce(g.last_seq, 0) AS last_seq, coalesce(log.fence, 0) AS fence, g.finish_reason,
       CASE WHEN b.parent_id IS NULL THEN
         ARRAY(SELECT s.id FROM messages s WHERE s.session_id = $1 AND s.chat_id = $2 AND s.parent_id IS NULL
                  AND s.role = b.role ORDER BY s.position)
       ELSE
         ARRAY(SELECT s.id FROM messages s
                WHERE s.session_id IS NOT DISTINCT FROM $1 AND s.chat_id IS NOT DISTINCT FROM $2
                  AND s.parent_id = b.parent_id AND s.role = b.role ORDER BY s.position)
       END AS siblings
  FROM branch b
  LEFT JOIN LATERAL (
    SELECT *, status IN ('queued', 'streaming') AS live FROM generations
     WHERE session_id IS NOT DISTINCT FROM $1 AND message_id = b.id OFFSET 0
  ) g ON b.role = 'assistant'
  LEFT JOIN LATERAL (
    SELECT max(c.fence) FILTER (WHERE c.seq = g.last_seq) AS fence,
           string_agg(c.text, '' ORDER BY c.seq) FILTER (WHERE c.kind = 0) AS content,
           string_agg(c.text, '' ORDER BY c.seq) FILTER (WHERE c.kind = 1) AS reasoning
      FROM generation_chunks c
     WHERE c.generation_id = g.id
       AND c.seq > (SELECT coalesce(max(v.seq), 0) - 1 FROM generation_chunks v WHERE v.generation_id = g.id AND v.kind = 2)
  ) log ON g.live
 ORDER BY b.height DESC
"""


async def branch(raw: Any, session_id: UUID, chat_id: UUID, tip_id: UUID | None, most: int = 1_000_000) -> Sequence[Any]:
    return list(await raw.fetch(BRANCH, session_id, chat_id, tip_id, most))


async def get(raw: Any, session_id: UUID, chat_id: UUID, message_id: UUID) -> Any:
    """One message as in `branch`. Raises NotFound."""
    for message in await branch(raw, session_id, chat_id, message_id, most=1):
        return message
    raise NotFound


async def prompt(raw: Any, session_id: UUID, chat_id: UUID, tip_id: UUID) -> Sequence[Any]:
    """What the model is told of a branch: role and content, oldest first."""
    return [message for message in await branch(raw, session_id, chat_id, tip_id) if message["content"]]


async def add(db: AsyncSession, chat: Chat, **values: Any) -> Message:
    """Adds a message and makes it the tip of the shown branch. The chat must be locked."""
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


async def add_turn(
    raw: Any, chat: Any, content: str, parent_id: UUID | None, key: bytes | None, request: dict[str, Any]
) -> tuple[Any, Any, UUID]:
    """As `add` twice and `queue_answer`, in one statement, since every answer begins with it: what is asked, the empty answer,
    and the id of its generation. The chat is as `chats.lock` gives it."""
    frozen = _frozen(chat["parameters"], chat["model"], request)
    own = chat["session_id"], chat["id"], parent_id, content, key, chat["model"], title_of(content), frozen
    asked, answered = await raw.fetch(_ADD_TURN, *own)
    return asked, answered, answered["generation_id"]


# Columns by their names: a connection keeps the statement prepared, while a migration may add more of them.
_ADD_TURN = """
WITH asked AS (
  INSERT INTO messages (session_id, chat_id, parent_id, role, content, turn_key) VALUES ($1, $2, $3, 'user', $4, $5) RETURNING *
), answered AS (
  INSERT INTO messages (session_id, chat_id, parent_id, role, status, model)
  SELECT session_id, chat_id, id, 'assistant', 'queued', $6 FROM asked RETURNING *
), queued AS (
  INSERT INTO generations (session_id, chat_id, message_id, request)
  SELECT session_id, chat_id, id, $8 FROM answered RETURNING id
), shown AS (
  UPDATE chats SET tip_id = answered.id, updated_at = clock_timestamp(), title = coalesce(title, $7)
    FROM answered WHERE chats.session_id = $1 AND chats.id = $2
)
SELECT id, parent_id, role, content, reasoning, status, error, model, usage, timings, created_at, position, NULL::uuid AS generation_id
  FROM asked
 UNION ALL
SELECT id, parent_id, role, content, reasoning, status, error, model, usage, timings, created_at, position, (SELECT id FROM queued)
  FROM answered ORDER BY position
"""


async def check_parent(raw: Any, chat: Any, parent_id: UUID) -> None:
    """A message is an answer's reply: raises NotFound unless this is an assistant's message of this chat."""
    if await raw.fetchval(_IS_ANSWER, chat["session_id"], chat["id"], parent_id) is None:
        raise NotFound


_IS_ANSWER = "SELECT id FROM messages WHERE session_id = $1 AND chat_id = $2 AND id = $3 AND role = 'assistant'"


async def turn(raw: Any, chat: Any, key: bytes) -> tuple[Any, Any] | None:
    """The user's message that was stored under this key, and its first answer."""
    asked = await raw.fetchval(_ASKED, chat["session_id"], chat["id"], key)
    if asked is None:
        return None
    answered = await raw.fetchval(_FIRST_ANSWER, chat["session_id"], chat["id"], asked)
    return await get(raw, chat["session_id"], chat["id"], asked), await get(raw, chat["session_id"], chat["id"], answered)


_ASKED = "SELECT id FROM messages WHERE session_id = $1 AND chat_id = $2 AND turn_key = $3"
_FIRST_ANSWER = "SELECT id FROM messages WHERE session_id = $1 AND chat_id = $2 AND parent_id = $3 ORDER BY position LIMIT 1"


def turn_key(client_id: UUID, content: str) -> bytes:
    return hashlib.sha256(client_id.bytes + content.encode()).digest()


async def newest_leaf(db: AsyncSession, chat: Chat, message_id: UUID) -> UUID:
    """Where the branch through this message ends, always following the newest reply. Raises NotFound."""
    values = {"session_id": chat.session_id, "chat_id": chat.id, "message_id": message_id}
    leaf = await db.scalar(text(_LEAF), values)
    if leaf is None:
        raise NotFound
    return UUID(str(leaf))


_LEAF = """
WITH RECURSIVE path AS (
  SELECT m.id, 1 AS depth FROM messages m WHERE m.session_id = :session_id AND m.chat_id = :chat_id AND m.id = :message_id
  UNION ALL
  SELECT (SELECT m.id FROM messages m WHERE m.session_id = :session_id AND m.chat_id = :chat_id AND m.parent_id = path.id
           ORDER BY m.position DESC LIMIT 1), path.depth + 1 FROM path WHERE path.id IS NOT NULL
)
SELECT id FROM path WHERE id IS NOT NULL ORDER BY depth DESC LIMIT 1
"""


async def delete_pair(db: AsyncSession, chat: Chat, message_id: UUID) -> None:
    """A user's message with all its answers; what followed them moves up. Raises NotFound."""
    values = {"session_id": chat.session_id, "chat_id": chat.id, "message_id": message_id}
    pair = (await db.execute(text(_PAIR), values)).one_or_none()
    if pair is None:
        raise NotFound
    if chat.tip_id in pair.gone:
        await db.execute(text(_SET_TIP), values | {"tip_id": pair.parent_id})
    await db.execute(text(_MOVE_UP), values | {"parent_id": pair.parent_id})
    await db.execute(text("DELETE FROM messages WHERE session_id = :session_id AND chat_id = :chat_id AND id = :message_id"), values)


_SET_TIP = "UPDATE chats SET tip_id = :tip_id WHERE session_id = :session_id AND id = :chat_id"
_PAIR = """
SELECT m.parent_id, m.id || ARRAY(
         SELECT a.id FROM messages a WHERE a.session_id = :session_id AND a.chat_id = :chat_id AND a.parent_id = m.id) AS gone
  FROM messages m WHERE m.session_id = :session_id AND m.chat_id = :chat_id AND m.id = :message_id AND m.role = 'user'
"""
_MOVE_UP = """
UPDATE messages f SET parent_id = :parent_id FROM messages a
 WHERE a.session_id = :session_id AND a.chat_id = :chat_id AND a.parent_id = :message_id
   AND f.session_id = :session_id AND f.chat_id = :chat_id AND f.parent_id = a.id
"""


async def reopen(db: AsyncSession, chat: Chat, message: Any) -> UUID | None:
    """Queues a finished answer to be gone on with; None if it is not finished."""
    values = {"id": message["id"], "content": message["content"], "reasoning": message["reasoning"]}
    generation_id = await db.scalar(text("SELECT log_reopen(:id, :content, :reasoning)"), values)
    if generation_id is not None:
        own = update(Message).where(Message.session_id == chat.session_id, Message.chat_id == chat.id, Message.id == message["id"])
        await db.execute(own.values(status="queued", error=None))
    return None if generation_id is None else UUID(str(generation_id))


async def queue_answer(db: AsyncSession, chat: Chat, answer: Message, request: dict[str, Any]) -> UUID:
    """The parameters are frozen here; the prompt is the branch, and read when the answer begins."""
    frozen = _frozen(chat.parameters, chat.model, request)
    values = {"session_id": chat.session_id, "chat_id": chat.id, "message_id": answer.id, "request": frozen}
    return (await db.scalars(insert(Generation).values(values).returning(Generation.id))).one()


def _frozen(parameters: dict[str, Any], model: str | None, request: dict[str, Any]) -> dict[str, Any]:
    return {**parameters, **({"model": model} if model else {}), **request}


async def stop(db: AsyncSession, session_id: UUID, chat_id: UUID, message_id: UUID) -> str:
    """Asks a running answer to stop and ends a queued one. Returns its status now. Raises NotFound."""
    row = (await db.execute(text(_STOP), {"session_id": session_id, "chat_id": chat_id, "message_id": message_id})).one_or_none()
    if row is None:
        message = await get(await driver(db), session_id, chat_id, message_id)
        return str(message["status"])
    if row.status == "stopped":
        await db.execute(text(_STOP_MESSAGE), {"session_id": session_id, "message_id": message_id})
    await db.execute(text("SELECT pg_notify('runnel_log', :payload)"), {"payload": f"{row.id}:{row.last_seq}:stop"})
    return str(row.status)


_STOP = """
UPDATE generations
   SET stop_requested = true,
       status = CASE status WHEN 'queued' THEN 'stopped' ELSE status END,
       finished_at = CASE status WHEN 'queued' THEN clock_timestamp() END
 WHERE session_id = :session_id AND chat_id = :chat_id AND message_id = :message_id AND status IN ('queued', 'streaming')
RETURNING id, status, last_seq
"""
_STOP_MESSAGE = "UPDATE messages SET status = 'stopped' WHERE session_id = :session_id AND id = :message_id"


def title_of(content: str) -> str:
    """The first words of a message, at most TITLE_CODE_POINTS of them."""
    words = " ".join(content.split())
    if len(words) <= TITLE_CODE_POINTS:
        return words
    cut = words[:TITLE_CODE_POINTS]
    return (cut[: cut.rfind(" ")] if " " in cut[20:] else cut) + "…"
