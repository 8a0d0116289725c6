"""Presets: named settings of one session, which any of its chats can take over."""

from typing import Any
from uuid import UUID

from dbapi.auth import SessionId
from dbapi.endpoint import endpoint
from dbapi.errors import Conflict
from dbapi.schemas.presets import NewPreset, PresetInList, PresetList, PresetRecord
from dbapi.sql import presets, sessions
from dbapi.state import Request

MAX_PRESETS = 100


@endpoint()
async def index(request: Request, session: SessionId) -> PresetList:
    """Lists the session's presets by name, without their settings."""
    async with request.state["database"].session(session) as db:
        found = await presets.all_of(db, session)
    return PresetList(presets=[PresetInList(id=preset_id, name=name) for preset_id, name in found])


@endpoint()
async def show(request: Request, session: SessionId, preset_id: UUID) -> PresetRecord:
    """Returns a preset with its settings."""
    async with request.state["database"].session(session) as db:
        return PresetRecord.model_validate(await presets.get(db, session, preset_id))


@endpoint()
async def save(request: Request, session: SessionId, new: NewPreset) -> PresetRecord:
    """Creates a preset, or replaces the one with the same name. 409 if there are 100 others."""
    async with request.state["database"].write(session) as db:
        await sessions.ensure(db, session)
        if await presets.count_others(db, session, new.name) >= MAX_PRESETS:
            raise Conflict(f"There are {MAX_PRESETS} presets already. Delete one of them first.")
        return PresetRecord.model_validate(await presets.save(db, session, new.name, _settings(new)))


def _settings(new: NewPreset) -> dict[str, Any]:
    parameters = new.parameters.model_dump(exclude_none=True)
    return {"model": (new.model or "").strip() or None, "system_prompt": new.system_prompt, "parameters": parameters}


@endpoint(status=204)
async def delete(request: Request, session: SessionId, preset_id: UUID) -> None:
    """Deletes a preset. Chats that took over its settings keep them."""
    async with request.state["database"].write(session) as db:
        await presets.remove(db, session, preset_id)
