"""GET requests that are longer than httpx allows."""

import asyncio
from typing import NamedTuple

from tests.stack import PATIENCE_SECONDS


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


async def get(host: str, port: int, target: str, **headers: str) -> Response:
    """HTTP/1.0 has no chunks."""
    lines = [f"GET {target} HTTP/1.0", f"Host: {host}:{port}", *(f"{name}: {text}" for name, text in headers.items())]
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
    status, *rest = head.split("\r\n")
    return Response(int(status.split(" ")[1]), dict(line.split(": ", 1) for line in rest), body)
