"""What the person at the terminal reads: a line for each thing that takes time, and what went wrong."""

import contextlib
import sys
import time
from pathlib import Path

LAST_LINES = 15

_started = time.monotonic()


class StartError(Exception):
    """Something needed for a running system is not to be had; the message is for the terminal."""


def say(text: str) -> None:
    """A line of progress, after the seconds since the start."""
    line(f"{time.monotonic() - _started:6.1f} s  {text}")


def line(text: str) -> None:
    with contextlib.suppress(OSError):  # whoever read our output may have gone; that stops nothing
        print(text, flush=True)


def last_lines(log: Path) -> str:
    """The end of a log, indented, to be shown under the sentence that names it."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "".join(f"\n    {each}" for each in text.splitlines()[-LAST_LINES:])


def fail(error: Exception) -> int:
    """Says why and returns the exit code."""
    with contextlib.suppress(OSError):
        print(f"make dev: {error}", file=sys.stderr, flush=True)
    return 1
