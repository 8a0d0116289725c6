"""The account PostgreSQL runs under when `make dev` runs as root, because PostgreSQL refuses to run as root.

No existing folder changes its permissions and no user is created. Files that the account cannot reach, for example
in a clone under /root, are put into or copied to /var/lib/runnel.
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
        """The arguments for subprocess to run a command under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may(self, test: str, path: Path) -> bool:
        """Run test(1) under this account, e.g. `-x` to run a file or to enter a folder."""
        command: list[str | Path] = ["/usr/bin/env", "test", test, path]
        return subprocess.run(command, cwd="/", **self.popen).returncode == 0  # noqa: S603 (not from user input)


def unprivileged() -> Account | None:
    """Return the account to run PostgreSQL under, or None if this process does not run as root."""
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
    """Return the account that owns this folder. None if that is root, or if this process does not run as root."""
    status = folder.stat()
    return Account(status.st_uid, status.st_gid) if os.geteuid() == 0 and status.st_uid != 0 else None


def make_folder(wanted: Path, account: Account | None) -> Path:
    """Create a private folder of the account at `wanted`.

    If the account cannot reach that path, the folder is created in /var/lib/runnel and `wanted` links to it.
    """
    wanted.unlink(missing_ok=True)  # a dangling link at most
    if account is None or account.may("-x", wanted.parent):
        wanted.mkdir(mode=0o700)
        folder = wanted
    else:
        REACHABLE.mkdir(mode=0o755, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{wanted.name}-", dir=REACHABLE))
        wanted.symlink_to(folder)
    if account:
        os.chown(folder, account.uid, account.gid)
    return folder


def readable_copy(name: str, folders: list[Path]) -> Path:
    """Return a folder with copies of `folders` that every account can read. Created once, atomically."""
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
    except OSError:  # another process was faster
        shutil.rmtree(new)
    return copy
