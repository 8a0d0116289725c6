"""One supervised service: start it, wait until it is ready, restart it when it exits."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from dev import process
from dev.rundir import RunDir
from dev.terminal import StartError, last_lines, progress
from dev.unprivileged import Account

POLL_SECONDS = 0.03
REQUEST_SECONDS = 3.0
STILL_WAITING_SECONDS = 10.0
MAX_RESTART_DELAY_SECONDS = 5.0


@dataclass
class Service:
    name: str
    command: Sequence[str | Path]
    environ: Mapping[str, str]
    log: Path
    cwd: Path
    is_ready: Callable[[], Awaitable[bool]]
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 12.0  # the services limit their own shutdown to 10
    start_seconds: float = 60.0  # maximum time until the first start is ready
    batch: bool = False  # see process.start
    ready: asyncio.Event = field(default_factory=asyncio.Event)  # set once, by the first start that is ready
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def supervise(self, run: RunDir) -> None:
        """Run the service until `stopping` is set, and restart it when it exits.

        Raises StartError if the service exits before it is ready for the first time.
        """
        failures = 0  # consecutive starts that exited before the service was ready
        while not self.stopping.is_set():
            was_ready, code = await self._run_once(run)
            if self.stopping.is_set():
                break
            if not self.ready.is_set():
                raise StartError(
                    f"{self.name} cannot start ({process.exit_reason(code)}); "
                    f"the end of {self.log}:{last_lines(self.log)}"
                )
            failures = 0 if was_ready else failures + 1
            delay = min(MAX_RESTART_DELAY_SECONDS, 0.25 * 2**failures) if failures else 0.0
            when = f"restarting in {delay:.1f} s" if delay else "restarting now"
            progress(f"{self.name} exited unexpectedly ({process.exit_reason(code)}); {when}; log: {self.log}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), delay)
        run.remove_pid(self.name)

    async def _run_once(self, run: RunDir) -> tuple[bool, int]:
        """Run the service until it exits or `stopping` is set. Returns (whether it was ready, exit code)."""
        child = await process.start(
            self.command, self.log, self.environ, self.cwd, self.account, self.stop_signal, self.batch
        )
        run.write_pid(self.name, child.pid)
        exited, stopping, readiness = tasks = [
            asyncio.create_task(child.wait()),
            asyncio.create_task(self.stopping.wait()),
            asyncio.create_task(self._wait_ready()),
        ]
        try:
            waiting: set[asyncio.Task[object]] = {*tasks}
            while not (exited.done() or stopping.done()):
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if readiness.done():
                    readiness.result()
                    waiting.discard(readiness)
            return readiness.done(), await self._stop(child)
        finally:
            for task in tasks:
                task.cancel()
            await self._stop(child)

    async def _stop(self, child: asyncio.subprocess.Process) -> int:
        """Stop the process and its children, which may hold its port. Returns the exit code."""
        await process.stop(child, self.stop_signal, self.stop_seconds)
        return await child.wait()

    async def _wait_ready(self) -> None:
        started = reported = time.monotonic()
        while not await self.is_ready():
            now = time.monotonic()
            if now - started > self.start_seconds and not self.ready.is_set():
                raise StartError(
                    f"{self.name} is not ready after {self.start_seconds:.0f} s; "
                    f"the end of {self.log}:{last_lines(self.log)}"
                )
            if now - reported > STILL_WAITING_SECONDS:
                reported = now
                progress(f"still waiting for {self.name} ({now - started:.0f} s); log: {self.log}")
            await asyncio.sleep(POLL_SECONDS)
        progress(f"{self.name} is {'back' if self.ready.is_set() else 'ready'}")
        self.ready.set()


async def get(url: str, host: str = "") -> httpx.Response | None:
    """Send one GET to a local service. Returns None if there is no response. `host` replaces the Host header."""
    headers = {"Accept": "application/json"} | ({"Host": host} if host else {})
    # The services speak plain http; loading the CA certificates would take 90 ms of CPU for each request
    client = httpx.AsyncClient(trust_env=False, verify=False, timeout=REQUEST_SECONDS)  # noqa: S501
    try:
        async with client:
            return await client.get(url, headers=headers)
    except httpx.HTTPError:
        return None


def responds(url: str) -> Callable[[], Awaitable[bool]]:
    """Return a readiness check that accepts any HTTP response."""

    async def is_ready() -> bool:
        return await get(url) is not None

    return is_ready


def responds_ok(url: str) -> Callable[[], Awaitable[bool]]:
    """Return a readiness check that requires status 200."""

    async def is_ready() -> bool:
        response = await get(url)
        return response is not None and response.status_code == 200

    return is_ready
