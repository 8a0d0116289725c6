"""`python -m dbapi` serves the database API. `python -m dbapi check` finds problems with this deployment."""

import asyncio
import signal
import sys

import uvicorn

from dbapi import diagnostics
from dbapi.app import create_app
from dbapi.settings import Settings
from kit import garbage, logs
from kit.http_server import Connection
from kit.settings import read_or_exit

SHUTDOWN_SECONDS = 8


def main() -> None:
    if sys.argv[1:] == ["check"]:
        sys.exit(asyncio.run(diagnostics.main()))
    settings = read_or_exit(Settings, "dbapi")
    logs.configure()
    garbage.configure()
    # uvicorn raises SIGTERM again after a graceful shutdown, which is a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        create_app(settings),
        host=settings.dbapi_host,
        port=settings.dbapi_port,
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
