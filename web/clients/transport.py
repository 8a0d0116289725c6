"""An HTTP/1.1 transport for httpx: asyncio's own connections, parsed by llhttp (httptools), as in uvicorn.

It supports what this service needs between machines of one deployment: no proxies, no HTTP/2, request bodies as
bytes. httpx's own transport costs 71 to 94 µs for each token of a stream, this one 15 to 18 µs (docs/performance.md).

Request extensions: `timeout` (`connect` and `read` are used) and `target` are httpx's. `sink` is ours, a `Sink` for the
body of a successful response.
"""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from functools import cache
from time import monotonic
from typing import NamedTuple, cast

import httptools
import httpx

from kit.http_server import IDLE_SECONDS

MAX_HEAD_BYTES = 256 * 1024  # of a response
MAX_UNREAD = 256 * 1024  # bytes of a body that may wait for their reader before the sender has to wait
DEFAULT_CONNECT_SECONDS = 10.0

# Receives the bytes of a body as they arrive, without waking a task for each part. Returns True when it needs no more.
Sink = Callable[[bytes], bool]


class Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class HTTPTransport(httpx.AsyncBaseTransport):
    """A connection pool. It discards connections that were idle for too long, because the server may be closing them.

    `max_connections` counts all servers together; `max_idle` connections are kept for each.
    """

    def __init__(self, max_connections: int, max_idle: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._free = asyncio.Semaphore(max_connections)
        self._max_idle = max_idle
        self._idle: defaultdict[Origin, deque[_Connection]] = defaultdict(deque)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.TransportError."""
        timeout = request.extensions.get("timeout", {})
        url = request.url
        origin = Origin(url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        await self._free.acquire()
        connection: _Connection | None = None
        try:
            connection = self._take_idle(origin) or await _connect(origin, timeout.get("connect"))
            await connection.send(request, timeout.get("read"))
        except BaseException:
            if connection:
                connection.close()
            self._free.release()
            raise
        sink = request.extensions.get("sink") if 200 <= connection.status < 300 else None
        body = Body(self, origin, connection, timeout.get("read"), sink)
        return httpx.Response(connection.status, headers=connection.headers, stream=body)

    def release(self, origin: Origin, connection: "_Connection") -> None:
        self._free.release()
        if connection.is_reusable and len(self._idle[origin]) < self._max_idle:
            connection.idle_since = monotonic()
            self._idle[origin].append(connection)
        else:
            connection.close()

    async def aclose(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _take_idle(self, origin: Origin) -> "_Connection | None":
        """Takes the connection used last: the server is the least likely to be closing it."""
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if connection.is_reusable and monotonic() - connection.idle_since < self._idle_seconds:
                return connection
            connection.close()
        return None


class Body(httpx.AsyncByteStream):
    """The body of a response, to be read once. With a sink it yields nothing: all bytes go to the sink."""

    def __init__(
        self,
        transport: HTTPTransport,
        origin: Origin,
        connection: "_Connection",
        read_seconds: float | None,
        sink: Sink | None,
    ) -> None:
        self._transport, self._origin, self._read_seconds, self._sink = transport, origin, read_seconds, sink
        self._connection: _Connection | None = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises what the sink raises, and httpx.TransportError."""
        if self._connection and self._sink:
            await self._connection.read_into(self._sink)
            return
        while self._connection and (data := await self._connection.read(self._read_seconds)):
            yield data

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            self._transport.release(self._origin, connection)


async def _connect(origin: Origin, seconds: float | None) -> "_Connection":
    try:
        async with asyncio.timeout(seconds or DEFAULT_CONNECT_SECONDS):
            context = _ssl_context() if origin.scheme == "https" else None
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, origin.host, origin.port, ssl=context)
    except TimeoutError as error:
        raise httpx.ConnectTimeout("the connection took too long") from error
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error
    return connection


@cache
def _ssl_context() -> ssl.SSLContext:
    """Cached, because it reads all certificates of the system."""
    return ssl.create_default_context()


class _Connection(asyncio.Protocol):
    """One request at a time: the head of its response, then the body as it arrives."""

    status: int
    headers: list[tuple[bytes, bytes]]
    idle_since: float

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._data: list[bytes] = []
        self._unread = self._head_bytes = 0
        self._has_head = self._is_complete = self._keeps_alive = True
        self._error: httpx.TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None

    @property
    def is_reusable(self) -> bool:
        return self._is_complete and self._keeps_alive and not self._error

    async def send(self, request: httpx.Request, read_seconds: float | None) -> None:
        """Sends the request and waits for the head of its response."""
        self._parser = httptools.HttpResponseParser(self)
        self.headers, self._has_head, self._is_complete, self._head_bytes = [], False, False, 0
        target = request.extensions.get("target") or request.url.raw_path
        head = [b"%b %b HTTP/1.1" % (request.method.encode(), target)]
        head += [b"%b: %b" % header for header in request.headers.raw]
        self._transport.write(b"\r\n".join(head) + b"\r\n\r\n" + await request.aread())
        while not self._has_head:
            await self._wait(read_seconds)

    async def read(self, seconds: float | None) -> bytes:
        """The part of the body that has arrived since; empty at the end."""
        while not self._data:
            if self._is_complete:
                return b""
            await self._wait(seconds)
        return self._take()

    async def read_into(self, sink: Sink) -> None:
        """Reads until the sink needs no more, or the body ends."""
        self._waiter, self._sink = asyncio.get_running_loop().create_future(), sink
        try:
            self._feed_sink()
            await self._waiter
        finally:
            self._waiter = self._sink = None

    def _feed_sink(self) -> None:
        waiter, sink = self._waiter, self._sink
        if not (waiter and sink) or waiter.done():
            return
        try:
            if (self._data and sink(self._take())) or self._is_complete:
                waiter.set_result(None)
            elif self._error:
                waiter.set_exception(self._error)
        except Exception as error:
            waiter.set_exception(error)

    def _take(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"".join(self._data)
        self._data.clear()
        if self._unread > MAX_UNREAD:
            self._transport.resume_reading()
        self._unread = 0
        return data

    def close(self) -> None:
        self._transport.abort()

    async def _wait(self, seconds: float | None) -> None:
        """Waits until something arrives."""
        if self._error:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        if seconds is None:
            await self._waiter
            return
        try:
            async with asyncio.timeout(seconds):
                await self._waiter
        except TimeoutError as error:
            raise httpx.ReadTimeout("the server sent nothing for too long") from error

    def _wake(self) -> None:
        if self._sink:
            self._feed_sink()
        elif self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # Callbacks of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._is_complete:  # data without a request
            return self.close()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._error = httpx.RemoteProtocolError(str(error))
            self.close()
        if not self._has_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._error = httpx.RemoteProtocolError("the head of the response is too long")
                self.close()
        if self._unread > MAX_UNREAD:
            self._transport.pause_reading()
        return self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        if self._has_head and error is None and not self._is_complete and not self._has_declared_length():
            self._is_complete = True
        self._error = self._error or httpx.ReadError("the connection was lost")
        self._wake()

    def _has_declared_length(self) -> bool:
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        if self._has_head:
            raise ValueError("a response without a request")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._has_head, self._keeps_alive = True, self._parser.should_keep_alive()  # the parser knows it only here
        else:
            self.headers = []

    def on_body(self, data: bytes) -> None:
        self._data.append(data)
        self._unread += len(data)

    def on_message_complete(self) -> None:
        self._is_complete = self._has_head
