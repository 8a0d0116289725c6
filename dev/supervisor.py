"""Starts the house in order, side by side where it can be, keeps it running, and stops it in order."""

import asyncio
import json
import os
import signal
import time

from dev.service import Service
from dev.services import Services
from dev.terminal import line, say

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STILL_WAITING_SECONDS = 10.0


class Supervisor:
    def __init__(self, house: Services) -> None:
        self.house = house
        self.services: dict[str, list[Service]] = {}  # by kind
        self.keepers: dict[str, asyncio.Task[None]] = {}  # by service

    async def run(self) -> None:
        """Until a stop signal; raises StartError when something can't start, after everything has been stopped."""
        asked = asyncio.Event()
        for number in STOP_SIGNALS:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
                asyncio.get_running_loop().add_signal_handler(number, asked.set)
        told = asyncio.create_task(_told_to_stop(asked))
        start = asyncio.create_task(self._start())
        try:
            while not told.done():
                working = {task for task in (start, *self.keepers.values()) if not task.done() or task.exception()}
                done, _ = await asyncio.wait({told, *working}, return_when=asyncio.FIRST_COMPLETED, timeout=0.5)
                for task in done:
                    task.result()
        finally:
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            await self._stop()

    async def _start(self) -> None:
        house = self.house
        await asyncio.gather(
            self._up("nginx", [house.nginx()]),
            self._up("llama", house.llama()),
            self._start_services(),
        )
        await self._wait_for_a_chat()
        line(f"ready: {house.settings.public_url}")

    async def _start_services(self) -> None:
        house = self.house
        if house.cluster:
            if house.cluster.is_new:
                say(f"making a new PostgreSQL cluster in {house.cluster.link}")
                await house.cluster.make()
            await self._up("postgres", [house.postgres(house.cluster)])
            await house.cluster.make_owner()
        await house.migrate()
        say("the database is up to date")
        await self._up("inner-nginx", house.inner_nginx())
        await self._up("dbapi", house.dbapi())
        await self._up("web", house.web())

    async def _up(self, kind: str, services: list[Service]) -> None:
        self.services[kind] = services
        for service in services:
            self.keepers[service.name] = asyncio.create_task(service.keep_running(self.house.run))
        for service in services:
            await service.ready.wait()

    async def _wait_for_a_chat(self) -> None:
        told = time.monotonic()
        while True:
            answer = await self.house.can_chat()
            model = _model(answer.body)
            if answer.status == 200 and model == "ready":
                return
            if time.monotonic() - told > STILL_WAITING_SECONDS:
                told = time.monotonic()
                say(f"still waiting: web answers {answer.status or 'nothing'}, the model at {self.house.llama_url} is {model}")
            await asyncio.sleep(0.05)

    async def _stop(self) -> None:
        """nginx takes nobody in any more, web hands its streams over, and so on inwards; PostgreSQL is last."""
        say("stopping")
        for service in self.services.get("nginx", []):
            service.stopping.set()
        for kind in ("web", "nginx", "dbapi", "inner-nginx", "llama", "postgres"):
            services = self.services.get(kind, [])
            for service in services:
                service.stopping.set()
            await asyncio.gather(*(self.keepers[service.name] for service in services), return_exceptions=True)
        say("stopped")


async def _told_to_stop(asked: asyncio.Event) -> None:
    """By a signal; or by the death of make, which would have passed its signal on had it been asked kindly."""
    parent = os.getppid()
    while not asked.is_set() and not ("MAKELEVEL" in os.environ and os.getppid() != parent):
        try:
            await asyncio.wait_for(asked.wait(), 0.5)
        except TimeoutError:
            continue


def _model(body: bytes) -> str:
    try:
        return str(json.loads(body)["model"])
    except (ValueError, KeyError, TypeError):
        return "not known"
