"""One child process: in a session of its own, so that Ctrl-C reaches only us, and never outliving us where Linux allows."""

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
LOG_BYTES = 20_000_000  # a log larger than this is set aside at the next start, the one before it goes

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
    """Runs `command` with its output at the end of `log`; when we die, Linux sends it `death_signal`. With `batch`, Linux doesn't
    interrupt others as soon as there is work for it, so that it finds more of it at once."""
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
    what: str, command: Sequence[str | Path], log: Path, environ: Mapping[str, str], cwd: Path, account: Account | None = None
) -> None:
    """Runs `command` to its end; StartError with the end of its log when that is not a good one."""
    process = await start(command, log, environ, cwd, account, signal.SIGKILL)
    try:
        code = await process.wait()
    finally:
        await stop(process, signal.SIGKILL)
    if code != 0:
        raise StartError(f"{what} failed ({ending(code)}); the end of {log}:{last_lines(log)}")


async def stop(process: asyncio.subprocess.Process, how: signal.Signals, seconds: float = 10) -> None:
    """Asks, waits, then insists; what the process leaves behind in its group goes too."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: no permission for a group of zombies
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _opened(log: Path) -> BinaryIO:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.old"))
    return log.open("ab")


def _in_child(death_signal: signal.Signals, batch: bool) -> Callable[[], None] | None:
    libc, parent = _libc, os.getpid()
    if libc is None:
        return None

    def in_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
        if batch and sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    return in_child
