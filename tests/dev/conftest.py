"""Runs the real supervisor, PostgreSQL and nginx with stand-ins for web and dbapi, in a source tree per test."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev import ports

ROOT = Path(__file__).parents[2]
STAND_INS = {
    "web/__init__.py": "",
    "web/__main__.py": "from stand_in import serve; serve('WEB')",
    "dbapi/__init__.py": "",
    "dbapi/__main__.py": "from stand_in import serve; serve('DBAPI')",
    "dbapi/login.py": "",
    "alembic/__init__.py": "",
    "alembic/__main__.py": "",
}
SECONDS = 60.0  # a start takes 5 s, on a busy machine up to 35 s


class MakeDev:
    """A running `python -m dev` or `make dev` and its output."""

    def __init__(self, tree: Path, environ: dict[str, str], command: list[str]) -> None:
        self.tree = tree
        self.run = tree / ".data" / "run"
        self.output = tree / f"output-{time.monotonic_ns()}"
        own = {name: value for name, value in os.environ.items() if name != "MAKELEVEL"}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=tree, env=own | environ, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, pattern: str) -> None:
        until(lambda: re.search(pattern, self.text, re.MULTILINE) is not None or self.process.poll() is not None)
        assert re.search(pattern, self.text, re.MULTILINE), self.text

    def stop(self, stop_signal: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(stop_signal)
        return self.process.wait(SECONDS)

    def pid(self, service: str) -> int:
        return int((self.run / f"{service}.pid").read_text())

    def url(self, service: str) -> str:
        return (self.run / f"{service}.url").read_text().strip()

    def running(self) -> list[str]:
        """Return the command lines of all processes of this tree, whatever their parent is."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            except OSError:
                continue
            if str(self.run.parent).encode() in text:
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        return found


@pytest.fixture
def tree() -> Iterator[Path]:
    """Copy the relevant packages into a folder that PostgreSQL's account can reach."""
    tree = Path(tempfile.mkdtemp(prefix="runnel-test-"))
    tree.chmod(0o755)
    for part in ("dev", "kit", "llama", "proxy"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("stand_in.py"), tree)
    for name, text in STAND_INS.items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(text)
    shutil.copy(ROOT / "dbapi" / "roles.py", tree / "dbapi")
    yield tree
    shutil.rmtree(tree)


@pytest.fixture
def start(tree: Path) -> Iterator[Callable[..., MakeDev]]:
    """Start the supervisor without a local model, on a free port that stays the same within a test."""
    started: list[MakeDev] = []
    port = ports.free()

    def start(command: list[str] | None = None, **environ: str) -> MakeDev:
        given = {"PORT": str(port), "LLAMA_URL": "http://127.0.0.1:9"} | environ
        started.append(MakeDev(tree, given, command or [sys.executable, "-m", "dev"]))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGTERM)
            each.process.wait(SECONDS)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)


def suspend(pid: int) -> None:
    """Send SIGSTOP and wait until the process is stopped.

    The signal is only pending when os.kill returns. A SIGTERM that arrives meanwhile is delivered first, because it has
    the lower number, and ends the process instead.
    """
    os.kill(pid, signal.SIGSTOP)
    until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T"))


def responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as response:
            return bool(response.status == 200)
    except OSError:
        return False
