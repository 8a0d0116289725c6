"""The open streams of this process: it limits them per session, and ends those of a signed-out device."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from web.errors import TooMany

RETRY_SECONDS = 5
CLOSING_SECONDS = 1.0  # for a client that reads nothing; then its connection is cut


class OpenStreams:
    def __init__(self, max_per_session: int) -> None:
        self._max_per_session = max_per_session
        self._streams: set[OpenStream] = set()
        self._of_session: Counter[UUID] = Counter()

    @property
    def devices(self) -> set[str]:
        return {stream.device for stream in self._streams}

    def open(self, session: UUID, device: str, response: ASGIApp, closing_part: bytes) -> "OpenStream":
        """Counts the response until it ends. `closing_part` is sent when its device is signed out. Raises TooMany."""
        if self._max_per_session and self._of_session[session] >= self._max_per_session:
            message = (
                f"{self._max_per_session} answers are open in this session already. "
                "Close a tab to watch this one. The answer is generated in any case."
            )
            raise TooMany(message, RETRY_SECONDS)
        stream = OpenStream(self, session, device, response, closing_part)
        self._streams.add(stream)
        self._of_session[session] += 1
        return stream

    def close(self, stream: "OpenStream") -> None:
        self._streams.discard(stream)
        self._of_session[stream.session] -= 1
        if not self._of_session[stream.session]:
            del self._of_session[stream.session]

    def sign_out(self, devices: Iterable[str]) -> None:
        """Ends the streams of these devices."""
        signed_out = set(devices)
        for stream in self._streams:
            if stream.device in signed_out:
                stream.end()


class OpenStream:
    """An ASGI response that can be ended from outside at any moment."""

    def __init__(
        self, streams: OpenStreams, session: UUID, device: str, response: ASGIApp, closing_part: bytes
    ) -> None:
        self.session, self.device = session, device
        self._streams, self._response, self._closing_part = streams, response, closing_part
        self._task: asyncio.Task[None] | None = None
        self._is_ended = False

    def end(self) -> None:
        self._is_ended = True
        if self._task:
            self._task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._task = asyncio.current_task()
        try:
            await self._response(scope, receive, send)
        except asyncio.CancelledError:
            if not (self._is_ended and self._task):
                raise
            self._task.uncancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await send({"type": "http.response.body", "body": self._closing_part})
        finally:
            self._streams.close(self)
