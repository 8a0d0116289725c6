"""Runs the whole system with `python -m dev`, in a temporary folder and on a free port."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev import ports
from tests.dev.conftest import MakeDev, suspend
from tests.stack import ROOT, until


class Runnel:
    """A running system that can be restarted, and whose services can be killed one by one."""

    def __init__(self, folder: Path, **environ: str) -> None:
        port = ports.free()
        own = {"PYTHONPATH": str(ROOT), "PORT": str(port), "DATA_DIR": str(folder / ".data")}
        self.origin = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._environ = (
            dict.fromkeys(("PUBLIC_URL", "DATABASE_URL", "DBAPI_DATABASE_URL", "LLAMA_URL"), "") | own | environ
        )
        self._printed: dict[str, int] = {}  # length of the output before a service was killed
        self.dev: MakeDev

    def start(self) -> None:
        self.dev = MakeDev(self._folder, self._environ, [sys.executable, "-m", "dev"])
        self.dev.wait_for("^ready: ")

    def stop(self) -> int:
        return self.dev.stop()

    def kill(self, service: str) -> None:
        """Kill one process, but not its children, as the kernel does when memory is short."""
        self._printed[service] = len(self.dev.text)
        os.kill(self.dev.pid(service), signal.SIGKILL)

    async def wait_restarted(self, service: str) -> None:
        """Wait until the supervisor has restarted a killed service."""
        await until(lambda: f"{service} is back" in self.dev.text[self._printed[service] :], lambda: self.dev.text)

    @contextmanager
    def without(self, service: str) -> Iterator[None]:
        """Kill a service with its children, and delay its restart until the block ends."""
        suspend(self.dev.process.pid)
        try:
            self._printed[service] = len(self.dev.text)
            os.killpg(self.dev.pid(service), signal.SIGKILL)
            yield
        finally:
            self.dev.process.send_signal(signal.SIGCONT)

    def processes(self) -> dict[int, str]:
        """Return the name of the supervisor and of all its descendants, by process id."""
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
    """Run the system until the block ends, in a temporary folder that PostgreSQL's account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="runnel-test-"))
    folder.chmod(0o755)
    runnel = Runnel(folder, **environ)
    try:
        runnel.start()
        yield runnel
    finally:
        if runnel.dev.process.poll() is None:
            runnel.stop()
        shutil.rmtree(folder)
