"""Secrets, made once and kept in files that only their owner can read."""

import os
import secrets
from pathlib import Path


class Keys:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def get(self, name: str) -> str:
        """32 random bytes that are safe in a URL, the same at every start."""
        path = self.folder / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32) + "\n")
        return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """At once and complete, so that no reader sees half a file, and readable by its owner only."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
