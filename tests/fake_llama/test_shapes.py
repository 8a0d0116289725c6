"""The JSON of answers and errors is that of llama.cpp."""

import json
from typing import Any

import httpx

from tests.fake_llama.calls import chunks_of, complete


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
