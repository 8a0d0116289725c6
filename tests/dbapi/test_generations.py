"""The generation log: one writer, no gaps and no duplicates, despite retries, late processes and races."""

import asyncio
from uuid import uuid4

import pytest

from tests.dbapi.calls import (
    LEASE_SECONDS,
    MOMENT,
    append,
    claimed_after_expiry,
    finish,
    message,
    new_chat,
    read,
    running,
)
from tests.dbapi.conftest import Api

pytestmark = pytest.mark.usefixtures("idle_log")


async def test_only_the_next_seq_is_accepted(api: Api) -> None:
    claimed = await running(api)

    accepted = [
        await append(api, claimed, 2, "too early"),
        await append(api, claimed, 1, "one"),
        await append(api, claimed, 1, "one"),
        await append(api, claimed, 1, "another"),
        await append(api, claimed, 3, "a gap"),
        await append(api, claimed, 0, "nothing"),
        await append(api, claimed, -1, "before"),
        await append(api, claimed, 2, "two"),
    ]

    assert accepted == [False, True, False, False, False, False, False, True]
    state, chunks = await read(api, claimed["id"])
    assert chunks == [[1, 1, 0, "one"], [2, 1, 0, "two"]]
    assert (state["last_seq"], state["fence"], state["status"]) == (2, 1, "streaming")


async def test_one_of_several_simultaneous_appends_of_one_seq_is_accepted(api: Api) -> None:
    claimed = await running(api)

    accepted = await asyncio.gather(*(append(api, claimed, 1, f"text {number}") for number in range(8)))

    _, chunks = await read(api, claimed["id"])
    assert accepted.count(True) == 1
    assert chunks == [[1, 1, 0, f"text {accepted.index(True)}"]]


async def test_only_the_current_fence_may_append(api: Api) -> None:
    claimed = await running(api)

    accepted = [await append(api, claimed, 1, "x", fence=fence) for fence in (0, 2, -1)]

    assert accepted == [False] * 3
    assert (await read(api, claimed["id"]))[1] == []


async def test_a_refused_entry_does_not_affect_the_others(api: Api) -> None:
    claims = [await running(api) for _ in range(3)]
    entries = [[each["id"], each["fence"], seq, 0, "x", None] for each, seq in zip(claims, (1, 5, 1), strict=True)]
    unknown = [str(uuid4()), 1, 1, 0, "x", None]

    response = await api.post("/generations/append", json={"lease": LEASE_SECONDS, "entries": [*entries, unknown]})

    assert sorted(response.json()["ok"]) == sorted([claims[0]["id"], claims[2]["id"]])
    assert [len((await read(api, each["id"]))[1]) for each in claims] == [1, 0, 1]


async def test_a_finished_answer_accepts_no_appends(api: Api) -> None:
    chat = await new_chat(api)
    claimed = await running(api, chat)
    await append(api, claimed, 1, "Done.")
    assert await finish(api, claimed, 1)

    accepted = [await append(api, claimed, 2, " More."), await append(api, claimed, None)]

    assert accepted == [False, False]
    assert (await message(api, chat["id"], claimed["message_id"]))["content"] == "Done."


async def test_text_and_reasoning_keep_their_order_and_every_character(api: Api) -> None:
    claimed = await running(api)
    texts = ["a\r", "\n\n", "\u2028\x85\x0b", "", " ", "🙂", "\0", "<b>&amp;", "'\"\\", "e\u0301"]

    for number, text in enumerate(texts, 1):
        assert await append(api, claimed, number, text, kind=number % 2)

    _, chunks = await read(api, claimed["id"])
    assert [chunk[3] for chunk in chunks] == [text.replace("\0", "\ufffd") for text in texts]
    assert [chunk[2] for chunk in chunks] == [number % 2 for number in range(1, 11)]


async def test_an_append_stores_the_offset_in_the_model_servers_stream(api: Api) -> None:
    claimed = await running(api, lease=MOMENT)
    await append(api, claimed, 1, "x", offset=1234, lease=MOMENT)

    successor = await claimed_after_expiry(api, claimed)

    assert (successor["upstream_offset"], successor["last_seq"]) == (1234, 1)
    assert successor["previous_key"] == successor["upstream_key"] == claimed["upstream_key"]
    assert claimed["previous_key"] is None


async def test_a_read_returns_the_chunks_after_the_readers_cursor(api: Api) -> None:
    claims = [await running(api) for _ in range(2)]
    for seq in (1, 2, 3):
        for each in claims:
            await append(api, each, seq, f"{seq}")

    cursors = [[claims[0]["id"], 1], [claims[1]["id"], 3], [str(uuid4()), 0]]
    log = (await api.post("/generations/read", json={"entries": cursors})).json()

    assert [chunk[:2] for chunk in log["chunks"]] == [[claims[0]["id"], 2], [claims[0]["id"], 3]]
    assert {state["id"] for state in log["states"]} == {each["id"] for each in claims}


async def test_after_a_takeover_the_former_holder_can_neither_append_nor_finish(api: Api) -> None:
    chat = await new_chat(api)
    zombie = await running(api, chat, lease=MOMENT)
    await append(api, zombie, 1, "Be", lease=MOMENT)

    successor = await claimed_after_expiry(api, zombie)

    assert (successor["fence"], successor["last_seq"]) == (2, 1)
    assert not await append(api, zombie, 2, "zombie")
    assert not await append(api, zombie, None)
    assert not await finish(api, zombie, 1)
    assert await append(api, successor, 2, "cause")
    assert await finish(api, successor, 2)
    assert (await message(api, chat["id"], zombie["message_id"]))["content"] == "Because"


async def test_finishing_copies_the_exact_text_of_the_log_to_the_message(api: Api) -> None:
    chat = await new_chat(api)
    claimed = await running(api, chat)
    parts = ["Hmm", "Be", " ca", "use\r\n", "", "\u2028🙂"]
    for seq, (kind, text) in enumerate([(1, parts[0]), *((0, part) for part in parts[1:])], 1):
        await append(api, claimed, seq, text, kind=kind)

    done = await finish(api, claimed, 6, usage={"total_tokens": 7}, timings={"predicted_ms": 1.5}, finish_reason="stop")

    stored = await message(api, chat["id"], claimed["message_id"])
    assert done
    assert (stored["content"], stored["reasoning"], stored["status"]) == ("Be cause\r\n\u2028🙂", "Hmm", "complete")
    assert (stored["usage"], stored["timings"], stored["error"]) == ({"total_tokens": 7}, {"predicted_ms": 1.5}, None)
    assert (await read(api, claimed["id"]))[0]["status"] == "complete"


async def test_a_failed_answer_keeps_its_text_and_its_error(api: Api) -> None:
    chat = await new_chat(api)
    claimed = await running(api, chat)
    await append(api, claimed, 1, "Be")

    assert await finish(api, claimed, 1, "failed", error="The model fell silent.\0")

    stored = await message(api, chat["id"], claimed["message_id"])
    assert (stored["content"], stored["status"], stored["error"]) == ("Be", "failed", "The model fell silent.\ufffd")


async def test_an_answer_finishes_once_and_only_with_its_last_seq(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "Be")

    tries = [await finish(api, claimed, 0), await finish(api, claimed, 2), await finish(api, claimed | {"fence": 2}, 1)]
    ends = await asyncio.gather(*(finish(api, claimed, 1, status) for status in ("complete", "stopped", "failed")))

    assert tries == [False] * 3
    assert ends.count(True) == 1
    assert (await read(api, claimed["id"]))[0]["status"] == ("complete", "stopped", "failed")[ends.index(True)]
