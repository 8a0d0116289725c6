"""PostgreSQL refuses to run as root: whose account it runs under then, and where that account can reach its files.

Nothing is loosened for that: no folder that exists gets other permissions, no user is made. What the account
can't reach (a clone under /root, say) is put, or copied, into /var/lib/runnel.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REACHABLE = Path("/var/lib/runnel")


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int

    @property
    def popen(self) -> dict[str, Any]:
        """What subprocess needs to run something under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may(self, test: str, path: Path) -> bool:
        """Whether test(1) says yes to this account, e.g. `-x` for running a file or entering a folder."""
        return subprocess.run(["/usr/bin/env", "test", test, path], cwd="/", **self.popen).returncode == 0  # noqa: S603 (our own words)


def unprivileged() -> Account | None:
    """Another account than ours to run PostgreSQL under; None unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    return Account(65534, 65534)


def owner(folder: Path) -> Account | None:
    """Who runs what is kept in this folder; None when that is us, or when we are not root."""
    status = folder.stat()
    return Account(status.st_uid, status.st_gid) if os.geteuid() == 0 and status.st_uid != 0 else None


def make_folder(wanted: Path, account: Account | None) -> Path:
    """A new, private folder of the account: `wanted`, or one in /var/lib/runnel that `wanted` becomes a link to."""
    wanted.unlink(missing_ok=True)  # at most a link to what is gone
    if account is None or account.may("-x", wanted.parent):
        wanted.mkdir(mode=0o700)
        place = wanted
    else:
        REACHABLE.mkdir(mode=0o755, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{wanted.name}-", dir=REACHABLE))
        wanted.symlink_to(place)
    if account:
        os.chown(place, account.uid, account.gid)
    return place


def readable_copy(name: str, folders: list[Path]) -> Path:
    """A folder with copies of `folders` that every account can read; made once, at one stroke."""
    copy = REACHABLE / name
    if copy.exists():
        return copy
    REACHABLE.mkdir(mode=0o755, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f"{name}-new-", dir=REACHABLE))
    for folder in folders:
        shutil.copytree(folder, new / folder.name)
    for path in (new, *new.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        new.rename(copy)
    except OSError:  # another start was quicker
        shutil.rmtree(new)
    return copy
