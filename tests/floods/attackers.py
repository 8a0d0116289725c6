"""`python -m tests.floods.attackers ORIGIN SECONDS EACH`: EACH clients of every kind that hold connections open.

Each uses its own address (127.0.1.1 and so on), so that limits per address do not apply.
At the end it prints the outcomes as one line of JSON.
"""

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode, urlsplit

HOARD = 60  # streams that one client tries to keep open
LITTLE = 4096  # receive buffer of a client that reads nothing, in bytes
LONG_ANSWER = json.dumps(
    {"text": "One long paragraph that nobody reads. " * 800, "delay_ms": 100}
)  # sent again at every step
SILENT_ANSWER = json.dumps({"text": "word " * 400, "hang_after": 3})

counts: Counter[str] = Counter()


class Attacker:
    def __init__(self, origin: str, number: int, until: float) -> None:
        parts = urlsplit(origin)
        self.origin, self.host, self.port = origin, parts.hostname, parts.port
        self.address, self.until = f"127.0.1.{number + 1}", until

    @property
    def is_active(self) -> bool:
        return time.monotonic() < self.until

    async def connect(self, small: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = socket.socket()
        if small:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
        connection.setblocking(False)
        connection.bind((self.address, 0))
        await asyncio.get_running_loop().sock_connect(connection, (self.host, self.port))
        return await asyncio.open_connection(sock=connection, limit=LITTLE)

    def head(self, method: str, path: str, **headers: Any) -> bytes:
        given = {"Host": f"{self.host}:{self.port}", "Origin": self.origin} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        return "".join(
            [f"{method} {path} HTTP/1.1\r\n", *(f"{name}: {text}\r\n" for name, text in given.items()), "\r\n"]
        ).encode()

    async def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: Any) -> dict[str, str]:
        """Reads only the head of the response."""
        body = urlencode(form or {}).encode()
        kind = (
            {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": len(body)}
            if method == "POST"
            else {}
        )
        reader, writer = await self.connect()
        writer.write(self.head(method, path, **kind, **headers) + body)
        try:
            status, *lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        finally:
            writer.close()
        return {"status": status.split()[1]} | {
            name.lower(): text for name, _, text in (line.partition(": ") for line in lines)
        }

    async def answer(self, script: str) -> tuple[str, str]:
        """Starts an answer in a new session; returns the path of its stream and the cookie."""
        began = await self.ask("POST", "/chats", {"username": "Eve"})
        cookie = began["set-cookie"].partition(";")[0]
        said = await self.ask("POST", f"{began['location']}/messages", {"content": script}, Cookie=cookie)
        return said["location"].replace("#message-", "/messages/") + "/stream", cookie

    # Attacks

    async def dribble_headers(self) -> None:
        _, writer = reader_writer = await self.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        await self._dribble("headers", *reader_writer)

    async def dribble_body(self) -> None:
        _, writer = reader_writer = await self.connect()
        writer.write(
            self.head("POST", "/chats", Content_Length=300_000, Content_Type="application/x-www-form-urlencoded")
        )
        await self._dribble("body", *reader_writer)

    async def leave_unread(self) -> None:
        path, cookie = await self.answer(LONG_ANSWER)
        _, writer = await self.connect(small=True)
        writer.write(self.head("GET", path, Cookie=cookie, Accept="text/event-stream"))
        counts["unread"] += 1
        await asyncio.sleep(max(0, self.until - time.monotonic()))
        writer.close()

    async def hoard(self) -> None:
        path, cookie = await self.answer(SILENT_ANSWER)
        streams = []
        for _ in range(HOARD):
            reader, writer = await self.connect()
            writer.write(self.head("GET", path, Cookie=cookie, Accept="text/event-stream"))
            counts["hoarded " + (await asyncio.wait_for(reader.readline(), 10)).split()[1].decode()] += 1
            streams.append(writer)
        await asyncio.sleep(max(0, self.until - time.monotonic()))
        for writer in streams:
            writer.close()

    async def send_giants(self) -> None:
        for body in (b"x=1&" * 99_000, b"x" * 399_000, b"x" * 10_000_000):
            reader, writer = await self.connect()
            writer.write(
                self.head("POST", "/chats", Content_Length=len(body), Content_Type="application/x-www-form-urlencoded")
            )
            with contextlib.suppress(ConnectionError):
                writer.write(body)
                counts["giant " + (await asyncio.wait_for(reader.readline(), 10)).split()[1].decode()] += 1
            writer.close()
            await asyncio.sleep(1)

    async def _dribble(self, what: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut = False
        while self.is_active and not cut:
            writer.write(b"x")
            await asyncio.sleep(0.5)
            try:
                cut = not await asyncio.wait_for(reader.read(1), 0.01)
            except TimeoutError:
                continue
            except ConnectionError:
                cut = True
        counts[f"{what} cut" if cut else f"{what} held"] += 1
        writer.close()


async def again_and_again(attacker: Attacker, attack: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while attacker.is_active:
        try:
            await attack()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, IndexError, KeyError) as error:
            counts[f"{attack.__name__} failed: {type(error).__name__}"] += 1
            await asyncio.sleep(0.2)


async def main(origin: str, seconds: float, each: int) -> None:
    until, attacks = time.monotonic() + seconds, []
    for number in range(each):
        for kind, name in enumerate(("dribble_headers", "dribble_body", "leave_unread", "hoard", "send_giants")):
            attacker = Attacker(origin, number * 5 + kind, until)
            attacks.append(again_and_again(attacker, getattr(attacker, name)))
    await asyncio.gather(*attacks)
    print(json.dumps(counts))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
