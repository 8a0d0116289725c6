"""A process hears at once that it is asked to leave, and its other handlers hear it too."""

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


@pytest.mark.parametrize(("number", "heard"), [(signal.SIGTERM, ["uvicorn", "draining", "True"]), (signal.SIGINT, ["draining", "True"])])
def test_a_signal_is_heard_and_passed_on(number: signal.Signals, heard: list[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"

        os.kill(child.pid, number)

        assert child.communicate(timeout=20)[0].split() == heard
        assert child.returncode == 0
