"""The open streams of this process: it limits them per session, ends those of a signed-out device, and tells the pages
of a session what has changed."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from web.errors import TooMany
from web.live.event_stream import EventStream

RETRY_SECONDS = 5
CLOSING_SECONDS = 1.0  # for a client that reads nothing; then its connection is cut


class OpenStreams:
    def __init__(self, max_per_session: int) -> None:
        self._max_per_session = max_per_session
        self._of_session: dict[UUID, set[OpenStream]] = {}

    def __iter__(self) -> "Iterator[OpenStream]":
        return (stream for streams in self._of_session.values() for stream in streams)

    def __contains__(self, stream: "OpenStream") -> bool:
        return stream in self._of_session.get(stream.session, ())

    @property
    def devices(self) -> set[str]:
        return {stream.device for stream in self}

    def open(self, session: UUID, chat_id: UUID, device: str, response: ASGIApp, closing_part: bytes) -> "OpenStream":
        """Counts the response until it ends. `closing_part` is sent when its device is signed out. Raises TooMany."""
        if self._max_per_session and len(self._of_session.get(session, ())) >= self._max_per_session:
            message = (
                f"{self._max_per_session} answers are open in this session already. "
                "Close a tab to watch this one. The answer is generated in any case."
            )
            raise TooMany(message, RETRY_SECONDS)
        stream = OpenStream(self, session, chat_id, device, response, closing_part)
        self._of_session.setdefault(session, set()).add(stream)
        return stream

    def close(self, stream: "OpenStream") -> None:
        streams = self._of_session[stream.session]
        streams.discard(stream)
        if not streams:
            del self._of_session[stream.session]

    def notify(self, session: UUID, event: bytes) -> None:
        """Sends an event to all pages of a session."""
        for stream in self._of_session.get(session, ()):
            stream.notify(event)

    def sign_out(self, devices: Iterable[str]) -> None:
        """Ends the streams of these devices."""
        signed_out = set(devices)
        for stream in self:
            if stream.device in signed_out:
                stream.end()


class OpenStream:
    """An ASGI response that can be ended from outside at any moment."""

    def __init__(
        self, streams: OpenStreams, session: UUID, chat_id: UUID, device: str, response: ASGIApp, closing_part: bytes
    ) -> None:
        self.session, self.chat_id, self.device = session, chat_id, device
        self._streams, self._response, self._closing_part = streams, response, closing_part
        self._task: asyncio.Task[None] | None = None
        self._is_ended = False

    def notify(self, event: bytes) -> None:
        if isinstance(self._response, EventStream):
            self._response.notify(event)

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
