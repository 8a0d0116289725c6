"""The list of a session's chats, with SQLAlchemy only. As in chats.py, every statement names the session."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.tables import Chat, Generation


class Place(NamedTuple):
    """Where a chat is in the list."""

    pinned: bool
    updated_at: datetime
    id: UUID


class Listed(NamedTuple):
    chat: Chat
    running: bool  # an answer is queued or being written
    unread: bool  # an answer has ended since the chat was last seen


async def page(
    db: AsyncSession, session_id: UUID, limit: int, archived: bool = False, after: Place | None = None, offset: int = 0
) -> list[Listed]:
    """Pinned chats, then all others, both with the latest first. Either the archived ones, or those that are not.

    Temporary chats are in no list.

    The page begins after the chat that is or was at the place `after`. `offset` leaves out chats that are not pinned.
    """
    found: list[Listed] = []
    if not offset and (after is None or after.pinned):
        found += await _rows(db, _part(session_id, True, archived, after).limit(limit))
    if len(found) < limit:
        after = None if after and after.pinned else after
        rest = _part(session_id, False, archived, after).limit(limit - len(found))
        found += await _rows(db, rest.offset(offset))
    return found


def _part(session_id: UUID, pinned: bool, archived: bool, after: Place | None) -> Select[Chat, bool, bool]:
    live = select(Generation.id).where(
        Generation.session_id == session_id,
        Generation.chat_id == Chat.id,
        Generation.status.in_(("queued", "streaming")),
    )
    ended = select(Generation.id).where(
        Generation.session_id == session_id,
        Generation.message_id == Chat.tip_id,
        Generation.finished_at > Chat.seen_at,
    )
    part = select(Chat, live.exists(), ended.exists()).where(Chat.session_id == session_id, Chat.deleted_at.is_(None))
    part = part.where(~Chat.is_temporary)
    part = part.where(Chat.pinned_at.is_not(None) if pinned else Chat.pinned_at.is_(None))
    part = part.where(Chat.archived_at.is_not(None) if archived else Chat.archived_at.is_(None))
    if after:
        place = tuple_(after.updated_at, after.id, types=[Chat.updated_at.type, Chat.id.type])
        part = part.where(tuple_(Chat.updated_at, Chat.id) < place)
    return part.order_by(Chat.updated_at.desc(), Chat.id.desc())


async def _rows(db: AsyncSession, part: Select[Chat, bool, bool]) -> list[Listed]:
    return [Listed(*row) for row in (await db.execute(part)).tuples()]


async def mark_seen(db: AsyncSession, session_id: UUID, chat_id: UUID) -> None:
    """The chat is no longer unread. Changes and announces nothing if it was not."""
    await db.execute(text(_MARK_SEEN), {"session_id": session_id, "chat_id": chat_id})


_MARK_SEEN = """
UPDATE chats SET seen_at = g.finished_at FROM generations g
 WHERE chats.session_id = :session_id AND chats.id = :chat_id AND g.session_id = :session_id
   AND g.message_id = chats.tip_id AND g.finished_at > chats.seen_at
"""


async def state(db: AsyncSession, session_id: UUID) -> str:
    """A text that changes whenever the list does."""
    return str(await db.scalar(text(_STATE), {"session_id": session_id}))


_STATE = """
SELECT count(*) || '.' || coalesce(sum(revision), 0) || '.' || (
         SELECT count(*) FROM generations WHERE session_id = :session_id AND status IN ('queued', 'streaming'))
       || '.' || coalesce(sum(extract(epoch FROM seen_at)), 0)
  FROM chats WHERE session_id = :session_id AND NOT is_temporary
"""
