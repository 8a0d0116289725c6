"""Devices: which ones open a session, signing them out, and the link that lets one more in."""

from starlette.requests import Request
from starlette.responses import Response

from dbapi import body
from dbapi.auth import session_id
from dbapi.errors import BadRequest, Conflict, NotFound
from dbapi.schemas import DeviceList, DeviceRecord, LinkedDevice, LinkMade, NewLink, SessionId, SignedOut
from dbapi.sql import sessions

LINK_SECONDS = 600
MOST_DEVICES = 20
HEXADECIMAL = frozenset("0123456789abcdef")


async def index(request: Request) -> Response:
    """This session's devices that are signed in, the newest first."""
    session = session_id(request)
    async with request.state["database"].session(session) as db:
        found = await sessions.devices(db, session)
    return body.answer(DeviceList(devices=[DeviceRecord.model_validate(device) for device in found]))


async def create(request: Request) -> Response:
    """One more device, by the token of a link, which is used up by it. 404 if the link was used before, is too old, or was never made."""
    new = await body.read(request, LinkedDevice)
    link_hash, token_hash = bytes.fromhex(new.link_hash), bytes.fromhex(new.token_hash)
    async with request.state["database"].device(link_hash) as db:
        session = await sessions.use_link(db, link_hash)
        if session is None:
            raise NotFound
        await sessions.act_as(db, session)
        if len(await sessions.devices(db, session)) >= MOST_DEVICES:
            raise Conflict(f"{MOST_DEVICES} devices are signed in already. Sign one of them out first.")
        await sessions.add_device(db, session, token_hash, new.name)
    return body.answer(SessionId(session_id=session), 201)


async def delete(request: Request) -> Response:
    """Signs a device out: its token opens nothing any more, and its open streams end. A link that was made is void."""
    session = session_id(request)
    async with request.state["database"].session(session) as db:
        signed_out = await sessions.sign_out(db, session, only=request.path_params["device_id"])
        if not signed_out:
            raise NotFound
        await sessions.void_link(db, session)
    return body.answer(SignedOut(signed_out=signed_out))


async def delete_all(request: Request) -> Response:
    """Signs every device out, or with `?keep=` (the hash of a token) every other one. A link that was made is void."""
    session, keep = session_id(request), request.query_params.get("keep", "")
    if keep and not (len(keep) == 64 and HEXADECIMAL.issuperset(keep)):
        raise BadRequest("keep must be the SHA-256 of a token.")
    async with request.state["database"].session(session) as db:
        await sessions.void_link(db, session)
        signed_out = await sessions.sign_out(db, session, keep=bytes.fromhex(keep))
    return body.answer(SignedOut(signed_out=signed_out))


async def create_link(request: Request) -> Response:
    """A link that lets one more device in, once and for a few minutes. An earlier one is void."""
    session, new = session_id(request), await body.read(request, NewLink)
    async with request.state["database"].writing(session) as db:
        await sessions.ensure(db, session)
        await sessions.make_link(db, session, bytes.fromhex(new.token_hash), LINK_SECONDS)
    return body.answer(LinkMade(seconds=LINK_SECONDS), 201)
