"""Sessions, their devices and links, with SQLAlchemy only: users change them click by click."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.tables import Device, Link, Session


async def ensure(db: AsyncSession, session_id: UUID) -> None:
    """Creates the row of a session. The caller has authenticated the session, so its first write may create it."""
    await db.execute(insert(Session).values(id=session_id).on_conflict_do_nothing())


async def chat_defaults(db: AsyncSession, session_id: UUID) -> dict[str, Any]:
    """The settings of new chats, as far as the user has chosen any."""
    return await db.scalar(select(Session.chat_defaults).where(Session.id == session_id)) or {}


async def set_chat_defaults(db: AsyncSession, session_id: UUID, settings: dict[str, Any]) -> None:
    await db.execute(update(Session).where(Session.id == session_id).values(chat_defaults=settings))


# Devices


async def add_device(db: AsyncSession, session_id: UUID, token_hash: bytes, name: str) -> None:
    await db.execute(insert(Device).values(token_hash=token_hash, session_id=session_id, name=name))


async def devices(db: AsyncSession, session_id: UUID) -> Sequence[Device]:
    """The signed-in devices, newest first."""
    own = select(Device).where(Device.session_id == session_id, Device.revoked_at.is_(None))
    return (await db.scalars(own.order_by(Device.created_at.desc(), Device.id))).all()


async def sign_out(db: AsyncSession, session_id: UUID, *, only: UUID | None = None, keep: bytes | None = None) -> int:
    """Signs out one device, all, or all but one. Returns how many."""
    own = update(Device).where(Device.session_id == session_id, Device.revoked_at.is_(None))
    if only:
        own = own.where(Device.id == only)
    if keep:
        own = own.where(Device.token_hash != keep)
    revoked = (await db.scalars(own.values(revoked_at=func.clock_timestamp()).returning(Device.token_hash))).all()
    for token_hash in revoked:
        await db.execute(text("SELECT pg_notify('runnel_devices', :token_hash)"), {"token_hash": token_hash.hex()})
    return len(revoked)


async def make_link(db: AsyncSession, session_id: UUID, token_hash: bytes, seconds: int) -> None:
    """Creates a link that opens this session once. It replaces an earlier one."""
    expires_at = func.clock_timestamp() + timedelta(seconds=seconds)
    new = insert(Link).values(session_id=session_id, token_hash=token_hash, expires_at=expires_at)
    changed = {"token_hash": token_hash, "expires_at": expires_at}
    await db.execute(new.on_conflict_do_update(constraint="links_of_session", set_=changed))


async def act_as(db: AsyncSession, session_id: UUID) -> None:
    """Makes that session's rows visible, too, for the rest of this transaction."""
    await db.execute(text("SELECT set_config('app.session_id', :session_id, true)"), {"session_id": str(session_id)})


async def use_link(db: AsyncSession, token_hash: bytes) -> UUID | None:
    """Deletes the link. Returns the session that it opens, or None if there is no such link or it is too old."""
    used = delete(Link).where(Link.token_hash == token_hash, Link.expires_at > func.clock_timestamp())
    return await db.scalar(used.returning(Link.session_id))


async def delete_link(db: AsyncSession, session_id: UUID) -> None:
    await db.execute(delete(Link).where(Link.session_id == session_id))


async def of_device(db: AsyncSession, token_hash: bytes) -> tuple[UUID | None, bool]:
    """The session that a device opens, and whether its last recorded use is a day or more ago."""
    is_stale = Device.last_seen_at < func.clock_timestamp() - text("interval '1 day'")
    own = select(Device.session_id, is_stale).where(Device.token_hash == token_hash, Device.revoked_at.is_(None))
    found = (await db.execute(own)).one_or_none()
    return (found[0], found[1]) if found else (None, False)


async def record_use(db: AsyncSession, session_id: UUID, token_hash: bytes) -> None:
    """Records the use once a day at most, so that a read rarely writes."""
    stale = func.clock_timestamp() - text("interval '1 day'")
    await db.execute(
        update(Device)
        .where(Device.token_hash == token_hash, Device.last_seen_at < stale)
        .values(last_seen_at=func.clock_timestamp())
    )
    await db.execute(
        update(Session)
        .where(Session.id == session_id, Session.last_seen_at < stale)
        .values(last_seen_at=func.clock_timestamp())
    )
