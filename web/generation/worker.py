"""The answers that this process writes: each is a task of the process, never of a request.

It is claimed (a lease, a fence), written by `web/generation/writer.py`, and handed over when the process leaves. Who watches, or whether
anybody does, makes no difference.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections import Counter
from typing import Any

from web.clients.dbapi import Dbapi
from web.clients.llama import Llama
from web.errors import Failure
from web.generation.log_writer import Log
from web.generation.writer import Writer
from web.live.hub import Watch
from web.settings import Settings

IDLE_CLAIM_SECONDS = 1.0
MOST_REMEMBERED = 1000  # answers whose claims a process remembers

logger = logging.getLogger("web.answers")


class Answers:
    def __init__(self, settings: Settings, dbapi: Dbapi, llama: Llama, log: Log, watch: Watch) -> None:
        self._settings, self._dbapi, self._llama, self._log = settings, dbapi, llama, log
        self._writer = Writer(settings, dbapi, llama, log, watch, self.look_for_work)
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._claims: dict[str, int] = {}  # of an answer, in a row, by this process: it has survived them
        self._releases: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._wake = asyncio.Event()

    @property
    def running(self) -> int:
        return len(self._tasks)

    @property
    def ended(self) -> Counter[str]:
        return self._writer.ended

    def claim(self) -> dict[str, Any] | None:
        """What a turn needs to be claimed as soon as it is made; None if this process takes no more."""
        if self._leaving:
            return None
        return {"owner": self.owner, "slots": self._llama.slots, "lease": self._settings.lease_seconds}

    def begin(self, claimed: dict[str, Any], prompt: dict[str, Any] | None = None) -> None:
        """Writes a claimed answer from now on; without the prompt it is asked for."""
        if asleep := self._tasks.get(claimed["id"]):
            asleep.cancel()  # this process has slept through its own lease
        survived = self._remember(claimed)
        if self._leaving:  # it was claimed while we were told to go
            release = asyncio.create_task(self._release([(claimed["id"], claimed["fence"])]))
            self._releases.add(release)
            release.add_done_callback(self._releases.discard)
            return
        task = asyncio.create_task(self._writer.write(claimed, prompt, survived), name=f"answer {claimed['id']}")
        self._tasks[claimed["id"]] = task
        task.add_done_callback(lambda done: self._ended(claimed["id"], done))

    def _remember(self, claimed: dict[str, Any]) -> int:
        """How many claims of this answer in a row this process has survived, with this one."""
        before = self._claims.pop(claimed["id"], 0) if claimed["attempts"] > 1 else 0
        self._claims[claimed["id"]] = before + 1
        if len(self._claims) > MOST_REMEMBERED:
            del self._claims[next(iter(self._claims))]
        return before + 1

    def look_for_work(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Claims what nobody writes: queued answers, and those whose writer is gone."""
        pause = 0.0
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            pause = IDLE_CLAIM_SECONDS
            claim = self.claim()
            if claim is None:
                return
            try:
                work = await self._dbapi.claim(**claim)
            except Failure:
                continue
            for claimed in work["claimed"]:
                self.begin(claimed)
            if work["next_expiry"] is not None:
                pause = min(max(work["next_expiry"], 0.0) + 0.02, IDLE_CLAIM_SECONDS)

    async def hand_over(self) -> None:
        """Leaves: what was read is logged, the leases are ended, and others go on at once. The model keeps writing."""
        self._leaving = True
        held = self._log.held()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._release(held)
        await asyncio.gather(*self._releases)

    async def _release(self, held: list[tuple[str, int]]) -> None:
        if held:
            with contextlib.suppress(Failure):  # the leases end by themselves, only later
                await self._dbapi.release(held)

    def _ended(self, generation_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(generation_id) is task:
            del self._tasks[generation_id]
        if not task.cancelled() and task.exception():
            logger.error("writing an answer failed", exc_info=task.exception())
            self.look_for_work()
