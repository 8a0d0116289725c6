"""An HTTP client for one server: httpx's requests, responses and errors, on `HTTPTransport`.

httpx.AsyncClient prepares cookies, redirects and authentication for each request. That takes 0.2 ms, twice as much as
everything else about a request, and a turn makes about ten.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from contextlib import aclosing

import httpx

from web.clients.transport import HTTPTransport, Sink


class HTTPClient:
    """Sends `headers` with each request. Without `read_seconds` a request waits for the server without a limit."""

    def __init__(self, url: httpx.URL, headers: Mapping[str, str], transport: HTTPTransport, connect_seconds: float):
        self._url, self._path = url, url.path.rstrip("/")
        self._headers = {"Accept-Encoding": "identity", **headers}  # the transport does not decompress
        self._transport, self._connect_seconds = transport, connect_seconds

    async def open(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        read_seconds: float | None = None,
        sink: Sink | None = None,
    ) -> httpx.Response:
        """A response whose body is still to be read. The caller closes it. Raises httpx.TransportError."""
        extensions = {
            "target": (self._path + path).encode(),  # parsing a URL would take longer than the rest
            "timeout": {"connect": self._connect_seconds, "read": read_seconds},
            "sink": sink,
        }
        all_headers = {**self._headers, **headers} if headers else self._headers
        request = httpx.Request(method, self._url, headers=all_headers, content=content, extensions=extensions)
        return await self._transport.handle_async_request(request)

    async def fetch(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        read_seconds: float | None = None,
    ) -> httpx.Response:
        """A response with its whole body. Raises httpx.TransportError."""
        async with aclosing(
            await self.open(method, path, content, headers=headers, read_seconds=read_seconds)
        ) as response:
            await response.aread()
        return response

    async def fetch_part(self, method: str, path: str, max_bytes: int, seconds: float) -> httpx.Response:
        """Like `fetch`, from a server that may send anything: see `read_part`. Raises httpx.TransportError."""
        try:
            async with asyncio.timeout(seconds):
                response = await self.open(method, path)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the server did not respond in time") from error
        async with aclosing(response):
            body = await read_part(response, max_bytes, seconds)
        return httpx.Response(response.status_code, headers=_without_encoding(response.headers), content=body)

    async def close(self) -> None:
        await self._transport.aclose()


async def read_part(response: httpx.Response, max_bytes: int, seconds: float) -> bytes:
    """The first `max_bytes` of the body, as far as they arrive within `seconds`. Raises httpx.TransportError."""
    body = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for data in response.aiter_raw():
                body += data
                if len(body) >= max_bytes:
                    break
    return body[:max_bytes]


def _without_encoding(headers: httpx.Headers) -> list[tuple[bytes, bytes]]:
    """The body stays as it is: decompressed, it could have any size."""
    return [header for header in headers.raw if header[0].lower() not in (b"content-encoding", b"transfer-encoding")]
