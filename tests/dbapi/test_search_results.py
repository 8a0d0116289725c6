"""What a search finds, and in which order: messages, running answers and titles, but nothing that is deleted."""

from typing import Any
from uuid import UUID

import pytest

from tests.dbapi.calls import (
    another_answer,
    answered,
    append,
    ask,
    claim,
    finish,
    found,
    hits,
    marked,
    new_chat,
    running,
    search,
)
from tests.dbapi.conftest import Api

pytestmark = pytest.mark.usefixtures("idle_log")


# Results


async def test_hits_are_grouped_by_chat_with_the_best_three(api: Api) -> None:
    rich, poor = await new_chat(api), await new_chat(api)
    for number in range(5):
        await answered(api, rich, f"What is a rill? No. {number}", "A rill is a rill." if number == 2 else "Water.")
    await ask(api, "A rill", poor)

    results = (await search(api, "rill"))["results"]

    assert {result["chat_id"] for result in results} == {rich["id"], poor["id"]}
    (of_rich,) = [result["hits"] for result in results if result["chat_id"] == rich["id"]]
    assert [(hit["role"], marked(hit["snippet"])) for hit in of_rich] == [
        ("assistant", "A [rill] is a [rill]."),
        ("user", "What is a [rill]? No. 4"),
        ("user", "What is a [rill]? No. 3"),
    ]


async def test_a_title_is_found_by_the_same_rules(api: Api) -> None:
    chat, other = await new_chat(api), await new_chat(api)
    await api.patch(f"/chats/{chat['id']}", json={"title": "Über Bäche: v1.2"})
    await api.patch(f"/chats/{other['id']}", json={"title": "Fragen"})
    await ask(api, "Was sind Bäche?", other)

    for q in ("BACHE uber", "v1.2", "bäch*", '"über bäche"', "uber -fluss"):
        (result,) = [each for each in (await search(api, q))["results"] if each["chat_id"] == chat["id"]]
        assert result["hits"] == []
    first, second = (await search(api, "bäche"))["results"]
    assert (first["chat_id"], marked(first["title"])) == (chat["id"], "Über [Bäche]: v1.2")
    assert first["updated_at"] == chat["updated_at"]
    assert (second["chat_id"], marked(second["title"])) == (other["id"], "Fragen")


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("Cafe AT 5km", "at 5km"),
        ("Cafe", "CAFÉ"),
        ("Café", "cafe"),
        ("web/messages.py, v1.2", '"messages.py" v1.2 web'),
        ("Tides", "ti*"),
        ("Tides", "tides -café"),
        ("12abc", "12abc"),
        ("1e5 items", "1e5"),
        ("天 tides", "TIDES 天"),
        ("Tides", "tides —"),
    ],
)
async def test_a_title_is_found(api: Api, title: str, query: str) -> None:
    chat = await new_chat(api)
    await api.patch(f"/chats/{chat['id']}", json={"title": title})

    assert [result["chat_id"] for result in (await search(api, query))["results"]] == [chat["id"]]


async def test_a_chat_without_a_title_has_none(api: Api) -> None:
    chat = await new_chat(api)

    (result,) = (await search(api, "hello"))["results"]

    assert (result["chat_id"], result["title"]) == (chat["id"], [])


async def test_a_newer_message_comes_before_an_equal_older_one(api: Api, owner: Any) -> None:
    old, new, newest = [await ask(api, "Why?") for _ in range(3)]
    await owner.execute("UPDATE messages SET created_at = now() - interval '90 days' WHERE id = $1", new["id"])
    await owner.execute("UPDATE messages SET created_at = now() - interval '900 days' WHERE id = $1", old["id"])

    assert [hit["message_id"] for hit in await hits(api, "why")] == [newest["id"], new["id"], old["id"]]


async def test_markup_is_text(api: Api) -> None:
    await ask(api, "<mark>needle</mark> & <img src=x onerror=alert(1)>")

    (result,) = (await search(api, "needle"))["results"]

    parts = [
        {"text": "<mark>", "is_match": False},
        {"text": "needle", "is_match": True},
        {"text": "</mark> & <img src=x onerror=alert(1)>", "is_match": False},
    ]
    assert result["hits"][0]["snippet"] == result["title"] == parts


async def test_the_snippet_of_a_long_message_shows_what_was_found(api: Api) -> None:
    filler = "Lorem ipsum dolor. " * 500
    await ask(api, f"{filler}A needle. {filler}")

    (text,) = await found(api, "needle")

    assert "[needle]. Lorem" in text
    assert text.startswith("…")
    assert text.endswith("…")
    assert len(text) < 180


# What is found


async def test_a_running_answer_is_found_as_soon_as_it_is_written(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "A county: Nor")
    assert await hits(api, "Norfolk") == []
    await append(api, claimed, 2, "folk.")

    (early,) = await hits(api, "Norfolk")
    await finish(api, claimed, 2)
    (late,) = await hits(api, "Norfolk")

    assert (early["message_id"], early["is_running"]) == (claimed["message_id"], True)
    assert late == early | {"is_running": False}
    assert marked(late["snippet"]) == "A county: [Norfolk]."


async def test_what_a_restarted_answer_had_written_is_not_found(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "Norfolk")
    await append(api, claimed, 2, "", kind=2)
    await append(api, claimed, 3, "Suffolk")

    assert (await hits(api, "Norfolk"), await found(api, "Suffolk")) == ([], ["[Suffolk]"])


async def test_thoughts_are_not_found(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "Norfolk ", kind=1)
    await append(api, claimed, 2, "Suffolk")
    assert await hits(api, "Norfolk") == []

    await finish(api, claimed, 2)

    assert (await hits(api, "Norfolk"), await found(api, "Suffolk")) == ([], ["[Suffolk]"])


async def test_a_continued_answer_is_found_once_with_its_new_text(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "Norfolk and")
    await finish(api, claimed, 1, "stopped")
    path = f"/chats/{claimed['chat_id']}/messages/{claimed['message_id']}/continue"
    assert (await api.post(path, json={})).is_success
    again = (await claim(api))[claimed["id"]]
    await append(api, again, again["last_seq"] + 1, " Suffolk")

    early = [(hit["is_running"], marked(hit["snippet"])) for hit in await hits(api, "norfolk")]
    await finish(api, again, again["last_seq"] + 1)

    assert early == [(True, "[Norfolk] and Suffolk")]
    assert await found(api, "suffolk") == ["Norfolk and [Suffolk]"]


async def test_a_deleted_chat_is_never_found(api: Api) -> None:
    chat = await new_chat(api)
    await append(api, await running(api, chat), 1, "Norfolk")
    await ask(api, "Suffolk", chat)
    await api.delete(f"/chats/{chat['id']}")

    gone = [(await search(api, q))["results"] for q in ("norfolk", "suffolk", "why", "-x")]
    await api.post(f"/chats/{chat['id']}/restore")

    assert gone == [[]] * 4
    assert len(await hits(api, "suffolk")) == 1


async def test_the_messages_of_a_deleted_chat_do_not_take_the_place_of_others(api: Api, owner: Any) -> None:
    await ask(api, "A needle")
    deleted = await new_chat(api)
    await owner.execute(NEEDLES, UUID(deleted["id"]))
    assert await found(api, "needle") != ["A [needle]"]

    await api.delete(f"/chats/{deleted['id']}")

    assert await found(api, "needle") == ["A [needle]"]


NEEDLES = """
INSERT INTO messages (session_id, chat_id, role, content)
SELECT session_id, id, 'user', 'Many needle' FROM chats, generate_series(1, 1100) WHERE id = $1
"""


async def test_a_deleted_message_is_not_found(api: Api, owner: Any) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat, "Norfolk?", "Suffolk.")

    await api.delete(f"/chats/{chat['id']}/messages/{turn['user']['id']}")

    assert await hits(api, "norfolk") == await hits(api, "suffolk") == []
    assert await owner.fetchval("SELECT count(*) FROM message_words WHERE chat_id = $1", chat["id"]) == 1


async def test_the_words_of_a_text_that_is_replaced_are_not_found(api: Api, owner: Any) -> None:
    message = await ask(api, "Norfolk")

    await owner.execute("UPDATE messages SET content = 'Suffolk' WHERE id = $1", message["id"])
    replaced = await hits(api, "norfolk"), await found(api, "suffolk")
    await owner.execute("UPDATE messages SET content = '' WHERE id = $1", message["id"])

    assert replaced == ([], ["[Suffolk]"])
    assert await hits(api, "suffolk") == []
    assert await owner.fetchval("SELECT count(*) FROM message_words WHERE message_id = $1", message["id"]) == 0


async def test_every_version_is_found(api: Api) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat, "Where?", "Norfolk.")
    shown = await another_answer(api, chat, turn["user"]["id"], "Suffolk.")

    assert [hit["message_id"] for hit in await hits(api, "norfolk")] == [turn["assistant"]["id"]]
    assert [hit["message_id"] for hit in await hits(api, "suffolk")] == [shown]
