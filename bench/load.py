"""The load, in a process of its own: opens streams, notes when each word of each answer came, and checks every answer.

`python -m bench.load`, with a `Load` as JSON on its standard input. It says `ready`, and after each line it is sent does the next
step: the streams (`done` when they have ended), then the checks, whose result is the last line it writes.
"""

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from time import monotonic
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import uvloop

from bench.document import WORD, text
from bench.http import Answer, Connection
from web.rendering.markdown import render

AT_ONCE = 20  # chats that are begun, or checked, at the same time
LONGEST_WORD = 12  # bytes
NEAR_END = 600  # bytes in which the last word of an event usually is
TICK_SECONDS = 0.01

_STREAM = re.compile(r'hx-sse:connect="([^"]*)"')
_PARTIAL = re.compile(r'<hx-partial hx-target="#message-[0-9a-f-]{36}([^"]*)" hx-swap="\w*">(.*?)</hx-partial>', re.DOTALL)
_TAIL = re.compile(r'<div class="tail" id="[^"]*">')


@dataclass(frozen=True)
class Load:
    url: str
    model: str  # the model server's own address, which tells when it wrote what
    runnel: bool
    streams: int = 1
    tokens: int = 200
    rate: float = 20.0  # tokens a second; 0: as fast as they go
    starts: float = 50.0  # a second
    viewers: int = 1  # of each answer
    prompt_ms: float = 0.0


class Viewer:
    """Who watches one answer."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []  # when, and how many words were there
        self.parts: list[bytes] = []
        self.bytes = 0
        self.ended_at = 0.0
        self.error = ""

    def take(self, data: bytes) -> None:
        """A piece of the stream. A word cut in two is counted with its second half."""
        now = monotonic()
        before = self.parts[-1][-LONGEST_WORD:] if self.parts else b""
        self.parts.append(data)
        data = before + data
        words = WORD.findall(data, max(0, len(data) - NEAR_END)) or WORD.findall(data)
        count = int(words[-1]) + 1 if words else 0
        if count > (self.seen[-1][1] if self.seen else 0):
            self.seen.append((now, count))

    async def watch(self, connection: Connection, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        before = connection.received
        answer = await connection.ask(method, path, body, headers, self.take)
        self.ended_at, self.bytes = monotonic(), connection.received - before
        if answer.status != 200:
            self.error = f"{method} {path}: {answer.status}"


class Stream:
    """One answer: asked for by its first viewer, and watched by all of them."""

    def __init__(self, number: int, load: Load) -> None:
        self.load, self.id = load, f"answer-{number}"
        address = urlsplit(load.url)
        self.viewers = [Viewer() for _ in range(load.viewers if load.runnel else 1)]  # a model server has only who asks
        self._connections = [Connection(address.hostname or "", address.port or 80) for _ in self.viewers]
        self.question = orjson.dumps({"id": self.id, "tokens": load.tokens, "rate": load.rate, "prompt_ms": load.prompt_ms}).decode()
        self.began_at = 0.0
        self.error = ""

    async def prepare(self) -> None:
        for connection in self._connections:
            await connection.open()

    async def run(self) -> None:
        self.began_at = monotonic()
        try:
            await self._run()
        except (OSError, TimeoutError, ConnectionError, AssertionError) as error:
            self.error = f"{type(error).__name__} {error}"

    async def _run(self) -> None:
        asked = {"stream": True, "max_tokens": 100_000, "messages": [{"role": "user", "content": self.question}]}
        headers = {"Content-Type": "application/json"}
        await self.viewers[0].watch(self._connections[0], "POST", "/v1/chat/completions", orjson.dumps(asked), headers)

    async def check(self) -> str:
        """What is wrong with the answer; nothing if all of it came."""
        if error := self.error or next((viewer.error for viewer in self.viewers if viewer.error), ""):
            return error
        events = b"".join(self.viewers[0].parts).split(b"\n\n")
        deltas = [orjson.loads(event[6:])["choices"] for event in events if event.startswith(b"data: {")]
        came = "".join(choice[0]["delta"].get("content") or "" for choice in deltas if choice)
        return "" if came == text(self.load.tokens) else "the text is not what the model wrote"

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class Chat(Stream):
    """The same through Runnel's own pages, as a browser does it: the form's POST, then the stream that its answer names."""

    async def prepare(self) -> None:
        await super().prepare()
        answer = await self._form("/chats", username="bench", new="1")
        assert answer.status == 303, answer
        self._chat = answer.headers["location"]
        self._cookie = answer.headers["set-cookie"].partition(";")[0]

    async def _run(self) -> None:
        answer = await self._form(f"{self._chat}/messages", content=self.question)
        assert answer.status == 201, f"POST: {answer.status}"
        stream = _STREAM.search(answer.body.decode())
        assert stream, "there is no stream in the answer"
        headers = {"Cookie": self._cookie, "Accept": "text/event-stream"}
        watching = zip(self.viewers, self._connections, strict=True)
        await asyncio.gather(*(viewer.watch(connection, "GET", stream[1], b"", headers) for viewer, connection in watching))

    async def check(self) -> str:
        if error := await super().check() if self.error else next((viewer.error for viewer in self.viewers if viewer.error), ""):
            return error
        stored = await self._connections[0].ask("GET", f"{self._chat}.json", headers={"Cookie": self._cookie})
        message = orjson.loads(stored.body)["messages"][-1]
        if (message["status"], message["content"]) != ("complete", text(self.load.tokens)):
            return f"stored, {message['status']}, is not what the model wrote"
        expected = render(message["content"], f"message-{message['id']}-")
        wrong = sum(shown(b"".join(viewer.parts)) != expected for viewer in self.viewers)
        return f"{wrong} viewers saw something else" if wrong else ""

    async def _form(self, path: str, **fields: str) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.load.url, "HX-Request": "true"}
        if hasattr(self, "_cookie"):
            headers["Cookie"] = self._cookie
        return await self._connections[0].ask("POST", path, urlencode(fields).encode(), headers)


def shown(stream: bytes) -> str:
    """What the page holds after all events: finished blocks, and the tail while there is one."""
    page, tail = "", 0
    for event in stream.decode().split("\n\n"):
        data = "\n".join(line[6:] for line in event.split("\n") if line.startswith("data: "))
        for target, inside in _PARTIAL.findall(data):
            match target:
                case " .content":
                    page, tail = inside, 0
                case "-tail":
                    page = page[:tail] + inside
                case "-tail code":
                    end = page.rindex("</code>")
                    page = page[:end] + inside + page[end:]
                case path if path.startswith("-tail > "):  # a line grows, whose elements all end with the tail
                    ends = re.search(rf"(?:</\w+>\n*){{{path.count('>')}}}</div>\Z", page)
                    assert ends, f"nothing to add to for {path}"
                    page = page[: ends.start()] + inside + page[ends.start() :]
                case _:
                    continue
            tail = found.start() if (found := _TAIL.search(page, tail)) else 0
    return page


async def run(load: Load) -> dict[str, Any]:
    streams = [(Chat if load.runnel else Stream)(number, load) for number in range(load.streams)]
    await _in_turn(stream.prepare() for stream in streams)
    _say("ready")
    lateness: list[float] = []
    ticker = asyncio.create_task(_tick(lateness))
    busy, began = time.process_time(), monotonic()
    await asyncio.gather(*(_later(number / load.starts, stream) for number, stream in enumerate(streams)))
    busy, took = time.process_time() - busy, monotonic() - began
    ticker.cancel()
    _say("done")
    errors: list[str] = []

    async def check(stream: Stream) -> None:
        if error := await stream.check():
            errors.append(error)

    await _in_turn(check(stream) for stream in streams)
    server = urlsplit(load.model)
    told = await Connection(server.hostname or "", server.port or 80).ask("GET", "/times")
    for stream in streams:
        stream.close()
    return {
        **_figures(streams, orjson.loads(told.body)),
        "answers": len(streams),
        "errors": errors,
        "load_cpu": busy / took,
        "load_late_ms": 1000 * share(sorted(lateness), 0.99),
    }


def _figures(streams: list[Stream], written: dict[str, list[float]]) -> dict[str, Any]:
    first: list[float] = []
    gaps: list[float] = []
    added: list[float] = []
    walls: list[float] = []
    sent = 0
    for stream in streams:
        for viewer in stream.viewers:
            if not viewer.seen or viewer.error or stream.error:
                continue
            first.append(viewer.seen[0][0] - stream.began_at)
            walls.append(viewer.ended_at - stream.began_at)
            gaps += [later - earlier for (earlier, _), (later, _) in pairwise(viewer.seen)]
            added += _added(viewer.seen, written.get(stream.id, []))
            sent += viewer.bytes
    first, gaps, added, walls = sorted(first), sorted(gaps), sorted(added), sorted(walls)
    figures: dict[str, Any] = {"bytes_per_token": sent / max(1, sum(stream.load.tokens * len(stream.viewers) for stream in streams))}
    for name, values in (("first", first), ("gap", gaps), ("added", added), ("wall", walls)):
        figures |= {f"{name}_p50_ms": 1000 * share(values, 0.5), f"{name}_p99_ms": 1000 * share(values, 0.99)}
    return figures


def _added(seen: list[tuple[float, int]], written: list[float]) -> Iterator[float]:
    """Of each token: seconds from its being written to its being seen."""
    before = 0
    for at, count in seen:
        yield from (at - wrote for wrote in written[before:count])
        before = count


def share(values: list[float], part: float) -> float:
    """The value that this part of all (sorted) does not exceed; 0 of nothing."""
    return values[min(len(values) - 1, int(part * len(values)))] if values else 0.0


async def _tick(lateness: list[float]) -> None:
    """How late this process is at what it wants to do: then it is the load that is slow."""
    while True:
        due = monotonic() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        lateness.append(monotonic() - due)


async def _later(seconds: float, stream: Stream) -> None:
    await asyncio.sleep(seconds)
    await stream.run()


async def _in_turn(works: Any) -> None:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(work: Any) -> None:
        async with limit:
            await work

    await asyncio.gather(*map(one, works))


def _say(word: str) -> None:
    """Tells the parent, and waits until it has heard."""
    print(word, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    given = Load(**orjson.loads(sys.stdin.readline()))
    print(orjson.dumps({"load": asdict(given), **uvloop.run(run(given))}).decode(), flush=True)
