"""The server has slots, settings, a record of its requests, and a command line."""

import socket
import subprocess
import sys
import time

import httpx
import pytest

from tests.fake_llama.calls import RawRequest, complete, counters, receive, text_of, unchunked, until


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
        "peak": 3,
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
