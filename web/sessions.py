"""Whose request this is: a signed cookie holds a random token, the database knows the hash of it.

A session begins with the first thing a visitor writes. Who only looks leaves no trace.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Iterable
from uuid import UUID

from itsdangerous import BadData, TimestampSigner
from starlette.requests import Request
from starlette.responses import Response

from web.clients.dbapi import Dbapi
from web.errors import NotFound
from web.settings import Settings

TOKEN_BYTES = 32
RENEW_SECONDS = 86_400
SKEW_SECONDS = 86_400  # clocks of several hosts may disagree; a cookie from the near future is not a forged one
KNOWN_SECONDS = 1.0  # how long a signed-out device may still be let in
KNOWN_MOST = 10_000
LONGEST = 300  # characters


class Sessions:
    def __init__(self, settings: Settings, dbapi: Dbapi) -> None:
        self.cookie = "__Host-runnel" if settings.secure else "runnel"
        self._secure, self._max_age = settings.secure, settings.session_days * 86_400
        self._signer = TimestampSigner(list(reversed(settings.secret_keys)), salt="runnel.device", digest_method=hashlib.sha256)
        self._dbapi = dbapi
        self._known: dict[str, tuple[UUID | None, float]] = {}

    async def find(self, request: Request) -> UUID | None:
        """The session of this request, if its cookie is ours and its device not signed out. Raises Unavailable."""
        token = self._token(request)
        if token is None:
            return None
        return await self._lookup(hashed(token[0]))

    async def require(self, request: Request) -> UUID:
        """As find, but raises NotFound: without a session there is nothing to see."""
        session = await self.find(request)
        if session is None:
            raise NotFound
        return session

    def known(self, request: Request) -> tuple[UUID | None, str]:
        """The session, if it was found a moment ago, and the hash of the device's token. Raises NotFound for what is no cookie of ours,
        or opens no session."""
        device = self.device(request)
        session, until = self._known.get(device, (None, 0.0))
        is_known = until >= time.monotonic()
        if not device or (is_known and session is None):
            raise NotFound
        return (session if is_known else None), device

    async def begin(self, request: Request) -> tuple[UUID, str | None]:
        """The session of this request, or a new one with the token that its cookie must carry."""
        session = await self.find(request)
        if session is not None:
            return session, None
        token = new_token()
        return await self._dbapi.create_session(hashed(token), device_name(request)), token

    def device(self, request: Request) -> str:
        """The hash that the database knows this browser by; empty without a cookie of ours."""
        token = self._token(request)
        return hashed(token[0]) if token else ""

    async def signed_out(self, devices: Iterable[str]) -> list[str]:
        """Those of these devices that open no session any more. Raises Unavailable."""
        asked = list(devices)
        found = await asyncio.gather(*map(self._lookup, asked))
        return [device for device, session in zip(asked, found, strict=True) if session is None]

    def forget(self, devices: Iterable[str] | None) -> None:
        """What was known of these devices, or of all, has to be asked anew."""
        for device in list(self._known) if devices is None else devices:
            self._known.pop(device, None)

    def renew(self, request: Request, response: Response) -> None:
        """Sends the cookie again when it is older than a day, or was signed with an older key."""
        token = self._token(request)
        if token and (time.time() - token[1] > RENEW_SECONDS or not self._is_newest(request)):
            self.set(response, token[0])

    def set(self, response: Response, token: str) -> None:
        value = self._signer.sign(token).decode()
        response.set_cookie(self.cookie, value, max_age=self._max_age, path="/", secure=self._secure, httponly=True, samesite="lax")

    def remove(self, response: Response) -> None:
        """This browser is signed out: no cookie, and nothing kept (drafts of messages)."""
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="lax")
        response.headers["Clear-Site-Data"] = '"storage"'

    def _token(self, request: Request) -> tuple[str, float] | None:
        """The token and when it was signed; None for anything that is not ours, whatever it is."""
        value = request.cookies.get(self.cookie, "")
        if not value or len(value) > LONGEST or not value.isascii():
            return None
        try:
            token, signed_at = self._signer.unsign(value, return_timestamp=True)
            age = time.time() - signed_at.timestamp()
        except (BadData, ValueError, OverflowError):
            return None
        return (token.decode(), signed_at.timestamp()) if -SKEW_SECONDS < age < self._max_age else None

    def _is_newest(self, request: Request) -> bool:
        newest = TimestampSigner(self._signer.secret_keys[-1], salt=self._signer.salt, digest_method=hashlib.sha256)
        return bool(newest.validate(request.cookies[self.cookie]))

    async def _lookup(self, token_hash: str) -> UUID | None:
        session, until = self._known.get(token_hash, (None, 0.0))
        if until < time.monotonic():
            session = await self._dbapi.find_session(token_hash)
            self.remember(token_hash, session)
        return session

    def remember(self, device: str, session: UUID | None) -> None:
        """What this device opens, for a moment."""
        if len(self._known) >= KNOWN_MOST:
            self._known.clear()
        self._known[device] = (session, time.monotonic() + KNOWN_SECONDS)


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# What a User-Agent says, told as people do. The order decides: every browser claims to be some of the others as well.
BROWSERS = {"Edg": "Edge", "OPR/": "Opera", "SamsungBrowser": "Samsung Internet", "Firefox": "Firefox", "FxiOS": "Firefox"}
BROWSERS |= {"CriOS": "Chrome", "Chrome": "Chrome", "Safari": "Safari", "curl": "curl"}
SYSTEMS = {"iPhone": "an iPhone", "iPad": "an iPad", "Android": "Android", "CrOS": "ChromeOS", "Windows": "Windows"}
SYSTEMS |= {"Mac OS X": "a Mac", "Linux": "Linux"}


def device_name(request: Request) -> str:
    """What the owner of this browser may know it by, from a fixed vocabulary."""
    agent = request.headers.get("user-agent", "")
    browser = next((name for sign, name in BROWSERS.items() if sign in agent), "A browser")
    system = next((name for sign, name in SYSTEMS.items() if sign in agent), "")
    return f"{browser} on {system}" if system else browser
