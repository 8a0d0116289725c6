"""Devices: which browsers open this session, signing them out, and the link that lets one more in."""

import re
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import segno
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from web.errors import Failure, NotFound
from web.pages import forms
from web.sessions import device_name, hashed, new_token

CODE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
USED = "This link was used already, is too old, or was replaced by a newer one. Make a new one on the other device."
# The code in the page's address goes to nobody: not even our own pages are told where a visitor comes from
REFERRER = {"Referrer-Policy": "strict-origin"}


async def index(request: Request) -> Response:
    session = await request.state["sessions"].require(request)
    response = await _page(request, session)
    request.state["sessions"].renew(request, response)
    return response


async def create_link(request: Request) -> Response:
    """The link and its QR code, shown once: only their hash is kept."""
    session = await request.state["sessions"].require(request)
    code = new_token()
    seconds = await request.state["dbapi"].create_link(session, hashed(code))
    url = f"{request.state['settings'].origin}/join?{urlencode({'code': code})}"
    drawing = segno.make_qr(url, error="m").svg_inline(omitsize=True, border=4, svgclass=None, lineclass=None)
    return await _page(request, session, link={"url": url, "minutes": seconds // 60, "drawing": drawing})


async def sign_out(request: Request) -> Response:
    sessions = request.state["sessions"]
    session = await sessions.require(request)
    device_id, own = request.path_params["device_id"], await _own(request, session)
    await request.state["dbapi"].sign_out(session, device_id)
    return _to_home(request) if own and own["id"] == str(device_id) else RedirectResponse("/devices", 303)


async def sign_out_all(request: Request) -> Response:
    """All devices; with `others`, all but this one."""
    session = await request.state["sessions"].require(request)
    others = (await forms.read(request)).get("others") == "1"
    await request.state["dbapi"].sign_out_all(session, request.state["sessions"].device(request) if others else "")
    return RedirectResponse("/devices", 303) if others else _to_home(request)


async def show_link(request: Request) -> Response:
    """A GET changes nothing: whoever previews a link does not use it up."""
    code = request.query_params.get("code", "")
    has_chats = bool(await request.state["sessions"].find(request))
    page = request.state["pages"].answer(
        request, "devices/join.html", code=code if CODE.fullmatch(code) else "", has_chats=has_chats, notice=""
    )
    page.headers.update(REFERRER)
    return page  # type: ignore[no-any-return]


async def join(request: Request) -> Response:
    """This browser opens the session of the link from now on; what it opened before, it opens no more."""
    sessions, dbapi = request.state["sessions"], request.state["dbapi"]
    code = (await forms.read(request)).get("code", "")
    session, token = await sessions.find(request), new_token()
    try:
        if not CODE.fullmatch(code):
            raise NotFound
        await dbapi.use_link(hashed(code), hashed(token), device_name(request))
    except NotFound:
        return _refused(request, 404, USED, bool(session))
    except Failure as error:
        page = _refused(request, error.status, error.sentence, bool(session), code)
        page.headers.update(error.headers)
        return page
    if session and (own := await _own(request, session)):
        await dbapi.sign_out(session, UUID(own["id"]))
    response = RedirectResponse("/", 303)
    sessions.set(response, token)
    return response


async def _page(request: Request, session: UUID, link: dict[str, Any] | None = None) -> Response:
    devices = await request.state["dbapi"].devices(session)
    this = request.state["sessions"].device(request)
    return request.state["pages"].answer(request, "devices/index.html", devices=devices, this=this, link=link)  # type: ignore[no-any-return]


async def _own(request: Request, session: UUID) -> Any:
    """The record of the device that asks."""
    this = request.state["sessions"].device(request)
    return next((device for device in await request.state["dbapi"].devices(session) if device["token_hash"] == this), None)


def _to_home(request: Request) -> Response:
    response = RedirectResponse("/", 303)
    request.state["sessions"].remove(response)
    return response


def _refused(request: Request, status: int, sentence: str, has_chats: bool, code: str = "") -> Response:
    return request.state["pages"].answer(  # type: ignore[no-any-return]
        request, "devices/join.html", status, code=code, has_chats=has_chats, notice=sentence
    )
