"""The generation log's door: its functions live in PostgreSQL, see alembic/versions."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

_CLAIM = text("SELECT * FROM log_claim(:owner, :slots, :lease, :only)")
_APPEND = text(
    "SELECT * FROM log_append(CAST(:ids AS uuid[]), CAST(:fences AS int[]), CAST(:seqs AS int[]), CAST(:kinds AS smallint[]),"
    " CAST(:texts AS text[]), CAST(:offsets AS bigint[]), :lease)"
)
_FINISH = text("SELECT log_finish(:id, :fence, :last_seq, :status, :error, :finish_reason, CAST(:usage AS jsonb), CAST(:timings AS jsonb))")
_RENAME = text("SELECT log_rename(:id, :fence, :key)")
_RELEASE = text("SELECT log_release(CAST(:ids AS uuid[]), CAST(:fences AS int[]))")
_EXPIRE = text("SELECT log_expire(:owner, :lease, :silence)")
_READ = text("SELECT * FROM log_read(CAST(:ids AS uuid[]), CAST(:seqs AS int[]))")
_STATE = text("SELECT * FROM log_state(CAST(:ids AS uuid[]))")
_NEXT = text("SELECT * FROM log_next()")
_PRUNE = text("SELECT log_prune(:age, :most)")


async def claim(db: AsyncConnection | AsyncSession, owner: str, slots: int, lease: float, only: UUID | None = None) -> Sequence[Row[Any]]:
    values = {"owner": owner, "slots": slots, "lease": timedelta(seconds=lease), "only": only}
    return (await db.execute(_CLAIM, values)).all()


async def append(log: AsyncConnection, entries: Sequence[tuple[Any, ...]], lease: float) -> Sequence[Row[Any]]:
    """Rows (id, stop_requested) of those that were accepted."""
    columns = zip(*entries, strict=True)
    values = dict(zip(("ids", "fences", "seqs", "kinds", "texts", "offsets"), map(list, columns), strict=True))
    return (await log.execute(_APPEND, {**values, "lease": timedelta(seconds=lease)})).all()


async def finish(log: AsyncConnection, **values: Any) -> bool:
    return bool((await log.execute(_FINISH, values)).scalar_one())


async def rename(log: AsyncConnection, generation_id: UUID, fence: int, key: str) -> bool:
    return bool((await log.execute(_RENAME, {"id": generation_id, "fence": fence, "key": key})).scalar_one())


async def release(log: AsyncConnection, entries: Sequence[tuple[UUID, int]]) -> int:
    values = {"ids": [entry[0] for entry in entries], "fences": [entry[1] for entry in entries]}
    return int((await log.execute(_RELEASE, values)).scalar_one())


async def expire(log: AsyncConnection, owner: str, lease: float, silence: float) -> int:
    """Ends the leases of a process that has gone without a word."""
    values = {"owner": owner, "lease": timedelta(seconds=lease), "silence": timedelta(seconds=silence)}
    return int((await log.execute(_EXPIRE, values)).scalar_one())


async def read(log: AsyncConnection, places: Sequence[tuple[UUID, int]]) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]]]:
    """States, then chunks: what a state says is there is among the chunks, which may run ahead of it."""
    ids = [place[0] for place in places]
    states = (await log.execute(_STATE, {"ids": ids})).all()
    chunks = (await log.execute(_READ, {"ids": ids, "seqs": [place[1] for place in places]})).all()
    return states, chunks


async def next_work(log: AsyncConnection) -> Row[Any]:
    return (await log.execute(_NEXT)).one()


async def prune(log: AsyncConnection, age: timedelta, most: int) -> int:
    return int((await log.execute(_PRUNE, {"age": age, "most": most})).scalar_one())
