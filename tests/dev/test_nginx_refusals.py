"""Requests for other hosts and malformed requests, which the public nginx refuses itself."""

import asyncio

import httpx
import pytest

from tests.dev.public_nginx import SECURITY_HEADERS, STREAM, Upstream, public_nginx


@pytest.mark.parametrize(
    ("host", "codes"),
    [
        ("chat.example", {200}),
        ("CHAT.example:8443", {200}),
        ("localhost", {200}),
        ("127.0.0.1:8080", {200}),
        ("evil.example", {421}),
        ("chat.example.evil.example", {421}),
        ("xchat.example", {421}),
        ("chat-example", {421}),
        ("10.0.0.1", {421}),
        ("chat.example/x?", {400}),
        ("chat.example@evil.example", {400, 421}),
        ("", {400}),
    ],
)
@pytest.mark.parametrize("path", ["/", STREAM, "/static/app.css"])
async def test_only_the_public_host_name_is_served(host: str, codes: set[int], path: str) -> None:
    upstream = Upstream()
    async with public_nginx(upstream, PUBLIC_URL="https://chat.example") as client:
        response = await client.get(path, headers={"Host": host})
        health = await client.get("/healthz", headers={"Host": "10.0.0.1"})

    assert response.status_code in codes
    assert (response.status_code == 200) == (f"GET {path} HTTP/1.1" in upstream.requests)
    assert "evil" not in response.text + str(response.headers) or response.status_code == 200
    assert health.status_code == 200


@pytest.mark.parametrize("path", ["/a%20b", "/%20", "/healthz%20x", "/metrics%0a", "/a%0ab", "/%20chat.example"])
async def test_the_host_is_checked_whatever_the_path_contains(path: str) -> None:
    upstream = Upstream()
    async with public_nginx(upstream, PUBLIC_URL="https://chat.example") as client:
        own = await client.get(path, headers={"Host": "chat.example"})
        other = await client.get(path, headers={"Host": "evil.example"})

    assert (own.status_code, other.status_code) == (200, 421)
    assert upstream.requests == [f"GET {path} HTTP/1.1"]


HOST = b"Host: 127.0.0.1\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", b"405"),
        (b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + b"\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + HOST + b"\r\n", b"400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET / HTTP/3.7\r\n" + HOST + b"\r\n", b"505"),
        (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", b"400"),
        (b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", b"400"),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", b"400"),
        (b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Cookie: " + b"x" * 62_000 + b"\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"400"),
    ],
)
async def test_malformed_requests_are_refused_by_nginx_with_an_error_page(request_bytes: bytes, status: bytes) -> None:
    upstream = Upstream()
    async with public_nginx(upstream) as client:
        response = await raw(client, request_bytes)
        after = await client.get("/")

    head, _, body = response.partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert b'<p id="notice" class="notice" role="alert">' in body
    assert b"nginx/" not in response
    sent = {
        name.strip().lower(): text.strip()
        for name, _, text in (line.partition(":") for line in head.decode().splitlines()[1:])
    }
    assert SECURITY_HEADERS.items() <= sent.items()
    assert upstream.requests == ["GET / HTTP/1.1"]
    assert after.status_code == 200


async def raw(client: httpx.AsyncClient, request: bytes) -> bytes:
    """Send these bytes and return everything nginx sends until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
