"""The generation log's door: its functions live in PostgreSQL, see alembic/versions."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

_CLAIM = "SELECT * FROM log_claim($1, $2, $3, $4)"
_APPEND = "SELECT * FROM log_append($1, $2, $3, $4, $5, $6, $7)"
_FINISH = "SELECT log_finish($1, $2, $3, $4, $5, $6, $7, $8)"
_RENAME = "SELECT log_rename($1, $2, $3)"
_RELEASE = "SELECT log_release($1, $2)"
_EXPIRE = "SELECT log_expire($1, $2, $3)"
_READ = "SELECT * FROM log_read($1, $2)"
_STATE = "SELECT * FROM log_state($1)"
_NEXT = "SELECT * FROM log_next()"
_PRUNE = "SELECT log_prune($1, $2)"

# Here a log is a connection of asyncpg, as `Database.log` gives it; without SQLAlchemy above it, an append costs half.


async def claim(log: Any, owner: str, slots: int, lease: float, only: UUID | None = None) -> Sequence[Any]:
    return list(await log.fetch(_CLAIM, owner, slots, timedelta(seconds=lease), only))


async def append(log: Any, entries: Sequence[tuple[Any, ...]], lease: float) -> Sequence[Any]:
    """Rows (id, stop_requested) of those that were accepted."""
    return list(await log.fetch(_APPEND, *zip(*entries, strict=True), timedelta(seconds=lease)))


async def finish(
    log: Any,
    id: UUID,  # noqa: A002
    fence: int,
    last_seq: int,
    status: str,
    error: str | None,
    finish_reason: str | None,
    usage: dict[str, Any] | None,
    timings: dict[str, Any] | None,
) -> bool:
    return bool(await log.fetchval(_FINISH, id, fence, last_seq, status, error, finish_reason, usage, timings))


async def rename(log: Any, generation_id: UUID, fence: int, key: str) -> bool:
    return bool(await log.fetchval(_RENAME, generation_id, fence, key))


async def release(log: Any, entries: Sequence[tuple[UUID, int]]) -> int:
    ids, fences = zip(*entries, strict=True) if entries else ((), ())
    return int(await log.fetchval(_RELEASE, ids, fences))


async def expire(log: Any, owner: str, lease: float, silence: float) -> int:
    """Ends the leases of a process that has gone without a word."""
    return int(await log.fetchval(_EXPIRE, owner, timedelta(seconds=lease), timedelta(seconds=silence)))


async def read(log: Any, places: Sequence[tuple[UUID, int]]) -> tuple[Sequence[Any], Sequence[Any]]:
    """States, then chunks: what a state says is there is among the chunks, which may run ahead of it."""
    ids = [place[0] for place in places]
    return list(await log.fetch(_STATE, ids)), list(await log.fetch(_READ, ids, [place[1] for place in places]))


async def next_work(log: Any) -> Any:
    return await log.fetchrow(_NEXT)


async def prune(log: Any, age: timedelta, most: int) -> int:
    return int(await log.fetchval(_PRUNE, age, most))
