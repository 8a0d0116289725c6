"""A process learns of a shutdown signal at once, and other signal handlers still run."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, signal
from kit import drain

async def main():
    signal.signal(signal.SIGTERM, lambda *_: print("uvicorn", flush=True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with drain.on_signal() as draining:
        print("ready", flush=True)
        await draining.wait()
        print("draining", flush=True)
    print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("number", "lines"), [(signal.SIGTERM, ["uvicorn", "draining", "True"]), (signal.SIGINT, ["draining", "True"])]
)
def test_a_signal_sets_the_event_and_calls_the_previous_handler(number: signal.Signals, lines: list[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"

        os.kill(child.pid, number)

        assert child.communicate(timeout=20)[0].split() == lines
        assert child.returncode == 0
