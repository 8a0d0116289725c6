"""The devices that open a session, signing them out, and the link that adds one more."""

from typing import Annotated
from uuid import UUID

from dbapi.auth import SessionId
from dbapi.endpoint import Query, endpoint
from dbapi.errors import BadRequest, Conflict, NotFound
from dbapi.schemas.sessions import (
    DeviceList,
    DeviceRecord,
    LinkedDevice,
    LinkMade,
    NewLink,
    OpenedSession,
    SignedOut,
)
from dbapi.sql import sessions
from dbapi.state import Request

LINK_SECONDS = 600
MAX_DEVICES = 20
HEXADECIMAL = frozenset("0123456789abcdef")


@endpoint()
async def index(request: Request, session: SessionId) -> DeviceList:
    """Lists the signed-in devices, newest first."""
    async with request.state["database"].session(session) as db:
        found = await sessions.devices(db, session)
    return DeviceList(devices=[DeviceRecord.model_validate(device) for device in found])


@endpoint(status=201)
async def create(request: Request, new: LinkedDevice) -> OpenedSession:
    """Adds a device with the token of a link, which works once. 404 if the link is unknown, used or too old."""
    link_hash, token_hash = bytes.fromhex(new.link_hash), bytes.fromhex(new.token_hash)
    async with request.state["database"].device(link_hash) as db:
        session = await sessions.use_link(db, link_hash)
        if session is None:
            raise NotFound
        await sessions.act_as(db, session)
        if len(await sessions.devices(db, session)) >= MAX_DEVICES:
            raise Conflict(f"{MAX_DEVICES} devices are signed in already. Sign one of them out first.")
        await sessions.add_device(db, session, token_hash, new.name)
    return OpenedSession(session_id=session)


@endpoint()
async def delete(request: Request, session: SessionId, device_id: UUID) -> SignedOut:
    """Signs a device out: its token opens nothing from now on, and its open streams end. Deletes the session's link."""
    async with request.state["database"].session(session) as db:
        signed_out = await sessions.sign_out(db, session, only=device_id)
        if not signed_out:
            raise NotFound
        await sessions.delete_link(db, session)
    return SignedOut(signed_out=signed_out)


def _token_hash(text: str) -> bytes:
    if not (len(text) == 64 and HEXADECIMAL.issuperset(text)):
        raise BadRequest("keep must be the SHA-256 of a token.")
    return bytes.fromhex(text)


Keep = Annotated[bytes, Query(_token_hash, {"type": "string", "pattern": "^[0-9a-f]{64}$"})]


@endpoint()
async def delete_all(request: Request, session: SessionId, keep: Keep = b"") -> SignedOut:
    """Signs out every device, or with `?keep=` (the hash of a token) every other device. Deletes the session's link."""
    async with request.state["database"].session(session) as db:
        await sessions.delete_link(db, session)
        signed_out = await sessions.sign_out(db, session, keep=keep)
    return SignedOut(signed_out=signed_out)


@endpoint(status=201)
async def create_link(request: Request, session: SessionId, new: NewLink) -> LinkMade:
    """Creates a link that adds one more device, once and for a few minutes. It replaces an earlier one."""
    async with request.state["database"].write(session) as db:
        await sessions.ensure(db, session)
        await sessions.make_link(db, session, bytes.fromhex(new.token_hash), LINK_SECONDS)
    return LinkMade(seconds=LINK_SECONDS)
