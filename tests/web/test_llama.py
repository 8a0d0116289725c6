"""Requests to the model server: their address, their credentials, and the limits of what is read."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.clients.llama import MAX_BYTES, Llama, _is_tiny
from web.clients.refusals import retry_after, server_words
from web.clients.thinking import ThinkTags
from web.errors import ModelError


@pytest.mark.parametrize(
    ("address", "key", "request_line", "authorization"),
    [
        ("", "", b"GET /health HTTP/1.1", None),
        ("/", "secret", b"GET /health HTTP/1.1", b"Bearer secret"),
        ("/v1/", "", b"GET /health HTTP/1.1", None),
        ("/models/llama/v1", "", b"GET /models/llama/health HTTP/1.1", None),
        ("user:p%40ss@", "", b"GET /health HTTP/1.1", b"Basic dXNlcjpwQHNz"),
        ("user:p%40ss@", "secret", b"GET /health HTTP/1.1", b"Bearer secret"),
    ],
)
async def test_the_address_may_have_a_path_and_a_user(
    address: str, key: str, request_line: bytes, authorization: bytes | None
) -> None:
    heads: list[list[bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    user, path = (address, "") if address.endswith("@") else ("", address)
    llama = Llama(f"http://{user}{place}{path}", key, 1)
    try:
        assert await llama.health() == "ready"
    finally:
        await llama.close()
        server.close()

    (head,) = heads
    sent = [line.split(b": ", 1)[1] for line in head if line.startswith(b"Authorization: ")]
    assert head[0] == request_line
    assert f"Host: {place}".encode() in head
    assert sent == ([authorization] if authorization else [])


CHARACTERS = "ab<>/\n "
BUFFERED = 16_000_000  # bytes that sockets of both sides may hold


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 500 Error\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Endless: ",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_an_endless_response_is_not_read_to_its_end(head: bytes) -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while sent < 10 * BUFFERED:
                writer.write(b"x" * 100_000)
                sent += 100_000
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    llama = Llama(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", "", 1)
    try:
        await llama.check()
        with pytest.raises(ModelError):
            await llama.complete({"messages": []}, "key", lambda _: False, ThinkTags())
    finally:
        await llama.close()
        server.close()

    assert sent < 2 * (MAX_BYTES + BUFFERED)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":{"message":"No","code":"x"}}', "No (x)"),
        (b'{"error":"No"}', "No"),
        (b'[{"error":{"message":"No","status":"X"}}]', "No (X)"),
        (b'{"detail":[{"msg":"No","loc":["body","top_k"]}]}', "No (body, top_k)"),
        (b"<html><script>x</script><h1>No&amp;no</h1></html>", "No&no"),
        (b"at https://host.internal/x?key=1 and 10.0.0.7:80 and /srv/app/x.py:3", "at … and … and …"),
        (b"key sk-proj-a1b2c3d4e5 and secret-host:/srv/x.cpp:450", "key … and …"),
        (b"my-secret-key refused", "… refused"),
        ("a\u202eb\x00c\nd".encode(), "a b c d"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_the_words_of_a_server_are_cleaned(body: bytes, words: str) -> None:
    assert server_words(body, "my-secret-key") == words
    assert len(server_words(body * 10_000)) <= 501


def test_retry_after_is_seconds_or_a_date() -> None:
    assert [retry_after(value) for value in (None, "", "x", "nan", "-5", "2.5", "120")] == [
        None, None, None, None, 0.0, 2.5, 120.0,
    ]  # fmt: skip
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (retry_after("Wed, 21 Oct 2122 07:28:00 GMT") or 0) > 1e9


@given(
    st.sampled_from(["<think>", "\n <Thinking>", "[THINK]"]),
    st.text(max_size=20),
    st.text("ab<>/\n ", max_size=20),
    st.data(),
)
def test_thoughts_do_not_depend_on_how_the_text_is_cut(
    tag: str, thoughts: str, answer: str, data: st.DataObject
) -> None:
    text = f"{tag}{thoughts}{tag.strip().replace('<', '</').replace('[', '[/')}\n{answer}"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text)), max_size=8)))

    tags, found = ThinkTags(), []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found.append(tags.split(text[start:end]) if not tags.is_done else ("", text[start:end]))
    found.append(tags.rest())

    assert ("".join(part[0] for part in found), "".join(part[1] for part in found)) == (thoughts, answer.lstrip())


@pytest.mark.parametrize(
    ("models", "is_tiny"),
    [
        ([{"id": "SmolLM2-135M", "meta": {"n_params": 134_515_008}}], True),
        ([{"id": "Qwen2.5-0.5B", "meta": {"n_params": 494_032_768}}], False),
        ([{"id": "a", "meta": {"n_params": 134_515_008}}, {"id": "b"}], False),
        ([{"id": "a", "meta": {"n_params": "134515008"}}], False),
        ([{"id": "a", "meta": []}], False),
        ([], False),
    ],
)
def test_a_model_is_tiny_only_if_the_server_says_so(models: Any, is_tiny: bool) -> None:
    assert _is_tiny(models) is is_tiny
