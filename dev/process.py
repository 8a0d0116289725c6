"""Child processes. Each runs in its own session, so that Ctrl-C reaches only the supervisor.

On Linux a child does not outlive the supervisor.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from dev.terminal import StartError, last_lines
from dev.unprivileged import Account

PR_SET_PDEATHSIG = 1  # prctl(2)
MAX_LOG_BYTES = 20_000_000  # the next start renames a larger log to *.log.old and overwrites the previous one

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


async def start(
    command: Sequence[str | Path],
    log: Path,
    environ: Mapping[str, str],
    cwd: Path,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    batch: bool = False,
) -> asyncio.subprocess.Process:
    """Start `command` and append its output to `log`.

    Linux sends `death_signal` to the child when this process dies. `batch` runs the child under SCHED_BATCH: it no
    longer preempts others on every wake-up, and handles several tokens per run.
    """
    with _opened(log) as output:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_in_child(death_signal, batch),
            **(account.popen if account else {}),
        )


async def run(
    title: str,
    command: Sequence[str | Path],
    log: Path,
    environ: Mapping[str, str],
    cwd: Path,
    account: Account | None = None,
) -> None:
    """Run `command` to its end. Raises StartError with the end of its log if the exit code is not 0."""
    process = await start(command, log, environ, cwd, account, signal.SIGKILL)
    try:
        code = await process.wait()
    finally:
        await stop(process, signal.SIGKILL)
    if code != 0:
        raise StartError(f"{title} failed ({exit_reason(code)}); the end of {log}:{last_lines(log)}")


async def stop(process: asyncio.subprocess.Process, stop_signal: signal.Signals, seconds: float = 10) -> None:
    """Send `stop_signal`, wait up to `seconds`, then kill the process and what is left in its process group."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(stop_signal)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: PermissionError for a group of zombies
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def exit_reason(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _opened(log: Path) -> BinaryIO:
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.old"))
    return log.open("ab")


def _in_child(death_signal: signal.Signals, batch: bool) -> Callable[[], None] | None:
    libc, parent = _libc, os.getpid()
    if libc is None:
        return None

    def in_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # the parent died before prctl
            os._exit(1)
        if batch and sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    return in_child
