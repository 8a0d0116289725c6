"""Whose session a device's token opens."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.tables import Device, Session


async def ensure(db: AsyncSession, session_id: UUID) -> None:
    """A session is whoever the calling service says it is: the first write makes its row."""
    await db.execute(insert(Session).values(id=session_id).on_conflict_do_nothing())


async def add_device(db: AsyncSession, session_id: UUID, token_hash: bytes) -> None:
    await db.execute(insert(Device).values(token_hash=token_hash, session_id=session_id))


async def of_device(raw: Any, token_hash: bytes) -> tuple[UUID | None, bool]:
    """The session, and whether it is a day or more since it was seen with this device."""
    found = await raw.fetchrow(_OF_DEVICE, token_hash)
    return (found["session_id"], found["is_stale"]) if found else (None, False)


_OF_DEVICE = """
SELECT session_id, last_seen_at < clock_timestamp() - interval '1 day' AS is_stale
  FROM devices WHERE token_hash = $1 AND revoked_at IS NULL
"""


async def seen(db: AsyncSession, session_id: UUID, token_hash: bytes) -> None:
    """To the day: nobody needs it finer, and a read should seldom write."""
    stale = func.clock_timestamp() - text("interval '1 day'")
    await db.execute(
        update(Device).where(Device.token_hash == token_hash, Device.last_seen_at < stale).values(last_seen_at=func.clock_timestamp())
    )
    await db.execute(
        update(Session).where(Session.id == session_id, Session.last_seen_at < stale).values(last_seen_at=func.clock_timestamp())
    )
