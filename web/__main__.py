"""`python -m web`: serves the pages and writes the answers. `python -m web check`: says what is wrong here."""

import asyncio
import signal
import sys

import uvicorn

from kit import garbage, logs
from kit.settings import read_or_exit
from web import diagnostics
from web.app import create_app
from web.live.push import PushingConnection
from web.settings import Settings

SHUTDOWN_SECONDS = 8


def main() -> None:
    if sys.argv[1:] == ["check"]:
        sys.exit(asyncio.run(diagnostics.main()))
    settings = read_or_exit(Settings, "web")
    logs.configure()
    garbage.collect_seldom()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when it has stopped gracefully: that is success
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
