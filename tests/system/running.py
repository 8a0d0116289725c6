"""All of Runnel as people run it: `python -m dev`, in a folder of its own and on a free port."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev import ports
from tests.dev.conftest import MakeDev
from tests.stack import ROOT, until


class Runnel:
    """Can be ended and started again; its services can be killed one by one."""

    def __init__(self, folder: Path, **environ: str) -> None:
        port = ports.free(None, set())
        ours = {"PYTHONPATH": str(ROOT), "PORT": str(port), "DATA_DIR": str(folder / ".data")}
        self.origin = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._environ = dict.fromkeys(("PUBLIC_URL", "DATABASE_URL", "DBAPI_DATABASE_URL", "LLAMA_URL"), "") | ours | environ
        self._told: dict[str, int] = {}  # how much the terminal said before a service was killed
        self.dev: MakeDev

    def start(self) -> None:
        self.dev = MakeDev(self._folder, self._environ, [sys.executable, "-m", "dev"])
        self.dev.wait_for("^ready: ")

    def end(self) -> int:
        return self.dev.end()

    def kill(self, service: str) -> None:
        """As the kernel does when memory is short: one process, not its children."""
        self._told[service] = len(self.dev.text)
        os.kill(self.dev.pid(service), signal.SIGKILL)

    async def back(self, service: str) -> None:
        """Waits until a killed service serves again, which nobody but the supervisor has seen to."""
        await until(lambda: f"{service} is back" in self.dev.text[self._told[service] :], lambda: self.dev.text)

    @contextmanager
    def without(self, service: str) -> Iterator[None]:
        """Killed with its children, and not started again before the block has ended."""
        self.dev.process.send_signal(signal.SIGSTOP)
        try:
            self._told[service] = len(self.dev.text)
            os.killpg(self.dev.pid(service), signal.SIGKILL)
            yield
        finally:
            self.dev.process.send_signal(signal.SIGCONT)

    def processes(self) -> dict[int, str]:
        """The supervisor and all below it: process id and name."""
        names, parents = {}, {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                before, _, after = status.read_text().rpartition(") ")
            except OSError:
                continue
            pid = int(status.parent.name)
            names[pid], parents[pid] = before.partition("(")[2], int(after.split()[1])
        family = {self.dev.process.pid}
        while more := {child for child, parent in parents.items() if parent in family} - family:
            family |= more
        return {pid: names[pid] for pid in family}


@contextmanager
def running(**environ: str) -> Iterator[Runnel]:
    """Until the end of the block; its folder is one that PostgreSQL's account can reach, and goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="runnel-test-"))
    folder.chmod(0o755)
    runnel = Runnel(folder, **environ)
    try:
        runnel.start()
        yield runnel
    finally:
        if runnel.dev.process.poll() is None:
            runnel.end()
        shutil.rmtree(folder)
