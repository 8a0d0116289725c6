"""Devices: the browsers that are signed in to a session, signing them out, and the link that adds one."""

import contextlib
import re
from typing import TypedDict
from urllib.parse import urlencode
from uuid import UUID

import segno
from starlette.responses import RedirectResponse, Response

from web.contract import Device
from web.errors import NotFound, UserError
from web.pages import forms
from web.sessions import hashed, new_token
from web.state import Request

CODE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
INVALID_LINK = "This link has already been used, has expired, or was replaced. Create a new one on the other device."
# The page's address contains the code, so the browser must not send it as a referrer, not even to our own pages
REFERRER_POLICY = {"Referrer-Policy": "strict-origin"}

# Parts of a User-Agent -> names for people. The order matters: every browser also claims to be some of the others.
BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser": "Samsung Internet",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
}
BROWSERS |= {"CriOS": "Chrome", "Chrome": "Chrome", "Safari": "Safari", "curl": "curl"}
SYSTEMS = {"iPhone": "an iPhone", "iPad": "an iPad", "Android": "Android", "CrOS": "ChromeOS", "Windows": "Windows"}
SYSTEMS |= {"Mac OS X": "a Mac", "Linux": "Linux"}


class Link(TypedDict):
    url: str
    minutes: int  # until it expires
    qr_code: str  # an SVG element


def device_name(request: Request) -> str:
    """A name for this browser like "Firefox on Linux", from a fixed vocabulary."""
    agent = request.headers.get("user-agent", "")
    browser = next((name for part, name in BROWSERS.items() if part in agent), "A browser")
    system = next((name for part, name in SYSTEMS.items() if part in agent), "")
    return f"{browser} on {system}" if system else browser


async def index(request: Request) -> Response:
    session = await request.state["sessions"].require(request)
    response = await _page(request, session)
    request.state["sessions"].renew(request, response)
    return response


async def create_link(request: Request) -> Response:
    """Shows a new link and its QR code once: the database stores only the hash of its code."""
    session = await request.state["sessions"].require(request)
    code = new_token()
    seconds = await request.state["dbapi"].create_link(session, hashed(code))
    url = f"{request.state['settings'].origin}/join?{urlencode({'code': code})}"
    qr_code = segno.make_qr(url, error="m").svg_inline(omitsize=True, border=4, svgclass=None, lineclass=None)
    return await _page(request, session, {"url": url, "minutes": seconds // 60, "qr_code": qr_code})


async def sign_out(request: Request) -> Response:
    session = await request.state["sessions"].require(request)
    device_id, this_device = request.path_params["device_id"], await _this_device(request, session)
    await request.state["dbapi"].sign_out(session, device_id)
    if this_device and this_device["id"] == str(device_id):
        return _signed_out(request)
    return RedirectResponse("/devices", 303)


async def sign_out_all(request: Request) -> Response:
    """Signs out all devices; with the field `others`, all but this one."""
    session = await request.state["sessions"].require(request)
    others = (await forms.read(request)).get("others") == "1"
    await request.state["dbapi"].sign_out_all(session, request.state["sessions"].device(request) if others else "")
    return RedirectResponse("/devices", 303) if others else _signed_out(request)


async def show_link(request: Request) -> Response:
    """The page behind a link. Only its form uses the link up: mail and chat programs preview links with GET."""
    code = request.query_params.get("code", "")
    has_chats = bool(await request.state["sessions"].find(request))
    page = _join_page(request, code if CODE.fullmatch(code) else "", has_chats)
    page.headers.update(REFERRER_POLICY)
    return page


async def join(request: Request) -> Response:
    """Signs this browser in to the link's session, and out of the session it had before."""
    sessions, dbapi = request.state["sessions"], request.state["dbapi"]
    code = (await forms.read(request)).get("code", "")
    session, token = await sessions.find(request), new_token()
    try:
        if not CODE.fullmatch(code):
            raise NotFound
        await dbapi.use_link(hashed(code), hashed(token), device_name(request))
    except NotFound:
        return _join_page(request, "", bool(session), INVALID_LINK, 404)
    except UserError as error:
        page = _join_page(request, code, bool(session), error.message, error.status)
        page.headers.update(error.headers)
        return page
    with contextlib.suppress(UserError):  # the link is used up: this browser must get its cookie in any case
        if session and (this_device := await _this_device(request, session)):
            await dbapi.sign_out(session, UUID(this_device["id"]))
    response = RedirectResponse("/", 303)
    sessions.set(response, token)
    return response


async def _page(request: Request, session: UUID, link: Link | None = None) -> Response:
    devices = await request.state["dbapi"].devices(session)
    this_hash = request.state["sessions"].device(request)
    return request.state["templates"].response("devices/index.html", devices=devices, this_hash=this_hash, link=link)


async def _this_device(request: Request, session: UUID) -> Device | None:
    this_hash = request.state["sessions"].device(request)
    devices = await request.state["dbapi"].devices(session)
    return next((device for device in devices if device["token_hash"] == this_hash), None)


def _signed_out(request: Request) -> Response:
    response = RedirectResponse("/", 303)
    request.state["sessions"].remove(response)
    return response


def _join_page(request: Request, code: str, has_chats: bool, notice: str = "", status: int = 200) -> Response:
    """Without a code, the page explains that the link does not work."""
    values = {"code": code, "has_chats": has_chats, "notice": notice}
    return request.state["templates"].response("devices/join.html", status, **values)
