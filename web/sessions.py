"""Sessions: a signed cookie holds a random token, and the database stores the token's hash.

A session starts when a visitor first submits something. Visitors who only look leave no trace.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from itsdangerous import BadData, TimestampSigner
from starlette.requests import HTTPConnection
from starlette.responses import Response

from web.clients.dbapi import Dbapi
from web.errors import NotFound
from web.settings import Settings

TOKEN_BYTES = 32
RENEW_SECONDS = 86_400
SKEW_SECONDS = 86_400  # clocks of several hosts may disagree; a cookie from the near future is not a forged one
CACHE_SECONDS = 1.0  # how long a signed-out device may keep its access
MAX_CACHED = 10_000
MAX_COOKIE_CHARACTERS = 300

Connection = HTTPConnection[Any]  # not web.state.Request: web.state imports this module


class Sessions:
    def __init__(self, settings: Settings, dbapi: Dbapi) -> None:
        self.cookie = "__Host-runnel" if settings.secure else "runnel"
        self._secure, self._max_age = settings.secure, settings.session_days * 86_400
        keys = list(reversed(settings.secret_keys))  # itsdangerous signs with the last one
        self._signer = TimestampSigner(keys, salt="runnel.device", digest_method=hashlib.sha256)
        self._dbapi = dbapi
        self._cache: dict[str, tuple[UUID | None, float]] = {}  # token hash -> session and expiry

    async def find(self, request: Connection) -> UUID | None:
        """The session of this request; None if the cookie is not ours or its device signed out. Raises Unavailable."""
        device = self.device(request)
        return await self._lookup(device) if device else None

    async def require(self, request: Connection) -> UUID:
        """Like `find`, but raises NotFound if there is no session."""
        session = await self.find(request)
        if session is None:
            raise NotFound
        return session

    def cached_session(self, request: Connection) -> tuple[UUID | None, str]:
        """The session if it is cached, else None, and the hash of the device's token.

        Raises NotFound if the cookie is not ours or its session does not exist.
        """
        device = self.device(request)
        session, expiry = self._cache.get(device, (None, 0.0))
        is_cached = expiry >= time.monotonic()
        if not device or (is_cached and session is None):
            raise NotFound
        return (session if is_cached else None), device

    async def begin(self, request: Connection, device_name: str) -> tuple[UUID, str | None]:
        """The session of this request, or a new one and the token for its cookie."""
        session = await self.find(request)
        if session is not None:
            return session, None
        token = new_token()
        return await self._dbapi.create_session(hashed(token), device_name), token

    def device(self, request: Connection) -> str:
        """The hash of the device's token, by which the database identifies it. Empty if the cookie is not ours."""
        token = self._token(request)
        return hashed(token[0]) if token else ""

    async def signed_out(self, devices: Iterable[str]) -> list[str]:
        """Returns the devices that have no session any more. Raises Unavailable."""
        devices = list(devices)
        sessions = await asyncio.gather(*map(self._lookup, devices))
        return [device for device, session in zip(devices, sessions, strict=True) if session is None]

    def remember(self, device: str, session: UUID | None) -> None:
        """Caches the session of this device for CACHE_SECONDS."""
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        self._cache[device] = (session, time.monotonic() + CACHE_SECONDS)

    def forget(self, devices: Iterable[str] | None) -> None:
        """Removes these devices from the cache; None removes all."""
        for device in list(self._cache) if devices is None else devices:
            self._cache.pop(device, None)

    def renew(self, request: Connection, response: Response) -> None:
        """Sets the cookie again if it is older than a day, or was signed with an older key."""
        token = self._token(request)
        if token and (time.time() - token[1] > RENEW_SECONDS or not self._has_newest_key(request)):
            self.set(response, token[0])

    def set(self, response: Response, token: str) -> None:
        value = self._signer.sign(token).decode()
        response.set_cookie(
            self.cookie, value, max_age=self._max_age, path="/", secure=self._secure, httponly=True, samesite="lax"
        )

    def remove(self, response: Response) -> None:
        """Deletes the cookie, and the message drafts in the browser's storage."""
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="lax")
        response.headers["Clear-Site-Data"] = '"storage"'

    def _token(self, request: Connection) -> tuple[str, float] | None:
        """The token and when it was signed; None if the cookie is missing, forged, malformed or expired."""
        value = request.cookies.get(self.cookie, "")
        if not value or len(value) > MAX_COOKIE_CHARACTERS or not value.isascii():
            return None
        try:
            token, signed_at = self._signer.unsign(value, return_timestamp=True)
            age = time.time() - signed_at.timestamp()
        except (BadData, ValueError, OverflowError):
            return None
        return (token.decode(), signed_at.timestamp()) if -SKEW_SECONDS < age < self._max_age else None

    def _has_newest_key(self, request: Connection) -> bool:
        newest = self._signer.secret_keys[-1]
        signer = TimestampSigner(newest, salt=self._signer.salt, digest_method=hashlib.sha256)
        return bool(signer.validate(request.cookies[self.cookie]))

    async def _lookup(self, device: str) -> UUID | None:
        session, expiry = self._cache.get(device, (None, 0.0))
        if expiry < time.monotonic():
            session = await self._dbapi.find_session(device)
            self.remember(device, session)
        return session


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
