"""The services of the house: what each is called with, and how one knows that it is ready."""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import llama.model
from dev import nginx, ports, postgres, probe, process
from dev.credentials import Keys, write_private
from dev.postgres import Cluster
from dev.rundir import MARK, RunDir
from dev.service import Service
from dev.settings import Settings

LOGIN = "runnel_app"
MODEL_SECONDS = 900.0  # a large model from a slow disk
OWNERS_ALONE = ("DATABASE_URL", "DBAPI_DATABASE_URL", "SECRET_KEYS", "DBAPI_KEYS", "LLAMA_API_KEY")


class Services:
    """Every address and secret is settled here, before anything starts."""

    def __init__(self, settings: Settings, run: RunDir) -> None:
        self.settings = settings
        self.run = run
        self.root = Path(__file__).parent.parent
        self.logs = settings.data_dir / "log"
        self.logs.mkdir(parents=True, exist_ok=True)
        keys = Keys(settings.data_dir / "secrets")
        self.secret_keys = os.environ.get("SECRET_KEYS") or keys.get("secret_keys")
        self.dbapi_keys = os.environ.get("DBAPI_KEYS") or keys.get("dbapi_keys")
        self.llama_key = settings.llama_api_key if settings.llama_url else settings.llama_api_key or keys.get("llama_api_key")
        self.model = None if settings.llama_url else llama.model.find()
        self._taken: set[int] = {settings.port, settings.tls_port}

        self.cluster = None if settings.database_url else Cluster(settings.data_dir, keys, self._port("postgres"))
        self.owner_url = self.cluster.owner_url if self.cluster else settings.database_url
        self.login_url = settings.dbapi_database_url or postgres.derived_url(self.owner_url, LOGIN, keys.get(LOGIN))
        self.llama_url = settings.llama_url or self._url("llama")
        self.dbapi_urls = {name: self._url(name) for name in _names("dbapi", settings.dbapi_replicas)}
        self.web_urls = {name: self._url(name) for name in _names("web", settings.web_replicas)}
        self.dbapi_url = self._url("dbapi") if len(self.dbapi_urls) > 1 else self.dbapi_urls["dbapi-1"]

        for stale in run.path.glob("*.url"):
            stale.unlink()
        urls = {"llama": self.llama_url, "dbapi": self.dbapi_url, "nginx": settings.public_url, **self.dbapi_urls, **self.web_urls}
        if self.cluster:
            urls["postgres"] = self.owner_url
        for name, url in urls.items():
            run.write_url(name, url)
        write_private(run.path / "dbapi.token", self.dbapi_keys.split(",")[0].strip() + "\n")

    # The services

    def postgres(self, cluster: Cluster) -> Service:
        return Service(
            name="postgres",
            command=cluster.command,
            environ=postgres.QUIET | {MARK: str(self.run.path)},
            log=cluster.log,
            cwd=cluster.link.resolve(),
            is_ready=cluster.is_ready,
            account=cluster.account,
            stop_signal=postgres.STOP,
        )

    def llama(self) -> list[Service]:
        if self.model is None:
            return []
        environ = {
            "LLAMA_HOST": "127.0.0.1",
            "LLAMA_PORT": _port_of(self.llama_url),
            "LLAMA_SLOTS": str(self.settings.llama_slots),
            "LLAMA_API_KEY": self.llama_key,
            "MODEL": str(self.model),
        }
        return [self._python("llama", environ, _answers(f"{self.llama_url}/health"), patience=MODEL_SECONDS)]

    def dbapi(self) -> list[Service]:
        return [
            self._python(
                name,
                {
                    "DBAPI_HOST": "127.0.0.1",
                    "DBAPI_PORT": _port_of(url),
                    "DBAPI_DATABASE_URL": self.login_url,
                    "DBAPI_KEYS": self.dbapi_keys,
                },
                _answers(f"{url}/readyz"),
            )
            for name, url in self.dbapi_urls.items()
        ]

    def web(self) -> list[Service]:
        shared = {
            "WEB_HOST": "127.0.0.1",
            "PUBLIC_URL": self.settings.public_url,
            "SECRET_KEYS": self.secret_keys,
            "DBAPI_URL": self.dbapi_url,
            "DBAPI_KEYS": self.dbapi_keys,
            "LLAMA_URL": self.llama_url,
            "LLAMA_API_KEY": self.llama_key,
            "LLAMA_SLOTS": str(self.settings.llama_slots),
        }
        return [self._python(name, shared | {"WEB_PORT": _port_of(url)}, _answers(f"{url}/readyz")) for name, url in self.web_urls.items()]

    def nginx(self) -> Service:
        folder = self.run.path / "nginx"
        nginx.write_public(folder, self.settings, _addresses(self.web_urls))
        return self._nginx("nginx", folder, _is_there(self._door()))

    def inner_nginx(self) -> list[Service]:
        if len(self.dbapi_urls) == 1:
            return []
        folder = self.run.path / "inner-nginx"
        nginx.write_inner(folder, self.dbapi_url.removeprefix("http://"), _addresses(self.dbapi_urls))
        return [self._nginx("inner-nginx", folder, _is_there(self.dbapi_url))]

    # What is done once

    async def migrate(self) -> None:
        """Brings the tables up to date and makes dbapi's login, as the owner."""
        if not self.cluster:
            await postgres.refuse_unreachable(self.owner_url)
        urls = {"DATABASE_URL": self.owner_url, "DBAPI_DATABASE_URL": self.login_url}
        alembic = [sys.executable, "-m", "alembic", "upgrade", "head"]
        for what, command in (("alembic upgrade head", alembic), ("python -m dbapi.login", [sys.executable, "-m", "dbapi.login"])):
            await process.run(what, command, self.logs / "migrate.log", self._environ(urls), self.root)

    async def can_chat(self) -> probe.Answer:
        """What web's /readyz answers through nginx."""
        return await probe.get(f"{self._door()}/readyz", host=f"127.0.0.1:{self.settings.port}")

    # Helpers

    def _door(self) -> str:
        bind = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.bind, self.settings.bind)  # noqa: S104 (compared, not bound)
        return f"http://{f'[{bind}]' if ':' in bind else bind}:{self.settings.port}"

    def _python(self, name: str, environ: dict[str, str], is_ready: Callable[[], Awaitable[bool]], patience: float = 60.0) -> Service:
        module = name.partition("-")[0]
        command = [sys.executable, "-m", module]
        return Service(name, command, self._environ(environ), self.logs / f"{name}.log", self.root, is_ready, patience=patience)

    def _nginx(self, name: str, folder: Path, is_ready: Callable[[], Awaitable[bool]]) -> Service:
        environ = {MARK: str(self.run.path), "PATH": os.defpath}
        stop = signal.SIGQUIT  # takes no new connection, ends when the open ones have
        # Each token of each answer would wake it just when web has more to send
        return Service(name, nginx.command(folder), environ, self.logs / f"{name}.log", folder, is_ready, stop_signal=stop, batch=True)

    def _environ(self, own: dict[str, str]) -> dict[str, str]:
        """What we were given passes on, except for secrets: those go only where they are needed."""
        ours = OWNERS_ALONE if self.settings.llama_url else (*OWNERS_ALONE, "MODEL")  # to web it is a name, to our llama.cpp a path
        given = {name: value for name, value in os.environ.items() if name not in ours}
        return {"ENVIRONMENT": "development", "PYTHONUNBUFFERED": "1"} | given | {MARK: str(self.run.path)} | own

    def _port(self, service: str) -> int:
        return ports.free(self.run.last_port(service), self._taken)

    def _url(self, service: str) -> str:
        return f"http://127.0.0.1:{self._port(service)}"


def _names(service: str, replicas: int) -> list[str]:
    return [f"{service}-{number}" for number in range(1, replicas + 1)]


def _port_of(url: str) -> str:
    return url.rpartition(":")[2]


def _addresses(urls: dict[str, str]) -> list[str]:
    return [url.removeprefix("http://") for url in urls.values()]


def _is_there(url: str) -> Callable[[], Awaitable[bool]]:
    async def is_ready() -> bool:
        return (await probe.get(url)).status != 0

    return is_ready


def _answers(url: str) -> Callable[[], Awaitable[bool]]:
    async def is_ready() -> bool:
        return (await probe.get(url)).status == 200

    return is_ready
