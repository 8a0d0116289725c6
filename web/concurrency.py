"""Limits of simultaneous expensive requests: one for each session, a few for each network. More of them wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from web.errors import TooMany, Unavailable

RETRY_SECONDS = 3
WAIT_SECONDS = 1.0


class ConcurrencyLimit:
    """At most `at_once` requests of a key proceed, and at most `waiting` more wait, for at most WAIT_SECONDS."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._at_once, self._waiting = at_once, waiting
        self._semaphores: dict[str, asyncio.Semaphore] = {}
        self._requests: dict[str, int] = {}  # by key: those that proceed or wait

    @asynccontextmanager
    async def enter(self, key: str) -> AsyncIterator[None]:
        """Raises TooMany, or Unavailable after WAIT_SECONDS: the requests before this one may wait for the database."""
        count = self._requests.get(key, 0)
        if count >= self._at_once + self._waiting:
            raise TooMany("Too many of your pages are loading at once. Wait a moment, then reload.", RETRY_SECONDS)
        self._requests[key] = count + 1
        try:
            semaphore = self._semaphores.setdefault(key, asyncio.Semaphore(self._at_once))
            try:
                await asyncio.wait_for(semaphore.acquire(), WAIT_SECONDS)
            except TimeoutError:
                raise Unavailable("too many pages of one visitor are loading") from None
            try:
                yield
            finally:
                semaphore.release()
        finally:
            self._requests[key] -= 1
            if not self._requests[key]:
                del self._requests[key], self._semaphores[key]


class PageLimit:
    """For pages and exports of whole chats: loading one takes CPU time that others need."""

    def __init__(self) -> None:
        self._of_sessions, self._of_networks = (
            ConcurrencyLimit(at_once=1, waiting=31),
            ConcurrencyLimit(at_once=4, waiting=124),
        )

    @asynccontextmanager
    async def enter(self, session: object, network: str) -> AsyncIterator[None]:
        """Raises TooMany or Unavailable."""
        async with self._of_sessions.enter(str(session)), self._of_networks.enter(network):
            yield
