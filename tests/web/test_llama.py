"""Requests to the model server: their address and their credentials."""

import asyncio

import pytest

from web.clients.llama import Llama


@pytest.mark.parametrize(
    ("address", "key", "asked", "authorization"),
    [
        ("", "", b"GET /health HTTP/1.1", None),
        ("/", "secret", b"GET /health HTTP/1.1", b"Bearer secret"),
        ("/v1/", "", b"GET /health HTTP/1.1", None),
        ("/models/llama/v1", "", b"GET /models/llama/health HTTP/1.1", None),
        ("user:p%40ss@", "", b"GET /health HTTP/1.1", b"Basic dXNlcjpwQHNz"),
        ("user:p%40ss@", "secret", b"GET /health HTTP/1.1", b"Bearer secret"),
    ],
)
async def test_the_address_may_have_a_path_and_a_user(
    address: str, key: str, asked: bytes, authorization: bytes | None
) -> None:
    heads: list[list[bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    user, path = (address, "") if address.endswith("@") else ("", address)
    llama = Llama(f"http://{user}{place}{path}", key, 1)
    try:
        assert await llama.health() == "ready"
    finally:
        await llama.close()
        server.close()

    (head,) = heads
    sent = [line.split(b": ", 1)[1] for line in head if line.startswith(b"Authorization: ")]
    assert head[0] == asked
    assert f"Host: {place}".encode() in head
    assert sent == ([authorization] if authorization else [])
