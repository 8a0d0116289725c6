"""Sessions, opened by a device's token."""

from uuid import uuid4

from dbapi.endpoint import endpoint
from dbapi.errors import NotFound
from dbapi.schemas.sessions import DeviceToken, NewDevice, OpenedSession
from dbapi.sql import sessions
from dbapi.state import Request


@endpoint(status=201)
async def create(request: Request, device: NewDevice) -> OpenedSession:
    """Creates a session that this token opens."""
    session_id = uuid4()
    async with request.state["database"].session(session_id) as db:
        await sessions.ensure(db, session_id)
        await sessions.add_device(db, session_id, bytes.fromhex(device.token_hash), device.name)
    return OpenedSession(session_id=session_id)


@endpoint()
async def find(request: Request, device: DeviceToken) -> OpenedSession:
    """Returns the session that this token opens."""
    token_hash = bytes.fromhex(device.token_hash)
    async with request.state["database"].device(token_hash) as db:
        session_id, is_stale = await sessions.of_device(db, token_hash)
    if session_id is None:
        raise NotFound
    if is_stale:
        async with request.state["database"].session(session_id) as db:
            await sessions.record_use(db, session_id, token_hash)
    return OpenedSession(session_id=session_id)
