"""Answers that a user edits, deletes one by one, or requests again."""

import asyncio
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import pytest

from tests.dbapi.calls import (
    another_answer,
    answered,
    finish,
    message,
    new_chat,
    new_turn,
    queued,
    row_checksums,
    running,
)
from tests.dbapi.conftest import Api

pytestmark = pytest.mark.usefixtures("idle_log")


async def shown(api: Api, chat: Any) -> list[str]:
    """The texts of the shown branch after the opening message."""
    found = await api.get(f"/chats/{chat['id']}")
    return [each["content"] for each in found.json()["messages"][1:]]


async def revision(api: Api, chat: Any) -> int:
    return int((await api.get(f"/chats/{chat['id']}/state")).json()["revision"])


async def edit(api: Api, chat: Any, message_id: str, content: str) -> Any:
    return await api.post(f"/chats/{chat['id']}/messages/{message_id}/versions", json={"content": content})


async def delete(api: Api, chat: Any, message_id: str) -> int:
    return (await api.delete(f"/chats/{chat['id']}/messages/{message_id}")).status_code


async def show(api: Api, chat: Any, message_id: str) -> None:
    assert (await api.put(f"/chats/{chat['id']}/tip", json={"message_id": message_id})).is_success


# Editing


async def test_an_edited_answer_is_a_version_without_a_generation_and_is_shown(api: Api) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat)
    await answered(api, chat, "Really?", "Yes.")
    before = await revision(api, chat)

    edited = await edit(api, chat, turn["assistant"]["id"], " Therefore.\n")

    assert (edited.status_code, edited.json()["created"]) == (201, True)
    assert await shown(api, chat) == ["Why?", " Therefore.\n"]
    version, original = [
        await message(api, chat["id"], each) for each in (edited.json()["id"], turn["assistant"]["id"])
    ]
    assert (version["role"], version["status"], version["parent_id"]) == ("assistant", "complete", turn["user"]["id"])
    assert [version[name] for name in ("generation_id", "model", "usage", "timings", "error")] == [None] * 5
    assert version["siblings"] == original["siblings"] == [original["id"], version["id"]]
    assert original["content"] == "Because."
    assert await revision(api, chat) > before
    await show(api, chat, original["id"])
    assert await shown(api, chat) == ["Why?", "Because.", "Really?", "Yes."]


async def test_later_answers_read_the_edited_text(api: Api) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat)
    await edit(api, chat, turn["assistant"]["id"], "Therefore.")

    answer = await queued(api, chat, content="Really?")

    prompt = (await api.get(f"/chats/{chat['id']}/messages/{answer['id']}/prompt")).json()
    assert [(each["role"], each["content"]) for each in prompt["messages"]] == [
        ("assistant", "Hello!"),
        ("user", "Why?"),
        ("assistant", "Therefore."),
        ("user", "Really?"),
    ]


async def test_a_text_that_a_version_has_adds_no_version(api: Api) -> None:
    chat = await new_chat(api)
    answer = (await answered(api, chat))["assistant"]["id"]
    await answered(api, chat, "Really?", "Yes.")

    unchanged = await edit(api, chat, answer, "Because.")
    assert await shown(api, chat) == ["Why?", "Because.", "Really?", "Yes."]
    twice = await asyncio.gather(*(edit(api, chat, answer, "Therefore.") for _ in range(2)))
    assert await shown(api, chat) == ["Why?", "Therefore."]
    back = await edit(api, chat, twice[0].json()["id"], "Because.")

    assert (unchanged.status_code, unchanged.json()) == (200, {"id": answer, "created": False})
    assert sorted(each.status_code for each in twice) == [200, 201]
    assert twice[0].json()["id"] == twice[1].json()["id"]
    assert back.json() == {"id": answer, "created": False}
    assert await shown(api, chat) == ["Why?", "Because.", "Really?", "Yes."]
    assert len((await message(api, chat["id"], answer))["siblings"]) == 2


async def test_an_edited_answer_keeps_its_thoughts(api: Api, owner: Any) -> None:
    chat = await new_chat(api)
    answer = (await answered(api, chat))["assistant"]["id"]
    await owner.execute("UPDATE messages SET reasoning = 'Hm.' WHERE id = $1", answer)

    edited = await edit(api, chat, answer, "Therefore.")

    assert (await message(api, chat["id"], edited.json()["id"]))["reasoning"] == "Hm."


async def test_only_finished_answers_are_edited_or_deleted(api: Api, owner: Any) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat)
    claimed = await running(api, chat)
    waiting = await new_turn(api, chat)
    before = await row_checksums(owner)

    ids = {
        "opening": chat["tip_id"],
        "running": claimed["message_id"],
        "waiting": waiting["assistant"]["id"],
        "unknown": str(uuid4()),
    }
    edits = {name: (await edit(api, chat, each, "Hi")).status_code for name, each in ids.items()}
    deletions = {name: await delete(api, chat, each) for name, each in ids.items()}

    assert edits == deletions == {"opening": 409, "running": 409, "waiting": 409, "unknown": 404}
    assert (await edit(api, chat, turn["user"]["id"], "Hi")).status_code == 409
    assert await row_checksums(owner) == before


async def test_an_edit_must_have_a_text_of_at_most_the_length_of_a_message(api: Api, owner: Any) -> None:
    chat = await new_chat(api)
    answer = (await answered(api, chat))["assistant"]["id"]
    before = await row_checksums(owner)

    refused = [(await edit(api, chat, answer, text)).status_code for text in ("", " \n", "\u200b", "x" * 32_001)]

    assert refused == [422] * 4
    assert await row_checksums(owner) == before
    assert (await edit(api, chat, answer, "x" * 32_000)).status_code == 201


async def test_an_edited_answer_is_answered_again_but_not_continued(api: Api) -> None:
    chat = await new_chat(api)
    answer = (await answered(api, chat))["assistant"]["id"]
    version = (await edit(api, chat, answer, "Therefore.")).json()["id"]

    continued = await api.post(f"/chats/{chat['id']}/messages/{version}/continue", json={})
    another = await another_answer(api, chat, version, "So.")

    assert continued.status_code == 409
    assert (await message(api, chat["id"], another))["siblings"] == [answer, version, another]


# Deleting


async def test_deleting_a_version_shows_the_one_before_it_with_the_end_of_its_branch(api: Api) -> None:
    chat = await new_chat(api)
    first = (await answered(api, chat))["assistant"]["id"]
    await answered(api, chat, "Really?", "Yes.")
    second = await another_answer(api, chat, first, "Two.")
    third = await another_answer(api, chat, first, "Three.")
    await show(api, chat, second)
    before = await revision(api, chat)

    assert await delete(api, chat, second) == 204

    assert await revision(api, chat) > before
    assert await shown(api, chat) == ["Why?", "Because.", "Really?", "Yes."]
    assert (await message(api, chat["id"], first))["siblings"] == [first, third]
    assert (await api.get(f"/chats/{chat['id']}/messages/{second}")).status_code == 404


async def test_what_followed_a_deleted_version_follows_the_nearest_one(api: Api) -> None:
    chat = await new_chat(api)
    first = (await answered(api, chat))["assistant"]["id"]
    await answered(api, chat, "Really?", "Yes.")
    second = await another_answer(api, chat, first, "Two.")
    await another_answer(api, chat, first, "Three.")
    await answered(api, chat, "Other?", "No.")
    await show(api, chat, first)

    assert await delete(api, chat, first) == 204
    assert await shown(api, chat) == ["Why?", "Two.", "Really?", "Yes."]
    assert await delete(api, chat, second) == 204

    assert await shown(api, chat) == ["Why?", "Three.", "Really?", "Yes."]
    questions = (await api.get(f"/chats/{chat['id']}")).json()["messages"][3]["siblings"]
    assert [(await message(api, chat["id"], each))["content"] for each in questions] == ["Really?", "Other?"]


async def test_deleting_a_version_that_is_not_shown_keeps_what_is_shown(api: Api) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat)
    await answered(api, chat, "Really?", "Yes.")
    hidden = await another_answer(api, chat, turn["assistant"]["id"], "Two.")
    await show(api, chat, turn["assistant"]["id"])
    before = await revision(api, chat)

    assert await delete(api, chat, hidden) == 204

    assert await shown(api, chat) == ["Why?", "Because.", "Really?", "Yes."]
    assert await revision(api, chat) > before


async def test_the_only_answer_is_deleted_with_all_below_and_the_question_remains(api: Api, owner: Any) -> None:
    chat = await new_chat(api)
    await answered(api, chat, "First?", "One.")
    turn = await answered(api, chat)
    await answered(api, chat, "Really?", "Yes.")
    claimed = await running(api, chat)
    before = await revision(api, chat)

    assert await delete(api, chat, turn["assistant"]["id"]) == 204

    assert await shown(api, chat) == ["First?", "One.", "Why?"]
    assert await revision(api, chat) > before
    assert await owner.fetchval("SELECT count(*) FROM messages WHERE chat_id = $1", chat["id"]) == 4
    assert not await finish(api, claimed, 0), "its generation is deleted as well"


async def test_a_very_long_chat_below_an_answer_is_deleted(api: Api, owner: Any) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat)
    await owner.execute(
        """
        WITH RECURSIVE ids AS (SELECT n, gen_random_uuid() AS id FROM generate_series(1, 6000) AS n), added AS (
          INSERT INTO messages (id, session_id, chat_id, parent_id, role)
          SELECT ids.id, m.session_id, m.chat_id, coalesce(before.id, m.id),
                 CASE ids.n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END
            FROM messages m, ids LEFT JOIN ids before ON before.n = ids.n - 1 WHERE m.id = $1 ORDER BY ids.n)
        UPDATE chats SET tip_id = (SELECT id FROM ids WHERE n = 6000) WHERE id = $2
        """,
        turn["assistant"]["id"],
        chat["id"],
    )
    await owner.execute("ANALYZE messages")  # as autovacuum does: without statistics, a foreign key may use any index

    assert await delete(api, chat, turn["assistant"]["id"]) == 204

    assert await shown(api, chat) == ["Why?"]


async def test_a_question_without_answer_is_answered_again(api: Api) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat)
    await delete(api, chat, turn["assistant"]["id"])

    await another_answer(api, chat, turn["user"]["id"], "So.")

    assert await shown(api, chat) == ["Why?", "So."]


async def test_a_turn_after_a_question_without_answer_takes_its_place(api: Api) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat)
    await delete(api, chat, turn["assistant"]["id"])

    other = await answered(api, chat, "How?", "So.")
    following = await new_turn(api, chat, "And then?")

    assert (turn["replaces_tip"], other["replaces_tip"], following["replaces_tip"]) == (False, True, False)
    assert other["user"]["parent_id"] == chat["tip_id"]
    assert await shown(api, chat) == ["How?", "So.", "And then?", ""]
    siblings = (await message(api, chat["id"], other["user"]["id"]))["siblings"]
    assert siblings == [turn["user"]["id"], other["user"]["id"]]
    prompt = (await api.get(f"/chats/{chat['id']}/messages/{following['assistant']['id']}/prompt")).json()
    assert [each["content"] for each in prompt["messages"]] == ["Hello!", "How?", "So.", "And then?"]


async def test_a_question_without_answer_at_the_root_is_replaced_at_the_root(api: Api) -> None:
    chat = (await api.post("/chats", json={"username": "Ada"})).json()
    turn = await answered(api, chat)
    await delete(api, chat, turn["assistant"]["id"])

    other = await new_turn(api, chat, "How?")

    assert (other["user"]["parent_id"], other["replaces_tip"]) == (None, True)


async def test_a_repeated_turn_whose_answer_was_deleted_is_refused(api: Api) -> None:
    chat, turn_id = await new_chat(api), str(uuid4())
    turn = await answered(api, chat, message_id=turn_id)
    await delete(api, chat, turn["assistant"]["id"])

    again = await api.post(f"/chats/{chat['id']}/turns", json={"content": "Why?", "message_id": turn_id})

    assert again.status_code == 409
    assert await shown(api, chat) == ["Why?"]


async def test_a_question_without_answer_can_be_deleted(api: Api) -> None:
    chat = await new_chat(api)
    await answered(api, chat, "First?", "One.")
    turn = await answered(api, chat)
    await delete(api, chat, turn["assistant"]["id"])

    assert await delete(api, chat, turn["user"]["id"]) == 204

    assert await shown(api, chat) == ["First?", "One."]


async def test_simultaneous_changes_of_the_versions_leave_a_consistent_chat(api: Api) -> None:
    chat = await new_chat(api)
    first = (await answered(api, chat))["assistant"]["id"]
    await answered(api, chat, "Really?", "Yes.")
    second = await another_answer(api, chat, first, "Two.")

    statuses = await asyncio.gather(
        *(delete(api, chat, each) for each in (first, second) * 2),
        *(status_of(edit(api, chat, each, text)) for each, text in ((first, "A"), (second, "B"))),
    )

    assert set(statuses) <= {201, 204, 404}
    assert statuses[:4].count(204) == 2
    texts = await shown(api, chat)
    assert texts[0] == "Why?"
    assert len(texts) in (1, 2, 4)
    assert (await new_turn(api, chat, "Next?"))["created"]


async def status_of(call: Awaitable[Any]) -> int:
    return int((await call).status_code)
