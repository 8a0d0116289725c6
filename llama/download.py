"""`make model`: lists the catalogue. `make model NAME=...` downloads a model into `DATA_DIR/models`, where the next
start finds it.

An interrupted download resumes where it stopped, at the next attempt or the next start.
"""

import errno
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import httpx

from llama import model
from llama.catalogue import CATALOGUE, Entry
from llama.memory import memory_bytes

SOURCE = "https://huggingface.co"  # or HF_ENDPOINT, as for Hugging Face's own tools
PACKAGED = "SmolLM2-135M"
MAX_ATTEMPTS = 5  # consecutive attempts without a new byte
TIMEOUT_SECONDS = 30.0
REPORT_SECONDS = 0.2


class DownloadError(Exception):
    """The download failed. The message is for the terminal."""


def main(arguments: Sequence[str] = sys.argv[1:], environ: Mapping[str, str] = os.environ) -> int:
    for entry in CATALOGUE:
        warning = "" if _fits(entry) else "; this machine has too little memory for it"
        print(f"  {entry.name:<16} {entry.size / 1e6:>7,.0f} MB  {entry.licence}  {entry.remark}{warning}")
    if not arguments:
        print(f"Download one: make model NAME={CATALOGUE[0].name}")
        return 0
    if _key(arguments[0]) == _key(PACKAGED):
        print(f"{PACKAGED} is installed with Runnel, and used if no model was downloaded and MODEL is not set")
        return 0
    try:
        path = download(_entry(arguments[0]), model.folder(environ), environ.get("HF_ENDPOINT") or SOURCE)
    except DownloadError as error:
        print(f"make model: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped; run `make model NAME={arguments[0]}` again to resume", file=sys.stderr)
        return 130
    users = "`make dev`" if environ.get("DATA_DIR") else "`make dev` or `make up`"
    print(f"downloaded {path}; the next {users} uses it")
    return 0


def download(entry: Entry, folder: Path, source: str = SOURCE) -> Path:
    """Download the file and verify its checksum. The file gets its final name only then. Returns its path."""
    path, part = folder / entry.file, folder / f"{entry.file}.part"
    if path.exists() and path.stat().st_size == entry.size:
        path.touch()  # the newest file is the one that is served
        return path
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o755)  # regardless of the umask: in the container, llama runs under another account
        _refuse_full_disk(entry, part)
        _fetch_all(entry, part, f"{source.rstrip('/')}/{entry.path}")
        _check(entry, part)
        part.chmod(0o644)
        part.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _raise_disk_full(entry, folder)
        raise DownloadError(f"cannot write to {folder}: {error.strerror}") from error
    return path


def _fits(entry: Entry) -> bool:
    """Whether the memory has room for the model, and for as much again: contexts, and other programs."""
    return 2 * entry.size <= memory_bytes()


def _entry(name: str) -> Entry:
    """Return the entry with this name, or with this name of a repository or file, in capital or small letters."""
    for entry in CATALOGUE:
        names = entry.name, entry.file, entry.repository, entry.repository.rpartition("/")[2]
        if _key(name) in map(_key, names):
            return entry
    raise DownloadError(f"no model {name!r} in the catalogue above")


def _key(name: str) -> str:
    return re.sub(r"[-.]gguf$|-instruct", "", name.lower())


def _refuse_full_disk(entry: Entry, part: Path) -> None:
    if shutil.disk_usage(part.parent).free < entry.size - _size(part):
        _raise_disk_full(entry, part.parent)


def _raise_disk_full(entry: Entry, folder: Path) -> NoReturn:
    raise DownloadError(f"not enough disk space in {folder}: {entry.name} needs {entry.size / 1e6:,.0f} MB")


def _raise_too_short(entry: Entry, part: Path, url: str) -> NoReturn:
    size = _size(part)
    part.unlink()
    raise DownloadError(
        f"{url} is not {entry.name}: it has {size:,} bytes instead of {entry.size:,}; the file was deleted, try again"
    )


def _fetch_all(entry: Entry, part: Path, url: str) -> None:
    failures = 0
    with httpx.Client(follow_redirects=True, timeout=TIMEOUT_SECONDS) as client:
        while (size_before := _size(part)) < entry.size:
            try:
                _fetch(client, entry, part, url)
                reason = ""
            except httpx.HTTPStatusError as error:
                if error.response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    _raise_too_short(entry, part, url)
                status = f"{error.response.status_code} {error.response.reason_phrase}"
                raise DownloadError(f"{url} responds with {status}") from error
            except httpx.HTTPError as error:
                reason = str(error) or type(error).__name__
            failures = 0 if _size(part) > size_before else failures + 1
            if failures == MAX_ATTEMPTS and not reason:
                _raise_too_short(entry, part, url)
            if failures == MAX_ATTEMPTS:
                raise DownloadError(
                    f"cannot reach {httpx.URL(url).host} ({reason}); "
                    f"check the network and run `make model NAME={entry.name}` again to resume"
                )
            time.sleep(0.5 * failures)


def _fetch(client: httpx.Client, entry: Entry, part: Path, url: str) -> None:
    """Append the missing bytes. Restarts from the beginning if the server does not support ranges."""
    offset = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    with client.stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        resumes = response.status_code == httpx.codes.PARTIAL_CONTENT
        with part.open("ab" if resumes else "wb") as file:
            bar = ProgressBar(entry, offset if resumes else 0)
            for chunk in response.iter_raw():
                file.write(chunk)
                bar.add(len(chunk))
            bar.end()
            file.flush()
            os.fsync(file.fileno())


def _check(entry: Entry, part: Path) -> None:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != entry.sha256:
        part.unlink()
        raise DownloadError(
            f"the downloaded file is not {entry.name}: its sha256 is {digest}, not {entry.sha256}; "
            "the file was deleted, try again"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class ProgressBar:
    """Draws a progress bar if standard error is a terminal."""

    def __init__(self, entry: Entry, done: int) -> None:
        self.entry = entry
        self.done = self.before = done
        self.started = self.drawn = time.monotonic()

    def add(self, size: int) -> None:
        self.done += size
        now = time.monotonic()
        if now - self.drawn >= REPORT_SECONDS:
            self.drawn = now
            self._show((self.done - self.before) / (now - self.started))

    def end(self) -> None:
        if sys.stderr.isatty() and self.drawn > self.started:
            print(file=sys.stderr)

    def _show(self, speed: float) -> None:
        if not sys.stderr.isatty():
            return
        share = min(1.0, self.done / self.entry.size)
        filled = "#" * int(30 * share)
        left = max(0.0, (self.entry.size - self.done) / speed) if speed else 0.0
        text = f"\r  [{filled:<30}] {share:4.0%}  {speed / 1e6:6.1f} MB/s  {left:4.0f} s left "
        print(text, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
