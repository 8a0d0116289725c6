"""Runs the public nginx in front of servers that echo the requests they receive."""

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from dev import nginx, ports, process, settings
from tests.stack import PATIENCE_SECONDS, until
from web import middleware

STREAM = "/chats/1/messages/2/stream"
SECURITY_HEADERS = {name.lower(): value for name, value in middleware.HEADERS.items()}  # those of web's own pages


@dataclass
class Upstream:
    """Responds to every request with the received headers as JSON, or with the given body."""

    status: str = "200 OK"
    content_type: str = "application/json"
    body: bytes = b""
    port: int = field(default_factory=ports.free)
    requests: list[str] = field(default_factory=list)  # request lines

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *headers = head.strip().split("\r\n")
            self.requests.append(line)
            if self.status == "drop":
                return
            if self.status == "silent":
                await asyncio.sleep(3)
            body = self.body or _as_json(headers)
            start = f"HTTP/1.1 {self.status}\r\nContent-Type: {self.content_type}\r\nConnection: close\r\n\r\n"
            writer.write(start.encode() + body)
            await writer.drain()
            if self.content_type == "text/event-stream":
                await asyncio.sleep(30)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def _as_json(headers: list[str]) -> bytes:
    return json.dumps({name.lower(): text for name, text in (each.split(": ", 1) for each in headers)}).encode()


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def public_nginx(
    *upstreams: Upstream, log: Path | None = None, read_timeout: str = "75s", **environ: str
) -> AsyncIterator[httpx.AsyncClient]:
    """Run nginx in front of these servers. Those with the status "down" do not run."""
    port = ports.free()
    servers = [
        await asyncio.start_server(each.respond, "127.0.0.1", each.port) for each in upstreams if each.status != "down"
    ]
    with tempfile.TemporaryDirectory(prefix="runnel nginx ") as name:
        folder = Path(name)
        given = settings.read({"PORT": str(port)} | environ)
        nginx.write_public(folder, given, [f"127.0.0.1:{each.port}" for each in upstreams])
        conf = folder / "nginx.conf"
        conf.write_text(conf.read_text().replace("proxy_read_timeout 75s;", f"proxy_read_timeout {read_timeout};"))
        logged = log or folder / "log"
        running = await process.start(nginx.command(folder), logged, {}, folder)
        try:
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=PATIENCE_SECONDS) as client:
                await until(lambda: _accepts(port), lambda: f"nginx does not listen: {logged.read_text()}")
                yield client
        finally:
            await process.stop(running, signal.SIGTERM)
            for server in servers:
                server.close()
