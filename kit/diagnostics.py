"""`python -m web check` and `python -m dbapi check`: what is wrong with a deployment, a line for each, with what to do about it."""

import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

from kit.settings import Settings, SettingsError, read

MOST_SKEW_SECONDS = 5.0


class Grade(StrEnum):
    FINE = "fine"
    LOOK = "look"  # it works, but not as well as it could
    WRONG = "WRONG"


class Finding(NamedTuple):
    grade: Grade
    what: str


def fine(what: str) -> Finding:
    return Finding(Grade.FINE, what)


def look(what: str) -> Finding:
    return Finding(Grade.LOOK, what)


def wrong(what: str) -> Finding:
    return Finding(Grade.WRONG, what)


def settings(cls: type[Settings], service: str) -> Settings:
    """As the service reads them; what it would refuse to start with is the only finding then."""
    try:
        return read(cls)
    except SettingsError as error:
        print(f"{service}: {Grade.WRONG}: {error}")
        sys.exit(1)


async def told(service: str, findings: AsyncIterator[Finding]) -> int:
    """Prints them as they come. The exit code is 1 if anything is wrong."""
    code = 0
    async for grade, what in findings:
        print(f"{service}: {grade}: {what}", flush=True)
        code |= grade == Grade.WRONG
    return code


def secrets_kept(names: tuple[str, ...], environ: Mapping[str, str] = os.environ) -> Finding:
    """Whether these come from files that only their service can read."""
    files = {name: environ[f"{name}_FILE"] for name in names if environ.get(f"{name}_FILE")}
    if exposed := [path for path in files.values() if os.stat(path).st_mode & stat.S_IRWXO]:
        return wrong(f"everybody on this machine can read {', '.join(exposed)}: chmod o= it")
    if bare := [name for name in names if name not in files]:
        return look(f"take {' and '.join(bare)} from files ({bare[0]}_FILE=...): what is in the environment, every child process sees")
    return fine(f"{' and '.join(names)} are long enough, and in files of their own")


def clock(whose: str, there: float, asked: float) -> Finding:
    """`there` is the other clock's time, `asked` when it was asked by ours."""
    ahead = there - (asked + time.time()) / 2
    if abs(ahead) > MOST_SKEW_SECONDS:
        return look(f"the clock of {whose} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours: let NTP set both")
    return fine(f"the clock of {whose} agrees with ours")


def http_date(header: str) -> float:
    return parsedate_to_datetime(header).timestamp()
