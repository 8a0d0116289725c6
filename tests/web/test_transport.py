"""The transport under httpx: whatever a server does, a response is complete, or the transport raises an error."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.stack import until
from web.clients.transport import MAX_UNREAD, HTTPTransport, Sink

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def speaking(serve: Serve, most: int = 10, idle_seconds: float = 60) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that does this with every connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=base, transport=HTTPTransport(most, 5, idle_seconds), timeout=5) as http:
        yield http
    server.close()


def always(answer: bytes, step: int = 1 << 20, then_close: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            for at in range(0, len(answer), step):
                writer.write(answer[at : at + step])
                await writer.drain()
                await asyncio.sleep(0)
            if then_close:
                return

    return serve


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + LENGTH


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("answer", [LENGTH, CHUNKS, CLOSE, CONTINUE], ids=["length", "chunks", "close", "continue"])
async def test_a_response_is_complete_however_it_arrives(answer: bytes, step: int) -> None:
    async with speaking(always(answer, step, then_close=answer is CLOSE)) as http:
        for _ in range(2):
            got = await http.post("/x", content=b"body")
            assert (got.status_code, got.text) == (200, "hello")
            assert "link" not in got.headers


async def test_a_connection_that_was_idle_for_so_long_that_the_server_may_close_it_is_not_used_again() -> None:
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await always(LENGTH)(reader, writer)

    async with speaking(serve, idle_seconds=0.1) as http:
        await http.get("/")
        await http.get("/")
        assert opened == 1
        await asyncio.sleep(0.15)
        await http.get("/")
        assert opened == 2


async def test_a_connection_is_used_again_and_a_closed_one_is_not() -> None:
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        for _ in range(3):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(LENGTH)

    async with speaking(serve) as http:
        for _ in range(3):
            await http.get("/")
        assert opened == 1
        await asyncio.sleep(0.05)  # until it notices that the server has closed the connection
        assert (await http.get("/")).text == "hello"
        assert opened == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_a_truncated_response_is_an_error(answer: bytes) -> None:
    async with speaking(always(answer, then_close=True)) as http:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await http.get("/")


async def test_data_without_a_request_is_not_the_next_response() -> None:
    async with speaking(always(LENGTH + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")) as http:
        for _ in range(3):
            assert (await http.get("/")).text == "hello"


async def test_a_silent_server_times_out_and_frees_its_connection() -> None:
    async with speaking(always(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"), most=1) as http:
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                await http.get("/", timeout=0.1)


async def test_a_server_that_does_not_listen_is_an_error() -> None:
    async with httpx.AsyncClient(transport=HTTPTransport(1, 1)) as http:
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await http.get("http://127.0.0.1:1/")


async def test_a_reader_that_stops_closes_the_connection() -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKS.partition(b"3\r\n")[0])
        await reader.read()
        left.set()

    async with speaking(serve, most=1) as http:
        async with http.stream("GET", "/") as answer:
            assert await anext(answer.aiter_raw()) == b"he"
        await asyncio.wait_for(left.wait(), 5)


async def test_a_slow_reader_makes_the_server_wait() -> None:
    sent, whole = 0, 64 * MAX_UNREAD

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % whole)
        while sent < whole:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with speaking(serve) as http, http.stream("GET", "/") as answer:
        await asyncio.sleep(0.5)
        assert sent < whole / 2
        assert sum([len(data) async for data in answer.aiter_raw()]) == whole
        await until(lambda: sent == whole)


# With a sink: a function receives the body as it arrives, and no task waits for each part


def into(got: list[bytes]) -> Sink:
    """A sink that always needs more."""

    def sink(data: bytes) -> bool:
        got.append(data)
        return False

    return sink


@asynccontextmanager
async def response_with(sink: Sink, http: httpx.AsyncClient) -> AsyncIterator[httpx.Response]:
    request = http.build_request("GET", "/", extensions={"sink": sink})
    response = await http.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()


async def read(response: httpx.Response) -> list[bytes]:
    return [data async for data in response.aiter_raw()]


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("answer", [LENGTH, CHUNKS, CLOSE], ids=["length", "chunks", "close"])
async def test_a_sink_receives_the_whole_body_and_reading_ends_with_it(answer: bytes, step: int) -> None:
    async with speaking(always(answer, step, then_close=answer is CLOSE)) as http:
        for _ in range(2):
            got: list[bytes] = []
            async with response_with(into(got), http) as response:
                assert await read(response) == []
            assert b"".join(got) == b"hello"


async def test_the_body_of_an_error_does_not_reach_the_sink() -> None:
    got: list[bytes] = []
    server = speaking(always(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 4\r\n\r\nlate"))
    async with server as http, response_with(into(got), http) as response:
        assert await response.aread() == b"late"
    assert got == []


async def test_a_sink_that_needs_no_more_receives_no_more_and_its_connection_is_not_reused() -> None:
    opened = 0
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)

    def sink(data: bytes) -> bool:
        got.append(data)
        return len(got) % 3 == 0

    async with speaking(serve) as http:
        for _ in range(2):
            async with response_with(sink, http) as response:
                await read(response)
                await asyncio.sleep(0.02)
    assert (len(got), opened) == (6, 2)


async def test_an_error_of_the_sink_is_raised_to_the_reader() -> None:
    def sink(data: bytes) -> bool:
        raise KeyError(data)

    async with speaking(always(LENGTH)) as http, response_with(sink, http) as response:
        with pytest.raises(KeyError):
            await read(response)


async def test_a_lost_connection_is_an_error_after_everything_that_arrived() -> None:
    got: list[bytes] = []
    server = speaking(always(CHUNKS.partition(b"3\r\n")[0], then_close=True))
    async with server as http, response_with(into(got), http) as response:
        with pytest.raises(httpx.ReadError):
            await read(response)
    assert b"".join(got) == b"he"


async def test_a_cancelled_reader_receives_nothing_more() -> None:
    resume = asyncio.Event()
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head, tail = CHUNKS[: CHUNKS.index(b"3\r\n")], CHUNKS[CHUNKS.index(b"3\r\n") :]
        writer.write(head)
        await resume.wait()
        writer.write(tail)
        await writer.drain()

    async with speaking(serve) as http, response_with(into(got), http) as response:
        waiting = asyncio.create_task(read(response))
        await until(lambda: got == [b"he"])
        waiting.cancel()
        resume.set()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert got == [b"he"]
