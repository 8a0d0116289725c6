"""The load generator: opens streams, records when each word of each answer arrives, and checks every answer.

It runs in its own process: `python -m bench.load`, with a `Load` as JSON on standard input. It prints `ready`. After a
line on standard input it runs the streams and prints `done`. After another line it checks the answers and prints the
result as its last line.
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
from bench.http import Connection, Response
from web.rendering.markdown import render

MAX_CONCURRENT_REQUESTS = 20  # while chats are created and checked
MAX_WORD_BYTES = 12
SEARCH_BYTES = 600  # the end of a part, which usually contains the last word
TICK_SECONDS = 0.01

_STREAM = re.compile(r'hx-sse:connect="([^"]*)"')
_PARTIAL = re.compile(
    r'<hx-partial hx-target="#message-[0-9a-f-]{36}([^"]*)" hx-swap="(\w*)">(.*?)</hx-partial>', re.DOTALL
)
_TAIL = re.compile(r'<div class="tail" id="[^"]*">')


@dataclass(frozen=True)
class Load:
    url: str
    model: str  # URL of the model server, which reports when it wrote each token
    runnel: bool
    streams: int = 1
    tokens: int = 200
    rate: float = 20.0  # tokens per second; 0: as fast as possible
    starts: float = 50.0  # per second
    viewers: int = 1  # per answer
    prompt_ms: float = 0.0


class Viewer:
    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []  # (time, number of words seen)
        self.parts: list[bytes] = []
        self.bytes = 0
        self.ended_at = 0.0
        self.error = ""

    def on_data(self, data: bytes) -> None:
        """Record a part of the stream. A word that is split between two parts counts with the second."""
        now = monotonic()
        before = self.parts[-1][-MAX_WORD_BYTES:] if self.parts else b""
        self.parts.append(data)
        data = before + data
        words = WORD.findall(data, max(0, len(data) - SEARCH_BYTES)) or WORD.findall(data)
        count = int(words[-1]) + 1 if words else 0
        if count > (self.seen[-1][1] if self.seen else 0):
            self.seen.append((now, count))

    async def watch(self, connection: Connection, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        before = connection.received
        response = await connection.request(method, path, body, headers, self.on_data)
        self.ended_at, self.bytes = monotonic(), connection.received - before
        if response.status != 200:
            self.error = f"{method} {path}: {response.status}"


class DirectAnswer:
    """One answer of the model server, requested and read by one viewer."""

    def __init__(self, number: int, load: Load) -> None:
        self.load, self.id = load, f"answer-{number}"
        address = urlsplit(load.url)
        self.viewers = [Viewer() for _ in range(load.viewers if load.runnel else 1)]
        self._connections = [Connection(address.hostname or "", address.port or 80) for _ in self.viewers]
        self.prompt = orjson.dumps(
            {"id": self.id, "tokens": load.tokens, "rate": load.rate, "prompt_ms": load.prompt_ms}
        ).decode()
        self.started_at = 0.0
        self.error = ""

    async def prepare(self) -> None:
        for connection in self._connections:
            await connection.open()

    async def run(self) -> None:
        self.started_at = monotonic()
        try:
            await self._run()
        except (OSError, TimeoutError, ConnectionError, AssertionError) as error:
            self.error = f"{type(error).__name__} {error}"

    async def _run(self) -> None:
        messages = [{"role": "user", "content": self.prompt}]
        body = orjson.dumps({"stream": True, "max_tokens": 100_000, "messages": messages})
        headers = {"Content-Type": "application/json"}
        await self.viewers[0].watch(self._connections[0], "POST", "/v1/chat/completions", body, headers)

    async def check(self) -> str:
        """Return an error message, or "" if the answer is complete and correct."""
        if error := self._transport_error():
            return error
        events = b"".join(self.viewers[0].parts).split(b"\n\n")
        deltas = [orjson.loads(event[6:])["choices"] for event in events if event.startswith(b"data: {")]
        received = "".join(choice[0]["delta"].get("content") or "" for choice in deltas if choice)
        return "" if received == text(self.load.tokens) else "the text differs from what the model wrote"

    def _transport_error(self) -> str:
        return self.error or next((viewer.error for viewer in self.viewers if viewer.error), "")

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class RunnelAnswer(DirectAnswer):
    """One answer in a Runnel chat: posts the form and opens the streams, as browsers do."""

    async def prepare(self) -> None:
        await super().prepare()
        response = await self._form("/chats", username="bench", new="1")
        assert response.status == 303, response
        self._chat = response.headers["location"]
        self._cookie = response.headers["set-cookie"].partition(";")[0]

    async def _run(self) -> None:
        response = await self._form(f"{self._chat}/messages", content=self.prompt)
        assert response.status == 201, f"POST: {response.status}"
        stream = _STREAM.search(response.body.decode())
        assert stream, "the response contains no stream"
        headers = {"Cookie": self._cookie, "Accept": "text/event-stream"}
        pairs = zip(self.viewers, self._connections, strict=True)
        await asyncio.gather(
            *(viewer.watch(connection, "GET", stream[1], b"", headers) for viewer, connection in pairs)
        )

    async def check(self) -> str:
        if error := self._transport_error():
            return error
        stored = await self._connections[0].request("GET", f"{self._chat}.json", headers={"Cookie": self._cookie})
        message = orjson.loads(stored.body)["messages"][-1]
        if (message["status"], message["content"]) != ("complete", text(self.load.tokens)):
            return f"the stored text ({message['status']}) differs from what the model wrote"
        expected = render(message["content"], f"message-{message['id']}-")
        wrong = sum(page_content(b"".join(viewer.parts)) != expected for viewer in self.viewers)
        return f"{wrong} viewers saw a different text" if wrong else ""

    async def _form(self, path: str, **fields: str) -> Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.load.url, "HX-Request": "true"}
        if hasattr(self, "_cookie"):
            headers["Cookie"] = self._cookie
        return await self._connections[0].request("POST", path, urlencode(fields).encode(), headers)


def page_content(stream: bytes) -> str:
    """Return the HTML of the answer after all events were applied: its finished blocks and, if any, the tail."""
    page, tail = "", 0
    for event in stream.decode().split("\n\n"):
        data = "\n".join(line[6:] for line in event.split("\n") if line.startswith("data: "))
        for target, swap, inside in _PARTIAL.findall(data):
            match target:
                case " .content":
                    page, tail = inside, 0
                case "-tail":
                    page = page[:tail] + inside
                case "-tail code":
                    end = page.rindex("</code>")
                    page = page[:end] + inside + page[end:]
                case "-tail code > span:last-child":
                    start, end = page.rindex("<span"), page.rindex("</span>")
                    if swap == "outerHTML":
                        page = page[:start] + inside + page[end + len("</span>") :]
                    else:
                        page = page[:end] + inside + page[end:]
                case path if path.startswith("-tail > "):  # a line grows; all of its elements end where the tail ends
                    ends = re.search(rf"(?:</\w+>\n*){{{path.count('>')}}}</div>\Z", page)
                    assert ends, f"no element to append to for {path}"
                    page = page[: ends.start()] + inside + page[ends.start() :]
                case _:
                    continue
            tail = found.start() if (found := _TAIL.search(page, tail)) else 0
    return page


async def run(load: Load) -> dict[str, Any]:
    answers = [(RunnelAnswer if load.runnel else DirectAnswer)(number, load) for number in range(load.streams)]
    await _with_limit(answer.prepare() for answer in answers)
    _step("ready")
    lateness: list[float] = []
    ticker = asyncio.create_task(_tick(lateness))
    cpu, started = time.process_time(), monotonic()
    await asyncio.gather(*(_later(number / load.starts, answer) for number, answer in enumerate(answers)))
    cpu, seconds = time.process_time() - cpu, monotonic() - started
    ticker.cancel()
    _step("done")
    errors: list[str] = []

    async def check(answer: DirectAnswer) -> None:
        if error := await answer.check():
            errors.append(error)

    await _with_limit(check(answer) for answer in answers)
    server = urlsplit(load.model)
    times = await Connection(server.hostname or "", server.port or 80).request("GET", "/times")
    for answer in answers:
        answer.close()
    return {
        **_figures(answers, orjson.loads(times.body)),
        "answers": len(answers),
        "errors": errors,
        "load_cpu": cpu / seconds,
        "load_late_ms": 1000 * percentile(sorted(lateness), 0.99),
    }


def _figures(answers: list[DirectAnswer], written: dict[str, list[float]]) -> dict[str, Any]:
    first: list[float] = []
    gaps: list[float] = []
    added: list[float] = []
    walls: list[float] = []
    sent = 0
    for answer in answers:
        for viewer in answer.viewers:
            if not viewer.seen or viewer.error or answer.error:
                continue
            first.append(viewer.seen[0][0] - answer.started_at)
            walls.append(viewer.ended_at - answer.started_at)
            gaps += [later - earlier for (earlier, _), (later, _) in pairwise(viewer.seen)]
            added += _added(viewer.seen, written.get(answer.id, []))
            sent += viewer.bytes
    first, gaps, added, walls = sorted(first), sorted(gaps), sorted(added), sorted(walls)
    tokens = sum(answer.load.tokens * len(answer.viewers) for answer in answers)
    figures: dict[str, Any] = {"bytes_per_token": sent / max(1, tokens)}
    for name, values in (("first", first), ("gap", gaps), ("added", added), ("wall", walls)):
        figures |= {f"{name}_p50_ms": 1000 * percentile(values, 0.5), f"{name}_p99_ms": 1000 * percentile(values, 0.99)}
    return figures


def _added(seen: list[tuple[float, int]], written: list[float]) -> Iterator[float]:
    """Yield for each token the seconds between its writing and its arrival."""
    before = 0
    for at, count in seen:
        yield from (at - wrote for wrote in written[before:count])
        before = count


def percentile(values: list[float], share: float) -> float:
    """Return the percentile of sorted values, or 0 if there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


async def _tick(lateness: list[float]) -> None:
    """Record how late this process wakes up. If it is late, the load generator is too slow."""
    while True:
        due = monotonic() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        lateness.append(monotonic() - due)


async def _later(seconds: float, answer: DirectAnswer) -> None:
    await asyncio.sleep(seconds)
    await answer.run()


async def _with_limit(coroutines: Any) -> None:
    limit = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

    async def run_one(coroutine: Any) -> None:
        async with limit:
            await coroutine

    await asyncio.gather(*map(run_one, coroutines))


def _step(word: str) -> None:
    """Report a step to the parent process and wait for its line."""
    print(word, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    given = Load(**orjson.loads(sys.stdin.readline()))
    print(orjson.dumps({"load": asdict(given), **uvloop.run(run(given))}).decode(), flush=True)
