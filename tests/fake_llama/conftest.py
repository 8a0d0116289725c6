"""A scripted model server with two slots, and clients of it."""

import contextlib
import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.fake_llama.calls import Message, RawRequest, request_body
from tests.fake_llama.server import running


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running(slots=2) as url:
        yield url


@pytest.fixture
def llama(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=10) as client:
        client.post("/__reset")
        yield client


@pytest.fixture
def raw_request(llama: httpx.Client) -> Iterator[RawRequest]:
    """Send requests over raw sockets, which are closed at the end."""
    with contextlib.ExitStack() as opened:

        def send(message: Message, key: str = "") -> socket.socket:
            body = json.dumps(request_body(message)).encode()
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: llama\r\nConnection: close\r\n"
            head += f"Content-Length: {len(body)}\r\n"
            head += f"X-Conversation-Id: {key}\r\n" if key else ""
            client = opened.enter_context(
                socket.create_connection((llama.base_url.host, llama.base_url.port or 80), timeout=10)
            )
            client.sendall(head.encode() + b"\r\n" + body)
            return client

        yield send
