"""`DATA_DIR/run`: who runs here, under which process id and at which inner address."""

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
from dev.terminal import StartError, say

MARK = "RUNNEL_RUN"  # in the environment of all we start
LEFTOVER_SECONDS = 12.0  # a service may take 10 to end well


class RunDir:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One `make dev` for one DATA_DIR. The lock goes with the process, however it ends."""
        with open(self.path / "lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise StartError(
                    f"another `make dev` (process {lock.read().strip() or 'unknown'}) runs on {self.path.parent}; "
                    "stop it, or give this one a place of its own: DATA_DIR=.data2 PORT=8081 make dev"
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield
            lock.truncate(0)

    @property
    def is_locked(self) -> bool:
        """Whether a `make dev` runs here."""
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
        """The port this service had at the last start: what points there goes on working."""
        with suppress(OSError):
            if match := re.search(r":(\d+)(/|$)", (self.path / f"{service}.url").read_text().strip()):
                return int(match[1])
        return None

    def end_leftovers(self) -> None:
        """Ends what a killed `make dev` left running, if it is provably ours, and removes its pid files."""
        groups = {int(text): file.stem for file in self.path.glob("*.pid") if (text := file.read_text().strip()).isdigit()}
        ours = {pid: groups[group] for pid, group, text in _processes() if group in groups and self._proves(pid, text)}
        if ours:
            say(f"ending what an earlier run left behind: {', '.join(sorted(set(ours.values())))}")
        for pid, service in ours.items():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if service == "postgres" else signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)  # in case it is stopped
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while ours and time.monotonic() < deadline:
            time.sleep(0.05)
            ours = {pid: service for pid, service in ours.items() if is_alive(pid)}
        for pid in ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for file in self.path.glob("*.pid"):
            file.unlink()

    def _proves(self, pid: int, text: str) -> bool:
        """Numbers are used again; a process is ours when it carries our mark, names or inhabits our folder."""
        if f"{MARK}={self.path}" in text or f"{self.path}/" in text:
            return True
        with suppress(OSError):
            return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(self.path)
        return False


def _processes() -> Iterator[tuple[int, int, str]]:
    """(process id, its group, its command line and environment) of all we may look at."""
    if sys.platform != "linux":
        listing = subprocess.run(["/bin/ps", "-axEww", "-o", "pid=,pgid=,command="], capture_output=True, text=True, check=False).stdout
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
