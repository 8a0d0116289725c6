"""Checks that sessions do not see each other's rows. test_isolation.py repeats them without either protection."""

from typing import Any
from uuid import uuid4

from tests.dbapi.calls import (
    answered,
    append,
    hits,
    new_chat,
    new_device,
    new_preset,
    new_turn,
    row_checksums,
    running,
    search,
)
from tests.dbapi.conftest import Api
from tests.dbapi.endpoints import NEEDS_ANOTHER_MESSAGE, call


async def check_rows_of_another_session_are_not_found(api: Api, other: Api, owner: Any, name: str) -> None:
    username = f"Ada {uuid4()}"
    theirs, mine = await new_chat(other, username), await new_chat(api)
    answer, device = (await new_turn(other, theirs))["assistant"], await new_device(other)
    ids = {"chat_id": theirs["id"], "message_id": answer["id"], "username": username, "device_id": device}
    ids["preset_id"] = (await new_preset(other))["id"]
    before = await row_checksums(owner)

    foreign, unknown = await call(api, name, ids), await call(api, name)
    mixed = await call(api, name, ids | {"chat_id": mine["id"]}) if "{message_id}" in name else unknown
    after = await row_checksums(owner)

    assert (foreign.status_code, unknown.status_code, mixed.status_code) == (404, 404, 404)
    assert foreign.content == unknown.content == mixed.content
    assert after == before
    own = await call(other, name, ids)
    assert own.is_success or (name in NEEDS_ANOTHER_MESSAGE and own.status_code in (404, 409)), own.text


async def check_chats_of_another_session_are_not_listed(api: Api, other: Api) -> None:
    theirs, mine = await new_chat(other), await new_chat(api)

    listed = (await api.get("/chats")).json()["chats"]

    assert [chat["id"] for chat in listed] == [mine["id"]]
    assert theirs["id"] not in str(listed)


async def check_only_chats_of_the_session_are_changed(api: Api, other: Api, owner: Any) -> None:
    """Whatever ids a request contains."""
    theirs, mine = await new_chat(other), await new_chat(api)
    deleted = await new_chat(other)
    await other.delete(f"/chats/{deleted['id']}")
    foreign = [theirs["id"], deleted["id"]]
    before = await row_checksums(owner)

    for change in ({"pinned": True}, {"archived": True}, {"deleted": True}, {"deleted": False}):
        changed = await api.patch("/chats", json={"ids": foreign} | change)
        assert (changed.status_code, changed.json()) == (200, {"ids": []})
    after = await row_checksums(owner)
    mixed = await api.patch("/chats", json={"ids": [*foreign, mine["id"]], "archived": True})

    assert after == before
    assert mixed.json() == {"ids": [mine["id"]]}
    assert [chat["id"] for chat in (await other.get("/chats")).json()["chats"]] == [theirs["id"]]
    assert (await other.get(f"/chats/{deleted['id']}")).status_code == 404


async def check_a_page_of_the_list_has_only_chats_of_the_session(api: Api, other: Api) -> None:
    """Also with another session's cursor."""
    theirs = [await new_chat(other) for _ in range(2)]
    mine = await new_chat(api)
    await other.patch(f"/chats/{theirs[0]['id']}", json={"pinned": True})
    await other.patch(f"/chats/{theirs[1]['id']}", json={"archived": True})
    await other.get("/chats?limit=1")

    cursor = "p99999999999999999." + theirs[0]["id"]
    listed = [(await api.get("/chats", params={"after": after, "limit": 2})).json() for after in ("", cursor)]
    archived = (await api.get("/chats?archived=1")).json()

    assert [[chat["id"] for chat in page["chats"]] for page in listed] == [[mine["id"]]] * 2
    assert [page["next"] for page in listed] == [None] * 2
    assert archived["chats"] == []


async def check_a_session_does_not_see_the_chats_of_another(api: Api, other: Api, owner: Any) -> None:
    """Naming another session's chat as seen has no effect."""
    theirs = await new_chat(other)
    await answered(other, theirs)
    before = await row_checksums(owner)

    assert (await api.get("/chats", params={"seen": theirs["id"]})).status_code == 200

    assert await row_checksums(owner) == before
    assert [chat["unread"] for chat in (await other.get("/chats")).json()["chats"]] == [True]


async def check_presets_of_another_session_are_neither_listed_nor_replaced(api: Api, other: Api) -> None:
    """Two sessions can have presets of the same name."""
    theirs = await new_preset(other, "Poet", system_prompt="Rhyme.")
    mine = await new_preset(api, "Poet", system_prompt="Do not rhyme.")

    listed = (await api.get("/presets")).json()["presets"]

    assert listed == [{"id": mine["id"], "name": "Poet"}]
    assert (await other.get(f"/presets/{theirs['id']}")).json() == theirs


async def check_a_search_finds_only_what_belongs_to_the_session(api: Api, other: Api) -> None:
    """In titles, messages and running answers, also by excluding words."""
    word = f"word{uuid4().hex}"
    for session in (other, api, other):
        chat = await new_chat(session)
        await new_turn(session, chat, f"What is {word}?")
        await append(session, await running(session, await new_chat(session)), 1, f"It is {word}.")

    mine = (await api.get("/chats")).json()["chats"]
    found, everything = await search(api, word), await search(api, "-nothing", limit=50)

    assert {result["chat_id"] for result in found["results"]} == {chat["id"] for chat in mine}
    assert sorted(hit["is_running"] for result in found["results"] for hit in result["hits"]) == [False, True]
    assert {result["chat_id"] for result in everything["results"]} == {chat["id"] for chat in mine}
    assert len(await hits(other, word)) == 4


async def check_the_page_of_a_chat_shows_no_message_of_another(api: Api, other: Api) -> None:
    theirs, mine, second = await new_chat(other), await new_chat(api), await new_chat(api)

    statuses = [
        (await api.get(f"/chats/{mine['id']}?message={message}")).status_code
        for message in (theirs["tip_id"], second["tip_id"], mine["tip_id"])
    ]

    assert statuses == [404, 404, 200]
