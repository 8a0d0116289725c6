"""A model server that speaks OpenAI's protocol like llama.cpp, with as little work per token as possible in Python.

`python -m bench.model PORT`. The last message of a request is a JSON object: `id`, `tokens`, `rate` (tokens per second;
0: as fast as possible), `prompt_ms`. Optionally `head`, `unit` and `size`: the text
is `head` and as many units as fit into `size` characters, in `tokens` parts. `GET /times` returns when each token of
each answer was written, and resets these times.
"""

import asyncio
import functools
import sys
from array import array
from time import monotonic
from typing import Any

import httptools
import orjson
import uvloop

from bench import document

SLOTS, CONTEXT = 10_000, 1_000_000
MODEL = "bench"

_EVENT = (
    b'data: {"choices":[{"finish_reason":%s,"index":0,"delta":%s}],"created":1795400000,"id":"chatcmpl-' + b"b" * 32
)
_EVENT += b'","model":"bench","system_fingerprint":"b0-bench","object":"chat.completion.chunk"%s}\n\n'

times: "dict[str, array[float]]" = {}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@functools.lru_cache(16)
def events(tokens: int, head: str = "", unit: str = "", size: int = 0) -> list[bytes]:
    """Return the encoded tokens and the encoded end of a response. The first token follows the response's head."""
    role = chunk(_EVENT % (b"null", b'{"role":"assistant","content":null}', b""))
    written = [
        chunk(_EVENT % (b"null", orjson.dumps({"content": token}), b"")) for token in _split(tokens, head, unit, size)
    ]
    usage = b',"usage":{"prompt_tokens":100,"completion_tokens":%d}' % tokens
    end = chunk(_EVENT % (b'"stop"', b"{}", b"") + _EVENT % (b"null", b"{}", usage) + b"data: [DONE]\n\n")
    start = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [start + role + written[0], *written[1:], end + b"0\r\n\r\n"]


def _split(tokens: int, head: str, unit: str, size: int) -> list[str]:
    if not unit:
        return document.split(tokens)
    text = head + unit * (size // len(unit))
    length = -(-len(text) // tokens)
    return [text[start : start + length] for start in range(0, len(text), length)]


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", b""
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._task:
            self._task.cancel()

    def on_url(self, url: bytes) -> None:
        self._url, self._body = url.partition(b"?")[0], b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        match self._parser.get_method(), self._url:
            case b"POST", b"/v1/chat/completions":
                given = orjson.loads(orjson.loads(self._body)["messages"][-1]["content"])
                self._task = asyncio.create_task(self._write(**given))
            case b"GET", b"/health":
                self._respond({"status": "ok"})
            case b"GET", b"/props":
                self._respond({"total_slots": SLOTS, "default_generation_settings": {"n_ctx": CONTEXT}})
            case b"GET", b"/v1/models":
                self._respond({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "llamacpp"}]})
            case b"GET", b"/times":
                self._respond({name: list(written) for name, written in times.items()})
                times.clear()
            case b"DELETE", b"/v1/stream":
                self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            case _:
                error = {"code": 404, "message": "File Not Found", "type": "not_found_error"}
                self._respond({"error": error}, b"404 Not Found")

    def _respond(self, body: dict[str, Any], status: bytes = b"200 OK") -> None:
        data = orjson.dumps(body)
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(data))
        self._transport.write(head + data)
        if not self._parser.should_keep_alive():
            self._transport.close()

    async def _write(self, id: str, tokens: int, rate: float, prompt_ms: float, **text: Any) -> None:  # noqa: A002
        written = times[id] = array("d")
        *all_tokens, end = events(tokens, **text)
        due = monotonic() + prompt_ms / 1000
        for event in all_tokens:
            if rate or prompt_ms:
                await asyncio.sleep(due - monotonic())
                due += 1 / rate if rate else 0
            else:
                await asyncio.sleep(0)
            written.append(monotonic())
            self._transport.write(event)
        self._transport.write(end)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
