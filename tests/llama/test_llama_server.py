"""`python -m llama`, the real llama.cpp with the small model."""

import json
import os
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
    given = os.environ | {"LLAMA_PORT": str(ports.free(None, set())), "LLAMA_CONTEXT": "512"} | environ
    return subprocess.Popen([sys.executable, "-m", "llama"], env=given, stderr=subprocess.PIPE, text=True)


def ask(url: str, body: object = None, key: str = "") -> tuple[int, Any]:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except urllib.error.URLError:
        return 0, None


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[int]]]:
    """Its address, and what /health answered until it was ready."""
    port = ports.free(None, set())
    process = run(LLAMA_PORT=str(port), LLAMA_API_KEY=KEY, LLAMA_SLOTS="2")
    address, seen = f"http://127.0.0.1:{port}", [0]
    deadline = time.monotonic() + 60
    while seen[-1] != 200 and time.monotonic() < deadline:
        seen.append(ask(f"{address}/health")[0])
        time.sleep(0.01)
    yield address, seen
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=10)
    assert time.monotonic() - began < 2, "SIGTERM ends it fast"


def test_says_503_while_the_model_loads(server: tuple[str, list[int]]) -> None:
    _, seen = server

    assert sorted(set(seen), key=seen.index) == [0, 503, 200]


def test_serves_the_slots_and_the_context_asked_for(server: tuple[str, list[int]]) -> None:
    address, _ = server

    _, props = ask(f"{address}/props", key=KEY)

    assert props["total_slots"] == 2
    assert props["default_generation_settings"]["n_ctx"] == 512


def test_answers_only_who_has_the_key(server: tuple[str, list[int]]) -> None:
    address, _ = server
    chat = {"messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 4}

    refused, _ = ask(f"{address}/v1/chat/completions", chat)
    answered, answer = ask(f"{address}/v1/chat/completions", chat, KEY)

    assert (refused, answered) == (401, 200)
    assert answer["choices"][0]["message"]["content"]
    assert ask(f"{address}/slots", key=KEY)[0] == 501, "it would show what others ask"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is not there"),
        (b"garbage", "is not a GGUF file"),
        (b"GGUF and garbage", "incomplete or damaged"),
        ("half", "incomplete or damaged"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told_in_one_sentence(tmp_path: Path, content: bytes | str | None, sentence: str) -> None:
    path = tmp_path / "model.gguf"
    if content == "half":
        with model.find({"DATA_DIR": str(tmp_path)}).open("rb") as whole:
            content = whole.read(4_000_000)
    if isinstance(content, bytes):
        path.write_bytes(content)

    process = run(MODEL=str(path))
    _, said = process.communicate(timeout=60)

    ours = [line for line in said.splitlines() if line.startswith("llama: ")]
    assert process.returncode == 1
    assert len(ours) == 1
    assert sentence in ours[0]
    assert "Traceback" not in said


def test_a_taken_port_is_told_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = run(LLAMA_PORT=str(taken.getsockname()[1]))
        _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert said.startswith("llama: can't listen on 127.0.0.1:")


@pytest.mark.parametrize("name", ["LLAMA_PORT", "LLAMA_SLOTS", "LLAMA_CONTEXT", "LLAMA_THREADS"])
@pytest.mark.parametrize("value", ["x", "-1"])
def test_a_setting_that_makes_no_sense_is_told_by_name(name: str, value: str) -> None:
    process = run(**{name: value})
    _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert said.startswith(f"llama: {name}")
    assert len(said.splitlines()) == 1
