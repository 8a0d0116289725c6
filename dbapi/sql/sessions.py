"""Whose session a device's token opens, which devices it has, and how much it may do."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.tables import Device, Link, Session


async def ensure(db: AsyncSession, session_id: UUID) -> None:
    """A session is whoever the calling service says it is: the first write makes its row."""
    await db.execute(insert(Session).values(id=session_id).on_conflict_do_nothing())


async def unfinished_answers(raw: Any, session_id: UUID) -> int:
    """How many run or wait. Of two who ask at once, one waits for the other's transaction."""
    return int(await raw.fetchval("SELECT unfinished_answers($1)", session_id))


# Devices


async def add_device(db: AsyncSession, session_id: UUID, token_hash: bytes, name: str) -> None:
    await db.execute(insert(Device).values(token_hash=token_hash, session_id=session_id, name=name))


async def devices(db: AsyncSession, session_id: UUID) -> Sequence[Device]:
    """Those that are signed in, the newest first."""
    own = select(Device).where(Device.session_id == session_id, Device.revoked_at.is_(None))
    return (await db.scalars(own.order_by(Device.created_at.desc(), Device.id))).all()


async def sign_out(db: AsyncSession, session_id: UUID, *, only: UUID | None = None, keep: bytes | None = None) -> int:
    """Devices of this session that were signed out by this: one, or all, or all but one."""
    own = update(Device).where(Device.session_id == session_id, Device.revoked_at.is_(None))
    if only:
        own = own.where(Device.id == only)
    if keep:
        own = own.where(Device.token_hash != keep)
    gone = (await db.scalars(own.values(revoked_at=func.clock_timestamp()).returning(Device.token_hash))).all()
    for token_hash in gone:
        await db.execute(text("SELECT pg_notify('runnel_devices', :token_hash)"), {"token_hash": token_hash.hex()})
    return len(gone)


async def make_link(db: AsyncSession, session_id: UUID, token_hash: bytes, seconds: int) -> None:
    """One that opens this session once; an earlier one is void."""
    expires_at = func.clock_timestamp() + timedelta(seconds=seconds)
    new = insert(Link).values(session_id=session_id, token_hash=token_hash, expires_at=expires_at)
    changed = {"token_hash": token_hash, "expires_at": expires_at}
    await db.execute(new.on_conflict_do_update(constraint="links_of_session", set_=changed))


async def act_as(db: AsyncSession, session_id: UUID) -> None:
    """The rest of this transaction sees that session's rows, too."""
    await db.execute(text("SELECT set_config('app.session_id', :session_id, true)"), {"session_id": str(session_id)})


async def use_link(db: AsyncSession, token_hash: bytes) -> UUID | None:
    """The session that a link opens, which it does no more after this."""
    used = delete(Link).where(Link.token_hash == token_hash, Link.expires_at > func.clock_timestamp())
    return await db.scalar(used.returning(Link.session_id))


async def void_link(db: AsyncSession, session_id: UUID) -> None:
    await db.execute(delete(Link).where(Link.session_id == session_id))


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
