"""Chats, by id and by username, their messages, and sessions."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from dbapi.sql.branch import NUMBERED as BRANCH
from tests.dbapi.calls import new_chat, new_turn, row_checksums
from tests.dbapi.conftest import Api

FIRST = [{"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "Hello!"}]


async def test_a_new_chat_has_its_first_messages_without_the_system_prompt(api: Api) -> None:
    created = await api.post("/chats", json={"username": "Ada", "messages": FIRST})

    assert created.status_code == 201
    chat = created.json()
    assert (chat["username"], chat["system_prompt"], chat["title"]) == ("Ada", "Be brief.", None)
    assert [(message["role"], message["content"], message["status"]) for message in chat["messages"]] == [
        ("assistant", "Hello!", "complete")
    ]
    assert chat["tip_id"] == chat["messages"][0]["id"]
    assert (await api.get(f"/chats/{chat['id']}")).json() == chat


async def test_the_response_to_a_new_chat_equals_the_stored_chat(api: Api) -> None:
    created = await api.post(
        "/chats", json={"username": "Ada", "messages": [{"role": "user", "content": "What is a runnel?"}]}
    )

    chat = created.json()
    assert chat["title"] == "What is a runnel?"
    assert (await api.get(f"/chats/{chat['id']}")).json() == chat


async def test_a_username_finds_its_most_recently_used_chat(api: Api) -> None:
    older, newer = await new_chat(api), await new_chat(api)
    assert (await api.get("/chats/username/Ada")).json()["id"] == newer["id"]

    await new_turn(api, older)

    assert (await api.get("/chats/username/Ada")).json()["id"] == older["id"]
    assert (await api.get("/chats/username/ada")).status_code == 404


@pytest.mark.parametrize("name", ["a/b", "ü 🙂", "100%", "a?b#c", "‮x", "e\u0301", "'; DROP TABLE chats; --", "x" * 100])
async def test_every_username_finds_its_chat(api: Api, name: str) -> None:
    chat = await new_chat(api, name)

    found = await api.get(f"/chats/username/{quoted(name)}")

    assert found.json()["id"] == chat["id"]
    assert found.json()["username"] == name


async def test_a_message_is_added_at_the_end_and_sets_the_chats_title(api: Api) -> None:
    chat = await new_chat(api)

    added = await api.post(
        f"/chats/{chat['id']}/message", json={"role": "user", "content": "  What is\n a runnel, " + "and why? " * 20}
    )
    answer = await api.post(f"/chats/{chat['id']}/message", json={"role": "assistant", "content": "A small stream."})

    assert (added.status_code, answer.status_code) == (201, 201)
    shown = (await api.get(f"/chats/{chat['id']}")).json()
    assert [message["id"] for message in shown["messages"]] == [
        chat["tip_id"],
        added.json()["id"],
        answer.json()["id"],
    ]
    assert [message["parent_id"] for message in shown["messages"]] == [None, chat["tip_id"], added.json()["id"]]
    assert shown["title"] == "What is a runnel, and why? and why? and why? and why? and…"
    assert shown["updated_at"] > chat["updated_at"]


@pytest.mark.parametrize(
    "text",
    [
        "\u200d👩\u200d👩\u200d👧",
        "é vs e\u0301",
        "\ufdd0\U0010ffff",
        "a\u0301" * 64,
        "\u2028\x85\x0b\ufeff",
        "<b>&amp;</b>",
        "%_\\",
    ],
)
async def test_text_is_returned_unchanged(api: Api, text: str) -> None:
    chat = await new_chat(api)

    added = await api.post(f"/chats/{chat['id']}/message", json={"role": "user", "content": text + "."})

    assert added.json()["content"] == text + "."
    assert (await api.get(f"/chats/{chat['id']}")).json()["messages"][-1]["content"] == text + "."


async def test_chats_beyond_the_latest_are_listed_from_an_offset(api: Api) -> None:
    chats = [(await new_chat(api))["id"] for _ in range(3)]

    async def listed(query: str) -> list[str]:
        return [chat["id"] for chat in (await api.get(f"/chats{query}")).json()["chats"]]

    assert await listed("") == chats[::-1]
    assert await listed("?offset=1") == chats[-2::-1]
    assert await listed("?offset=3") == []
    assert await listed("?offset=x") == chats[::-1]


async def test_nul_becomes_the_replacement_character_in_every_field(api: Api) -> None:
    created = await api.post(
        "/chats", json={"username": "A\0", "model": "m\0", "messages": [{"role": "system", "content": "s\0"}]}
    )

    chat = created.json()
    added = await api.post(f"/chats/{chat['id']}/message", json={"role": "user", "content": "\0?"})

    assert (chat["username"], chat["model"], chat["system_prompt"]) == ("A\ufffd", "m\ufffd", "s\ufffd")
    assert added.json()["content"] == "\ufffd?"


@pytest.mark.parametrize(
    ("body", "at", "problem"),
    [
        ({}, "username", "Field required"),
        ({"username": 5}, "username", "valid string"),
        ({"username": "  \u200b "}, "username", "must not be empty"),
        ({"username": "x" * 101}, "username", "at most 100 "),
        ({"username": "Ada", "messages": [{"role": "user"}]}, "messages.0.content", "Field required"),
        (
            {"username": "Ada", "messages": [{"role": "root", "content": ""}]},
            "messages.0.role",
            "'system', 'user' or 'assistant'",
        ),
        (
            {"username": "Ada", "messages": [{"role": "user", "content": "x" * 32_001}]},
            "messages.0.content",
            "at most 32000 ",
        ),
        ({"username": "Ada", "messages": [FIRST[1]] * 21}, "messages", "at most 20 items"),
        ([], "", "an object"),
    ],
)
async def test_problems_with_a_new_chat_are_reported_with_their_location(
    api: Api, owner: Any, body: Any, at: str, problem: str
) -> None:
    before = await row_checksums(owner)

    refused = await api.post("/chats", json=body)

    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["at"] == at
    assert problem in error["problem"]
    assert await row_checksums(owner) == before


async def test_an_error_does_not_repeat_the_input(api: Api) -> None:
    refused = await api.post("/chats", json={"username": ["my secret"]})

    assert refused.status_code == 422
    assert "my secret" not in refused.text


async def test_only_the_first_message_may_be_the_system_prompt(api: Api) -> None:
    refused = await api.post("/chats", json={"username": "Ada", "messages": list(reversed(FIRST))})

    assert refused.status_code == 422
    assert "first" in refused.json()["detail"]


async def test_fields_that_callers_may_not_set_are_ignored(api: Api) -> None:
    chosen = str(uuid4())
    smuggled = {
        "id": chosen,
        "session_id": chosen,
        "created_at": "1999-01-01T00:00:00Z",
        "status": "failed",
        "title": "Mine",
    }

    chat = (await api.post("/chats", json={"username": "Ada"} | smuggled)).json()
    message = (await api.post(f"/chats/{chat['id']}/message", json={"role": "user", "content": "Hi"} | smuggled)).json()

    assert chosen not in (chat["id"], message["id"])
    assert chat["title"] is None
    assert message["status"] == "complete"
    assert (chat["created_at"] > "2000", message["created_at"] > "2000") == (True, True)
    refused = await api.post(f"/chats/{chat['id']}/message", json={"role": "system", "content": "Obey."})
    assert refused.status_code == 422


async def test_the_message_limit_counts_characters_and_not_bytes(api: Api) -> None:
    chat = await new_chat(api)

    for text in ("x", "東", "🙂"):
        fits = await api.post(f"/chats/{chat['id']}/message", json={"role": "user", "content": text * 32_000})
        too_long = await api.post(f"/chats/{chat['id']}/message", json={"role": "user", "content": text * 32_001})
        assert (fits.status_code, too_long.status_code) == (201, 422)


async def test_only_its_token_hash_opens_a_session(api: Api) -> None:
    token_hash = uuid4().hex * 2

    created = await api.post("/sessions", json={"token_hash": token_hash})
    found = await api.post("/sessions/find", json={"token_hash": token_hash})
    other = await api.post("/sessions/find", json={"token_hash": uuid4().hex * 2})
    again = await api.post("/sessions", json={"token_hash": token_hash})
    malformed = await api.post("/sessions/find", json={"token_hash": token_hash.upper() + "0"})

    assert (created.status_code, found.status_code) == (201, 200)
    assert found.json() == created.json()
    assert (other.status_code, again.status_code, malformed.status_code) == (404, 409, 422)


def quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


OTHER_CHATS = """
INSERT INTO chats (session_id, username, system_prompt)
SELECT $1, 'Ada', repeat('Be brief. ', 50) FROM generate_series(1, 5000)
"""
LONG = """
WITH RECURSIVE many AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM many WHERE n < 1000),
ids AS (SELECT n, gen_random_uuid() AS id FROM many),
added AS (INSERT INTO messages (id, session_id, chat_id, parent_id, role, content)
  SELECT ids.id, $1, $2, (SELECT before.id FROM ids before WHERE before.n = ids.n - 1), 'user', 'x' FROM ids)
SELECT id FROM ids WHERE n = 1000
"""


async def test_a_message_of_a_long_chat_costs_no_more_than_one_of_a_short_chat(api: Api, owner: Any) -> None:
    """Each message is looked up by its key, whatever statistics the planner has, and so is its chat."""
    chat = await new_chat(api)
    of = UUID(api.headers["X-Session-ID"]), UUID(chat["id"])
    await owner.execute(OTHER_CHATS, of[0])
    tip = await owner.fetchval(LONG, *of)

    async def pages(most: int) -> int:
        plan = await owner.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {BRANCH}", *of, tip, most)

        return int(json.loads(plan)[0]["Plan"]["Shared Hit Blocks"])

    await pages(1)
    few, many = await pages(10), await pages(1000)
    assert many < 1000 * 20
    assert few < 10 * 20 + 100
