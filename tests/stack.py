"""PostgreSQL, dbapi and web as the real processes they are, on free ports and with data that is thrown away."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx

from dev import ports, postgres, process
from tests.fake_llama.server import running as running_llama

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 20.0  # for what must come true; far more than it takes, so that a busy machine fails no test
DBAPI_KEY = "dbapi-key-of-the-tests-0123456789abcdef"
SECRET_KEY = "secret-key-of-the-tests-0123456789abcdef"
LOGIN, PASSWORD = "runnel_app", "password-of-the-tests"
PUBLIC_URL = "http://chat.test:8080"
BASE_ENVIRON = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}

NO_LIMITS = {"WRITES_PER_SESSION": "0", "ANSWERS_PER_SESSION": "0", "STREAMS_PER_SESSION": "0"}  # of these, tests of their own tell

taken_ports: set[int] = set()


class Cluster:
    """A PostgreSQL of our own, with a migrated database that others are copied from."""

    TEMPLATE = postgres.DATABASE

    def __init__(self, cluster: postgres.Cluster, exit_stack: contextlib.AsyncExitStack) -> None:
        self.cluster, self._stack, self._made = cluster, exit_stack, 0

    def owner_url(self, database: str) -> str:
        return urlsplit(self.cluster.owner_url)._replace(path=f"/{database}").geturl()

    def runtime_url(self, database: str) -> str:
        return postgres.derived_url(self.owner_url(database), LOGIN, PASSWORD)

    @property
    def superuser_url(self) -> str:
        return postgres.derived_url(self.owner_url("postgres"), postgres.SUPERUSER, self.cluster.keys.get(postgres.SUPERUSER))

    async def new_database(self, template: str = TEMPLATE) -> str:
        """Its name. It begins as `template` is: migrated, or empty as template1."""
        self._made += 1
        name = f"test_{self._made}"
        connection = await asyncpg.connect(self.superuser_url)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {postgres.OWNER}")
            await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")  # as it is outside of tests
        finally:
            await connection.close()
        return name

    async def without_row_security(self) -> str:
        """A database where every session's rows are open to whoever forgets to ask for one's own."""
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
        """As after a power cut: nothing is said to clients, the log is replayed."""
        pid = int((self.cluster.link / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        await until(lambda: not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text())
        await self._stack.enter_async_context(postgres.running(self.cluster))


def client(url: str, **options: Any) -> httpx.AsyncClient:
    """Without reading the certificates of the whole world, which takes longer than most tests."""
    return httpx.AsyncClient(base_url=url, verify=False, timeout=PATIENCE_SECONDS, **options)


@contextlib.asynccontextmanager
async def running_cluster() -> AsyncIterator[Cluster]:
    async with contextlib.AsyncExitStack() as exit_stack:
        cluster = Cluster(await exit_stack.enter_async_context(postgres.throwaway()), exit_stack)
        urls = {"DATABASE_URL": cluster.owner_url(Cluster.TEMPLATE), "DBAPI_DATABASE_URL": cluster.runtime_url(Cluster.TEMPLATE)}
        await succeed("alembic", "upgrade", "head", **urls)
        await succeed("dbapi.login", **urls)
        yield cluster


async def run(module: str, *arguments: str, **environ: str) -> tuple[int, str]:
    """`python -m module` to its end, from the root: exit code and output."""
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
    """`python -m dbapi` or `python -m web`: started, killed and started again on the same port."""

    def __init__(self, name: str, log: Path, environ: dict[str, str], module: str = "") -> None:
        self.name, self.log, self._module = name, log, module or name
        self.port = ports.free(None, taken_ports)
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = BASE_ENVIRON | {f"{name.upper()}_PORT": str(self.port)} | environ
        self.process: asyncio.subprocess.Process

    async def start(self, *, wait: bool = True) -> "Service":
        self.process = await process.start([sys.executable, "-m", self._module], self.log, self.environ, ROOT)
        if wait:
            await until(self.is_ready, self.say_why)
        return self

    async def is_ready(self) -> bool:
        assert self.process.returncode is None, self.say_why()
        with contextlib.suppress(httpx.HTTPError):
            async with client(self.url) as http:
                ready = await http.get("/readyz")
            return ready.status_code == 200 and ready.json().get("model", "ready") == "ready"
        return False

    async def kill(self) -> None:
        """Without a chance to say anything."""
        await process.stop(self.process, signal.SIGKILL)

    async def terminate(self) -> int:
        """Asks it to leave, and gives its exit code."""
        await process.stop(self.process, signal.SIGTERM, PATIENCE_SECONDS)
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def logged(self) -> int:
        """Bytes."""
        return self.log.stat().st_size if self.log.exists() else 0

    def lines(self, after: int) -> list[dict[str, Any]]:
        """What it has logged, from this byte on."""
        if self.logged == after:
            return []
        with self.log.open("rb") as log:
            log.seek(after)
            return [json.loads(line) for line in log if line.startswith(b"{")]

    def say_why(self) -> str:
        return f"{self.name}: {self.log.read_text()[-3000:] if self.log.exists() else 'not started'}"


class Stack:
    """A database with its dbapi, a model server that follows scripts, and as many web processes as a test asks for."""

    def __init__(
        self, cluster: Cluster, database: str, llama: str, folder: Path, limits: dict[str, str] = NO_LIMITS, dbapi: str = "dbapi"
    ) -> None:
        self.cluster, self.database, self.llama, self._folder, self._limits = cluster, database, llama, folder, limits
        self.services: list[Service] = []
        self.dbapi = self._service("dbapi", dbapi, DBAPI_DATABASE_URL=cluster.runtime_url(database), DBAPI_KEYS=DBAPI_KEY, **limits)

    async def web(self, **environ: str) -> Service:
        """One more web process, with these variables besides the usual ones."""
        usual = {
            "PUBLIC_URL": PUBLIC_URL,
            "SECRET_KEYS": SECRET_KEY,
            "LLAMA_URL": self.llama,
            "DBAPI_URL": self.dbapi.url,
            "DBAPI_KEYS": DBAPI_KEY,
            **self._limits,
        }
        return await self._service("web", "web", **(usual | environ)).start()

    def _service(self, name: str, module: str, **environ: str) -> Service:
        self.services.append(Service(name, self._folder / f"{name}-{len(self.services)}.log", environ, module))
        return self.services[-1]

    async def leave(self, service: Service) -> None:
        """Stops a web process that only one test needs."""
        await service.terminate()
        self.services.remove(service)


@contextlib.asynccontextmanager
async def running_stack(
    cluster: Cluster, folder: Path, limits: dict[str, str] = NO_LIMITS, database: str = "", dbapi: str = "dbapi", **llama: Any
) -> AsyncIterator[Stack]:
    """`dbapi` is the module to run as it."""
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
    condition: Callable[[], Awaitable[Any] | Any], why: Callable[[], str] | None = None, seconds: float = PATIENCE_SECONDS
) -> Any:
    """Waits until the condition gives something, and gives it."""
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
