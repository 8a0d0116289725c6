"""A cheap HTTP client: one connection, one request at a time, bodies passed on as they arrive."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httptools

RESPONSE_SECONDS = 120.0  # timeout of one complete response


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes  # empty if `on_data` received it


class Connection(asyncio.Protocol):
    """A connection to one server. Raises ConnectionError if the server closes it."""

    def __init__(self, host: str, port: int, own_address: str = "") -> None:
        self._host, self._port = host, port
        self._own = (own_address, 0) if own_address else None
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser
        self._done: asyncio.Future[None]
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._on_data: Callable[[bytes], None] = self._body.extend
        self.received = 0  # bytes, including headers

    async def open(self) -> "Connection":
        await asyncio.get_running_loop().create_connection(lambda: self, self._host, self._port, local_addr=self._own)
        return self

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] = {},
        on_data: Callable[[bytes], None] | None = None,
    ) -> Response:
        """Send a request and return the complete response. `on_data`, if given, receives the body as it arrives."""
        if self._transport is None or self._transport.is_closing():
            await self.open()
        self._parser, self._headers = httptools.HttpResponseParser(self), {}
        self._body.clear()
        self._on_data = on_data or self._body.extend
        self._done = asyncio.get_running_loop().create_future()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        assert self._transport
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        async with asyncio.timeout(RESPONSE_SECONDS):
            await self._done
        return Response(self._parser.get_status_code(), self._headers, bytes(self._body))

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    # Callbacks of asyncio and the parser

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
        self._on_data(data)

    def on_message_complete(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
