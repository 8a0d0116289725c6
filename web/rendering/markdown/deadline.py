"""A limit on the time of rendering, whatever the text.

Rendering takes linear time as far as we know. If that is wrong for some text, this limit keeps the event loop, and so
all other users of the process, from waiting for it. A timer signal interrupts Python code and the matching of regular
expressions. It needs no second process, no thread and no memory. A single call of comrak or nh3 is not interrupted,
only what follows it: their limits are in `limits`.
"""

import hashlib
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

FREE_CHARACTERS = 2048  # a text of this length cannot take long
MAX_SECONDS = 0.4  # of CPU time in user mode, so a process that had to wait is not to blame
MAX_SLOW_TEXTS = 1024

_NO_DEADLINE = nullcontext()

_is_running = False
_slow_texts: dict[bytes, None] = {}  # digests, oldest first


class Overtime(BaseException):
    """Rendering took too long. Not an Exception, so that only `render` and its callers here handle it."""


def deadline(text: str) -> AbstractContextManager[None]:
    """Raises Overtime in the body after MAX_SECONDS, and at once for a text that took too long before.

    Inside another deadline, and in other threads than the main one, only the latter holds.
    """
    return _NO_DEADLINE if len(text) <= FREE_CHARACTERS else _deadline(text)


@contextmanager
def _deadline(text: str) -> Iterator[None]:
    global _is_running
    if _slow_texts and _digest(text) in _slow_texts:
        raise Overtime
    if _is_running or threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGVTALRM) is not _interrupt:
        signal.signal(signal.SIGVTALRM, _interrupt)
    _is_running = True
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
    try:
        yield
    except Overtime:
        _remember(text)
        raise
    finally:
        _is_running = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raises Overtime once. A signal that arrives late has no effect."""
    global _is_running
    if _is_running:
        _is_running = False
        raise Overtime


def _remember(text: str) -> None:
    if len(_slow_texts) >= MAX_SLOW_TEXTS:
        del _slow_texts[next(iter(_slow_texts))]
    _slow_texts[_digest(text)] = None


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
