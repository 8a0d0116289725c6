"""Limits of simultaneous expensive requests: one for each session, a few for each network. More of them wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from web.errors import TooMany, Unavailable, UserError

RETRY_SECONDS = 3
WAIT_SECONDS = 10.0  # a slow machine opens a window with many tabs; a hanging database must not add up to minutes


class _Queue:
    """The requests of one key."""

    def __init__(self, at_once: int) -> None:
        self.count = 0
        self.semaphore = asyncio.Semaphore(at_once)
        self.waiting: set[_Waiting] = set()

    def fail(self, error: Unavailable) -> None:
        """Ends the waiting: those requests would get the same error, one after the other."""
        for waiting in self.waiting:
            waiting.error = error
            if not waiting.timeout.expired():
                waiting.timeout.reschedule(0)


class _Waiting:
    def __init__(self) -> None:
        self.timeout = asyncio.timeout(WAIT_SECONDS)
        self.error: UserError = TooMany(
            "Too many of your pages are loading at once. Wait a moment, then reload.", RETRY_SECONDS
        )


class ConcurrencyLimit:
    """At most `at_once` requests of a key proceed, and at most `waiting` more wait, for at most WAIT_SECONDS."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._at_once, self._max = at_once, at_once + waiting
        self._queues: dict[str, _Queue] = {}

    @asynccontextmanager
    async def enter(self, key: str) -> AsyncIterator[None]:
        """Raises TooMany, or Unavailable if the database became unavailable for a request before this one."""
        queue = self._queues.setdefault(key, _Queue(self._at_once))
        if queue.count >= self._max:
            raise _Waiting().error
        queue.count += 1
        try:
            await self._wait(queue)
            try:
                yield
            except Unavailable as error:
                queue.fail(error)
                raise
            finally:
                queue.semaphore.release()
        finally:
            queue.count -= 1
            if not queue.count:
                del self._queues[key]

    async def _wait(self, queue: _Queue) -> None:
        waiting = _Waiting()
        queue.waiting.add(waiting)
        try:
            async with waiting.timeout:
                await queue.semaphore.acquire()
        except TimeoutError:
            raise waiting.error from None
        finally:
            queue.waiting.discard(waiting)


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
