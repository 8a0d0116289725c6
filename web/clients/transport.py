"""HTTP/1.1 under httpx: asyncio's own connections, read by llhttp (httptools), which uvicorn uses as well.

It does what this service needs between machines of one house: no proxies, no HTTP/2, request bodies as bytes. Of httpx's
request extensions it knows `timeout` and `target`. Both servers are asked without httpx's client: cookies, redirects and the
like, which that looks after, would cost more than all the rest.
"""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from time import monotonic
from typing import cast

import httptools
import httpx

from kit.http_server import IDLE_SECONDS

MOST_UNREAD = 256 * 1024  # bytes of a body that may wait for their reader, before the sender has to wait
OPEN_SECONDS = 10.0


class Wire(httpx.AsyncBaseTransport):
    """Connections that are used again, unless they were idle for too long: the server may be closing them.

    `most` at the same time, to all servers together; `idle` are kept open to each.
    """

    def __init__(self, most: int, idle: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._room = asyncio.Semaphore(most)
        self._most_idle = idle
        self._idle: defaultdict[tuple[str, str, int], deque[_Connection]] = defaultdict(deque)

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        server: httpx.URL,
        target: str,
        headers: dict[str, str],
        content: bytes | None = None,
        *,
        connect: float,
        read: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose body is still to come, from a server at this path with its query. `connect` and `read` are the most
        seconds to wait for a connection, and for more. Raises httpx.TransportError."""
        host = {"Host": server.netloc.decode()}
        extensions = {"timeout": {"connect": connect, "read": read}, "target": target.encode()}
        request = httpx.Request(method, server, headers=host | headers, content=content, extensions=extensions)
        response = await self.handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        seconds = request.extensions.get("timeout", {})
        url = request.url
        place = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        await self._room.acquire()
        connection: _Connection | None = None
        try:
            connection = self._take_idle(place) or await _open(place, seconds.get("connect"))
            await connection.ask(request, seconds.get("read"))
        except BaseException:
            if connection:
                connection.close()
            self._room.release()
            raise
        body = Body(self, place, connection, seconds.get("read"))
        return httpx.Response(connection.status, headers=connection.headers, stream=body)

    def give_back(self, place: tuple[str, str, int], connection: "_Connection") -> None:
        self._room.release()
        if connection.is_reusable and len(self._idle[place]) < self._most_idle:
            connection.idle_since = monotonic()
            self._idle[place].append(connection)
        else:
            connection.close()

    async def aclose(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _take_idle(self, place: tuple[str, str, int]) -> "_Connection | None":
        """The one used last: it is the least likely to be closed by the other side any moment."""
        idle = self._idle[place]
        while idle:
            connection = idle.pop()
            if connection.is_reusable and monotonic() - connection.idle_since < self._idle_seconds:
                return connection
            connection.close()
        return None


class Body(httpx.AsyncByteStream):
    """The body of an answer, to be read once: part by part, or poured."""

    def __init__(self, wire: Wire, place: tuple[str, str, int], connection: "_Connection", seconds: float | None) -> None:
        self._wire, self._place, self._seconds = wire, place, seconds
        self._connection: _Connection | None = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._connection and (data := await self._connection.read(self._seconds)):
            yield data

    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        """Gives all that comes to the sink, at once, without waking a task for it: until the sink has enough, or the body ends.
        Raises what the sink raises, and httpx.TransportError."""
        if self._connection:
            await self._connection.pour(sink)

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            self._wire.give_back(self._place, connection)


async def _open(place: tuple[str, str, int], seconds: float | None) -> "_Connection":
    scheme, host, port = place
    try:
        async with asyncio.timeout(seconds or OPEN_SECONDS):
            secure = _secure() if scheme == "https" else None
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port, ssl=secure)
    except TimeoutError as error:
        raise httpx.ConnectTimeout("the connection took too long") from error
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error
    return connection


@cache
def _secure() -> ssl.SSLContext:
    """Made once, since it reads all the certificates there are."""
    return ssl.create_default_context()


class _Connection(asyncio.Protocol):
    """One request at a time; its answer's head, then its body as it comes."""

    status: int
    headers: list[tuple[bytes, bytes]]
    idle_since: float

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._data: list[bytes] = []
        self._unread = 0
        self._has_head = self._is_whole = self._keeps_alive = True
        self._broken: httpx.TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Callable[[bytes], bool] | None = None

    @property
    def is_reusable(self) -> bool:
        return self._is_whole and self._keeps_alive and not self._broken

    async def ask(self, request: httpx.Request, seconds: float | None) -> None:
        """Sends the request and waits for the head of its answer."""
        self._parser = httptools.HttpResponseParser(self)
        self.headers, self._has_head, self._is_whole = [], False, False
        target = request.extensions.get("target", request.url.raw_path)
        head = [b"%b %b HTTP/1.1" % (request.method.encode(), target)]
        head += [b"%b: %b" % header for header in request.headers.raw]
        self._transport.write(b"\r\n".join(head) + b"\r\n\r\n" + await request.aread())
        while not self._has_head:
            await self._news(seconds)

    async def read(self, seconds: float | None) -> bytes:
        """What has come of the body since; nothing at its end."""
        while not self._data:
            if self._is_whole:
                return b""
            await self._news(seconds)
        return self._take()

    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        """Until the sink has enough, or the body ends."""
        self._waiter, self._sink = asyncio.get_running_loop().create_future(), sink
        try:
            self._pass_on()
            await self._waiter
        finally:
            self._waiter = self._sink = None

    def _pass_on(self) -> None:
        waiter, sink = self._waiter, self._sink
        if not (waiter and sink) or waiter.done():
            return
        try:
            if (self._data and sink(self._take())) or self._is_whole:
                waiter.set_result(None)
            elif self._broken:
                waiter.set_exception(self._broken)
        except Exception as error:
            waiter.set_exception(error)

    def _take(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"".join(self._data)
        self._data.clear()
        if self._unread > MOST_UNREAD:
            self._transport.resume_reading()
        self._unread = 0
        return data

    def close(self) -> None:
        self._transport.abort()

    async def _news(self, seconds: float | None) -> None:
        if self._broken:
            raise self._broken
        self._waiter = asyncio.get_running_loop().create_future()
        if seconds is None:
            await self._waiter
            return
        try:
            async with asyncio.timeout(seconds):
                await self._waiter
        except TimeoutError as error:
            raise httpx.ReadTimeout("nothing came for too long") from error

    def _wake(self) -> None:
        if self._sink:
            self._pass_on()
        elif self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._is_whole:  # nobody has asked
            return self.close()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._broken = httpx.RemoteProtocolError(str(error))
            self.close()
        if self._unread > MOST_UNREAD:
            self._transport.pause_reading()
        return self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        if self._has_head and error is None and not self._is_whole and not self._tells_its_end():
            self._is_whole = True
        self._broken = self._broken or httpx.ReadError("the connection was lost")
        self._wake()

    def _tells_its_end(self) -> bool:
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    # What the parser tells

    def on_message_begin(self) -> None:
        if self._has_head:
            raise ValueError("an answer that nobody has asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._has_head, self._keeps_alive = True, self._parser.should_keep_alive()  # only here does the parser know
        else:
            self.headers = []

    def on_body(self, data: bytes) -> None:
        self._data.append(data)
        self._unread += len(data)

    def on_message_complete(self) -> None:
        self._is_whole = self._has_head
