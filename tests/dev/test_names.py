"""Servers behind nginx that appear and disappear in DNS, as containers do, while requests are in flight."""

import asyncio
import json
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from dev import nginx, ports, process, settings
from tests.dev.public_nginx import STREAM, Upstream
from tests.stack import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2 and an accept queue that can be full")

UNLIMITED = dict.fromkeys(("STREAMS_PER_ADDRESS", "STREAMS_PER_SESSION", "WRITES_PER_ADDRESS"), "0")
LEAVING = ["127.0.0.2", "127.0.0.3"]
ROUNDS = 10


class NameServer(asyncio.DatagramProtocol):
    """A name server for one name. Returns the running server and, in turn, one of `leaving`, which do not respond."""

    queries = 0

    def __init__(self, *leaving: list[str]) -> None:
        self.leaving = leaving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = data[12 : data.index(b"\0", 12) + 5]
        addresses = []
        if question[-4:-2] == b"\0\1":  # type A; there are no AAAA records
            addresses = ["127.0.0.1", *self.leaving[self.queries % len(self.leaving)]]
            self.queries += 1
        records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(each) for each in addresses)
        head = data[:2] + b"\x81\x80\0\1" + len(addresses).to_bytes(2, "big") + b"\0\0\0\0"
        self.transport.sendto(head + question + records, addr)  # type: ignore[attr-defined]


@contextmanager
def silent(address: str, port: int) -> Iterator[None]:
    """Make connections to this address hang, as to the address of a container that was just removed."""
    with socket.socket() as server, socket.socket() as first:
        server.bind((address, port))
        server.listen(0)
        first.connect((address, port))
        yield


@pytest.mark.parametrize(
    "leaving", [(LEAVING[:1], LEAVING[1:]), (LEAVING[:1], [])], ids=["one server replaces another", "one server leaves"]
)
async def test_no_request_is_lost_when_the_list_of_servers_changes_during_it(leaving: tuple[list[str], ...]) -> None:
    web, port, public = Upstream(), ports.free(), ports.free()
    names, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(*leaving), local_addr=("127.0.0.1", port)
    )
    server = await asyncio.start_server(web.respond, "127.0.0.1", web.port)
    with tempfile.TemporaryDirectory() as name, silent(LEAVING[0], web.port), silent(LEAVING[1], web.port):
        folder = Path(name)
        nginx.write_public(folder, settings.read({"PORT": str(public)} | UNLIMITED), [f"web.test:{web.port} resolve"])
        conf = folder / "nginx.conf"
        conf.write_text(conf.read_text().replace("resolver 127.0.0.1 ", f"resolver 127.0.0.1:{port} "))
        running = await process.start(nginx.command(folder), folder / "log", {}, folder)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{public}", trust_env=False) as client:
                await until(lambda: is_served(client))
                ways = [("POST", "/chats"), ("GET", STREAM)] * 12
                codes: list[set[int]] = []
                for _ in range(ROUNDS):  # nginx chooses the server, so a round may not meet one that has left
                    codes += await asyncio.gather(*(request_until_changed(client, protocol, *way) for way in ways))
                    if retried_paths(folder) >= {"/chats", STREAM}:
                        break
        finally:
            await process.stop(running, signal.SIGTERM)
            server.close()
            names.close()
        retried = retried_paths(folder)

    assert set().union(*codes) == {200}
    assert retried >= {"/chats", STREAM}


def retried_paths(folder: Path) -> set[str]:
    """The paths of requests that nginx sent to a second server."""
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines() if line.startswith("{")]
    return {line["path"] for line in lines if " : " in line["upstream"]}


async def is_served(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/")).status_code == 200
    except httpx.ConnectError:
        return False


async def request_until_changed(client: httpx.AsyncClient, names: NameServer, method: str, path: str) -> set[int]:
    codes, changes = set(), names.queries + 3  # nginx resolves the name every second
    while names.queries < changes:
        codes.add((await client.request(method, path)).status_code)
    codes.add((await client.request(method, path)).status_code)
    return codes
