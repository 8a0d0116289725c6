"""A message scripts its answer: the text, the pace and the faults."""

import base64
import time

import httpx
import pytest

from tests.fake_llama.calls import RawRequest, chunks_of, complete, receive, streaming, text_of, unchunked


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
