"""Claims: which queued or abandoned answers a process gets, in which order, and who holds a lease."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.dbapi.calls import (
    LEASE_SECONDS,
    answered,
    append,
    claim,
    claimed_again,
    finish,
    new_chat,
    new_turn,
    queued,
    read,
    running,
)
from tests.dbapi.conftest import Api

pytestmark = pytest.mark.usefixtures("idle_log")
ADDRESS, CROWD = "1" * 64, "2" * 64  # hashes of addresses


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
    successor = await claimed_again(api, leaving["id"])

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
        claimed = await claimed_again(api, claimed["id"])
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
    successor = await claimed_again(api, claimed["id"])

    assert (renamed, stale) == ({"done": True}, {"done": False})
    assert (successor["previous_key"], successor["upstream_offset"]) == ("g-new", 0)


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


async def queue_position(api: Api, answer: Any) -> int:
    return int((await read(api, answer["generation_id"]))[0]["place"])


async def test_many_sessions_of_one_address_do_not_delay_another_address(api: Api, clients: Callable[[], Api]) -> None:
    for number in range(200):
        crowd = {"X-Session-ID": str(uuid4())}
        chat = (await api.post("/chats", json={"username": f"Eve {number}"}, headers=crowd)).json()
        turn = {"content": "Why?", "address": CROWD}
        assert (await api.post(f"/chats/{chat['id']}/turns", json=turn, headers=crowd)).status_code == 201
    await claim(api, slots=4)

    neighbours = [await queued(clients(), address=ADDRESS), await queued(clients())]

    assert [await queue_position(api, answer) for answer in neighbours] == [1, 2], "the second has no address"


async def test_sessions_of_one_address_take_turns(api: Api, other: Api, clients: Callable[[], Api]) -> None:
    greedy = [await queued(api, address=ADDRESS) for _ in range(3)]
    modest, neighbour = await queued(other, address=ADDRESS), await queued(clients(), address=CROWD)

    positions = [await queue_position(api, answer) for answer in (greedy[0], neighbour, modest, greedy[1], greedy[2])]

    assert positions == [1, 2, 3, 4, 5]


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

    positions = [(await read(api, answer["generation_id"]))[0]["place"] for answer in answers]
    await claim(api, slots=1)
    later = [(await read(api, answer["generation_id"]))[0]["place"] for answer in answers]

    assert positions == [1, 3, 2]
    assert later == [None, 2, 1]


async def test_answers_behind_a_running_answer_of_their_chat_are_queued_last(api: Api, other: Api) -> None:
    chat = await new_chat(api)
    await running(api, chat)
    waiting, free = await queued(api, chat), await queued(other)

    positions = [(await read(api, answer["generation_id"]))[0]["place"] for answer in (waiting, free)]

    assert positions == [2, 1]
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


POOLS = [
    {"name": "home", "slots": 1, "prefixes": ["", "home"]},
    {"name": "gpu", "slots": 2, "prefixes": ["gpu"]},
    {"name": "gpu/huge", "slots": 1, "prefixes": ["gpu/huge"]},
]


async def claim_from(api: Api, pools: Any) -> list[str]:
    wanted = {"owner": "test", "slots": 0, "lease": LEASE_SECONDS, "pools": pools}
    response = await api.post("/generations/claim", json=wanted)
    assert response.status_code == 200, response.text
    return [answer["id"] for answer in response.json()["claimed"]]


async def queued_for(api: Api, *models: str) -> list[str]:
    """One answer for each model, in chats of their own."""
    chats = [await new_chat(api, model=model) if model else await new_chat(api) for model in models]
    return [(await new_turn(api, chat))["assistant"]["generation_id"] for chat in chats]


async def test_each_pool_has_its_own_slots(api: Api) -> None:
    ids = await queued_for(api, "", "home/a", "gpu/a", "gpu/b", "gpu/c", "gpu/huge", "gpu/huge/1", "gpu/huger", "old")

    claimed = await claim_from(api, POOLS)

    assert set(claimed) == {ids[0], ids[2], ids[3], ids[5]}
    assert await claim_from(api, POOLS) == []
    states = [await read(api, each) for each in ids]
    assert [state[0]["place"] for state in states] == [None, 1, None, None, 1, None, 1, 2, 2]


async def test_answers_move_to_the_pools_of_the_claimer(api: Api) -> None:
    """As after a change of the settings."""
    ids = await queued_for(api, "", "home/a", "gpu/a")
    first = await claim_from(api, POOLS)
    assert set(first) == {ids[0], ids[2]}

    assert await claim_from(api, [{"name": "", "slots": 1, "prefixes": [""]}]) == [ids[1]]


async def test_answers_whose_lease_has_ended_are_claimed_whatever_their_pool(api: Api) -> None:
    ids = await queued_for(api, "gpu/a")
    assert await claim_from(api, POOLS) == ids
    fence = (await read(api, ids[0]))[0]["fence"]
    await api.post("/generations/release", json={"entries": [[ids[0], fence]]})

    assert await claim_from(api, [{"name": "", "slots": 0, "prefixes": [""]}]) == ids


async def test_a_turn_is_claimed_if_its_pool_has_a_slot(api: Api) -> None:
    offer = {"owner": "test", "slots": 0, "lease": LEASE_SECONDS, "pools": POOLS}
    claimed = []
    for model in ("home/a", "home/a", "gpu/huge"):
        chat = await new_chat(api, model=model)
        turn = await api.post(f"/chats/{chat['id']}/turns", json={"content": "Why?", "claim": offer})
        claimed.append(turn.json()["claimed"] is not None)

    assert claimed == [True, False, True]


async def test_a_title_needs_a_free_slot_of_its_pool(api: Api) -> None:
    ids = await queued_for(api, "gpu/huge")
    assert await claim_from(api, POOLS) == ids
    chats = [await new_chat(api) for _ in range(2)]
    for chat in chats:
        await answered(api, chat)

    due = [
        (await api.post(f"/chats/{chat['id']}/title", json={"pool": pool, "slots": 1})).json()["is_due"]
        for chat, pool in zip(chats, ("gpu/huge", "home"), strict=True)
    ]

    assert due == [False, True]
