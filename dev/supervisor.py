"""Starts all services in order of their dependencies, supervises them, and stops them in the reverse order."""

import asyncio
import os
import signal
import time

import httpx

from dev import reach
from dev.service import Service
from dev.services import Services
from dev.terminal import line, progress

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STILL_WAITING_SECONDS = 10.0
POLL_SECONDS = 0.05
MODEL_SECONDS = 1.0  # for web to find the model server that LLAMA_URL names


class Supervisor:
    def __init__(self, system: Services) -> None:
        self.system = system
        self.services: dict[str, list[Service]] = {}  # by kind
        self.tasks: dict[str, asyncio.Task[None]] = {}  # by service

    async def run(self) -> None:
        """Run until a stop signal. Raises StartError after stopping everything if a service cannot start."""
        signalled = asyncio.Event()
        for number in STOP_SIGNALS:
            # nohup ignores SIGHUP; keep it ignored
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, signalled.set)
        stop = asyncio.create_task(_wait_for_stop(signalled))
        start = asyncio.create_task(self._start())
        try:
            while not stop.done():
                working = {task for task in (start, *self.tasks.values()) if not task.done() or task.exception()}
                done, _ = await asyncio.wait({stop, *working}, return_when=asyncio.FIRST_COMPLETED, timeout=0.5)
                for task in done:
                    task.result()
        finally:
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            await self._stop()

    async def _start(self) -> None:
        llama = asyncio.create_task(self._launch("llama", self.system.llama()))
        try:
            await asyncio.gather(self._launch("nginx", [self.system.nginx()]), self._start_services())
            if not llama.done():
                progress(f"{self.system.settings.public_url} is available; the model is still loading")
            await llama
        finally:
            llama.cancel()
        await self._wait_until_usable()
        line(f"ready: {self.system.settings.public_url}")
        if hint := reach.hint(self.system.settings):
            line(f"       {hint}")

    async def _start_services(self) -> None:
        system = self.system
        if system.cluster:
            if system.cluster.is_new:
                progress(f"creating a PostgreSQL cluster in {system.cluster.link}")
                await system.cluster.create()
            await self._launch("postgres", [system.postgres(system.cluster)])
            await system.cluster.create_owner()
        await system.migrate()
        progress("the database schema is up to date")
        await self._launch("inner-nginx", system.inner_nginx())
        await self._launch("dbapi", system.dbapi())
        await self._launch("web", system.web())

    async def _launch(self, kind: str, services: list[Service]) -> None:
        """Start these services and wait until all are ready."""
        self.services[kind] = services
        for service in services:
            self.tasks[service.name] = asyncio.create_task(service.supervise(self.system.run))
        for service in services:
            await service.ready.wait()

    async def _wait_until_usable(self) -> None:
        """Wait until web responds through nginx and the local model is loaded.

        Pages work without a model. So a model server that does not respond is reported, but not waited for.
        """
        started = reported = time.monotonic()
        while True:
            response = await self.system.readyz()
            model = _model(response)
            is_ready = response is not None and response.status_code == 200
            if is_ready and model == "ready":
                return
            if is_ready and self.system.settings.llama_url and time.monotonic() - started > MODEL_SECONDS:
                line(f"warning: {_missing(self.system.llama_url, model)}")
                return
            if time.monotonic() - reported > STILL_WAITING_SECONDS:
                reported = time.monotonic()
                web = f"responds with {response.status_code}" if response is not None else "does not respond"
                progress(f"still waiting: web {web}, the model at {self.system.llama_url} is {model}")
            await asyncio.sleep(POLL_SECONDS)

    async def _stop(self) -> None:
        """Stop from the outside in: nginx accepts no connections, web hands over its streams, PostgreSQL is last."""
        progress("stopping")
        for service in self.services.get("nginx", []):
            service.stopping.set()
        for kind in ("web", "nginx", "dbapi", "inner-nginx", "llama", "postgres"):
            services = self.services.get(kind, [])
            for service in services:
                service.stopping.set()
            await asyncio.gather(*(self.tasks[service.name] for service in services), return_exceptions=True)
        progress("stopped")


async def _wait_for_stop(signalled: asyncio.Event) -> None:
    """Wait for a signal, or for the death of make: a killed make does not forward a signal to its children."""
    parent = os.getppid()
    while not signalled.is_set() and not ("MAKELEVEL" in os.environ and os.getppid() != parent):
        try:
            await asyncio.wait_for(signalled.wait(), 0.5)
        except TimeoutError:
            continue


def _missing(url: str, model: str) -> str:
    server = httpx.URL(url).copy_with(userinfo=b"")
    state = "is still loading its model" if model == "loading" else "does not respond, or rejects LLAMA_API_KEY"
    return f"the model server at {server} {state}; pages work, and answers start when it is ready (see LLAMA_URL)"


def _model(response: httpx.Response | None) -> str:
    """Return the model's state as reported by /readyz."""
    try:
        return str(response.json()["model"]) if response is not None else "unknown"
    except (ValueError, KeyError, TypeError):
        return "unknown"
