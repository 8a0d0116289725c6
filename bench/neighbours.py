"""A user next to a flood: how long pages take, and how long a running answer pauses. Runnel has its default limits.

`python -m bench neighbours`. The flood runs in a process of its own: `python -m bench.neighbours FLOOD URL COUNT`. It
prints `ready`, and runs until its standard input ends.
"""

import asyncio
import contextlib
import itertools
import os
import re
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import uvloop

from bench import systems
from bench.http import Connection
from bench.load import percentile
from bench.systems import ROOT
from bench.table import format_table

SECONDS = 15.0
PAGE_PAUSE_SECONDS = 0.05
TOKENS_PER_SECOND = 20
OWN_ADDRESS, FLOOD_ADDRESS = "127.0.0.1", "127.0.1.1"  # limits count addresses
VIEWERS = 38  # of 40 that a session may have
SIZE = 200_000  # characters of an answer, of 262,144 that it may have
DEFAULT_LIMITS = dict.fromkeys((*systems.LIMITS, "MAX_TOKENS"), "")

# Texts that stay one open block, so that each step renders all of it
LONG_TEXTS = {
    "list": {"unit": "- one of *many* items in a `list`\n"},
    "table": {"head": "| a | b | c |\n|---|---|---|\n", "unit": "| a *b* | `c` | [d](https://e.example) |\n"},
    "quote": {"unit": "> > quoted **twice** and on\n"},
    "paragraph": {"unit": "a [link](https://e.example) and $x^2$ and "},
    "list of lists": {"unit": "* a\n\n  b\n"},
}
ACCEPTS = {"events": "text/event-stream", "page": "text/html", "text": "text/plain"}


class Client:
    """A session with one chat."""

    def __init__(self, url: str, address: str) -> None:
        parts = urlsplit(url)
        self.address = address
        self.url, self.host, self.port = url, parts.hostname or "", parts.port or 80
        self.cookie = self.chat = ""

    def connection(self) -> Connection:
        return Connection(self.host, self.port, self.address)

    async def begin(self) -> None:
        response = await self._form("/chats", username="bench", new="1")
        assert response.status == 303, response
        self.chat, self.cookie = response.headers["location"], response.headers["set-cookie"].partition(";")[0]

    async def say(self, **prompt: Any) -> str:
        """Starts an answer and returns the path of its stream."""
        response = await self._form(f"{self.chat}/messages", content=orjson.dumps(prompt).decode())
        assert response.status in (201, 303), response
        found = re.search(rb'hx-sse:connect="([^"?]*)', response.body)
        assert found, response
        return found[1].decode()

    async def get(self, path: str, **headers: str) -> tuple[int, float]:
        """Returns the status and the seconds until the whole response was there."""
        connection, began = self.connection(), monotonic()
        try:
            response = await connection.request("GET", path, headers={"Cookie": self.cookie, **headers})
            _count(response.body)
        finally:
            connection.close()
        return response.status, monotonic() - began

    async def follow(self, path: str, on_data: Callable[[bytes], None], accept: str = "text/event-stream") -> None:
        headers = {"Cookie": self.cookie, "Accept": accept}
        with contextlib.suppress(OSError, TimeoutError):
            await self.connection().request("GET", path, headers=headers, on_data=on_data)

    async def stop(self, path: str) -> None:
        await self._form(path.replace("/stream", "/stop"))

    async def _form(self, path: str, **fields: str) -> Any:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.url, "HX-Request": "true"}
        if self.cookie:
            headers["Cookie"] = self.cookie
        connection = self.connection()
        try:
            return await connection.request("POST", path, urlencode(fields).encode(), headers)
        finally:
            connection.close()


# Floods


async def watch(url: str, kind: str, accept: str) -> None:
    """A long answer of this text, and its viewers."""
    client = Client(url, FLOOD_ADDRESS)
    await client.begin()
    path = await client.say(id=kind, **LONG_TEXTS[kind], size=SIZE, tokens=SIZE // 200, rate=80, prompt_ms=0)
    await asyncio.sleep(0.5)
    for _ in range(VIEWERS):
        _keep(client.follow(path, _count, accept))


async def load_pages(url: str, kind: str, suffix: str) -> None:
    """60 GETs at once of a chat with ten answers of the heaviest text, again and again."""
    client = Client(url, FLOOD_ADDRESS)
    await client.begin()
    for number in range(10):
        path = await client.say(id=f"{kind}{number}", **LONG_TEXTS[kind], size=SIZE, tokens=20, rate=0, prompt_ms=0)
        await client.follow(path, _count)

    async def again() -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                await client.get(client.chat + suffix)

    for _ in range(60):
        _keep(again())


async def queue(url: str) -> None:
    """200 sessions of one address, each with an answer that does not end."""
    for _ in range(200):
        client = Client(url, FLOOD_ADDRESS)
        await client.begin()
        with contextlib.suppress(AssertionError):  # 429: this address has enough answers
            await client.say(id="endless", tokens=100_000, rate=1, prompt_ms=0)


async def half_open(url: str) -> None:
    """10,000 requests whose headers never end."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parts = urlsplit(url)

    async def hold() -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: ")
                opened.release()
                await reader.read()  # nginx closes the connection after a while
            await asyncio.sleep(0.1)

    opened = asyncio.Semaphore(0)
    for _ in range(10_000):
        _keep(hold())
    for _ in range(10_000):
        await opened.acquire()


FLOODS: dict[str, Callable[[str], Awaitable[None]] | None] = {"nothing": None}
for _kind, (_name, _accept) in itertools.product(LONG_TEXTS, ACCEPTS.items()):
    FLOODS[f"{VIEWERS} viewers of a long {_kind} as {_name}"] = (
        lambda url, kind=_kind, accept=_accept: watch(url, kind, accept)  # type: ignore[misc]
    )
for _suffix in ("", ".json", ".md"):
    FLOODS[f"60 GETs at once of a heavy chat{_suffix}"] = (
        lambda url, suffix=_suffix: load_pages(url, "list of lists", suffix)  # type: ignore[misc]
    )
# The answers in the queue never end, so this flood is the last
FLOODS |= {"10,000 half-sent requests": half_open, "200 sessions of one address in the queue": queue}

_tasks: set[asyncio.Future[None]] = set()
_received = 0  # bytes of bodies


def _count(data: bytes) -> None:
    global _received
    _received += len(data)


def _keep(coroutine: Any) -> None:
    _tasks.add(asyncio.ensure_future(coroutine))


async def flood(name: str, url: str) -> None:
    run = FLOODS[name]
    assert run
    await run(url)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(_received, flush=True)
    os._exit(0)  # without closing thousands of connections one by one


# The neighbour


async def table() -> str:
    body: list[tuple[str, ...]] = []
    limits = DEFAULT_LIMITS | {"LLAMA_SLOTS": "8"}
    async with systems.model_server() as model, systems.runnel(2, None, LLAMA_URL=model.url, **limits) as runnel:
        for name in FLOODS:
            reader, visitor = Client(runnel.url, OWN_ADDRESS), Client(runnel.url, OWN_ADDRESS)
            await reader.begin()
            await visitor.begin()
            path = await reader.say(id=name, tokens=100_000, rate=TOKENS_PER_SECOND, prompt_ms=0)
            received: list[float] = []
            reading = asyncio.ensure_future(reader.follow(path, lambda data: received.append(monotonic())))  # noqa: B023
            async with _flooding(name, runnel.url) as flooded:
                received.clear()
                pages = await _load_pages(visitor)
            await reader.stop(path)
            await reading
            gaps = sorted(later - earlier for earlier, later in itertools.pairwise(received))
            times = (f"{_ms(pages, 0.5)} / {_ms(pages, 0.95)}", f"{_ms(gaps, 0.5)} / {_ms(gaps, 0.99)}", _ms(gaps, 1))
            body.append((name, *times, f"{sum(flooded) / 1e6:,.0f}", f"{os.getloadavg()[0]:.1f}"))
            print(" | ".join(body[-1]), file=sys.stderr, flush=True)
    head = ("flood", "page p50 / p95", "gap p50 / p99", "longest gap", "MB received", "load average")
    return format_table(f"A neighbour of a flood, {SECONDS:.0f} s each (times in ms)", body, head)


async def _load_pages(visitor: Client) -> list[float]:
    """The seconds that pages take, sorted."""
    pages: list[float] = []
    ends_at = monotonic() + SECONDS
    while monotonic() < ends_at:
        for page in ("/", visitor.chat):
            status, seconds = await visitor.get(page)
            assert status == 200, (page, status)
            pages.append(seconds)
        await asyncio.sleep(PAGE_PAUSE_SECONDS)
    return sorted(pages)


@contextlib.asynccontextmanager
async def _flooding(name: str, url: str) -> AsyncIterator[list[int]]:
    """The list receives the number of bytes that the flood got."""
    received: list[int] = []
    if FLOODS[name] is None:
        yield received
        return
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "bench.neighbours", name, url]
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
    assert child.stdin
    assert child.stdout
    try:
        assert await child.stdout.readline() == b"ready\n", f"{name}: the flood cannot start"
        yield received
        child.stdin.close()
        received.append(int(await child.stdout.readline()))
    finally:
        child.stdin.close()
        await child.wait()


def _ms(values: list[float], share: float) -> str:
    return f"{1000 * percentile(values, share):,.0f}" if values else "none"


if __name__ == "__main__":
    uvloop.run(flood(*sys.argv[1:3]))
