"""The generation log, with asyncpg only: every answer needs it. SQLAlchemy would double the cost of an append.

The functions are in PostgreSQL, see alembic/schema.sql. `connection` is from `Database.connection`.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

_CLAIM = "SELECT * FROM log_claim_from_pools($1, $2, $3, $4, $5, $6, $7)"
_APPEND = "SELECT * FROM log_append($1, $2, $3, $4, $5, $6, $7)"
_FINISH = "SELECT log_finish($1, $2, $3, $4, $5, $6, $7, $8)"
_RENAME = "SELECT log_rename($1, $2, $3)"
_RELEASE = "SELECT log_release($1, $2)"
_EXPIRE = "SELECT log_expire($1, $2, $3)"
_READ = "SELECT * FROM log_read($1, $2)"
_STATE = "SELECT * FROM log_state($1)"
_NEXT = "SELECT * FROM log_next()"


async def claim(
    connection: asyncpg.Connection,
    owner: str,
    pools: Sequence[tuple[str, int, Sequence[str]]],
    lease: float,
    only: UUID | None = None,
) -> Sequence[asyncpg.Record]:
    """A pool has a name, slots, and prefixes of its models."""
    names, slots, _ = zip(*pools, strict=True)
    prefixes = [(prefix, name) for name, _, prefixes in pools for prefix in prefixes]
    values = (owner, names, slots, *zip(*prefixes, strict=True), timedelta(seconds=lease), only)
    return list(await connection.fetch(_CLAIM, *values))


async def append(
    connection: asyncpg.Connection, entries: Sequence[tuple[Any, ...]], lease: float
) -> Sequence[asyncpg.Record]:
    """Rows (id, stop_requested) of the accepted entries."""
    return list(await connection.fetch(_APPEND, *zip(*entries, strict=True), timedelta(seconds=lease)))


async def finish(
    connection: asyncpg.Connection,
    id: UUID,  # noqa: A002
    fence: int,
    last_seq: int,
    status: str,
    error: str | None,
    finish_reason: str | None,
    usage: dict[str, Any] | None,
    timings: dict[str, Any] | None,
) -> bool:
    values = (id, fence, last_seq, status, error, finish_reason, usage, timings)
    return bool(await connection.fetchval(_FINISH, *values))


async def rename(connection: asyncpg.Connection, generation_id: UUID, fence: int, key: str) -> bool:
    return bool(await connection.fetchval(_RENAME, generation_id, fence, key))


async def release(connection: asyncpg.Connection, entries: Sequence[tuple[UUID, int]]) -> int:
    ids, fences = zip(*entries, strict=True) if entries else ((), ())
    return int(await connection.fetchval(_RELEASE, ids, fences))


async def expire(connection: asyncpg.Connection, owner: str, lease: float, silence: float) -> int:
    """Ends the leases of `owner` that were not renewed for `silence` seconds. Leases are `lease` seconds long."""
    return int(await connection.fetchval(_EXPIRE, owner, timedelta(seconds=lease), timedelta(seconds=silence)))


async def read(
    connection: asyncpg.Connection, cursors: Sequence[tuple[UUID, int]]
) -> tuple[Sequence[asyncpg.Record], Sequence[asyncpg.Record]]:
    """States, then chunks. The chunks include everything up to a state's last_seq and may run ahead of it."""
    ids, seqs = [cursor[0] for cursor in cursors], [cursor[1] for cursor in cursors]
    return list(await connection.fetch(_STATE, ids)), list(await connection.fetch(_READ, ids, seqs))


async def next_work(connection: asyncpg.Connection) -> asyncpg.Record:
    return await connection.fetchrow(_NEXT)
