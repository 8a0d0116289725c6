"""Answers on their way: the bytes that are kept of each, who listens to them, and how a listener is cut off."""

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Stream:
    """One answer: its bytes so far, and who waits for more."""

    def __init__(self, key: str, ring_bytes: int) -> None:
        self.key, self.ring_bytes = key, ring_bytes  # without a key nobody can come back for it
        self.ring, self.dropped = bytearray(), 0
        self.launched, self.changed = asyncio.Event(), asyncio.Event()
        self.done, self.tokens, self.started_at, self.completed_at = False, 0, int(time.time()), 0
        self.listeners: set[asyncio.Transport] = set()
        self.task: asyncio.Task[None]

    def about(self) -> dict[str, Any]:
        times = {"started_at": self.started_at, "completed_at": self.completed_at}
        return {"conversation_id": self.key, "is_done": self.done, "total_bytes": self.dropped + len(self.ring)} | times

    def write(self, data: bytes) -> None:
        if not self.done:
            self.ring += data
            if self.key and (surplus := len(self.ring) - self.ring_bytes) > 0:
                del self.ring[:surplus]
                self.dropped += surplus
            self.wake()

    def finish(self) -> None:
        if not self.done:
            self.done, self.completed_at = True, int(time.time())
            self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def tail(self, offset: int) -> AsyncIterator[bytes]:
        while True:
            changed = self.changed
            if self.dropped <= offset < self.dropped + len(self.ring):
                data = bytes(self.ring[offset - self.dropped :])
                offset += len(data)
                yield data
            elif self.done or offset < self.dropped:
                return
            else:
                await changed.wait()


class Tail(Response):
    """A stream from an offset on, live, until it ends or the client goes away."""

    HEADERS: ClassVar = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]

    def __init__(self, stream: Stream, offset: int = 0, *, left: Callable[[], None] | None = None) -> None:
        self.stream, self.offset, self.left = stream, offset, left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.stream.listeners.add(scope["transport"])
        sending, leaving = asyncio.ensure_future(self.send_all(send)), asyncio.ensure_future(gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            elif self.left:
                self.left()
        finally:
            sending.cancel()
            leaving.cancel()
            self.stream.listeners.discard(scope["transport"])

    async def send_all(self, send: Send) -> None:
        if self.left:  # whoever asked sees nothing, not even headers, before there is a slot
            await self.stream.launched.wait()
        await send({"type": "http.response.start", "status": 200, "headers": self.HEADERS})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        async for data in self.stream.tail(self.offset):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def cut_off(*transports: asyncio.Transport) -> None:
    """Ends connections with a TCP reset: lingering for zero seconds, on a second descriptor as uvloop hides the socket."""
    for transport in transports:
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
