"""Parts of a body that are sent without waiting. Covers every uvicorn internal that web/live/push.py uses."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import Receive, Scope, Send

from tests.stack import until
from web.live import push
from web.live.push import Push, PushingConnection

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class App:
    """Starts a response, hands out its push function, and completes the response when `end` is set."""

    def __init__(self, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.headers = headers or []
        self.pushing: asyncio.Queue[Push] = asyncio.Queue()
        self.end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        push_part = push.of(scope)
        assert push_part
        assert not push_part(b"before the head")
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        self.pushing.put_nowait(push_part)
        await self.end.wait()
        await send({"type": "http.response.body", "body": b"end"})


@asynccontextmanager
async def requested(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Run a server, send it one request and yield the connection."""
    config = uvicorn.Config(
        app, http=PushingConnection, log_level="warning", lifespan="off", timeout_graceful_shutdown=1
    )
    server, listening = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve([listening]))
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    try:
        async with asyncio.timeout(20):
            writer.write(REQUEST)
            yield reader, writer
    finally:
        app.end.set()
        writer.close()
        server.should_exit = True
        await running


async def test_pushed_parts_arrive_in_order_before_the_end() -> None:
    app = App()
    async with requested(app) as (reader, _):
        push_part = await app.pushing.get()
        assert [push_part(b"one"), push_part(b"two")] == [True, True]
        app.end.set()
        body = (await reader.readuntil(b"0\r\n\r\n")).partition(b"\r\n\r\n")[2]

    assert body == b"3\r\none\r\n3\r\ntwo\r\n3\r\nend\r\n0\r\n\r\n"
    assert not push_part(b"after the end")


async def test_nothing_is_pushed_into_a_body_of_a_fixed_length() -> None:
    app = App([(b"content-length", b"3")])
    async with requested(app) as (reader, _):
        push_part = await app.pushing.get()
        assert not push_part(b"one")
        app.end.set()
        body = (await reader.readuntil(b"end")).partition(b"\r\n\r\n")[2]

    assert body == b"end"


async def test_nothing_is_pushed_while_the_client_does_not_read() -> None:
    app, part = App(), b"x" * 60_000
    async with requested(app) as (reader, _):
        push_part = await app.pushing.get()
        sent = 0
        while push_part(part):
            sent += 1
            assert sent < 1000
            await asyncio.sleep(0)

        await reader.readexactly(sent * len(part))
        await until(lambda: push_part(b"again"))


async def test_nothing_is_pushed_to_a_client_that_left() -> None:
    app = App()
    async with requested(app) as (_, writer):
        push_part = await app.pushing.get()
        writer.transport.abort()
        await until(lambda: not push_part(b"again"))


def test_other_servers_do_not_have_the_extension() -> None:
    assert push.of({"type": "http"}) is None
