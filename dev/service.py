"""One service: started, waited for, started again when it dies."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dev import process
from dev.rundir import RunDir
from dev.terminal import StartError, last_lines, say
from dev.unprivileged import Account

POLL_SECONDS = 0.03
STILL_WAITING_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 5.0


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
    stop_seconds: float = 12.0  # services give themselves 10
    patience: float = 60.0  # seconds, for the first start
    batch: bool = False  # see process.start
    ready: asyncio.Event = field(default_factory=asyncio.Event)  # once, ever
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def keep_running(self, run: RunDir) -> None:
        """Until `stopping`. StartError when it dies before it was ever ready; later deaths are followed by a new start."""
        in_vain = 0  # starts in a row that led to nothing
        while not self.stopping.is_set():
            was_up, code = await self._live_once(run)
            if self.stopping.is_set():
                break
            if not self.ready.is_set():
                raise StartError(f"{self.name} can't start ({process.ending(code)}); the end of {self.log}:{last_lines(self.log)}")
            in_vain = 0 if was_up else in_vain + 1
            pause = min(LONGEST_PAUSE_SECONDS, 0.25 * 2**in_vain) if in_vain else 0.0
            when = f"in {pause:.1f} s" if pause else "now"
            say(f"{self.name} died ({process.ending(code)}); starting it again {when}; its log: {self.log}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause)
        run.remove_pid(self.name)

    async def _live_once(self, run: RunDir) -> tuple[bool, int]:
        """From start to end, its own or the one asked for: whether it was ready meanwhile, and its exit code."""
        child = await process.start(self.command, self.log, self.environ, self.cwd, self.account, self.stop_signal, self.batch)
        run.write_pid(self.name, child.pid)
        ended, asked, readiness = tasks = [
            asyncio.create_task(child.wait()),
            asyncio.create_task(self.stopping.wait()),
            asyncio.create_task(self._until_ready()),
        ]
        try:
            waiting: set[asyncio.Task[object]] = {*tasks}
            while not (ended.done() or asked.done()):
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if readiness.done():
                    readiness.result()
                    waiting.discard(readiness)
            return readiness.done(), await self._end(child)
        finally:
            for task in tasks:
                task.cancel()
            await self._end(child)

    async def _end(self, child: asyncio.subprocess.Process) -> int:
        """With its own children, which may hold its port."""
        await process.stop(child, self.stop_signal, self.stop_seconds)
        return await child.wait()

    async def _until_ready(self) -> None:
        started = told = time.monotonic()
        while not await self.is_ready():
            now = time.monotonic()
            if now - started > self.patience and not self.ready.is_set():
                raise StartError(f"{self.name} isn't ready after {self.patience:.0f} s; the end of {self.log}:{last_lines(self.log)}")
            if now - told > STILL_WAITING_SECONDS:
                told = now
                say(f"still waiting for {self.name} ({now - started:.0f} s); its log: {self.log}")
            await asyncio.sleep(POLL_SECONDS)
        say(f"{self.name} is {'back' if self.ready.is_set() else 'ready'}")
        self.ready.set()
