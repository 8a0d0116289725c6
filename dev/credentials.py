"""Credentials of the services, generated once and kept in files that only their owner can read."""

import os
import secrets
from pathlib import Path


class Credentials:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def get(self, name: str) -> str:
        """Return 32 random bytes in URL-safe base64. The first call generates them, later calls return the same."""
        path = self.folder / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32) + "\n")
        return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read. The file appears atomically, so no reader sees half of it."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
