"""Searches a session, with SQLAlchemy only: the log needs the connections of asyncpg more.

The ids of messages come from `find_messages` (see alembic/schema.sql), which reads an index that this login cannot
read. Their text is read here, under row-level security. A query is a text for to_tsquery, see search_query.py.
"""

import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.errors import sqlstate

MAX_CHATS = 50  # found by their title
MAX_MESSAGES = 300  # the newest; to rank all that contain a common word takes as long as a second
MAX_CODE_POINTS = 50_000  # of a message, in which its snippet is searched for
# For the search, and for a second one in the newest messages alone. Reading what it found takes some milliseconds
SECONDS, SECONDS_IN_ALL = 0.6, 0.9
CANCELED = "57014"


@dataclass(frozen=True)
class Chat:
    id: UUID
    title: str | None
    updated_at: datetime


@dataclass(frozen=True)
class Message:
    id: UUID
    chat: Chat
    role: Literal["user", "assistant"]
    created_at: datetime
    rank: float
    content: str | None = None  # of a running answer

    @property
    def is_running(self) -> bool:
        return self.content is not None


@dataclass
class Found:
    """`titles` are the chats whose title matches. Both are in no particular order."""

    titles: list[Chat] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    is_complete: bool = True


async def find(db: AsyncSession, session_id: UUID, query: str, plain_words: Sequence[str]) -> Found:
    """What a query finds in a session. If it takes too long, only the newest messages are searched."""
    titles: Sequence[Row[Any]] = []
    running: Sequence[Row[Any]] = []
    ranks: Sequence[Row[Any]] = []
    began, is_complete = time.monotonic(), False
    own: dict[str, Any] = {"session_id": session_id, "query": query}
    wanted = own | {"most": MAX_MESSAGES}
    with _timeout_ignored():
        async with _undone(db):
            running = await _within(db, began + SECONDS, _RUNNING, own | {"most": MAX_CODE_POINTS})
            contained = [f"%{word}%" for word in plain_words]
            titles = await _within(db, began + SECONDS, _TITLES, own | {"most": MAX_CHATS, "contained": contained})
            ranks = await _within(db, began + SECONDS, _FIND, wanted | {"only_newest": False})
            is_complete = True
    if not is_complete:
        with _timeout_ignored():
            async with _undone(db):
                newest = wanted | {"only_newest": True}
                ranks = await _within(db, began + SECONDS_IN_ALL, _FIND, newest)
    indexed = {row.message_id: row.rank for row in ranks}
    for row in running:  # the index has the text before the answer was continued
        indexed.pop(row.id, None)
    messages = [_message(row, row.rank, row.content) for row in running if row.rank is not None]
    found = await _rows(db, _MESSAGES, {"session_id": session_id, "ids": list(indexed)})
    return Found([_chat(row) for row in titles], messages + [_message(r, indexed[r.id]) for r in found], is_complete)


async def contents(db: AsyncSession, session_id: UUID, ids: Collection[UUID]) -> dict[UUID, str]:
    """The texts of these messages, or their beginnings."""
    values = {"session_id": session_id, "ids": list(ids), "most": MAX_CODE_POINTS}
    return {row.id: row.content for row in await _rows(db, _CONTENTS, values)}


@contextmanager
def _timeout_ignored() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) != CANCELED:
            raise


@asynccontextmanager
async def _undone(db: AsyncSession) -> AsyncIterator[None]:
    """A savepoint that is always rolled back: it ends the limits of `_within`."""
    savepoint = await db.begin_nested()
    try:
        yield
    finally:
        await savepoint.rollback()


async def _within(db: AsyncSession, ends: float, statement: str, values: dict[str, Any]) -> Sequence[Row[Any]]:
    """Raises DBAPIError with CANCELED if it takes longer."""
    milliseconds = max(1, round((ends - time.monotonic()) * 1000))
    await db.execute(text(_LIMIT_TIME), {"milliseconds": str(milliseconds)})
    return await _rows(db, statement, values)


async def _rows(db: AsyncSession, statement: str, values: dict[str, Any]) -> Sequence[Row[Any]]:
    return (await db.execute(text(statement), values)).all()


def _chat(row: Row[Any]) -> Chat:
    return Chat(row.chat_id, row.title, row.updated_at)


def _message(row: Row[Any], rank: float, content: str | None = None) -> Message:
    return Message(row.id, _chat(row), row.role, row.created_at, rank, content)


_LIMIT_TIME = "SELECT set_config('statement_timeout', :milliseconds, true)"

# To compare a text without its words takes a tenth of the time, which is enough for most ASCII texts.
_TITLES = """
SELECT c.id AS chat_id, c.title, c.updated_at
  FROM chats c CROSS JOIN (SELECT to_tsquery('public.runnel', CAST(:query AS text)) AS query OFFSET 0) q
 WHERE c.session_id = :session_id AND c.deleted_at IS NULL AND NOT c.is_temporary AND CASE
       WHEN octet_length(c.title) > char_length(c.title) OR c.title ILIKE ALL (CAST(:contained AS text[]))
       THEN words_of(c.title) @@ q.query END
 ORDER BY c.updated_at DESC LIMIT :most
"""

# All unfinished answers; those that do not match have no rank.
_RUNNING = """
SELECT m.id, m.role, m.created_at, c.id AS chat_id, c.title, c.updated_at,
       CASE WHEN log.words @@ q.query THEN ts_rank(log.words, q.query) END AS rank,
       CASE WHEN log.words @@ q.query THEN left(log.content, CAST(:most AS integer)) END AS content
  FROM generations g
  JOIN messages m ON m.session_id = :session_id AND m.id = g.message_id
  JOIN chats c ON c.session_id = :session_id AND c.id = g.chat_id AND c.deleted_at IS NULL AND NOT c.is_temporary
 CROSS JOIN (SELECT to_tsquery('public.runnel', CAST(:query AS text)) AS query OFFSET 0) q
 CROSS JOIN LATERAL (
   SELECT whole.content, words_of(whole.content) AS words FROM (
     SELECT string_agg(k.text, '' ORDER BY k.seq) AS content FROM generation_chunks k
      WHERE k.session_id = :session_id AND k.generation_id = g.id AND k.kind = 0
        AND k.seq > (SELECT coalesce(max(v.seq), 0) FROM generation_chunks v
                      WHERE v.session_id = :session_id AND v.generation_id = g.id AND v.kind = 2)
   ) whole OFFSET 0) log
 WHERE g.session_id = :session_id AND g.status IN ('queued', 'streaming')
"""

_FIND = """
SELECT message_id, rank
  FROM find_messages(
         to_tsquery('public.runnel', CAST(:query AS text)), :most, CAST(:only_newest AS boolean),
         ARRAY(SELECT id FROM chats WHERE session_id = :session_id AND deleted_at IS NOT NULL))
"""

_MESSAGES = """
SELECT m.id, m.role, m.created_at, c.id AS chat_id, c.title, c.updated_at
  FROM messages m
  JOIN chats c ON c.session_id = :session_id AND c.id = m.chat_id AND c.deleted_at IS NULL AND NOT c.is_temporary
 WHERE m.session_id = :session_id AND m.id = ANY (CAST(:ids AS uuid[])) AND m.content <> ''
"""

_CONTENTS = """
SELECT m.id, left(m.content, CAST(:most AS integer)) AS content FROM messages m
 WHERE m.session_id = :session_id AND m.id = ANY (CAST(:ids AS uuid[]))
"""
