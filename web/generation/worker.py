"""The worker of this process: claims answers, runs a task for each, and hands them over when the process shuts down.

An answer belongs to the process that claims it (by a lease and a fencing token), never to a request. Viewers make no
difference.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections import Counter
from uuid import UUID

from web.clients.dbapi import Dbapi
from web.clients.llama import Llama
from web.clients.models import Models
from web.contract import Claim, ClaimedAnswer, Message, Prompt
from web.errors import UserError
from web.generation.log_writer import LogWriter
from web.generation.titles import Titles
from web.generation.writer import Writer
from web.live.hub import LiveAnswers
from web.settings import Settings

IDLE_SECONDS = 1.0
EXPIRY_MARGIN_SECONDS = 0.02
MAX_SLOTS = 100_000  # that dbapi accepts
MAX_REMEMBERED = 1000  # answers whose claims this process counts

logger = logging.getLogger("web.worker")


class Worker:
    def __init__(
        self, settings: Settings, dbapi: Dbapi, models: Models, log_writer: LogWriter, live_answers: LiveAnswers
    ) -> None:
        self._settings, self._dbapi, self._models = settings, dbapi, models
        self._log_writer, self._live_answers = log_writer, live_answers
        self.titles = Titles(settings, dbapi)
        self._writer = Writer(settings, dbapi, models, log_writer, live_answers, self.titles, self.check_queue)
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: Counter[Llama] = Counter()  # answers by model server
        self._own_claims: dict[str, int] = {}  # claims in a row, by generation id
        self._releases: set[asyncio.Task[None]] = set()
        self._is_leaving = False
        self._wake = asyncio.Event()

    @property
    def running(self) -> int:
        return len(self._tasks)

    @property
    def ended(self) -> Counter[str]:
        return self._writer.ended

    def claim(self) -> Claim | None:
        """The claim sent with a new turn, so that one request stores and claims it.

        None when this process shuts down.
        """
        if self._is_leaving:
            return None
        pools = self._models.pools()
        slots = min(sum(pool["slots"] for pool in pools), MAX_SLOTS)
        return {"owner": self.owner, "slots": slots, "lease": self._settings.lease_seconds, "pools": pools}

    def begin(self, message: Message, claimed: ClaimedAnswer | None, prompt: Prompt | None = None) -> None:
        """Starts the answer of a new turn, of a regeneration or of a continuation, or leaves it in the queue if it is
        not claimed."""
        if claimed is None:
            self.check_queue()
            return
        if not claimed["last_seq"]:
            self._live_answers.started(UUID(claimed["session_id"]), UUID(claimed["chat_id"]), message)
        self._write(claimed, prompt)

    def check_queue(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Claims queued answers, and those whose lease has expired."""
        pause = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()
            pause = IDLE_SECONDS
            claim = self.claim()
            if claim is None:
                return
            with contextlib.suppress(UserError):
                work = await self._dbapi.claim(claim)
                for claimed in work["claimed"]:
                    self._write(claimed)
                if work["waiting"] or work["streaming"] + self.titles.running > claim["slots"]:
                    self.titles.give_up_all()
                if work["next_expiry"] is not None:
                    pause = min(max(work["next_expiry"], 0.0) + EXPIRY_MARGIN_SECONDS, IDLE_SECONDS)

    async def hand_over(self) -> None:
        """Flushes the log and ends the leases, so that other processes continue at once.

        The model server keeps writing.
        """
        self._is_leaving = True
        await self.titles.stop()
        held = self._log_writer.held()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._release(held)
        await asyncio.gather(*self._releases)

    def _write(self, claimed: ClaimedAnswer, prompt: Prompt | None = None) -> None:
        if earlier := self._tasks.get(claimed["id"]):
            earlier.cancel()  # this process slept through its own lease
        own_claims = self._count_claim(claimed)
        if self._is_leaving:  # claimed while the process began to shut down
            release = asyncio.create_task(self._release([(claimed["id"], claimed["fence"])]))
            self._releases.add(release)
            release.add_done_callback(self._releases.discard)
            return
        task = asyncio.create_task(self._writer.write(claimed, prompt, own_claims), name=f"answer {claimed['id']}")
        self._tasks[claimed["id"]] = task
        llama = self._models.of(claimed["request"].get("model"))
        self._running[llama] += 1
        self.titles.make_room(UUID(claimed["chat_id"]), llama, self._running[llama])
        task.add_done_callback(lambda done: self._ended(claimed["id"], llama, done))

    def _count_claim(self, claimed: ClaimedAnswer) -> int:
        """Counts the claims in a row that this process made, including this one: it survived them, so they do not
        crash it."""
        count = self._own_claims.pop(claimed["id"], 0) if claimed["attempts"] > 1 else 0
        self._own_claims[claimed["id"]] = count + 1
        if len(self._own_claims) > MAX_REMEMBERED:
            del self._own_claims[next(iter(self._own_claims))]
        return count + 1

    async def _release(self, held: list[tuple[str, int]]) -> None:
        if held:
            with contextlib.suppress(UserError):  # the leases end by themselves, only later
                await self._dbapi.release(held)

    def _ended(self, generation_id: str, llama: Llama, task: asyncio.Task[None]) -> None:
        self._running[llama] -= 1
        if self._tasks.get(generation_id) is task:
            del self._tasks[generation_id]
        if not task.cancelled() and task.exception():
            logger.error("writing an answer failed", exc_info=task.exception())
            self.check_queue()
