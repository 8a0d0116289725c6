"""The services of `make dev`: their command lines, environments and readiness checks."""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

import llama.model
from dev import nginx, ports, postgres, process
from dev.credentials import Credentials, write_private
from dev.postgres import Cluster
from dev.rundir import MARK, RunDir
from dev.service import Service, get, responds, responds_ok
from dev.settings import Settings

LOGIN = "runnel_app"
MODEL_SECONDS = 900.0  # for a large model on a slow disk
SECRETS = (  # each is passed only to the services that need it
    "DATABASE_URL",
    "DBAPI_DATABASE_URL",
    "SECRET_KEYS",
    "DBAPI_KEYS",
    "LLAMA_API_KEY",
)


class Services:
    """Chooses every address and credential before the first service starts."""

    def __init__(self, settings: Settings, run: RunDir) -> None:
        self.settings = settings
        self.run = run
        self.root = Path(__file__).parent.parent
        self.logs = settings.data_dir / "log"
        self.logs.mkdir(parents=True, exist_ok=True)
        credentials = Credentials(settings.data_dir / "secrets")
        self.secret_keys = os.environ.get("SECRET_KEYS") or credentials.get("secret_keys")
        self.dbapi_keys = os.environ.get("DBAPI_KEYS") or credentials.get("dbapi_keys")
        # Another model server may need no key; the local llama.cpp always gets one
        self.llama_key = settings.llama_api_key or ("" if settings.llama_url else credentials.get("llama_api_key"))
        self.model = None if settings.llama_url else llama.model.find()

        self.cluster = None
        if not settings.database_url:
            self.cluster = Cluster(settings.data_dir, credentials, self._port("postgres"))
        self.owner_url = self.cluster.owner_url if self.cluster else settings.database_url
        derived = postgres.derived_url(self.owner_url, LOGIN, credentials.get(LOGIN))
        self.login_url = settings.dbapi_database_url or derived
        self.llama_url = settings.llama_url or self._url("llama")
        self.dbapi_urls = {name: self._url(name) for name in _names("dbapi", settings.dbapi_replicas)}
        self.web_urls = {name: self._url(name) for name in _names("web", settings.web_replicas)}
        self.dbapi_url = self._url("dbapi") if len(self.dbapi_urls) > 1 else self.dbapi_urls["dbapi-1"]

        for stale in run.path.glob("*.url"):
            stale.unlink()
        urls = {"llama": self.llama_url, "dbapi": self.dbapi_url, "nginx": settings.public_url}
        if self.cluster:
            urls["postgres"] = self.owner_url
        urls |= self.dbapi_urls | self.web_urls
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
        return [self._python("llama", environ, responds_ok(f"{self.llama_url}/health"), MODEL_SECONDS)]

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
                responds_ok(f"{url}/readyz"),
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
        return [
            self._python(name, shared | {"WEB_PORT": _port_of(url)}, responds_ok(f"{url}/readyz"))
            for name, url in self.web_urls.items()
        ]

    def nginx(self) -> Service:
        folder = self.run.path / "nginx"
        nginx.write_public(folder, self.settings, _addresses(self.web_urls))
        return self._nginx("nginx", folder, responds(self._nginx_url()))

    def inner_nginx(self) -> list[Service]:
        if len(self.dbapi_urls) == 1:
            return []
        folder = self.run.path / "inner-nginx"
        nginx.write_inner(folder, self.dbapi_url.removeprefix("http://"), _addresses(self.dbapi_urls))
        return [self._nginx("inner-nginx", folder, responds(self.dbapi_url))]

    # Other operations

    async def migrate(self) -> None:
        """Run the migrations and create dbapi's login, with the owner's login."""
        if not self.cluster:
            await postgres.refuse_unreachable(self.owner_url)
        urls = {"DATABASE_URL": self.owner_url, "DBAPI_DATABASE_URL": self.login_url}
        for module, *arguments in (["alembic", "upgrade", "head"], ["dbapi.login"]):
            command = [sys.executable, "-m", module, *arguments]
            title = " ".join(["python -m", module, *arguments])
            await process.run(title, command, self.logs / "migrate.log", self._environ(urls), self.root)

    async def readyz(self) -> httpx.Response | None:
        """Request web's /readyz through nginx."""
        return await get(f"{self._nginx_url()}/readyz", host=f"127.0.0.1:{self.settings.port}")

    # Helpers

    def _nginx_url(self) -> str:
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared, not bound)
        bind = loopback.get(self.settings.bind, self.settings.bind)
        return f"http://{f'[{bind}]' if ':' in bind else bind}:{self.settings.port}"

    def _python(
        self, name: str, environ: dict[str, str], is_ready: Callable[[], Awaitable[bool]], start_seconds: float = 60.0
    ) -> Service:
        return Service(
            name=name,
            command=[sys.executable, "-m", name.partition("-")[0]],
            environ=self._environ(environ),
            log=self.logs / f"{name}.log",
            cwd=self.root,
            is_ready=is_ready,
            start_seconds=start_seconds,
        )

    def _nginx(self, name: str, folder: Path, is_ready: Callable[[], Awaitable[bool]]) -> Service:
        return Service(
            name=name,
            command=nginx.command(folder),
            environ={MARK: str(self.run.path), "PATH": os.defpath},
            log=self.logs / f"{name}.log",
            cwd=folder,
            is_ready=is_ready,
            stop_signal=signal.SIGQUIT,  # accept no new connections, exit when the open ones have ended
            batch=True,  # otherwise each token of each answer wakes nginx just when web has more to send
        )

    def _environ(self, own: dict[str, str]) -> dict[str, str]:
        """Return the environment of a service: this process's without secrets, and the service's own variables."""
        # MODEL is a name for web with another model server, but a file for the local llama.cpp
        removed = SECRETS if self.settings.llama_url else (*SECRETS, "MODEL")
        inherited = {name: value for name, value in os.environ.items() if name not in removed}
        return {"ENVIRONMENT": "development", "PYTHONUNBUFFERED": "1"} | inherited | {MARK: str(self.run.path)} | own

    def _port(self, service: str) -> int:
        return ports.free(self.run.last_port(service))

    def _url(self, service: str) -> str:
        return f"http://127.0.0.1:{self._port(service)}"


def _names(service: str, replicas: int) -> list[str]:
    return [f"{service}-{number}" for number in range(1, replicas + 1)]


def _port_of(url: str) -> str:
    return url.rpartition(":")[2]


def _addresses(urls: dict[str, str]) -> list[str]:
    return [url.removeprefix("http://") for url in urls.values()]
