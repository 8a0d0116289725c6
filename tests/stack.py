"""PostgreSQL, dbapi and web as real processes, on free ports, with temporary data."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import uvicorn

from dev import ports, postgres, process
from tests.fake_llama.server import running as running_llama

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 20.0  # the default of `until`; far more than any wait takes, so that a busy machine fails no test
START_SECONDS = 60.0  # for a service to become ready
DBAPI_KEY = "dbapi-key-of-the-tests-0123456789abcdef"
SECRET_KEY = "secret-key-of-the-tests-0123456789abcdef"
LOGIN, PASSWORD = "runnel_app", "password-of-the-tests"
PUBLIC_URL = "http://chat.test:8080"
BASE_ENVIRON = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
# The limits have their own tests.
NO_LIMITS = dict.fromkeys(
    ("WRITES_PER_SESSION", "ANSWERS_PER_SESSION", "ANSWERS_PER_ADDRESS", "STREAMS_PER_SESSION"), "0"
)


class Cluster:
    """A temporary PostgreSQL with a migrated template database."""

    TEMPLATE = postgres.DATABASE

    def __init__(self, cluster: postgres.Cluster, exit_stack: contextlib.AsyncExitStack) -> None:
        self.cluster, self._stack, self._made = cluster, exit_stack, 0

    def owner_url(self, database: str) -> str:
        return urlsplit(self.cluster.owner_url)._replace(path=f"/{database}").geturl()

    def runtime_url(self, database: str) -> str:
        return postgres.derived_url(self.owner_url(database), LOGIN, PASSWORD)

    @property
    def superuser_url(self) -> str:
        return postgres.derived_url(
            self.owner_url("postgres"), postgres.SUPERUSER, self.cluster.credentials.get(postgres.SUPERUSER)
        )

    async def new_database(self, template: str = TEMPLATE) -> str:
        """Creates a copy of `template` (migrated by default; `template1` is empty) and returns its name."""
        self._made += 1
        name = f"test_{self._made}"
        connection = await asyncpg.connect(self.superuser_url)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {postgres.OWNER}")
            await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")  # as in production
        finally:
            await connection.close()
        return name

    async def without_row_security(self) -> str:
        """Creates a database without row-level security: only the conditions in queries separate sessions."""
        name = await self.new_database()
        connection = await asyncpg.connect(self.owner_url(name))
        try:
            for table in await connection.fetch("SELECT relname FROM pg_class WHERE relrowsecurity"):
                await connection.execute(f"ALTER TABLE {table['relname']} DISABLE ROW LEVEL SECURITY")
            assert not await connection.fetchval("SELECT count(*) FROM pg_class WHERE relrowsecurity")
        finally:
            await connection.close()
        return name

    async def crash_and_restart(self) -> None:
        """Simulates a power cut: clients get no message, and PostgreSQL replays its log."""
        pid = int((self.cluster.link / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        await until(
            lambda: not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
        )
        await self._stack.enter_async_context(postgres.running(self.cluster))


def client(url: str, **options: Any) -> httpx.AsyncClient:
    """Skips loading the CA certificates, which takes longer than most tests."""
    return httpx.AsyncClient(base_url=url, verify=False, timeout=PATIENCE_SECONDS, **options)


@contextlib.asynccontextmanager
async def running_cluster() -> AsyncIterator[Cluster]:
    async with contextlib.AsyncExitStack() as exit_stack:
        cluster = Cluster(await exit_stack.enter_async_context(postgres.throwaway()), exit_stack)
        urls = {
            "DATABASE_URL": cluster.owner_url(Cluster.TEMPLATE),
            "DBAPI_DATABASE_URL": cluster.runtime_url(Cluster.TEMPLATE),
        }
        await succeed("alembic", "upgrade", "head", **urls)
        await succeed("dbapi.login", **urls)
        yield cluster


async def run(module: str, *arguments: str, **environ: str) -> tuple[int, str]:
    """Runs `python -m module` in the repository root; returns exit code and output."""
    command = (sys.executable, "-m", module, *arguments)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=BASE_ENVIRON | environ, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await child.communicate()
    return child.returncode or 0, output.decode()


async def succeed(module: str, *arguments: str, **environ: str) -> None:
    code, output = await run(module, *arguments, **environ)
    assert code == 0, output


class Service:
    """`python -m dbapi` or `python -m web`; a restart uses the same port."""

    def __init__(self, name: str, log: Path, environ: dict[str, str], module: str = "") -> None:
        self.name, self.log, self._module = name, log, module or name
        self.port = ports.free()
        self.url = f"http://127.0.0.1:{self.port}"
        self.source = ROOT  # the source tree it runs from
        self.environ = BASE_ENVIRON | {f"{name.upper()}_PORT": str(self.port)} | environ
        self.process: asyncio.subprocess.Process

    async def start(self, *, wait: bool = True) -> "Service":
        self.process = await process.start([sys.executable, "-m", self._module], self.log, self.environ, self.source)
        if wait:
            await until(self.is_ready, self.log_tail, START_SECONDS)
        return self

    async def is_ready(self) -> bool:
        assert self.process.returncode is None, self.log_tail()
        with contextlib.suppress(httpx.HTTPError):
            async with client(self.url) as http:
                ready = await http.get("/readyz")
            return ready.status_code == 200 and ready.json().get("model", "ready") == "ready"
        return False

    async def kill(self) -> None:
        await process.stop(self.process, signal.SIGKILL)

    async def terminate(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        await process.stop(self.process, signal.SIGTERM, PATIENCE_SECONDS)
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def logged(self) -> int:
        """The size of the log in bytes."""
        return self.log.stat().st_size if self.log.exists() else 0

    def lines(self, after: int) -> list[dict[str, Any]]:
        """The records logged since this size."""
        if self.logged == after:
            return []
        with self.log.open("rb") as log:
            log.seek(after)
            return [json.loads(line) for line in log if line.startswith(b"{")]

    def log_tail(self) -> str:
        return f"{self.name}: {self.log.read_text()[-3000:] if self.log.exists() else 'not started'}"


class Stack:
    """A database with its dbapi, a scripted model server, and any number of web processes."""

    def __init__(
        self,
        cluster: Cluster,
        database: str,
        llama: str,
        folder: Path,
        limits: dict[str, str] = NO_LIMITS,
        dbapi: str = "dbapi",
    ) -> None:
        self.cluster, self.database, self.llama, self._folder, self._limits = cluster, database, llama, folder, limits
        self.services: list[Service] = []
        self.dbapi = self._service(
            "dbapi", dbapi, DBAPI_DATABASE_URL=cluster.runtime_url(database), DBAPI_KEYS=DBAPI_KEY, **limits
        )

    async def web(self, **environ: str) -> Service:
        """Starts another web process; `environ` overrides the default variables."""
        return await self._service("web", "web", **(self.web_environ | environ)).start()

    @property
    def web_environ(self) -> dict[str, str]:
        return {
            "PUBLIC_URL": PUBLIC_URL,
            "SECRET_KEYS": SECRET_KEY,
            "LLAMA_URL": self.llama,
            "DBAPI_URL": self.dbapi.url,
            "DBAPI_KEYS": DBAPI_KEY,
            "TITLES": "off",  # they have their own tests; elsewhere, requests to the model server are counted
            **self._limits,
        }

    def _service(self, name: str, module: str, **environ: str) -> Service:
        self.services.append(Service(name, self._folder / f"{name}-{len(self.services)}.log", environ, module))
        return self.services[-1]

    async def leave(self, service: Service) -> None:
        """Stops a web process and forgets it."""
        await service.terminate()
        self.services.remove(service)


@contextlib.asynccontextmanager
async def running_stack(
    cluster: Cluster,
    folder: Path,
    limits: dict[str, str] = NO_LIMITS,
    database: str = "",
    dbapi: str = "dbapi",
    **llama: Any,
) -> AsyncIterator[Stack]:
    """`dbapi` names the module that runs as dbapi."""
    with running_llama(**{"delay_ms": 1} | llama) as url:
        stack = Stack(cluster, database or await cluster.new_database(), url, folder, limits, dbapi)
        try:
            await stack.dbapi.start()
            yield stack
        finally:
            started = [service for service in stack.services if hasattr(service, "process")]
            await asyncio.gather(*(service.terminate() for service in started if service is not stack.dbapi))
            await stack.dbapi.terminate()


async def until(
    condition: Callable[[], Awaitable[Any] | Any],
    why: Callable[[], str] | None = None,
    seconds: float = PATIENCE_SECONDS,
) -> Any:
    """Waits until the condition returns something true, and returns it."""
    deadline, pause = time.monotonic() + seconds, 0.005
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, why() if why else "it never came true"
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)


async def row_counts(owner: Any) -> dict[str, int]:
    """Counts the rows of every table that requests can change. The logs of answers change without requests, too."""
    tables = ("sessions", "devices", "links", "presets", "chats", "messages", "generations")
    return {table: await owner.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serves an ASGI application on a free port, from a thread."""
    server, listening = (
        uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")),
        socket.create_server(("127.0.0.1", 0)),
    )
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listening.close()
