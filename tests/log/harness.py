"""Calls the log's functions as two writers do, and reads all rows as a superuser, in an event loop of its own."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from dbapi.sql import messages, turns
from dbapi.sql.connection import Database
from tests.stack import until

WRITERS = ("A", "B")
LEASE = "1 hour"  # no lease ends by itself: a test of a long pause moves it into the past
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
)

Row = tuple[UUID, int, int | None, int, str, int | None]  # generation, fence, seq, kind, text, offset
Result = TypeVar("Result")

_APPEND = f"""
SELECT id, stop_requested
  FROM log_append($1::uuid[], $2::int[], $3::int[], $4::smallint[], $5::text[], $6::bigint[], '{LEASE}')
"""
_ALL_ROWS = """
SELECT g.id, g.status, g.fence, g.owner, g.last_seq, g.upstream_key, g.upstream_offset, g.stop_requested, g.attempts,
       g.chat_id,
       coalesce(g.lease_until < clock_timestamp(), false) AS lease_expired, g::text AS whole,
       m.status AS message_status, m.content, m.reasoning, m.error, m::text AS whole_message,
       (SELECT jsonb_agg(jsonb_build_array(c.seq, c.fence, c.kind, c.text) ORDER BY c.seq)
          FROM generation_chunks c WHERE c.generation_id = g.id) AS chunks
  FROM generations g JOIN messages m ON m.id = g.message_id
"""


class LogHarness:
    def __init__(self, runtime_url: str, superuser_url: str) -> None:
        self._runner = asyncio.Runner()
        self._runtime_url = runtime_url
        self._dbapi = Database(runtime_url, pool_size=2)
        self._observer = self.run(asyncpg.connect(superuser_url))
        self._writers = {writer: self.run(asyncpg.connect(runtime_url)) for writer in WRITERS}

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(coroutine)

    def close(self) -> None:
        for connection in (self._observer, *self._writers.values()):
            self.run(connection.close())
        self.run(self._dbapi.close())
        self._runner.close()

    # Calls for a session, as dbapi makes them

    def create_chats(self, sessions: list[UUID]) -> list[UUID]:
        """Deletes all rows, and creates one chat for each item of `sessions`, which may repeat."""
        return self.run(self._create_chats(sessions))

    async def _create_chats(self, sessions: list[UUID]) -> list[UUID]:
        await self._observer.execute("DELETE FROM sessions")
        await self._observer.executemany(
            "INSERT INTO sessions (id) VALUES ($1)", [(session,) for session in set(sessions)]
        )
        return [
            await self._observer.fetchval("INSERT INTO chats (session_id, username) VALUES ($1, 'Ada') RETURNING id", s)
            for s in sessions
        ]

    def add_turn(self, session: UUID, chat_id: UUID) -> UUID:
        """Adds a message with a queued answer. Returns the generation's id."""
        return self.run(self._add_turn(session, chat_id))

    async def _add_turn(self, session: UUID, chat_id: UUID) -> UUID:
        async with self._dbapi.write_turn(session) as (connection, _):
            chat = await turns.lock_chat(connection, session, chat_id)
            _, answer = await turns.add_turn(connection, chat, "Why?", chat["tip_id"], None, {})
        generation_id: UUID = answer["generation_id"]
        return generation_id

    def stop(self, session: UUID, chat_id: UUID, generation: UUID) -> str:
        return self.run(self._stop(session, chat_id, generation))

    async def _stop(self, session: UUID, chat_id: UUID, generation: UUID) -> str:
        message_id = await self._observer.fetchval("SELECT message_id FROM generations WHERE id = $1", generation)
        async with self._dbapi.session(session) as db:
            return await messages.stop(db, session, chat_id, message_id)

    # Calls of a writer

    def fetchval(self, writer: str, query: str, *values: Any) -> Any:
        return self.run(self._writers[writer].fetchval(query, *values))

    def claim(self, writers: tuple[str, ...], slots: int, only: UUID | None = None) -> list[list[asyncpg.Record]]:
        """All writers claim simultaneously. Returns the rows of each."""
        pool = "ARRAY[''], ARRAY[$2::integer], ARRAY[''], ARRAY['']"
        query = f"SELECT * FROM log_claim_from_pools($1, {pool}, $3::text::interval, $4)"
        calls = (self._writers[writer].fetch(query, writer, slots, LEASE, only) for writer in writers)
        return self.run(_gather(*calls))

    def append(self, *batches: tuple[str, list[Row]]) -> list[set[UUID]]:
        """Each writer sends one statement, simultaneously. Returns the accepted ids of each."""
        calls = (self._writers[writer].fetch(_APPEND, *_columns(rows)) for writer, rows in batches)
        return [{row["id"] for row in accepted} for accepted in self.run(_gather(*calls))]

    def append_and_cut(self, writer: str, rows: list[Row], seconds: float) -> None:
        """Cuts the connection `seconds` after sending: before, while or after the statement runs."""
        self.run(self._cut(writer, rows, seconds))

    async def _cut(self, writer: str, rows: list[Row], seconds: float) -> None:
        connection = self._writers[writer]
        pid = connection.get_server_pid()
        call = asyncio.ensure_future(connection.fetch(_APPEND, *_columns(rows)))
        await asyncio.sleep(seconds)
        await self._observer.execute("SELECT pg_terminate_backend($1)", pid)
        with contextlib.suppress(*LOST):
            await call
        connection.terminate()
        await until(
            lambda: self._observer.fetchval("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid)
        )
        self._writers[writer] = await asyncpg.connect(self._runtime_url)

    # For tests only

    def all_rows(self) -> list[asyncpg.Record]:
        return self.run(self._observer.fetch(_ALL_ROWS))

    def expire_lease(self, generation: UUID) -> None:
        """Ends the lease, as after a long pause of its writer."""
        self.run(
            self._observer.execute(
                "UPDATE generations SET lease_until = clock_timestamp() - interval '1 second' WHERE id = $1", generation
            )
        )

    def lose_appends(self, generation: UUID, last_seq: int, offset: int) -> None:
        """Removes appends, as a crash of PostgreSQL does if they were not yet on disk."""
        self.run(self._lose_appends(generation, last_seq, offset))

    async def _lose_appends(self, generation: UUID, last_seq: int, offset: int) -> None:
        async with self._observer.transaction():
            await self._observer.execute(
                "DELETE FROM generation_chunks WHERE generation_id = $1 AND seq > $2", generation, last_seq
            )
            await self._observer.execute(
                "UPDATE generations SET last_seq = $2, upstream_offset = $3 WHERE id = $1", generation, last_seq, offset
            )

    def replace_in_function(self, function: str, condition: str, replacement: str = "") -> None:
        """Replaces a part of a function: plants a bug."""
        self.run(self._replace_in_function(function, condition, replacement))

    async def _replace_in_function(self, function: str, condition: str, replacement: str) -> None:
        source = await self._observer.fetchval("SELECT pg_get_functiondef(CAST($1 AS text)::regproc)", function)
        assert source.count(condition) == 1, f"{function} has changed: {source}"
        await self._observer.execute(source.replace(condition, replacement))


async def _gather(*calls: Any) -> list[Any]:
    return await asyncio.gather(*calls)


def _columns(rows: list[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
