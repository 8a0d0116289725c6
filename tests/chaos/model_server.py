"""The scripted model server as a separate process that can be killed, frozen and restarted."""

import asyncio
import json
import random
import signal
import sys
from pathlib import Path
from typing import Any

import httpx

from dev import ports, process
from tests.fake_llama.scripts import tokenize
from tests.stack import BASE_ENVIRON, ROOT, client, until

SLOTS = 32


class ModelServer:
    def __init__(self, log: Path) -> None:
        self.port = ports.free()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._process: asyncio.subprocess.Process

    async def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "tests.fake_llama", "--port", str(self.port), "--slots", str(SLOTS), *options]
        self._process = await process.start(command, self._log, BASE_ENVIRON, ROOT)
        async with client(self.url) as http:
            await until(lambda: answers(http), self._log.read_text)

    async def kill(self) -> None:
        await process.stop(self._process, signal.SIGKILL)

    def send(self, what: signal.Signals) -> None:
        self._process.send_signal(what)

    async def seen(self) -> Any:
        async with client(self.url) as http:
            return (await http.get("/__seen")).json()

    async def requests_of(self, script: str) -> list[Any]:
        """The bodies of all requests for this answer."""
        bodies = [request["body"] for request in (await self.seen())["requests"] if "body" in request]
        return [
            body for body in bodies if any(message["content"] == script for message in body.get("messages", [])[-2:])
        ]

    async def is_idle(self) -> bool:
        """Whether no request runs or waits."""
        counters = (await self.seen())["counters"]
        return bool(counters["active"] + counters["waiting"] == 0)

    async def control(self, **settings: Any) -> None:
        async with client(self.url) as http:
            (await http.post("/__control", json=settings)).raise_for_status()


async def answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/v1/models")).is_success
    except httpx.TransportError:
        return False


def text(parts: int = 15) -> str:
    """A unique answer. All its letters and digits are visible, in this order."""
    name = f"{random.randrange(10**9)}"
    sentence = "Sentence {} of " + name + ", with **bold**, `code`, ümläuts and 🙂.\n\n"
    block = "- item {0}\n- item {0}b\n\n```\nx = {0}\n```\n\n"
    return "".join((block if part % 4 == 3 else sentence).format(part) for part in range(parts))


def script(text: str, seconds: float, **more: Any) -> str:
    """The message that makes the model server write this text in about so many seconds."""
    return json.dumps({"text": text, "delay_ms": round(1000 * seconds / len(tokenize(text)), 1)} | more)
