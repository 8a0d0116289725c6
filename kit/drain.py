"""Reports a shutdown signal at once, and not only after the last connection has closed.

uvicorn waits for open connections before it runs the end of the lifespan. A stream that stays open for minutes would
never learn of the shutdown. So the lifespan installs its own signal handler, which then calls uvicorn's.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def on_signal() -> Iterator[asyncio.Event]:
    """Yield an event that SIGTERM or SIGINT sets. In another thread, nothing sets it."""
    draining, loop = asyncio.Event(), asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield draining
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(draining.set)
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield draining
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
