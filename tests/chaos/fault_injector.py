"""Finds, kills and freezes the processes of a Runnel, and checks that all is well afterwards."""

import asyncio
import contextlib
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from tests.chaos.browser_tab import BrowserTab
from tests.chaos.model_server import ModelServer
from tests.stack import client, until
from tests.system.running import Runnel
from tests.system.user import User

REPLICAS = ("web-1", "web-2")
LEASE_SECONDS = 3.0
SILENCE_SECONDS = 3.0  # of the model, after which an answer times out
MAX_GAP_SECONDS = 5.0  # for viewers when a writer dies


class FaultInjector:
    def __init__(self, runnel: Runnel, model: ModelServer) -> None:
        self.runnel, self.model, self.origin = runnel, model, runnel.origin
        self._read: dict[Path, int] = {}

    # Find processes

    def pid(self, service: str) -> int:
        return self.runnel.dev.pid(service)

    def url(self, service: str) -> str:
        return self.runnel.dev.url(service)

    def children(self, service: str) -> list[int]:
        pid = self.pid(service)
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def query(self, sql: str, *values: Any) -> Any:
        """Returns one value, as the owner of the tables."""
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            return await connection.fetchval(sql, *values)
        finally:
            await connection.close()

    async def writer(self, path: str) -> str:
        """Waits until a replica writes this answer, and returns its name."""
        message_id = path.rpartition("/")[2]
        owner = await until(
            lambda: self.query(
                "SELECT owner FROM generations WHERE message_id = $1 AND status = 'streaming'", message_id
            )
        )
        pid = int(owner.split("-")[-2])
        return next(replica for replica in REPLICAS if self.pid(replica) == pid)

    def other(self, replica: str) -> str:
        return next(other for other in REPLICAS if other != replica)

    # Inject faults

    def send(self, service: str, what: signal.Signals) -> None:
        os.kill(self.pid(service), what)

    @contextlib.asynccontextmanager
    async def frozen(self, service: str) -> AsyncIterator[None]:
        pid = self.pid(service)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def replaced(self, service: str, pid: int) -> None:
        """Waits until a new process has replaced this one and is ready."""
        await until(lambda: self.pid(service) != pid)
        await until(lambda: self.is_ready(service))

    # Check the state

    async def wait_until_ready(self) -> None:
        for service in (*REPLICAS, "dbapi-1"):
            await until(lambda service=service: self.is_ready(service), lambda: self.runnel.dev.text[-3000:])  # type: ignore[misc]

    async def is_ready(self, service: str) -> bool:
        try:
            async with client(self.url(service)) as http:
                ready = await http.get("/readyz")
            return ready.status_code == 200 and ready.json().get("model", "ready") == "ready"
        except (httpx.HTTPError, OSError):
            return False

    def new_tracebacks(self) -> list[str]:
        """Tracebacks logged since the last call. No injected fault explains one."""
        found = []
        for log in (self.runnel.dev.run.parent / "log").glob("*-?.log"):
            text = log.read_bytes()[self._read.get(log, 0) :]
            self._read[log] = self._read.get(log, 0) + len(text)
            lines = [json.loads(line) for line in text.decode().splitlines() if line.startswith("{")]
            found += [f"{log.name}: {line}" for line in lines if "Traceback" in json.dumps(line)]
        return found

    # Check answers

    def at(self, user: User, service: str) -> httpx.AsyncClient:
        """A client with the cookies of this user, connected directly to this replica."""
        url = self.url(service)
        return client(url, headers={"Origin": url}, cookies=user.http.cookies)

    async def exact(self, user: User, path: str, text: str, *tabs: BrowserTab) -> None:
        """Checks that the stored answer, a reload and all tabs show exactly this text."""
        message = await user.ended(path)
        assert message["status"] == "complete", (message["status"], message["error"])
        assert message["content"] == text, f"stored: {message['content'][-200:]!r}, expected: {text[-200:]!r}"
        reloaded = await BrowserTab(user.http, path).load()
        assert reloaded.is_done
        async with asyncio.timeout(20):
            await asyncio.gather(*(tab.follow() for tab in tabs))
        for tab in tabs:
            assert tab.content == reloaded.content, (
                f"shown: {tab.content[-300:]!r}, after a reload: {reloaded.content[-300:]!r}"
            )


async def random_pause(longest: float, shortest: float = 0.0) -> None:
    await asyncio.sleep(random.uniform(shortest, longest))
