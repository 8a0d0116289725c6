"""`DATA_DIR/run`: the process ids and inner addresses of the running services."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dev.credentials import write_private
from dev.terminal import StartError, progress

MARK = "RUNNEL_RUN"  # set in the environment of every process that `make dev` starts
LEFTOVER_SECONDS = 12.0  # a service may take 10 to shut down


class RunDir:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock DATA_DIR for one `make dev`. The kernel releases the lock when the process ends, however it ends."""
        with open(self.path / "lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise StartError(
                    f"another `make dev` (process {lock.read().strip() or 'unknown'}) uses {self.path.parent}; "
                    "stop it, or use another folder and port: DATA_DIR=.data2 PORT=8090 make dev"
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield
            lock.truncate(0)

    @property
    def is_locked(self) -> bool:
        try:
            with self.locked():
                return False
        except StartError:
            return True

    def write_pid(self, service: str, pid: int) -> None:
        write_private(self.path / f"{service}.pid", f"{pid}\n")

    def remove_pid(self, service: str) -> None:
        (self.path / f"{service}.pid").unlink(missing_ok=True)

    def write_url(self, service: str, url: str) -> None:
        write_private(self.path / f"{service}.url", f"{url}\n")

    def last_port(self, service: str) -> int | None:
        """Return the port of this service at the last start. Reusing it keeps old addresses valid."""
        with suppress(OSError):
            if match := re.search(r":(\d+)(/|$)", (self.path / f"{service}.url").read_text().strip()):
                return int(match[1])
        return None

    def end_leftovers(self) -> None:
        """Stop the services that a killed `make dev` left running, and remove their pid files.

        Process ids are reused, so a process is stopped only if it verifiably belongs to this folder.
        """
        groups = {
            int(text): file.stem for file in self.path.glob("*.pid") if (text := file.read_text().strip()).isdigit()
        }
        leftovers = {
            pid: groups[group] for pid, group, text in _processes() if group in groups and self._is_ours(pid, text)
        }
        if leftovers:
            progress(
                f"stopping services that an earlier run left running: {', '.join(sorted(set(leftovers.values())))}"
            )
        for pid, service in leftovers.items():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if service == "postgres" else signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)  # in case it is stopped
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while leftovers and time.monotonic() < deadline:
            time.sleep(0.05)
            leftovers = {pid: service for pid, service in leftovers.items() if is_alive(pid)}
        for pid in leftovers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for file in self.path.glob("*.pid"):
            file.unlink()

    def _is_ours(self, pid: int, text: str) -> bool:
        """Check the mark in the process's environment, its command line, and its working directory."""
        if f"{MARK}={self.path}" in text or f"{self.path}/" in text:
            return True
        with suppress(OSError):
            return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(self.path)
        return False


def _processes() -> Iterator[tuple[int, int, str]]:
    """Yield (process id, process group, command line and environment) of every process this user may inspect."""
    if sys.platform != "linux":
        command = ["/bin/ps", "-axEww", "-o", "pid=,pgid=,command="]
        listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 (constant)
        for entry in listing.splitlines():
            pid, group, text = entry.split(maxsplit=2)
            yield int(pid), int(group), text
        return
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                text = (folder / "cmdline").read_bytes() + b"\0" + (folder / "environ").read_bytes()
                yield int(folder.name), os.getpgid(int(folder.name)), text.replace(b"\0", b" ").decode(errors="replace")


def is_alive(pid: int) -> bool:
    if sys.platform == "linux":
        with suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
