"""Knowing that the process is asked to leave, at once and not only when the last connection has ended.

uvicorn waits for open connections before it runs lifespan's end; a stream that is open for minutes would never
learn of it. So the signal is heard in lifespan's start, and uvicorn's own handler is called after.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def on_signal() -> Iterator[asyncio.Event]:
    """An event that is set by SIGTERM or SIGINT. In a thread, where signals cannot be heard, it is just an event."""
    draining, loop = asyncio.Event(), asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield draining
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def hear(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(draining.set)
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in previous:
        signal.signal(number, hear)
    try:
        yield draining
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
