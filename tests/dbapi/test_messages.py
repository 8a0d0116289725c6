"""Turns: a user's message with its answer, created once and at the right position of the tree."""

import asyncio
from typing import Any
from uuid import uuid4

from tests.dbapi.calls import (
    LEASE_SECONDS,
    append,
    claim,
    finish,
    message,
    new_chat,
    new_device,
    new_turn,
    queued,
    row_checksums,
    running,
)
from tests.dbapi.conftest import Api
from tests.stack import until


async def test_a_turn_adds_a_message_and_a_queued_answer_at_the_end_of_the_chat(api: Api) -> None:
    chat = await new_chat(api)

    turn = await new_turn(api, chat, "Why?")

    shown = (await api.get(f"/chats/{chat['id']}")).json()
    assert (turn["created"], turn["claimed"]) == (True, None)
    assert [(each["role"], each["content"], each["status"]) for each in shown["messages"][1:]] == [
        ("user", "Why?", "complete"),
        ("assistant", "", "queued"),
    ]
    assert [each["id"] for each in shown["messages"][1:]] == [turn["user"]["id"], turn["assistant"]["id"]]
    assert turn["user"]["parent_id"] == chat["tip_id"]
    assert shown["tip_id"] == turn["assistant"]["id"]
    assert shown["messages"][2]["generation_id"] == turn["assistant"]["generation_id"]


async def test_a_devices_token_may_replace_the_session_id(api: Api, other: Api) -> None:
    chat, device = await new_chat(api), await new_device(api)
    token_hash = next(
        each["token_hash"] for each in (await api.get("/devices")).json()["devices"] if each["id"] == device
    )
    path, turn = f"/chats/{chat['id']}/turns", {"content": "Why?", "token_hash": token_hash}
    elsewhere = f"/chats/{(await new_chat(other))['id']}/turns"
    del api.headers["X-Session-ID"]

    created = await api.post(path, json=turn)
    foreign = await api.post(elsewhere, json=turn)
    unknown = await api.post(path, json=turn | {"token_hash": "ab" * 32})
    without_session = await api.post(path, json={"content": "Why?"})
    api.headers["X-Session-ID"] = created.json()["session_id"]
    await api.delete(f"/devices/{device}")
    signed_out = await api.post(path, json=turn)

    statuses = [response.status_code for response in (created, foreign, unknown, without_session, signed_out)]
    assert statuses == [201, 404, 404, 401, 404]
    assert [each["content"] for each in (await api.get(f"/chats/{chat['id']}")).json()["messages"]] == [
        "Hello!",
        "Why?",
        "",
    ]


async def test_a_turn_is_claimed_immediately_if_a_slot_is_free(api: Api, idle_log: None) -> None:
    chat, offer = await new_chat(api), {"owner": "test", "slots": 1, "lease": LEASE_SECONDS}

    first = await new_turn(api, chat, claim=offer)
    second = await new_turn(api, await new_chat(api), claim=offer)

    assert first["claimed"]["id"] == first["assistant"]["generation_id"]
    assert (first["claimed"]["fence"], first["claimed"]["last_seq"], first["claimed"]["message_id"]) == (
        1,
        0,
        first["assistant"]["id"],
    )
    assert (first["assistant"]["status"], second["assistant"]["status"]) == ("streaming", "queued")
    assert second["claimed"] is None
    assert (await message(api, chat["id"], first["assistant"]["id"]))["status"] == "streaming"


async def test_ten_simultaneous_posts_of_one_turn_create_one_turn(api: Api, owner: Any) -> None:
    chat, body = (
        await new_chat(api),
        {"content": "Why?", "message_id": str(uuid4()), "claim": {"owner": "x", "slots": 1000, "lease": LEASE_SECONDS}},
    )

    responses = await asyncio.gather(*(api.post(f"/chats/{chat['id']}/turns", json=body) for _ in range(10)))

    turns = [response.json() for response in responses]
    assert all(response.is_success for response in responses)
    assert [turn["created"] for turn in turns].count(True) == 1
    assert [turn["claimed"] is not None for turn in turns].count(True) == 1
    assert len({(turn["user"]["id"], turn["assistant"]["id"]) for turn in turns}) == 1
    assert len((await api.get(f"/chats/{chat['id']}")).json()["messages"]) == 3
    assert await owner.fetchval("SELECT count(*) FROM generations WHERE chat_id = $1", chat["id"]) == 1


async def test_the_same_id_with_other_content_or_in_another_chat_is_another_turn(api: Api) -> None:
    chat, client_id = await new_chat(api), str(uuid4())

    turns = [
        await new_turn(api, chat, "Why?", message_id=client_id),
        await new_turn(api, chat, "Why not?", message_id=client_id),
        await new_turn(api, await new_chat(api), "Why?", message_id=client_id),
    ]
    again = await new_turn(api, chat, "Why not?", message_id=client_id)

    assert [turn["created"] for turn in turns] == [True] * 3
    assert len({turn["user"]["id"] for turn in turns}) == 3
    assert (again["created"], again["user"]["id"]) == (False, turns[1]["user"]["id"])
    assert client_id not in {turn["user"]["id"] for turn in turns}


async def test_a_repeated_turn_returns_the_current_answer(api: Api, idle_log: None) -> None:
    chat, client_id = await new_chat(api), str(uuid4())
    await new_turn(api, chat, "Why?", message_id=client_id)
    (claimed,) = (await claim(api)).values()
    await append(api, claimed, 1, "Because.")
    await finish(api, claimed, 1)

    again = await new_turn(api, chat, "Why?", message_id=client_id)

    assert (again["assistant"]["status"], again["assistant"]["content"]) == ("complete", "Because.")


async def test_turns_without_a_client_id_are_always_new(api: Api) -> None:
    chat = await new_chat(api)

    turns = [await new_turn(api, chat, "Why?") for _ in range(2)]

    assert turns[0]["user"]["id"] != turns[1]["user"]["id"]
    assert turns[1]["user"]["parent_id"] == turns[0]["assistant"]["id"]


async def test_waiting_turns_leave_connections_for_the_log(api: Api, owner: Any) -> None:
    chat, elsewhere = await new_chat(api), await running(api)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    async with owner.transaction():
        await owner.execute("SELECT FROM chats WHERE id = $1 FOR UPDATE", chat["id"])
        turns = [asyncio.create_task(new_turn(api, chat, str(number))) for number in range(12)]
        await until(lambda: owner.fetchval(waiting))
        await asyncio.sleep(0.3)  # until all connections that turns may take are waiting
        assert await append(api, elsewhere, 1, "Hi")
        assert not any(turn.done() for turn in turns)

    assert all(turn["created"] for turn in await asyncio.gather(*turns))


async def test_simultaneous_turns_of_a_chat_are_chained(api: Api) -> None:
    chat = await new_chat(api)

    await asyncio.gather(*(new_turn(api, chat, f"Question {number}") for number in range(6)))

    shown = (await api.get(f"/chats/{chat['id']}")).json()["messages"]
    assert [each["role"] for each in shown] == ["assistant", *["user", "assistant"] * 6]
    assert [each["parent_id"] for each in shown] == [None, *(each["id"] for each in shown[:-1])]


async def test_an_edited_message_starts_a_branch_which_is_then_shown(api: Api) -> None:
    chat = await new_chat(api)
    first, second = await new_turn(api, chat, "Why?"), await new_turn(api, chat, "Sure?")

    edited = await new_turn(api, chat, "How?", parent_id=first["user"]["parent_id"])

    shown = (await api.get(f"/chats/{chat['id']}")).json()["messages"]
    assert [each["id"] for each in shown] == [chat["tip_id"], edited["user"]["id"], edited["assistant"]["id"]]
    older = await message(api, chat["id"], second["user"]["id"])
    assert (older["content"], older["parent_id"]) == ("Sure?", first["assistant"]["id"])


async def test_a_parent_must_be_an_answer_of_the_same_chat(api: Api, other: Api, owner: Any) -> None:
    chat, elsewhere, theirs = await new_chat(api), await new_chat(api), await new_chat(other)
    turn = await new_turn(api, chat)
    before = await row_checksums(owner)

    for parent in (elsewhere["tip_id"], theirs["tip_id"], turn["user"]["id"], str(uuid4()), chat["id"]):
        refused = await api.post(f"/chats/{chat['id']}/turns", json={"content": "Hi", "parent_id": parent})
        assert (parent, refused.status_code) == (parent, 404)

    assert await row_checksums(owner) == before
    assert (await new_turn(api, chat, parent_id=turn["assistant"]["id"]))["created"]


async def test_the_prompt_is_the_branch_that_leads_to_the_answer(api: Api, idle_log: None) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "Hello!"}]
    chat = (await api.post("/chats", json={"username": "Ada", "messages": messages})).json()
    first = await running(api, chat)
    await append(api, first, 1, "thinking", kind=1)
    await append(api, first, 2, "Because.")
    await finish(api, first, 2, "stopped")
    stopped_empty = await running(api, chat)
    await finish(api, stopped_empty, 0, "stopped")
    last = await new_turn(api, chat, "Really?")
    edited = await new_turn(api, chat, "How?", parent_id=chat["tip_id"])

    prompts = [
        (await api.get(f"/chats/{chat['id']}/messages/{turn['assistant']['id']}/prompt")).json()
        for turn in (last, edited)
    ]

    assert prompts[0]["system_prompt"] == "Be brief."
    assert [(each["role"], each["content"]) for each in prompts[0]["messages"]] == [
        ("assistant", "Hello!"),
        ("user", "Why?"),
        ("assistant", "Because."),
        ("user", "Why?"),
        ("user", "Really?"),
    ]
    assert [each["content"] for each in prompts[1]["messages"]] == ["Hello!", "How?"]


async def test_an_empty_message_is_refused(api: Api, owner: Any) -> None:
    chat = await new_chat(api)
    before = await row_checksums(owner)

    for content in ("", " \n\t", "\u200b\u200d\ufeff", "\u2060\u00ad"):
        refused = await api.post(f"/chats/{chat['id']}/turns", json={"content": content})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["at"] == "content"

    assert await row_checksums(owner) == before


async def test_a_running_answer_is_shown_with_its_text_so_far_and_its_log_position(api: Api, idle_log: None) -> None:
    chat = await new_chat(api)
    claimed = await running(api, chat)
    await append(api, claimed, 1, "Let me see.", kind=1)
    await append(api, claimed, 2, "Be")
    await append(api, claimed, 3, "cause")

    shown = (await api.get(f"/chats/{chat['id']}")).json()["messages"][-1]

    assert (shown["content"], shown["reasoning"], shown["status"]) == ("Because", "Let me see.", "streaming")
    assert (shown["last_seq"], shown["fence"]) == (3, 1)
    assert shown == await message(api, chat["id"], claimed["message_id"])


async def test_stopping_ends_a_queued_answer_immediately(api: Api, idle_log: None) -> None:
    chat = await new_chat(api)
    answer = await queued(api, chat)

    stops = [await api.post(f"/chats/{chat['id']}/messages/{answer['id']}/stop") for _ in range(2)]

    assert [stop.json() for stop in stops] == [{"status": "stopped"}] * 2
    assert (await message(api, chat["id"], answer["id"]))["status"] == "stopped"
    assert await claim(api) == {}


async def test_stopping_notifies_the_writer_of_a_running_answer(api: Api, idle_log: None) -> None:
    chat = await new_chat(api)
    claimed = await running(api, chat)

    stop = await api.post(f"/chats/{chat['id']}/messages/{claimed['message_id']}/stop")

    entries = {"lease": LEASE_SECONDS, "entries": [[claimed["id"], 1, 1, 0, "Because", None]]}
    assert stop.json() == {"status": "streaming"}
    assert (await api.post("/generations/append", json=entries)).json() == {
        "ok": [claimed["id"]],
        "stop": [claimed["id"]],
    }
    assert await finish(api, claimed, 1, "stopped")
    stopped = await message(api, chat["id"], claimed["message_id"])
    assert (stopped["status"], stopped["content"]) == ("stopped", "Because")


async def test_stopping_does_not_change_a_finished_answer(api: Api, owner: Any, idle_log: None) -> None:
    chat = await new_chat(api)
    claimed = await running(api, chat)
    await append(api, claimed, 1, "Because.")
    await finish(api, claimed, 1)
    before = await row_checksums(owner)

    stop = await api.post(f"/chats/{chat['id']}/messages/{claimed['message_id']}/stop")
    opening = await api.post(f"/chats/{chat['id']}/messages/{chat['tip_id']}/stop")

    assert (stop.json(), opening.json()) == ({"status": "complete"}, {"status": "complete"})
    assert await row_checksums(owner) == before
