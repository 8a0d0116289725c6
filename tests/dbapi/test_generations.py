"""The generation log: one writer, no gaps and no duplicates, despite retries, late processes and races."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.dbapi.calls import LEASE_SECONDS, append, claim, finish, message, new_chat, new_turn, queued, read, running
from tests.dbapi.conftest import Api
from tests.stack import until

pytestmark = pytest.mark.usefixtures("idle_log")
ADDRESS, CROWD = "1" * 64, "2" * 64  # hashes of addresses
MOMENT = 0.05  # seconds: a lease that ends during the test


async def expired(api: Api, claimed: Any) -> Any:
    """Claims this answer again as soon as its lease has ended."""
    return await until(lambda: again(api, claimed["id"]))


async def again(api: Api, generation_id: str) -> Any:
    return (await claim(api, owner="successor")).get(generation_id)


# Append


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

    successor = await expired(api, claimed)

    assert (successor["upstream_offset"], successor["last_seq"]) == (1234, 1)
    assert successor["previous_key"] == successor["upstream_key"] == claimed["upstream_key"]
    assert claimed["previous_key"] is None


async def test_a_read_returns_the_chunks_after_the_readers_cursor(api: Api) -> None:
    claims = [await running(api) for _ in range(2)]
    for seq in (1, 2, 3):
        for each in claims:
            await append(api, each, seq, f"{seq}")

    places = [[claims[0]["id"], 1], [claims[1]["id"], 3], [str(uuid4()), 0]]
    log = (await api.post("/generations/read", json={"entries": places})).json()

    assert [chunk[:2] for chunk in log["chunks"]] == [[claims[0]["id"], 2], [claims[0]["id"], 3]]
    assert {state["id"] for state in log["states"]} == {each["id"] for each in claims}


# Leases and takeovers


async def test_after_a_takeover_the_former_holder_can_neither_append_nor_finish(api: Api) -> None:
    chat = await new_chat(api)
    zombie = await running(api, chat, lease=MOMENT)
    await append(api, zombie, 1, "Be", lease=MOMENT)

    successor = await expired(api, zombie)

    assert (successor["fence"], successor["last_seq"]) == (2, 1)
    assert not await append(api, zombie, 2, "zombie")
    assert not await append(api, zombie, None)
    assert not await finish(api, zombie, 1)
    assert await append(api, successor, 2, "cause")
    assert await finish(api, successor, 2)
    assert (await message(api, chat["id"], zombie["message_id"]))["content"] == "Because"


async def test_an_answer_with_a_valid_lease_cannot_be_claimed(api: Api) -> None:
    claimed = await running(api)

    others = [await claim(api, owner="other") for _ in range(3)]

    assert others == [{}] * 3
    assert await append(api, claimed, 1, "mine")


async def test_appends_and_renewals_extend_the_lease(api: Api) -> None:
    claimed = await running(api, lease=0.3)
    until_when = time.monotonic() + 1.0
    seq = 0

    while time.monotonic() < until_when:
        seq += 1
        assert await append(api, claimed, seq, "x", lease=0.5)
        assert await append(api, claimed, None, lease=0.5)
        assert await claim(api, owner="other") == {}

    assert (await read(api, claimed["id"]))[0]["fence"] == 1


async def test_one_of_several_simultaneous_claimers_gets_a_released_answer(api: Api) -> None:
    orphan = await running(api)
    await api.post("/generations/release", json={"entries": [[orphan["id"], orphan["fence"]]]})

    claims = await asyncio.gather(*(claim(api, owner=f"owner {number}") for number in range(8)))

    assert [orphan["id"] in each for each in claims].count(True) == 1


async def test_a_released_answer_can_be_claimed_immediately(api: Api) -> None:
    leaving = await running(api)
    await append(api, leaving, 1, "Be")

    released = await api.post("/generations/release", json={"entries": [[leaving["id"], leaving["fence"]]]})
    successor = await again(api, leaving["id"])

    assert released.json() == {"released": 1}
    assert (successor["fence"], successor["last_seq"]) == (2, 1)
    late = await api.post("/generations/release", json={"entries": [[leaving["id"], leaving["fence"]]]})
    assert late.json() == {"released": 0}
    assert await claim(api) == {}


async def test_claims_without_progress_are_counted(api: Api) -> None:
    claimed = await running(api)
    counted = [claimed["attempts"]]

    for progress in (False, False, True, False):
        if progress:
            await append(api, claimed, claimed["last_seq"] + 1, "x")
        await api.post("/generations/release", json={"entries": [[claimed["id"], claimed["fence"]]]})
        claimed = await again(api, claimed["id"])
        counted.append(claimed["attempts"])

    assert counted == [1, 2, 3, 1, 2]


async def test_a_new_upstream_key_resets_the_stream_offset(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "x", offset=500)

    renamed, stale = [
        (
            await api.post("/generations/rename", json={"id": claimed["id"], "fence": fence, "upstream_key": "g-new"})
        ).json()
        for fence in (1, 0)
    ]
    await api.post("/generations/release", json={"entries": [[claimed["id"], 1]]})
    successor = await again(api, claimed["id"])

    assert (renamed, stale) == ({"done": True}, {"done": False})
    assert (successor["previous_key"], successor["upstream_offset"]) == ("g-new", 0)


# Slots and order


async def test_simultaneous_claims_share_the_slots(api: Api) -> None:
    answers = [await queued(api) for _ in range(6)]

    claims = await asyncio.gather(*(claim(api, slots=4, owner=f"owner {number}") for number in range(8)))

    claimed = [generation_id for each in claims for generation_id in each]
    assert len(claimed) == len(set(claimed)) == 4
    assert set(claimed) == {answer["generation_id"] for answer in answers[:4]}
    assert await claim(api, slots=4) == {}
    assert len(await claim(api, slots=5)) == 1


async def test_without_free_slots_only_running_answers_are_claimed(api: Api) -> None:
    orphan = await running(api)
    await queued(api)
    await api.post("/generations/release", json={"entries": [[orphan["id"], 1]]})

    claimed = await claim(api, slots=0)

    assert list(claimed) == [orphan["id"]]


async def test_only_one_answer_of_a_chat_runs_at_a_time(api: Api) -> None:
    chat = await new_chat(api)
    first, second = await queued(api, chat), await queued(api, chat)

    both = await asyncio.gather(claim(api), claim(api))
    ids = [generation_id for claimed in both for generation_id in claimed]
    assert ids == [first["generation_id"]]
    (running_now,) = [claimed[ids[0]] for claimed in both if claimed]
    assert await claim(api) == {}

    await finish(api, running_now, 0)

    assert list(await claim(api)) == [second["generation_id"]]


async def test_sessions_take_turns(api: Api, other: Api) -> None:
    first_session = [await queued(api) for _ in range(4)]
    second_session = [await queued(other) for _ in range(2)]

    order = []
    for slots in range(1, 7):
        order += list(await claim(api, slots=slots))

    expected = [
        first_session[0],
        second_session[0],
        first_session[1],
        second_session[1],
        first_session[2],
        first_session[3],
    ]
    assert order == [answer["generation_id"] for answer in expected]


async def place(api: Api, answer: Any) -> int:
    return int((await read(api, answer["generation_id"]))[0]["place"])


async def test_many_sessions_of_one_address_do_not_delay_another_address(api: Api, clients: Callable[[], Api]) -> None:
    for number in range(200):
        crowd = {"X-Session-ID": str(uuid4())}
        chat = (await api.post("/chats", json={"username": f"Eve {number}"}, headers=crowd)).json()
        turn = {"content": "Why?", "address": CROWD}
        assert (await api.post(f"/chats/{chat['id']}/turns", json=turn, headers=crowd)).status_code == 201
    await claim(api, slots=4)

    neighbours = [await queued(clients(), address=ADDRESS), await queued(clients())]

    assert [await place(api, answer) for answer in neighbours] == [1, 2], "the second has no address"


async def test_sessions_of_one_address_take_turns(api: Api, other: Api, clients: Callable[[], Api]) -> None:
    greedy = [await queued(api, address=ADDRESS) for _ in range(3)]
    modest, neighbour = await queued(other, address=ADDRESS), await queued(clients(), address=CROWD)

    places = [await place(api, answer) for answer in (greedy[0], neighbour, modest, greedy[1], greedy[2])]

    assert places == [1, 2, 3, 4, 5]


async def test_an_address_is_kept_only_while_its_answer_is_unfinished(api: Api, owner: Any) -> None:
    async def addresses() -> int:
        own = "SELECT count(*) FROM generations WHERE address = $1 AND session_id = $2"
        return int(await owner.fetchval(own, bytes.fromhex(ADDRESS), api.headers["X-Session-ID"]))

    chat = await new_chat(api)
    stopped, answer = await queued(api, chat, address=ADDRESS), await queued(api, chat, address=ADDRESS)
    assert await addresses() == 2

    await api.post(f"/chats/{chat['id']}/messages/{stopped['id']}/stop")
    claimed = await claim(api)
    for each in claimed.values():
        await finish(api, each, 0)

    assert await addresses() == 0
    continued = await api.post(f"/chats/{chat['id']}/messages/{answer['id']}/continue", json={"address": ADDRESS})
    assert (continued.status_code, await addresses()) == (200, 1)
    again = await api.post(f"/chats/{chat['id']}/messages/{answer['id']}/answers", json={"address": ADDRESS})
    assert (again.status_code, await addresses()) == (201, 2)


async def test_only_a_queued_answer_has_a_queue_position(api: Api, other: Api) -> None:
    answers = [await queued(api), await queued(api), await queued(other)]

    places = [(await read(api, answer["generation_id"]))[0]["place"] for answer in answers]
    await claim(api, slots=1)
    later = [(await read(api, answer["generation_id"]))[0]["place"] for answer in answers]

    assert places == [1, 3, 2]
    assert later == [None, 2, 1]


async def test_answers_behind_a_running_answer_of_their_chat_are_queued_last(api: Api, other: Api) -> None:
    chat = await new_chat(api)
    await running(api, chat)
    waiting, free = await queued(api, chat), await queued(other)

    places = [(await read(api, answer["generation_id"]))[0]["place"] for answer in (waiting, free)]

    assert places == [2, 1]
    assert list(await claim(api, slots=2)) == [free["generation_id"]]


async def test_a_new_turn_does_not_overtake_the_queue(api: Api, other: Api) -> None:
    await running(other)
    waiting = await queued(other)

    turn = await new_turn(other, await new_chat(other), claim={"owner": "x", "slots": 2, "lease": LEASE_SECONDS})

    assert turn["claimed"] is None
    assert list(await claim(api, slots=2)) == [waiting["generation_id"]]


async def test_a_claim_reports_the_queue_and_the_next_expiry(api: Api) -> None:
    idle = (await api.post("/generations/claim", json={"owner": "x", "slots": 1, "lease": LEASE_SECONDS})).json()
    await queued(api)
    await queued(api)

    busy = (await api.post("/generations/claim", json={"owner": "x", "slots": 1, "lease": LEASE_SECONDS})).json()

    assert (idle["waiting"], idle["streaming"], idle["next_expiry"]) == (0, 0, None)
    assert (busy["waiting"], busy["streaming"]) == (1, 1)
    assert LEASE_SECONDS - 10 < busy["next_expiry"] <= LEASE_SECONDS


# Finish


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
