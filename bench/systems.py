"""The measured systems: the model server itself, nginx in front of it, and Runnel."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dev import nginx, ports, process
from dev.service import get

ROOT = Path(__file__).parent.parent
START_SECONDS = 120.0
LIMITS = (
    "STREAMS_PER_ADDRESS",
    "STREAMS_PER_SESSION",
    "ANSWERS_PER_SESSION",
    "ANSWERS_PER_ADDRESS",
    "WRITES_PER_ADDRESS",
    "WRITES_PER_SESSION",
    "BODY_BYTES",
)
NO_LIMITS = dict.fromkeys(LIMITS, "0") | {"MAX_TOKENS": "100000", "TITLES": "off"}


@dataclass
class System:
    name: str
    url: str
    runnel: bool = False
    pids: dict[str, int] = field(default_factory=dict)
    data_dir: Path = Path()  # Runnel only


@contextlib.asynccontextmanager
async def model_server() -> AsyncIterator[System]:
    url = _address()
    async with _child([sys.executable, "-m", "bench.model", url.rpartition(":")[2]], ROOT, f"{url}/health") as pid:
        yield System("direct", url, pids={"model": pid})


@contextlib.asynccontextmanager
async def nginx_alone(model: str) -> AsyncIterator[System]:
    url = _address()
    with temporary() as folder:
        values = {"FOLDER": str(folder), "MODEL": model.removeprefix("http://"), "LISTEN": url.removeprefix("http://")}
        text = Path(__file__).with_name("nginx.conf.template").read_text()
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value)
        (folder / "nginx.conf").write_text(text)
        async with _child(nginx.command(folder), folder, f"{url}/health", batch=True) as pid:
            yield System("nginx alone", url, pids={"nginx": pid})


@contextlib.asynccontextmanager
async def runnel(replicas: int, data_dir: Path | None = None, **environ: str) -> AsyncIterator[System]:
    """Run `make dev` with this number of web processes. Without `data_dir`, its data is deleted afterwards."""
    url = _address()
    with contextlib.nullcontext(data_dir) if data_dir else temporary() as folder:
        own = {"PORT": url.rpartition(":")[2], "DATA_DIR": str(folder), "PUBLIC_URL": ""}
        own["WEB_REPLICAS"] = str(replicas)
        async with _child([sys.executable, "-m", "dev"], ROOT, "", own | NO_LIMITS | environ):
            yield System(f"Runnel, {replicas} web", url, True, pids(folder), folder)


def pids(data_dir: Path) -> dict[str, int]:
    """Return the process ids of a running `make dev`, by service."""
    return {file.stem: int(file.read_text()) for file in sorted((data_dir / "run").glob("*.pid"))}


@contextlib.asynccontextmanager
async def _child(
    command: Sequence[str | Path], cwd: Path, ready_url: str, environ: dict[str, str] | None = None, batch: bool = False
) -> AsyncIterator[int]:
    """Run the command until the block ends. It is ready when `ready_url` responds, or when it prints `ready:`."""
    with temporary() as folder:
        log = folder / "log"
        child = await process.start(command, log, os.environ | (environ or {}), cwd, batch=batch)
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await _is_ready(ready_url, log):
                    if child.returncode is not None:
                        raise SystemExit(f"{command[2]} cannot start:\n{log.read_text()[-2000:]}")
                    await asyncio.sleep(0.02)
            yield child.pid
        finally:
            await process.stop(child, signal.SIGTERM, 30)


async def _is_ready(url: str, log: Path) -> bool:
    if url:
        return await get(url) is not None
    return b"\nready: " in log.read_bytes()  # noqa: ASYNC240 (a short file)


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="runnel-bench-"))
    folder.chmod(0o755)  # PostgreSQL's account has to enter it
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _address() -> str:
    return f"http://127.0.0.1:{ports.free()}"
