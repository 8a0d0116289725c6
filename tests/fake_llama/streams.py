"""Running answers: their replayable bytes, their listeners, and connection resets."""

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class AnswerStream:
    """The bytes of one answer so far, and its listeners."""

    def __init__(self, key: str, ring_bytes: int) -> None:
        self.key, self.ring_bytes = key, ring_bytes  # a stream without a key cannot be replayed
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


class StreamResponse(Response):
    """Sends a stream from an offset on, until it ends or the client disconnects."""

    HEADERS: ClassVar = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]

    def __init__(
        self, stream: AnswerStream, offset: int = 0, *, on_disconnect: Callable[[], None] | None = None
    ) -> None:
        self.stream, self.offset, self.on_disconnect = stream, offset, on_disconnect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.stream.listeners.add(scope["transport"])
        sending, leaving = asyncio.ensure_future(self.send_all(send)), asyncio.ensure_future(wait_disconnect(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            elif self.on_disconnect:
                self.on_disconnect()
        finally:
            sending.cancel()
            leaving.cancel()
            self.stream.listeners.discard(scope["transport"])

    async def send_all(self, send: Send) -> None:
        if self.on_disconnect:  # the request gets nothing, not even headers, until a slot is free
            await self.stream.launched.wait()
        await send({"type": "http.response.start", "status": 200, "headers": self.HEADERS})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        async for data in self.stream.tail(self.offset):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def reset_connections(*transports: asyncio.Transport) -> None:
    """Close connections with a TCP reset (SO_LINGER of 0), set on a duplicate because uvloop hides the socket."""
    for transport in transports:
        if transport.is_closing():  # its descriptor may be closed by now, or belong to another connection
            continue
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
