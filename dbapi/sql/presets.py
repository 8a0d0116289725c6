"""Presets, with SQLAlchemy only: users read and change them click by click."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from dbapi.errors import NotFound
from dbapi.tables import Preset, Session


async def all_of(db: AsyncSession, session_id: UUID) -> Sequence[tuple[UUID, str]]:
    """Ids and names, by name."""
    own = select(Preset.id, Preset.name).where(Preset.session_id == session_id)
    return (await db.execute(own.order_by(func.lower(Preset.name), Preset.name))).tuples().all()


async def get(db: AsyncSession, session_id: UUID, preset_id: UUID) -> Preset:
    """Raises NotFound."""
    preset = await db.scalar(select(Preset).where(Preset.session_id == session_id, Preset.id == preset_id))
    if preset is None:
        raise NotFound
    return preset


async def count_others(db: AsyncSession, session_id: UUID, name: str) -> int:
    """How many presets have another name. It locks the session, so the number holds until the transaction ends."""
    await db.execute(select(Session.id).where(Session.id == session_id).with_for_update(key_share=True))
    others = select(func.count(Preset.id)).where(Preset.session_id == session_id, Preset.name != name)
    return await db.scalar(others) or 0


async def save(db: AsyncSession, session_id: UUID, name: str, settings: dict[str, Any]) -> Preset:
    """Creates a preset, or replaces the settings of the one with this name."""
    new = insert(Preset).values(session_id=session_id, name=name, **settings)
    changed = {**settings, "updated_at": func.clock_timestamp()}
    saved = new.on_conflict_do_update(constraint="presets_of_session", set_=changed)
    return (await db.scalars(saved.returning(Preset))).one()


async def remove(db: AsyncSession, session_id: UUID, preset_id: UUID) -> None:
    """Raises NotFound."""
    own = delete(Preset).where(Preset.session_id == session_id, Preset.id == preset_id)
    if await db.scalar(own.returning(Preset.id)) is None:
        raise NotFound
