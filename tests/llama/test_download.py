"""`make model`, with a server that behaves as scripted."""

import dataclasses
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llama import download, model
from llama.catalogue import CATALOGUE
from llama.download import DownloadError

CONTENT = b"GGUF" + os.urandom(3_000_000)
ENTRY = dataclasses.replace(CATALOGUE[0], size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


class Source(http.server.ThreadingHTTPServer):
    """A stand-in for Hugging Face: redirects to the file, and sends the requested range."""

    content = CONTENT
    status = 206
    breaks_after: int | None = None  # bytes of a response
    ranges: list[str | None]  # the Range header of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        if "/resolve/" in self.path:
            self.send_response(302)
            self.send_header("Location", "/file")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.status == 206 else 0
        body = self.server.content[first:]
        if first and not body:
            self.send_error(416)
            return
        self.send_response(self.server.status if first or self.server.status >= 400 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def source() -> Iterator[Source]:
    server = Source(("127.0.0.1", 0), Handler)
    server.ranges = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_downloaded_model_is_used(source: Source, tmp_path: Path) -> None:
    path = download.download(ENTRY, model.folder({"DATA_DIR": str(tmp_path)}), source.url)

    assert path.read_bytes() == CONTENT
    assert model.find({"DATA_DIR": str(tmp_path)}) == path
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_download_resumes_where_it_stopped(source: Source, tmp_path: Path) -> None:
    source.breaks_after = 1_200_000

    path = download.download(ENTRY, tmp_path, source.url)

    assert path.read_bytes() == CONTENT
    assert source.ranges[0] is None
    assert source.ranges[1:] == ["bytes=1200000-", "bytes=2400000-"]


def test_a_server_without_range_support_sends_the_whole_file(source: Source, tmp_path: Path) -> None:
    source.status = 200
    (tmp_path / f"{ENTRY.file}.part").write_bytes(b"something else")

    path = download.download(ENTRY, tmp_path, source.url)

    assert path.read_bytes() == CONTENT


def test_a_complete_file_is_not_downloaded_again(source: Source, tmp_path: Path) -> None:
    download.download(ENTRY, tmp_path, source.url)

    download.download(ENTRY, tmp_path, source.url)

    assert len(source.ranges) == 1


def test_a_file_with_another_checksum_is_refused_and_deleted(source: Source, tmp_path: Path) -> None:
    source.content = b"GGUF" + bytes(len(CONTENT) - 4)

    with pytest.raises(DownloadError, match="its sha256 is"):
        download.download(ENTRY, tmp_path, source.url)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [200, 206], ids=["without ranges", "with ranges"])
def test_a_file_that_is_too_short_is_refused_and_deleted(
    source: Source, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_ATTEMPTS", 2)
    source.content, source.status = CONTENT[:1000], status

    with pytest.raises(DownloadError, match="it has 1,000 bytes instead of 3,000,004"):
        download.download(ENTRY, tmp_path, source.url)

    assert list(tmp_path.iterdir()) == []


def test_the_container_can_read_the_file_whatever_the_umask(source: Source, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        path = download.download(ENTRY, tmp_path / "models", source.url)
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755


def test_a_missing_network_is_reported_and_the_partial_file_is_kept(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_ATTEMPTS", 2)
    part = tmp_path / f"{ENTRY.file}.part"
    part.write_bytes(CONTENT[:1000])

    with pytest.raises(DownloadError, match="check the network"):
        download.download(ENTRY, tmp_path, "http://127.0.0.1:9")

    assert part.read_bytes() == CONTENT[:1000]


def test_an_error_response_of_the_server_is_reported(source: Source, tmp_path: Path) -> None:
    source.status = 404

    with pytest.raises(DownloadError, match="responds with 404 Not Found"):
        download.download(ENTRY, tmp_path, source.url)


def test_a_full_disk_is_reported_before_the_download_starts(source: Source, tmp_path: Path) -> None:
    huge = dataclasses.replace(ENTRY, size=10**18)

    with pytest.raises(DownloadError, match="not enough disk space"):
        download.download(huge, tmp_path, source.url)

    assert source.ranges == []


def test_the_catalogue_is_listed_and_an_unknown_name_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = download.main(["gpt-9"], {"DATA_DIR": str(tmp_path)})

    output = capsys.readouterr()
    assert code == 1
    assert "no model 'gpt-9' in the catalogue" in output.err
    assert all(entry.name in output.out for entry in CATALOGUE)
    assert "recommended" in output.out


def test_a_model_that_does_not_fit_into_the_memory_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    smallest, largest = CATALOGUE[0], CATALOGUE[-1]
    monkeypatch.setattr(download, "memory_bytes", lambda: 2 * smallest.size)

    download.main([], {})

    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "too little memory" not in lines[smallest.name]
    assert "too little memory" in lines[largest.name]


def test_without_a_name_the_models_are_listed_and_nothing_is_downloaded(
    tmp_path: Path, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    code = download.main([], {"DATA_DIR": str(tmp_path), "HF_ENDPOINT": source.url})

    output = capsys.readouterr().out
    assert code == 0
    assert all(entry.name in output for entry in CATALOGUE)
    assert "make model NAME=" in output
    assert (source.ranges, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(
    "name",
    ["qwen2.5-0.5b", "Qwen2.5-0.5B", "Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", CATALOGUE[0].file],
)
def test_a_model_is_found_by_every_name_it_has(name: str) -> None:
    assert download._entry(name) == CATALOGUE[0]


def test_the_packaged_model_is_not_downloaded(
    tmp_path: Path, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    code = download.main(["smollm2-135m-instruct"], {"DATA_DIR": str(tmp_path), "HF_ENDPOINT": source.url})

    assert (code, source.ranges) == (0, [])
    assert "is installed with Runnel" in capsys.readouterr().out
