"""A server that is asked to leave loses no request that is on its way to it."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from kit.http_server import IDLE_SECONDS, LINGER_SECONDS, Connection
from tests.stack import ROOT

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


class Hasty(Connection):
    linger_seconds = 0.3


@asynccontextmanager
async def serving(http: type[Connection]) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    config = uvicorn.Config(PlainTextResponse("hello"), http=http, log_level="warning", lifespan="off", timeout_graceful_shutdown=3)
    server, listening = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve([listening]))
    try:
        yield server, listening.getsockname()[1]
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(len(b"hello"))


@pytest.mark.parametrize("used_before", [True, False])
async def test_one_more_request_is_answered_on_an_idle_connection_and_then_it_ends(used_before: bool) -> None:
    async with serving(Connection) as (server, port), asyncio.timeout(10), connected(port) as (reader, writer):
        if used_before:
            writer.write(REQUEST)
            assert b"connection: close" not in await answer(reader)
        else:
            await asyncio.sleep(0.1)  # in which it is accepted

        server.should_exit = True
        await asyncio.sleep(0.3)
        writer.write(REQUEST)

        last = await answer(reader)
        assert last.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in last
        assert await reader.read() == b""


async def test_a_connection_that_stays_idle_is_closed() -> None:
    async with serving(Hasty) as (server, port), asyncio.timeout(2.5), connected(port) as (reader, writer):
        writer.write(REQUEST)
        await answer(reader)

        server.should_exit = True

        assert await reader.read() == b""


@pytest.mark.parametrize("name", ["proxy/nginx.conf.template", "dev/inner-nginx.conf.template"])
def test_nginx_lets_go_of_idle_connections_before_a_server_does(name: str) -> None:
    upstream = re.search(r"upstream \w+ \{.*?\n    \}", (ROOT / name).read_text(), re.DOTALL)

    assert upstream
    assert f"keepalive_timeout {IDLE_SECONDS:.0f}s;" in upstream[0]
    assert IDLE_SECONDS < LINGER_SECONDS < uvicorn.Config(PlainTextResponse()).timeout_keep_alive
