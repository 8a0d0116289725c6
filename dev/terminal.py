"""Terminal output of `make dev`: progress lines and error messages."""

import contextlib
import sys
import time
from pathlib import Path

LAST_LINES = 15

_started = time.monotonic()


class StartError(Exception):
    """The system cannot start. The message is printed to the terminal."""


def progress(text: str) -> None:
    """Print a line that begins with the seconds since the start."""
    line(f"{time.monotonic() - _started:6.1f} s  {text}")


def line(text: str) -> None:
    with contextlib.suppress(OSError):  # a closed terminal or pipe must not stop the system
        print(text, flush=True)


def last_lines(log: Path) -> str:
    """Return the end of a log file, indented, to print below the message that names the file."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "".join(f"\n    {each}" for each in text.splitlines()[-LAST_LINES:])


def fail(error: Exception, command: str = "make dev") -> int:
    """Print the error and return the exit code."""
    with contextlib.suppress(OSError):
        print(f"{command}: {error}", file=sys.stderr, flush=True)
    return 1
