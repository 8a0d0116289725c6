"""A server that shuts down loses no request. Covers every uvicorn internal that kit/http_server.py uses."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from kit.http_server import IDLE_SECONDS, LINGER_SECONDS, Connection
from tests.stack import ROOT

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
BODY = b"hello"


class ImpatientConnection(Connection):
    linger_seconds = 0.3


@asynccontextmanager
async def serving(http: type[Connection], app: ASGIApp | None = None) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """Run a server and yield it with its port."""
    app = app or PlainTextResponse(BODY)
    config = uvicorn.Config(app, http=http, log_level="warning", lifespan="off", timeout_graceful_shutdown=3)
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


async def read_response(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(len(BODY))


@pytest.mark.parametrize("used_before", [True, False], ids=["after a request", "without a request"])
async def test_an_idle_connection_gets_one_more_response_and_is_then_closed(used_before: bool) -> None:
    async with serving(Connection) as (server, port), asyncio.timeout(10), connected(port) as (reader, writer):
        if used_before:
            writer.write(REQUEST)
            assert b"connection: close" not in await read_response(reader)
        else:
            await asyncio.sleep(0.1)  # until the server has accepted the connection

        server.should_exit = True
        await asyncio.sleep(0.3)
        writer.write(REQUEST)

        last = await read_response(reader)
        assert last.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in last
        assert await reader.read() == b""


async def test_a_connection_that_stays_idle_is_closed() -> None:
    async with (
        serving(ImpatientConnection) as (server, port),
        asyncio.timeout(2.5),
        connected(port) as (reader, writer),
    ):
        writer.write(REQUEST)
        await read_response(reader)

        server.should_exit = True

        assert await reader.read() == b""


async def test_a_response_in_progress_is_sent_completely_before_the_connection_closes() -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": BODY[:1], "more_body": True})
        started.set()
        await finish.wait()
        await send({"type": "http.response.body", "body": BODY[1:]})

    async with (
        serving(ImpatientConnection, slow) as (server, port),
        asyncio.timeout(10),
        connected(port) as (reader, writer),
    ):
        writer.write(REQUEST)
        await started.wait()
        server.should_exit = True
        await asyncio.sleep(2 * ImpatientConnection.linger_seconds)
        finish.set()

        assert (await read_response(reader)).endswith(BODY)
        assert await reader.read() == b""


async def test_every_request_gets_its_own_cycle() -> None:
    cycles: list[tuple[RequestResponseCycle, bool, bool]] = []

    class RecordingConnection(Connection):
        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            cycles.append((self.cycle, self.cycle.response_started, self.cycle.response_complete))

    async with serving(RecordingConnection) as (_, port), asyncio.timeout(10), connected(port) as (reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            await read_response(reader)

    (first, *first_state), (second, *second_state) = cycles
    assert first is not second
    assert first_state == second_state == [False, False]
    assert first.response_complete
    assert first.keep_alive


@pytest.mark.parametrize("name", ["proxy/nginx.conf.template", "dev/inner-nginx.conf.template"])
def test_nginx_drops_idle_connections_before_a_server_does(name: str) -> None:
    upstream = re.search(r"upstream \w+ \{.*?\n    \}", (ROOT / name).read_text(), re.DOTALL)

    assert upstream
    assert f"keepalive_timeout {IDLE_SECONDS:.0f}s;" in upstream[0]
    assert IDLE_SECONDS < LINGER_SECONDS < uvicorn.Config(PlainTextResponse()).timeout_keep_alive
