"""The response that carries server-sent events.

sse-starlette's EventSourceResponse runs four tasks in a task group for each stream. `EventStream` keeps its interface,
its headers and its response to HEAD, but needs two tasks and a timer. With 1,000 streams (`make bench`, S3b) this saves
about 8 % of web's CPU, 265 instead of 287 ms per 1,000 tokens. Most events bypass it: see web/live/push.py.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from time import monotonic

from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.types import Receive, Scope, Send

from web.live.events import PING

SEND_SECONDS = 30.0  # a client that reads nothing for so long is gone
MAX_NOTICES = 100  # that a client may have to read; of more, it gets the newest

# sse-starlette cuts streams when uvicorn shuts down. Ours end by themselves, with an event that makes the page
# reconnect.
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]


class EventStream(EventSourceResponse):
    def __init__(self, events: AsyncGenerator[bytes], headers: Mapping[str, str], ping_seconds: int) -> None:
        super().__init__(events, headers=headers, ping=ping_seconds)
        self._events = events
        self._sending_since: float | None = None
        self._send: Send
        self._timer: asyncio.TimerHandle
        self._pinging: asyncio.Future[None]
        self._is_open = False
        self._notices: deque[bytes] = deque(maxlen=MAX_NOTICES)
        self._notifying: asyncio.Future[None] | None = None

    def notify(self, event: bytes) -> None:
        """Sends an event between those of the stream, as soon as the stream has begun. Never waits."""
        self._notices.append(event)
        if self._is_open and (self._notifying is None or self._notifying.done()):
            self._notifying = asyncio.ensure_future(self._send_notices())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await super().__call__(scope, receive, send)
            return
        self._send = send
        tasks = asyncio.ensure_future(self._send_all()), asyncio.ensure_future(_wait_disconnect(receive))
        self._start_timer(tasks[0])
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_open = False
            self._timer.cancel()
            unfinished = [*tasks, self._notifying] if self._notifying else tasks
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        if not tasks[0].cancelled():
            tasks[0].result()

    async def _send_all(self) -> None:
        await self._send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self._is_open = True
        await self._send_notices()
        async with aclosing(self._events) as events:
            async for event in events:
                await self._send_event(event)
        self._is_open = False
        await self._send({"type": "http.response.body", "body": b""})

    async def _send_notices(self) -> None:
        while self._notices and self._is_open:
            await self._send_event(self._notices.popleft())

    async def _send_event(self, event: bytes) -> None:
        self._sending_since = monotonic()
        await self._send({"type": "http.response.body", "body": event, "more_body": True})
        self._sending_since = None

    def _start_timer(self, sending: asyncio.Future[None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.ping_interval, self._on_timer, sending)

    def _on_timer(self, sending: asyncio.Future[None]) -> None:
        """Sends a ping, or ends the stream of a client that reads nothing."""
        if self._sending_since is None:
            self._pinging = asyncio.ensure_future(self._send_event(PING))
        elif monotonic() - self._sending_since > SEND_SECONDS:
            sending.cancel()
        self._start_timer(sending)


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
