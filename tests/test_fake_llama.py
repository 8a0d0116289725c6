"""The stand-in behaves as llama.cpp was measured to behave. Uses raw sockets where exact bytes matter."""

import base64
import contextlib
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.fake_llama.server import running

Message = str | dict[str, Any]
RawRequest = Callable[..., socket.socket]


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


def test_a_streamed_answer_has_the_format_of_llama_cpp(llama: httpx.Client) -> None:
    response = complete(llama, {"tokens": ["Hi", " 🙂", "\n\u2028"]}, stream_options={"include_usage": True})

    events = response.text.split("\n\n")
    assert response.headers["content-type"] == "text/event-stream"
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert [chunk["choices"] for chunk in chunks] == [
        [{"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}],
        [{"finish_reason": None, "index": 0, "delta": {"content": "Hi"}}],
        [{"finish_reason": None, "index": 0, "delta": {"content": " 🙂"}}],
        [{"finish_reason": None, "index": 0, "delta": {"content": "\n\u2028"}}],
        [{"finish_reason": "stop", "index": 0, "delta": {}}],
        [],
    ]
    assert all(
        list(chunk)[:6] == ["choices", "created", "id", "model", "system_fingerprint", "object"] for chunk in chunks
    )
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[-1]["usage"]["completion_tokens"] == chunks[-1]["timings"]["predicted_n"] == 3


def test_without_usage_the_timings_are_in_the_chunk_that_finishes(llama: httpx.Client) -> None:
    chunks = chunks_of(complete(llama, {"text": "one two three four", "reasoning": "Hm."}, max_tokens=4).content)

    assert [list(chunk["choices"][0]["delta"]) for chunk in chunks[1:-1]] == [["reasoning_content"]] * 2 + [
        ["content"]
    ] * 2
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert "timings" in chunks[-1]
    assert "usage" not in chunks[-1]


def test_a_message_that_is_not_a_script_gets_deterministic_markdown(llama: httpx.Client) -> None:
    answers = [
        text_of(complete(llama, message).content)
        for message in ("Why is the sky blue?", "Why is the sky blue?", '{"a": 1')
    ]

    assert answers[0] == answers[1] != answers[2]
    assert all(sign in answers[0] for sign in ("## About Why is the sky blue", "- **", "| --- |", "```python"))


def test_an_answer_arrives_token_by_token_at_the_requested_rate(llama: httpx.Client) -> None:
    started = time.monotonic()
    with streaming(llama, {"text": "word " * 20, "rate": 50, "first_delay_ms": 200}) as response:
        times = [time.monotonic() - started for _ in response.iter_raw()]

    assert times[0] >= 0.2
    assert times[-1] - times[0] == pytest.approx(20 * 0.02, abs=0.15)
    assert len(times) > 10


@pytest.mark.parametrize("cut_at", [0, 1, 400, 1000])
def test_a_stream_survives_a_connection_reset_and_is_replayed_byte_for_byte(
    llama: httpx.Client, raw_request: RawRequest, cut_at: int
) -> None:
    mine = raw_request({"text": "wörd 🙂 " * 20, "delay_ms": 10}, key="k")
    read = receive(mine, 1500)
    reset(mine)

    time.sleep(0.05)
    live = llama.get("/v1/stream", params={"conv_id": "k", "from": cut_at}).content
    whole = llama.get("/v1/stream", params={"conv_id": "k"}).content
    assert live == whole[cut_at:]
    assert len(read) > 1000
    assert unchunked(read) == whole[: len(unchunked(read))]
    assert whole.endswith(b"data: [DONE]\n\n")
    assert text_of(whole) == "wörd 🙂 " * 20


def test_the_replay_endpoints_respond_as_measured(llama: httpx.Client) -> None:
    llama.post("/__control", json={"ring_bytes": 1000})
    complete(llama, {"text": "word " * 20, "delay_ms": 0}, key="k")

    for query, status, body in [
        ("conv_id=nope", 404, {"message": "File Not Found", "type": "not_found_error", "code": 404}),
        ("from=0", 400, {"message": "Missing conversation id in path", "type": "invalid_request_error", "code": 400}),
        ("conv_id=k&from=x", 400, {"message": "Invalid 'from' offset", "type": "invalid_request_error", "code": 400}),
        (
            "conv_id=k&from=0",
            400,
            {"message": "Stream offset lost, please restart", "type": "invalid_request_error", "code": 400},
        ),
    ]:
        response = llama.get(f"/v1/stream?{query}")
        assert (response.status_code, response.json()) == (status, {"error": body})
    assert (
        llama.get("/v1/stream?conv_id=k&from=99999").content == llama.get("/v1/stream?conv_id=k&from=-1").content == b""
    )
    [found] = llama.post("/v1/streams/lookup", json={"conversation_ids": ["k", "nope"]}).json()
    assert (found["conversation_id"], found["is_done"]) == ("k", True)
    rest = llama.get("/v1/stream", params={"conv_id": "k", "from": found["total_bytes"] - 14}).content
    assert rest == b"data: [DONE]\n\n"


def test_a_continuation_follows_any_prefix_exactly(llama: httpx.Client) -> None:
    script = {"text": "Ünder the 🙂 mäple\n\n  - one\n", "reasoning": "thinking", "delay_ms": 0}
    whole = str(script["text"])

    for at in range(1, len(whole) + 1):
        rest = complete(llama, script, prefix=whole[:at], continue_final_message=True, add_generation_prompt=False)
        assert text_of(rest.content) == whole[at:]
    assert "reasoning" not in rest.text


def test_a_fault_does_not_repeat_where_a_continuation_starts(llama: httpx.Client) -> None:
    script = {"tokens": ["a", "b", "c", "d"], "error_after": 2, "delay_ms": 0}

    broken = complete(llama, script)
    rest = complete(llama, script, prefix=text_of(broken.content))

    assert broken.text.endswith('data: {"error":{"code":500,"message":"scripted error","type":"server_error"}}\n\n')
    assert text_of(broken.content) == "ab"
    assert text_of(rest.content) == "cd"


def test_invalid_prompts_get_the_error_messages_of_llama_cpp(llama: httpx.Client) -> None:
    user, assistant = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
    both = {"continue_final_message": True}  # add_generation_prompt is true by default
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "'messages' is required"),
        ({"messages": 5}, "Expected 'messages' to be an array"),
        (
            {"messages": [user, assistant], **both},
            "Cannot set both add_generation_prompt and continue_final_message to true.",
        ),
        (
            {"messages": [user, assistant, assistant]},
            "Cannot have 2 or more assistant messages at the end of the list.",
        ),
        (
            {"messages": [user] * 20},
            "request (100 tokens) exceeds the available context size (100 tokens), try increasing it",
        ),
        (
            {"messages": [{"role": "user", "content": '{"text": "x", "dealy_ms": 1}'}]},
            "fake_llama: unknown keys in a script: ['dealy_ms']",
        ),
    ]
    llama.post("/__control", json={"n_ctx": 100})

    for body, message in cases:
        response = llama.post("/v1/chat/completions", json={"stream": True} | body)
        assert (response.status_code, response.json()["error"]["message"]) == (400, message)


def test_requests_beyond_the_slots_wait_silently(llama: httpx.Client, raw_request: RawRequest) -> None:
    busy = [raw_request({"text": "x", "hang_after": 1}, key=f"busy-{n}") for n in range(2)]
    for client in busy:
        receive(client, 400)
    waiting = raw_request({"text": "at last", "delay_ms": 0}, key="waiting")

    waiting.settimeout(0.3)
    with pytest.raises(TimeoutError):
        waiting.recv(1)
    assert counters(llama) == {
        "listeners": 3,
        "started": 3,
        "completed": 0,
        "failed": 0,
        "cancelled": 0,
        "active": 2,
        "waiting": 1,
    }
    assert llama.post("/v1/streams/lookup", json={"conversation_ids": ["waiting"]}).json()[0]["total_bytes"] == 0

    assert llama.delete("/v1/stream?conv_id=busy-0").status_code == 204
    assert text_of(unchunked(receive(waiting))) == "at last"


def test_a_client_that_leaves_while_waiting_is_forgotten(llama: httpx.Client, raw_request: RawRequest) -> None:
    busy = [raw_request({"text": "x", "hang_after": 1}) for _ in range(2)]
    for client in busy:
        receive(client, 400)
    waiting = raw_request("Hi", key="waiting")
    until(llama, waiting=1)

    waiting.close()

    until(llama, waiting=0, active=2)
    assert llama.get("/v1/stream?conv_id=waiting").status_code == 404


def test_delete_ends_the_response_without_done_and_frees_the_slot(llama: httpx.Client, raw_request: RawRequest) -> None:
    client = raw_request({"text": "word " * 100, "delay_ms": 10}, key="k")
    receive(client, 1000)

    assert llama.delete("/v1/stream?conv_id=k").status_code == llama.delete("/v1/stream?conv_id=k").status_code == 204

    assert receive(client).endswith(b"0\r\n\r\n")
    until(llama, active=0, cancelled=1)
    assert llama.get("/v1/stream?conv_id=k").status_code == 404


@pytest.mark.parametrize("deaf", [True, False])
def test_delete_before_the_first_token_frees_the_slot_at_that_token(
    llama: httpx.Client, raw_request: RawRequest, deaf: bool
) -> None:
    llama.post("/__control", json={"deaf_in_prompt": deaf})
    client = raw_request({"text": "word", "first_delay_ms": 600}, key="k")
    headers = receive(client, 10)

    llama.delete("/v1/stream?conv_id=k")

    assert unchunked(headers + receive(client)) == b""
    assert counters(llama)["active"] == deaf
    until(llama, active=0, cancelled=1)


def test_a_second_request_with_the_same_id_ends_the_first(llama: httpx.Client, raw_request: RawRequest) -> None:
    first = raw_request({"text": "word " * 100, "delay_ms": 10}, key="k")
    receive(first, 1000)

    second = complete(llama, {"text": "new", "delay_ms": 0}, key="k")

    assert receive(first).endswith(b"0\r\n\r\n")
    assert text_of(second.content) == text_of(llama.get("/v1/stream?conv_id=k").content) == "new"
    assert llama.get("/__seen").json()["conversations"]["k"]["posts"] == 2


def test_without_an_id_a_disconnect_ends_the_answer(llama: httpx.Client, raw_request: RawRequest) -> None:
    client = raw_request({"text": "word " * 1000, "delay_ms": 10})
    receive(client, 1000)
    until(llama, active=1)

    reset(client)

    until(llama, active=0, cancelled=1)


def test_a_hanging_answer_sends_only_comments(llama: httpx.Client, raw_request: RawRequest) -> None:
    llama.post("/__control", json={"ping_seconds": 0.05})
    client = raw_request({"tokens": ["a", "b", "c"], "hang_after": 2, "delay_ms": 0})
    time.sleep(0.4)

    read = unchunked(receive(client, 1))

    assert text_of(read) == "ab"
    assert read.endswith(b":\n\n:\n\n")


def test_an_answer_can_hang_before_the_headers(llama: httpx.Client, raw_request: RawRequest) -> None:
    client = raw_request({"hang_after": -1})
    client.settimeout(0.3)

    with pytest.raises(TimeoutError):
        client.recv(1)


def test_a_reset_reaches_the_client_and_the_answer_can_be_fetched(llama: httpx.Client, raw_request: RawRequest) -> None:
    client = raw_request({"tokens": ["a", "b", "c", "d"], "rst_after": 2, "delay_ms": 50}, key="k")

    read = receive(client, 600)
    with pytest.raises(ConnectionResetError):
        receive(client)

    assert b'"a"' in read  # a reset may discard bytes that were sent just before it
    assert text_of(llama.get("/v1/stream?conv_id=k").content) == "abcd"


def test_raw_bytes_and_half_characters_arrive_as_written(llama: httpx.Client) -> None:
    raw = b'data: {"choices"\r\n\xff\xfe: broken\n\n'

    wrong = complete(llama, {"tokens": ["a"], "raw": base64.b64encode(raw).decode()})
    halves = complete(llama, '{"tokens": ["\\ud83d", "\\ude42"], "finish_reason": "content_filter"}')

    assert wrong.content.endswith(b'"chat.completion.chunk"}\n\n' + raw)
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks_of(halves.content)] == [
        None,
        "\ud83d",
        "\ude42",
        None,
    ]
    assert '"finish_reason":"content_filter"' in halves.text


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_scripted_errors_occur_as_often_as_requested(llama: httpx.Client, status: int) -> None:
    scripts = [{"status": status, "body": body, "times": 1, "text": "ok"} for body in ("json", "html", "empty")]

    first = [complete(llama, script) for script in scripts]
    second = [complete(llama, script) for script in scripts]

    assert [error.status_code for error in first] == [status] * 3
    assert first[0].json()["error"]["code"] == status
    assert "<html>" in first[1].text
    assert first[2].text == ""
    assert [text_of(answer.content) for answer in second] == ["ok"] * 3


def test_loading_an_api_key_and_downtime_can_be_set_with_control(llama: httpx.Client) -> None:
    llama.post("/__control", json={"loading_seconds": 0.3, "api_key": "sekrit"})
    loading = [llama.get("/health"), llama.get("/props"), complete(llama, "Hi")]
    time.sleep(0.35)
    wrong, right, health = (
        llama.get("/props"),
        llama.get("/props", headers={"Authorization": "Bearer sekrit"}),
        llama.get("/health"),
    )
    llama.post("/__control", json={"down": True})
    with pytest.raises(httpx.ReadError):
        llama.get("/health")

    assert [response.status_code for response in loading] == [503] * 3
    assert loading[0].json() == {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
    assert wrong.json() == {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}
    assert (right.json()["total_slots"], right.json()["default_generation_settings"]["n_ctx"]) == (2, 32768)
    assert health.json() == {"status": "ok"}


def test_a_restart_resets_connections_and_discards_replayable_streams(
    llama: httpx.Client, raw_request: RawRequest
) -> None:
    client = raw_request({"text": "word " * 100, "delay_ms": 10}, key="k")
    receive(client, 1000)

    llama.post("/__control", json={"down": True})
    llama.post("/__control", json={"down": False})

    with pytest.raises(ConnectionResetError):
        receive(client)
    assert llama.get("/v1/stream?conv_id=k").status_code == 404
    until(llama, active=0)


def test_every_request_is_recorded(llama: httpx.Client) -> None:
    complete(llama, "Hi", key="k", seed=7)
    until(llama, listeners=0)

    seen = llama.get("/__seen").json()

    [request] = seen["requests"]
    assert (request["method"], request["path"], request["body"]["seed"]) == ("POST", "/v1/chat/completions", 7)
    assert request["headers"]["x-conversation-id"] == "k"
    assert seen["conversations"]["k"] | {"posts": 1, "is_done": True} == seen["conversations"]["k"]


def test_the_command_line_runs_a_server_without_replay(unused_port: int) -> None:
    command = [sys.executable, "-m", "tests.fake_llama", "--port", str(unused_port), "--slots", "1", "--no-replay"]
    with (
        subprocess.Popen(command) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{unused_port}", timeout=10) as llama,
    ):
        try:
            until(llama, started=0)
            answer = complete(llama, {"text": "from the start"}, key="k", prefix="from")
            absent = [llama.get(path).status_code for path in ("/health", "/props", "/v1/stream?conv_id=k")]
        finally:
            process.terminate()

    assert text_of(answer.content) == "from the start"
    assert absent == [404] * 3
    assert process.returncode is not None


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


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
