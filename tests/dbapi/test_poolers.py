"""A connection pooler in front of PostgreSQL is refused with a reason: it loses LISTEN and a connection's settings.

The stand-in treats the startup packet as PgBouncer does, and passes on everything else to the real PostgreSQL.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from dev import ports
from tests.stack import DBAPI_KEY, Stack, run

KNOWN = {"user", "database", "client_encoding", "application_name"}


def packet(version: int, parameters: dict[str, str]) -> bytes:
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return struct.pack("!ii", 8 + len(body), version) + body


@contextlib.asynccontextmanager
async def pooler(server: tuple[str, int], *, refuses: bool) -> AsyncIterator[int]:
    """A pooler that refuses unknown startup parameters, or ignores them. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length, version = struct.unpack("!ii", await reader.readexactly(8))
        words = (await reader.readexactly(length - 8)).decode().split("\0")
        parameters = dict(zip(words[::2], words[1::2], strict=False))
        parameters.pop("", None)
        unknown = parameters.keys() - KNOWN
        if refuses and unknown:
            fields = f"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: {min(unknown)}\0\0".encode()
            writer.write(b"E" + struct.pack("!i", 4 + len(fields)) + fields)
            writer.close()
            return
        inner_reader, inner_writer = await asyncio.open_connection(*server)
        inner_writer.write(packet(version, {name: parameters[name] for name in parameters.keys() & KNOWN}))
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    port = ports.free()
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        yield port


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("refuses", [True, False])
async def test_a_connection_pooler_is_refused_with_the_reason(stack: Stack, refuses: bool) -> None:
    url = urlsplit(stack.dbapi.environ["DBAPI_DATABASE_URL"])
    assert url.hostname
    assert url.port
    async with pooler((url.hostname, url.port), refuses=refuses) as port:
        pooled = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{port}", query="sslmode=disable")
        code, output = await run("dbapi", "check", DBAPI_DATABASE_URL=pooled.geturl(), DBAPI_KEYS=DBAPI_KEY)
    direct, _ = await run("dbapi", "check", DBAPI_DATABASE_URL=url.geturl(), DBAPI_KEYS=DBAPI_KEY)

    assert (code, direct) == (1, 0)
    assert "dbapi: ERROR: the database URL leads to a connection pooler such as PgBouncer" in output
