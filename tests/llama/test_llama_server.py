"""`python -m llama`: the real llama.cpp with the small model."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev import ports
from llama import model

KEY = "a-key-for-tests"


def run(**environ: str) -> subprocess.Popen[str]:
    given = os.environ | {"LLAMA_PORT": str(ports.free()), "LLAMA_CONTEXT": "512"} | environ
    return subprocess.Popen([sys.executable, "-m", "llama"], env=given, stderr=subprocess.PIPE, text=True)


def request(url: str, body: object = None, key: str = "") -> tuple[int, Any]:
    data = json.dumps(body).encode() if body else None
    prepared = urllib.request.Request(url, data, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(prepared, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except urllib.error.URLError:
        return 0, None


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[int]]]:
    """Yield the server's address and the statuses of /health until it was ready (0: no response)."""
    port = ports.free()
    process = run(LLAMA_PORT=str(port), LLAMA_API_KEY=KEY, LLAMA_SLOTS="2")
    address, seen = f"http://127.0.0.1:{port}", [0]
    deadline = time.monotonic() + 60
    while seen[-1] != 200 and time.monotonic() < deadline:
        seen.append(request(f"{address}/health")[0])
        time.sleep(0.01)
    yield address, seen
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=10)
    assert time.monotonic() - began < 2, "SIGTERM ends it at once"


def test_health_responds_with_503_while_the_model_loads(server: tuple[str, list[int]]) -> None:
    _, seen = server

    assert sorted(set(seen), key=seen.index) == [0, 503, 200]


def test_uses_the_configured_slots_and_context(server: tuple[str, list[int]]) -> None:
    address, _ = server

    _, props = request(f"{address}/props", key=KEY)

    assert props["total_slots"] == 2
    assert props["default_generation_settings"]["n_ctx"] == 512


def test_requires_the_api_key(server: tuple[str, list[int]]) -> None:
    address, _ = server
    chat = {"messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 4}

    refused, _ = request(f"{address}/v1/chat/completions", chat)
    allowed, answer = request(f"{address}/v1/chat/completions", chat, KEY)

    assert (refused, allowed) == (401, 200)
    assert answer["choices"][0]["message"]["content"]
    assert request(f"{address}/slots", key=KEY)[0] == 501, "/slots would show the prompts of other users"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"garbage", "is not a GGUF file"),
        (b"GGUF and garbage", "incomplete or damaged"),
        ("half", "incomplete or damaged"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_reported_in_one_line(
    tmp_path: Path, content: bytes | str | None, message: str
) -> None:
    path = tmp_path / "model.gguf"
    if content == "half":
        with model.find({"DATA_DIR": str(tmp_path)}).open("rb") as whole:
            content = whole.read(4_000_000)
    if isinstance(content, bytes):
        path.write_bytes(content)

    process = run(MODEL=str(path))
    _, output = process.communicate(timeout=60)

    # llama.cpp logs from a thread of its own, so the report may follow on an unfinished line
    lines = re.findall(r"\bllama: .*", output)
    assert process.returncode == 1, output
    assert len(lines) == 1, output
    assert message in lines[0]
    assert "Traceback" not in output


def test_a_port_in_use_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = run(LLAMA_PORT=str(taken.getsockname()[1]))
        _, output = process.communicate(timeout=60)

    assert process.returncode == 1
    assert output.startswith("llama: cannot listen on 127.0.0.1:")


@pytest.mark.parametrize("name", ["LLAMA_PORT", "LLAMA_SLOTS", "LLAMA_CONTEXT", "LLAMA_THREADS", "LLAMA_PROMPT_CACHE"])
@pytest.mark.parametrize("value", ["x", "-1"])
def test_an_invalid_setting_is_reported_by_name(name: str, value: str) -> None:
    process = run(**{name: value})
    _, output = process.communicate(timeout=60)

    assert process.returncode == 1
    assert output.startswith(f"llama: {name}")
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize(("cache", "is_cached"), [("256", True), ("0", False)])
def test_a_chat_whose_slot_another_one_took_is_read_from_the_cache(cache: str, is_cached: bool) -> None:
    port = ports.free()
    process = run(LLAMA_PORT=str(port), LLAMA_SLOTS="1", LLAMA_PROMPT_CACHE=cache)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while request(f"{address}/health")[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.05)

    def ask(text: str) -> Any:
        chat = {"messages": [{"role": "user", "content": text}], "max_tokens": 1}
        status, answer = request(f"{address}/v1/chat/completions", chat)
        assert status == 200, answer
        return answer["timings"]

    first = ask("What do you know about rivers? " * 30)
    ask("Please name some mountains. " * 30)
    again = ask("What do you know about rivers? " * 30)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)

    assert (again["cache_n"] > 0.8 * first["prompt_n"]) == is_cached
