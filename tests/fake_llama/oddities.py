"""A model server that is not llama.cpp and answers in unusual ways, byte for byte.

The last user message names the replies. They are what vLLM, Ollama, LiteLLM, OpenRouter, LM Studio, TGI, Mistral,
Gemini, Azure and proxies in front of them send.
"""

import asyncio
import contextlib
import json
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

JSON, EVENTS, HTML = "application/json", "text/event-stream", "text/html; charset=utf-8"


@dataclass
class Reply:
    body: bytes | list[bytes] = b""  # parts are sent with a pause between them
    status: int = 200
    kind: str = EVENTS
    headers: dict[str, str] = field(default_factory=dict)
    end: str = "clean"  # or reset, cut (no terminator), open (the connection stays open), close (without a length)
    pause: float = 0.05


Replies = list[Reply] | Callable[[dict[str, Any]], Reply]


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def piece(content: Any = "", reason: str | None = None, **delta: Any) -> bytes:
    inner = delta if content is None else {"content": content, **delta}
    return event(id="x", choices=[{"index": 0, "delta": inner, "finish_reason": reason}])


DONE = b"data: [DONE]\n\n"
STOP = piece("", "stop") + DONE


def words(text: str) -> bytes:
    return b"".join(piece(word) for word in text.split(" "))


class OddServer:
    """Counts the requests for each message, and remembers all paths and bodies."""

    def __init__(self, oddities: dict[str, Replies], base: str = "/v1", models: Reply | None = None) -> None:
        listed = json.dumps({"object": "list", "data": [{"id": "odd-1", "owned_by": "someone"}]}).encode()
        self.oddities, self.base, self.models = oddities, base, models or Reply(listed, kind=JSON)
        self.paths: list[str] = []
        self.bodies: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["OddServer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
            self.paths.append(f"{method} {path}")
            await self._send(writer, self._reply(path, body))
        writer.close()

    def _reply(self, path: str, body: bytes) -> Reply:
        if path == f"{self.base}/models":
            return self.models
        if path != f"{self.base}/chat/completions":
            return Reply(b'{"detail":"Not Found"}', 404, JSON)
        request = json.loads(body)
        name = request["messages"][-1]["content"]
        self.bodies[name].append(request)
        replies = self.oddities[name]
        return replies(request) if callable(replies) else replies[min(len(self.bodies[name]), len(replies)) - 1]

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        parts = reply.body if isinstance(reply.body, list) else [reply.body]
        is_chunked = reply.end != "close"
        head = {"Content-Type": reply.kind, "Connection": "close", **reply.headers}
        if is_chunked:
            head["Transfer-Encoding"] = "chunked"
        lines = [f"HTTP/1.1 {reply.status} Status", *(f"{name}: {value}" for name, value in head.items() if value)]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(reply.pause)
            if part:
                writer.write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
            await writer.drain()
        if reply.end == "clean":
            writer.write(b"0\r\n\r\n")
        elif reply.end == "reset":
            await asyncio.sleep(0.05)
            reset(writer)
        elif reply.end == "open":
            await asyncio.sleep(60)


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
