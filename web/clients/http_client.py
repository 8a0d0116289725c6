"""An HTTP client for one server: httpx's requests, responses and errors, on `HTTPTransport`.

httpx.AsyncClient prepares cookies, redirects and authentication for each request. That takes 0.2 ms, twice as much as
everything else about a request, and a turn makes about ten.
"""

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

    async def close(self) -> None:
        await self._transport.aclose()
