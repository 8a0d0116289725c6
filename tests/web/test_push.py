"""Parts of a body that are sent without waiting, as far as the client takes them."""

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
    """Begins a body, hands out how to push to it, and ends it when told."""

    def __init__(self) -> None:
        self.pushing: asyncio.Queue[Push] = asyncio.Queue()
        self.end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = push.of(scope)
        assert way
        assert not way(b"before the head")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.pushing.put_nowait(way)
        await self.end.wait()
        await send({"type": "http.response.body", "body": b"end"})


@asynccontextmanager
async def asked(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The connection of one request, and a server that ends with it."""
    config = uvicorn.Config(app, http=PushingConnection, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
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


async def test_what_is_pushed_comes_in_its_order_before_the_end() -> None:
    app = App()
    async with asked(app) as (reader, _):
        way = await app.pushing.get()
        assert [way(b"one"), way(b"two")] == [True, True]
        app.end.set()
        body = (await reader.readuntil(b"0\r\n\r\n")).partition(b"\r\n\r\n")[2]

    assert body == b"3\r\none\r\n3\r\ntwo\r\n3\r\nend\r\n0\r\n\r\n"
    assert not way(b"after the end")


async def test_a_client_who_takes_nothing_is_not_pushed_to_until_it_does() -> None:
    app, part = App(), b"x" * 60_000
    async with asked(app) as (reader, _):
        way = await app.pushing.get()
        sent = 0
        while way(part):
            sent += 1
            assert sent < 1000
            await asyncio.sleep(0)

        await reader.readexactly(sent * len(part))
        await until(lambda: way(b"again"))


async def test_who_has_left_is_not_pushed_to() -> None:
    app = App()
    async with asked(app) as (_, writer):
        way = await app.pushing.get()
        writer.transport.abort()
        await until(lambda: not way(b"again"))


def test_another_server_may_not_have_it() -> None:
    assert push.of({"type": "http"}) is None
