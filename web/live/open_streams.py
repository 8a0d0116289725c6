"""The streams that are open in this process: whose they are, how many a session has, and how those of a signed-out device end."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from web.errors import TooMany

RETRY_SECONDS = 5
FAREWELL_SECONDS = 1.0  # for a client that takes nothing; then its connection is cut


class OpenStreams:
    def __init__(self, most: int) -> None:
        self._most = most
        self._streams: set[Stream] = set()
        self._of_session: Counter[UUID] = Counter()

    @property
    def devices(self) -> set[str]:
        return {stream.device for stream in self._streams}

    def open(self, session: UUID, device: str, response: ASGIApp, farewell: bytes) -> "Stream":
        """The same response, counted until it ends. `farewell` is sent when its device is signed out. Raises TooMany."""
        if self._most and self._of_session[session] >= self._most:
            watched = f"{self._most} answers are being watched in this session already."
            raise TooMany(f"{watched} Close a tab to watch this one; it is written all the same.", RETRY_SECONDS)
        stream = Stream(self, session, device, response, farewell)
        self._streams.add(stream)
        self._of_session[session] += 1
        return stream

    def closed(self, stream: "Stream") -> None:
        self._streams.discard(stream)
        self._of_session[stream.session] -= 1
        if not self._of_session[stream.session]:
            del self._of_session[stream.session]

    def sign_out(self, devices: Iterable[str]) -> None:
        """The streams of these devices end."""
        gone = set(devices)
        for stream in self._streams:
            if stream.device in gone:
                stream.end()


class Stream:
    """A response that can be ended from outside, whatever it waits for."""

    def __init__(self, streams: OpenStreams, session: UUID, device: str, response: ASGIApp, farewell: bytes) -> None:
        self.session, self.device = session, device
        self._streams, self._response, self._farewell = streams, response, farewell
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def end(self) -> None:
        self._ended = True
        if self._task:
            self._task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._task = asyncio.current_task()
        try:
            await self._response(scope, receive, send)
        except asyncio.CancelledError:
            if not (self._ended and self._task):
                raise
            self._task.uncancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await send({"type": "http.response.body", "body": self._farewell})
        finally:
            self._streams.closed(self)
