"""Asking a service over HTTP how it is."""

import asyncio
import contextlib
from typing import NamedTuple
from urllib.parse import urlsplit

PATIENCE_SECONDS = 3.0


class Answer(NamedTuple):
    status: int  # 0: none
    body: bytes


NONE = Answer(0, b"")


async def get(url: str, host: str = "") -> Answer:
    """One GET over a connection of its own; `host` replaces the Host header. Never raises for what the network does."""
    parts = urlsplit(url)
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {host or parts.netloc}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            with contextlib.closing(writer):
                writer.write(request.encode())
                answer = await reader.read()
    except (OSError, TimeoutError):
        return NONE
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    return Answer(int(words[1]), body) if len(words) > 1 and words[1].isdigit() else NONE
