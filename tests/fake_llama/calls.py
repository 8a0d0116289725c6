"""Requests to the scripted model server, also over raw sockets, and what the responses contain."""

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import httpx

Message = str | dict[str, Any]
RawRequest = Callable[..., socket.socket]


def request_body(message: Message, prefix: str = "", **more: Any) -> dict[str, Any]:
    content = message if isinstance(message, str) else json.dumps(message)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    if prefix:
        messages.append({"role": "assistant", "content": prefix})
    return {"messages": messages, "stream": True} | more


def streaming(llama: httpx.Client, message: Message, key: str = "", **more: Any) -> Any:
    headers = {"X-Conversation-Id": key} if key else {}
    return llama.stream("POST", "/v1/chat/completions", json=request_body(message, **more), headers=headers)


def complete(llama: httpx.Client, message: Message, key: str = "", **more: Any) -> httpx.Response:
    with streaming(llama, message, key, **more) as response:
        response.read()
    assert isinstance(response, httpx.Response)
    return response


def receive(client: socket.socket, enough: int = 1 << 30) -> bytes:
    read = b""
    while len(read) < enough and (data := client.recv(65536)):
        read += data
    return read


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def unchunked(response: bytes) -> bytes:
    """Return the received part of a chunked body."""
    _, _, rest = response.partition(b"\r\n\r\n")
    body = b""
    while b"\r\n" in rest:
        length, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(length, 16)], rest[int(length, 16) + 2 :]
    return body


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    events = body.decode().split("\n\n")
    return [json.loads(event.removeprefix("data: ")) for event in events if event.startswith('data: {"choices"')]


def text_of(body: bytes) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks_of(body) for choice in chunk["choices"])


def counters(llama: httpx.Client) -> dict[str, int]:
    return dict(llama.get("/__seen").json()["counters"])


def until(llama: httpx.Client, **wanted: int) -> None:
    """Wait up to five seconds until the counters have these values."""
    now: dict[str, int] = {}
    for _ in range(250):
        with contextlib.suppress(httpx.ConnectError):  # the server may still be starting
            now = counters(llama)
        if now and now | wanted == now:
            return
        time.sleep(0.02)
    raise AssertionError(f"{now} is not {wanted}")
