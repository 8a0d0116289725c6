"""A client that costs little: one connection, one request at a time, and bodies as they come."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httptools

PATIENCE_SECONDS = 120.0  # for one whole answer


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes  # empty if somebody took it as it came


class Connection(asyncio.Protocol):
    """To one server. Broken, it raises ConnectionError."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser
        self._done: asyncio.Future[None]
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._take: Callable[[bytes], None] = self._body.extend
        self.received = 0  # bytes on the wire

    async def open(self) -> "Connection":
        await asyncio.get_running_loop().create_connection(lambda: self, self._host, self._port)
        return self

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}, take: Callable[[bytes], None] | None = None
    ) -> Answer:
        """The whole answer; `take` gets its body piece by piece instead."""
        if self._transport is None or self._transport.is_closing():
            await self.open()
        self._parser, self._headers = httptools.HttpResponseParser(self), {}
        self._body.clear()
        self._take = take or self._body.extend
        self._done = asyncio.get_running_loop().create_future()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        assert self._transport
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._done
        return Answer(self._parser.get_status_code(), self._headers, bytes(self._body))

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    # What asyncio and the parser tell

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if hasattr(self, "_done") and not self._done.done():
            self._done.set_exception(ConnectionError("the server ended the connection"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, data: bytes) -> None:
        self._take(data)

    def on_message_complete(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
