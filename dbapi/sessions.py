"""Sessions, and whose a request is."""

from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from dbapi import body
from dbapi.errors import NotFound
from dbapi.schemas import DeviceToken, NewDevice, SessionId
from dbapi.sql import sessions


async def create(request: Request) -> Response:
    """A new session, opened by this token."""
    device = await body.read(request, NewDevice)
    session_id = uuid4()
    async with request.state["database"].session(session_id) as db:
        await sessions.ensure(db, session_id)
        await sessions.add_device(db, session_id, bytes.fromhex(device.token_hash), device.name)
    return body.answer(SessionId(session_id=session_id), 201)


async def find(request: Request) -> Response:
    """The session that this token opens."""
    token_hash = bytes.fromhex((await body.read(request, DeviceToken)).token_hash)
    async with request.state["database"].raw_device(token_hash) as raw:
        session_id, is_stale = await sessions.of_device(raw, token_hash)
    if session_id is None:
        raise NotFound
    if is_stale:
        async with request.state["database"].session(session_id) as db:
            await sessions.seen(db, session_id, token_hash)
    return body.answer(SessionId(session_id=session_id))
