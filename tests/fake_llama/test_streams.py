"""Streams are replayed and deleted as by llama.cpp, byte for byte."""

import time

import httpx
import pytest

from tests.fake_llama.calls import RawRequest, complete, counters, receive, reset, text_of, unchunked, until


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
