"""`make model`: lists the catalogue and downloads a model into `DATA_DIR/models`, where the next start finds it.

A download that breaks off is taken up where it ended, at the next try or the next start.
"""

import errno
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import httpx

from llama import model
from llama.catalogue import CATALOGUE, Entry

SOURCE = "https://huggingface.co"  # or HF_ENDPOINT, as for Hugging Face's own tools
TRIES = 5  # in a row without a single new byte
SILENCE_SECONDS = 30.0
REPORT_SECONDS = 0.2


class DownloadError(Exception):
    """Why there is no model now; the message is a sentence for the terminal."""


def main(arguments: Sequence[str] = sys.argv[1:], environ: Mapping[str, str] = os.environ) -> int:
    for entry in CATALOGUE:
        print(f"  {entry.name:<16} {entry.size / 1e6:>7,.0f} MB  {entry.licence}  {entry.remark}")
    name = arguments[0] if arguments else CATALOGUE[0].name
    try:
        path = download(_named(name), model.folder(environ), environ.get("HF_ENDPOINT") or SOURCE)
    except DownloadError as error:
        print(f"make model: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the next `make model` goes on from here", file=sys.stderr)
        return 130
    print(f"{path} is complete; the next `make dev` uses it{'' if environ.get('DATA_DIR') else ', and the next `make up`'}")
    return 0


def download(entry: Entry, folder: Path, source: str = SOURCE) -> Path:
    """The path of the complete and checked file, which appears under its name only then."""
    path, part = folder / entry.file, folder / f"{entry.file}.part"
    if path.exists() and path.stat().st_size == entry.size:
        path.touch()  # the newest is the one that runs
        return path
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o755)  # whatever umask this runs with: in its container llama is somebody else
        _refuse_full_disk(entry, part)
        _fetch_all(entry, part, f"{source.rstrip('/')}/{entry.path}")
        _check(entry, part)
        part.chmod(0o644)
        part.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _no_room(entry, folder)
        raise DownloadError(f"can't write to {folder}: {error.strerror}") from error
    return path


def _named(name: str) -> Entry:
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    raise DownloadError(f"there is no {name!r} in the catalogue above")


def _refuse_full_disk(entry: Entry, part: Path) -> None:
    if shutil.disk_usage(part.parent).free < entry.size - _size(part):
        _no_room(entry, part.parent)


def _no_room(entry: Entry, folder: Path) -> NoReturn:
    raise DownloadError(f"the disk of {folder} is too full: {entry.name} needs {entry.size / 1e6:,.0f} MB")


def _too_short(entry: Entry, part: Path, url: str) -> NoReturn:
    size = _size(part)
    part.unlink()
    raise DownloadError(f"{url} is not {entry.name}: it ends after {size:,} of {entry.size:,} bytes; it was deleted, try again")


def _fetch_all(entry: Entry, part: Path, url: str) -> None:
    in_vain = 0
    with httpx.Client(follow_redirects=True, timeout=SILENCE_SECONDS) as client:
        while (had := _size(part)) < entry.size:
            try:
                _fetch(client, entry, part, url)
                trouble = ""
            except httpx.HTTPStatusError as error:
                if error.response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    _too_short(entry, part, url)
                raise DownloadError(f"{url} answers {error.response.status_code} {error.response.reason_phrase}") from error
            except httpx.HTTPError as error:
                trouble = str(error) or type(error).__name__
            in_vain = 0 if _size(part) > had else in_vain + 1
            if in_vain == TRIES and not trouble:
                _too_short(entry, part, url)
            if in_vain == TRIES:
                raise DownloadError(f"can't reach {httpx.URL(url).host} ({trouble}); is there a network? `make model` goes on from here")
            time.sleep(0.5 * in_vain)


def _fetch(client: httpx.Client, entry: Entry, part: Path, url: str) -> None:
    """Appends what is missing; begins anew where the server can't continue."""
    have = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as answer:
        answer.raise_for_status()
        continues = answer.status_code == httpx.codes.PARTIAL_CONTENT
        with part.open("ab" if continues else "wb") as file:
            bar = Bar(entry, have if continues else 0)
            for piece in answer.iter_raw():
                file.write(piece)
                bar.add(len(piece))
            bar.end()
            file.flush()
            os.fsync(file.fileno())


def _check(entry: Entry, part: Path) -> None:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != entry.sha256:
        part.unlink()
        raise DownloadError(f"what came is not {entry.name}: its sha256 is {digest}, not {entry.sha256}; it was deleted, try again")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class Bar:
    """On a terminal a line that grows, elsewhere nothing."""

    def __init__(self, entry: Entry, done: int) -> None:
        self.entry = entry
        self.done = self.before = done
        self.began = self.told = time.monotonic()

    def add(self, size: int) -> None:
        self.done += size
        now = time.monotonic()
        if now - self.told >= REPORT_SECONDS:
            self.told = now
            self._show((self.done - self.before) / (now - self.began))

    def end(self) -> None:
        if sys.stderr.isatty() and self.told > self.began:
            print(file=sys.stderr)

    def _show(self, speed: float) -> None:
        if not sys.stderr.isatty():
            return
        share = min(1.0, self.done / self.entry.size)
        filled = "#" * int(30 * share)
        left = max(0.0, (self.entry.size - self.done) / speed) if speed else 0.0
        print(f"\r  [{filled:<30}] {share:4.0%}  {speed / 1e6:6.1f} MB/s  {left:4.0f} s left ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
