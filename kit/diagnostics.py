"""`python -m web check` and `python -m dbapi check`: print the state of a deployment, one line per finding."""

import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

from kit.settings import Settings, SettingsError, read

MAX_CLOCK_SKEW_SECONDS = 5.0


class Severity(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, but it could work better
    ERROR = "ERROR"


class Finding(NamedTuple):
    severity: Severity
    message: str

    @classmethod
    def ok(cls, message: str) -> "Finding":
        return cls(Severity.OK, message)

    @classmethod
    def warning(cls, message: str) -> "Finding":
        return cls(Severity.WARNING, message)

    @classmethod
    def error(cls, message: str) -> "Finding":
        return cls(Severity.ERROR, message)


def read_settings(cls: type[Settings], service: str) -> Settings:
    """Read the settings as the service does. If it would not start with them, print the reason and exit."""
    try:
        return read(cls)
    except SettingsError as error:
        print(f"{service}: {Severity.ERROR}: {error}")
        sys.exit(1)


async def report(service: str, findings: AsyncIterator[Finding]) -> int:
    """Print each finding as soon as it is known. Returns the exit code, which is 1 if there is an error."""
    code = 0
    async for severity, message in findings:
        print(f"{service}: {severity}: {message}", flush=True)
        code |= severity == Severity.ERROR
    return code


def secret_files(names: tuple[str, ...], environ: Mapping[str, str] = os.environ) -> Finding:
    """Check that these secrets come from files that other users cannot read."""
    files = {name: environ[f"{name}_FILE"] for name in names if environ.get(f"{name}_FILE")}
    if exposed := [path for path in files.values() if os.stat(path).st_mode & stat.S_IRWXO]:
        return Finding.error(
            f"every user of this machine can read {', '.join(exposed)}; run: chmod o= {' '.join(exposed)}"
        )
    bare = [name for name in names if name not in files]
    if bare and environ.get("ENVIRONMENT") != "development":  # `make dev` stores them in private files
        return Finding.warning(
            f"read {' and '.join(bare)} from files ({bare[0]}_FILE=...): every child process sees the environment"
        )
    return Finding.ok(f"{' and '.join(names)} are long enough and stored in private files")


def clock_skew(name: str, remote_time: float, requested_at: float) -> Finding:
    """Compare the clock of another service with the middle of the request that read it."""
    ahead = remote_time - (requested_at + time.time()) / 2
    if abs(ahead) > MAX_CLOCK_SKEW_SECONDS:
        side = "ahead of" if ahead > 0 else "behind"
        return Finding.warning(f"the clock of {name} is {abs(ahead):.0f} s {side} this one: synchronize both with NTP")
    return Finding.ok(f"the clock of {name} agrees with this one")


def http_date(header: str) -> float:
    return parsedate_to_datetime(header).timestamp()
