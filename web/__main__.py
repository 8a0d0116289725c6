"""`python -m web` starts the web service. `python -m web check` checks the deployment from its point of view."""

import asyncio
import signal
import sys

import uvicorn

from kit import garbage, logs
from kit.settings import SettingsError, read_or_exit
from web import diagnostics
from web.app import create_app
from web.clients import backends
from web.live.push import PushingConnection
from web.settings import Settings

SHUTDOWN_SECONDS = 8  # then uvicorn closes the remaining connections


def main() -> None:
    if sys.argv[1:] == ["check"]:
        sys.exit(asyncio.run(diagnostics.main()))
    settings = read_or_exit(Settings, "web")
    try:
        backends.read(settings)
    except SettingsError as error:
        sys.exit(f"web: {error}")
    logs.configure()
    garbage.configure()
    # uvicorn raises the signal again after a graceful shutdown, which is a success
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        create_app(settings),
        host=settings.web_host,
        port=settings.web_port,
        http=PushingConnection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
