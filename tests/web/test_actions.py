"""What a person does with what was said: other versions, more of it, less of it, another title, other settings."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from tests.stack import Cluster, House, running_house
from tests.web.dom import Node, parse
from tests.web.visitor import Model, Visitor, unique

FINISHED, RUNNING, CUT = {"text": "Because."}, {"text": "one two three", "hang_after": 2}, {"text": "one two", "finish_reason": "length"}
ON_A_CHAT = ["title", "delete", "restore", "settings"]
ON_AN_ANSWER = ["regenerate", "continue", "show", "delete", "stop"]


async def act(visitor: Visitor, chat: str, message: str, verb: str, status: int = 303) -> str:
    """Where an action on a message leads to."""
    answer = await visitor.http.post(f"{chat}/messages/{message}/{verb}")
    assert answer.status_code == status, answer.text
    return str(answer.headers.get("location", ""))


async def answered(visitor: Visitor, chat: str, content: Any = FINISHED, **fields: str) -> Any:
    return await visitor.ended(chat, await visitor.say(chat, content, **fields))


def said(page: Node) -> list[str]:
    """The user's messages that the page shows."""
    return [article.select(".content").text for article in page.matching("article") if "user" in article.attributes["class"]]


def pager(page: Node) -> str:
    """What the only pager of the page says."""
    (versions,) = page.matching(".versions")
    return " ".join(versions.text.split())


# Versions


async def test_another_answer_stands_beside_the_first_and_the_choice_survives_a_reload(visitor: Visitor) -> None:
    chat, question = await visitor.begin(), unique()
    first = await answered(visitor, chat, question)

    address, _, second = (await act(visitor, chat, first["id"], "regenerate")).partition("#message-")
    await visitor.ended(chat, second)

    assert (address, second != first["id"]) == (chat, True)
    assert [message["id"] for message in await visitor.messages(chat)][2:] == [second]
    assert pager(await visitor.page(chat)) == "Previous version Version 2/ of 2 Next version"
    await act(visitor, chat, first["id"], "show")
    assert pager(await visitor.page(chat)) == "Previous version Version 1/ of 2 Next version"
    assert [message["id"] for message in await visitor.messages(chat)][2:] == [first["id"]]


async def test_the_model_is_asked_again_without_the_answer_it_gave(visitor: Visitor, model: Model) -> None:
    chat, question = await visitor.begin(), unique()
    first = await answered(visitor, chat, question)

    again = await act(visitor, chat, first["id"], "regenerate")
    await visitor.ended(chat, again.partition("#message-")[2])

    earlier, later = await model.requests(question)
    assert earlier["messages"] == later["messages"]


async def test_a_changed_message_begins_a_branch_and_the_old_one_keeps_what_followed(visitor: Visitor) -> None:
    chat, old, new = await visitor.begin(), unique("old"), unique("new")
    await answered(visitor, chat, old)
    await answered(visitor, chat, "What followed")
    opening, edited = (await visitor.messages(chat))[:2]
    form = (await visitor.http.get(f"{chat}?edit={edited['id']}")).text

    changed = await answered(visitor, chat, new, parent_id=opening["id"])

    assert f'action="{chat}/messages?edit={edited["id"]}"' in form
    assert f'name="parent_id" value="{opening["id"]}"' in form
    assert said(await visitor.page(chat)) == [new]
    await act(visitor, chat, edited["id"], "show")
    assert said(await visitor.page(chat)) == [old, "What followed"]
    await act(visitor, chat, changed["id"], "show")
    assert said(await visitor.page(chat)) == [new]


async def test_a_message_of_long_ago_can_be_changed(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await answered(visitor, chat, "long ago")
    await answered(visitor, chat)
    edited = (await visitor.messages(chat))[1]["id"]

    form = await visitor.http.get(f"{chat}?last=2&edit={edited}")

    assert 'id="edited"' in form.text


async def test_a_change_that_is_refused_is_still_in_its_form(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await answered(visitor, chat)
    opening, edited = (await visitor.messages(chat))[:2]

    answer = await visitor.http.post(f"{chat}/messages?edit={edited['id']}", data={"content": "y" * 32_001, "parent_id": opening["id"]})

    assert answer.status_code == 413
    assert 'id="edited"' in answer.text
    assert "y" * 32_001 in answer.text
    assert "Please shorten it" in answer.text


async def test_the_very_first_message_of_a_chat_can_be_changed(visitor: Visitor, owner: Any) -> None:
    chat, new = await visitor.begin(), unique()
    await answered(visitor, chat)
    opening = (await visitor.messages(chat))[0]["id"]
    await owner.execute("UPDATE messages SET parent_id = NULL WHERE parent_id = $1", opening)
    await owner.execute("DELETE FROM messages WHERE id = $1", opening)

    await answered(visitor, chat, new, parent_id="root")

    page = await visitor.page(chat)
    assert said(page) == [new]
    assert pager(page) == "Previous version Version 2/ of 2 Next version"


async def test_an_answer_that_runs_can_be_left_for_another_version_and_goes_on(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await answered(visitor, chat)
    running = (await act(visitor, chat, first["id"], "regenerate")).partition("#message-")[2]

    await act(visitor, chat, first["id"], "show")
    await act(visitor, chat, running, "show")

    assert (await visitor.ended(chat, running))["content"] == "Because."


async def test_what_is_done_far_back_in_a_chat_leads_back_there(visitor: Visitor) -> None:
    chat = await visitor.begin()
    first = await answered(visitor, chat)
    there = {"Referer": f"{visitor.web.url}{chat}?last=120"}
    forged = {"Referer": "https://elsewhere.example/?last=1%0d%0aX: y&last=9999999"}

    for headers, expected in (
        (there, f"{chat}?last=120#message-"),
        ({"HX-Current-URL": there["Referer"]}, f"{chat}?last=120#message-"),
        (forged, f"{chat}#message-"),
    ):
        answer = await visitor.http.post(f"{chat}/messages/{first['id']}/show", headers=headers)
        assert answer.headers["location"].startswith(expected)


# More, and less


async def test_a_stopped_answer_goes_on_where_it_was_although_its_log_is_gone(visitor: Visitor, owner: Any) -> None:
    chat, text = await visitor.begin(), "a b c d e f g h i j k l m n o p q r s t"
    message = await visitor.say(chat, {"text": text, "delay_ms": 60})
    await visitor.written(chat, message, 4)
    await visitor.stop(chat, message)
    stopped = await visitor.ended(chat, message)
    await owner.execute("DELETE FROM generation_chunks WHERE session_id = (SELECT session_id FROM messages WHERE id = $1)", message)

    where = await act(visitor, chat, message, "continue")

    assert where == f"{chat}#message-{message}"
    ended = await visitor.ended(chat, message)
    assert len(stopped["content"]) < len(text)
    assert (ended["status"], ended["content"]) == ("complete", text)


async def test_a_page_that_follows_a_continued_answer_ends_as_a_reload_of_it(visitor: Visitor) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, {"text": "# One\n\n- two\n- three\n\nfour five six", "delay_ms": 60})
    await visitor.written(chat, message, 8)
    await visitor.stop(chat, message)
    await visitor.ended(chat, message)

    await act(visitor, chat, message, "continue")
    page = await visitor.page(chat)
    async with visitor.following(page, message) as watched:
        await watched.shown(page)

    reloaded = await visitor.page(chat)
    assert page.select(f"#message-{message} .content").inner == reloaded.select(f"#message-{message} .content").inner


async def test_an_answer_that_was_cut_off_says_so_and_can_be_continued(visitor: Visitor) -> None:
    chat = await visitor.begin()

    cut = await answered(visitor, chat, CUT)

    footer = (await visitor.page(chat)).select(f"#message-{cut['id']}-footer")
    assert "Cut off at the longest length." in footer.text
    assert "Continue" in footer.text


async def test_what_was_answered_in_full_cannot_be_continued(visitor: Visitor) -> None:
    chat = await visitor.begin()

    footer = (await visitor.page(chat)).select("footer")
    done = await answered(visitor, chat)

    assert "Regenerate" not in footer.text  # the opening message
    assert "Continue" not in (await visitor.page(chat)).select(f"#message-{done['id']}-footer").text


@pytest.mark.parametrize("verb", ["continue"])
async def test_a_running_answer_cannot_be_continued(visitor: Visitor, verb: str) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, RUNNING)

    await act(visitor, chat, message, verb, 409)


async def test_the_opening_message_is_no_answer_to_be_given_anew(visitor: Visitor) -> None:
    chat = await visitor.begin()
    (opening,) = await visitor.messages(chat)

    await act(visitor, chat, opening["id"], "regenerate", 409)
    await act(visitor, chat, opening["id"], "continue", 409)


async def test_a_message_is_deleted_with_its_answers_and_what_followed_moves_up(visitor: Visitor, model: Model) -> None:
    chat, first, third = await visitor.begin(), unique("first"), unique("third")
    await answered(visitor, chat, first)
    await answered(visitor, chat, "second")
    deleted = (await visitor.messages(chat))[1]

    await act(visitor, chat, deleted["id"], "delete")
    await answered(visitor, chat, third)

    assert said(await visitor.page(chat)) == ["second", third]
    (asked,) = await model.requests(third)
    assert first not in [message["content"] for message in asked["messages"]]


async def test_the_last_message_can_be_deleted_and_the_chat_goes_on(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await answered(visitor, chat, "kept")
    await answered(visitor, chat, "gone")

    await act(visitor, chat, (await visitor.messages(chat))[3]["id"], "delete")

    assert said(await visitor.page(chat)) == ["kept"]
    await answered(visitor, chat, "next")
    assert said(await visitor.page(chat)) == ["kept", "next"]


async def test_a_message_whose_answer_runs_can_be_deleted(visitor: Visitor) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, RUNNING)
    await visitor.written(chat, message)

    await act(visitor, chat, (await visitor.messages(chat))[1]["id"], "delete")

    assert said(await visitor.page(chat)) == []
    assert (await answered(visitor, chat))["status"] == "complete"


# The chat


async def test_a_chat_is_renamed_in_its_list_and_everywhere(visitor: Visitor) -> None:
    chat = await visitor.begin()

    answer = await visitor.http.post(f"{chat}/title", data={"title": "  Bread \n and <b>butter</b> "})

    page = await visitor.page(chat)
    assert (answer.status_code, answer.headers["location"]) == (303, chat)
    assert page.select("#title").text == "Bread and <b>butter</b>"
    assert page.select("#chats .chats a span").text == "Bread and <b>butter</b>"
    assert (await visitor.http.post(f"{chat}/title", data={"title": "x" * 201})).status_code == 422


async def test_a_deleted_chat_is_gone_and_comes_back_with_undo(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await answered(visitor, chat, "kept")

    home = await visitor.http.post(f"{chat}/delete", follow_redirects=True)
    gone = await visitor.http.get(chat)
    back = await visitor.http.post(f"{chat}/restore")

    assert f'action="{chat}/restore"' in home.text
    assert gone.status_code == 404
    assert (back.status_code, back.headers["location"]) == (303, chat)
    assert said(await visitor.page(chat)) == ["kept"]


async def test_the_list_beside_the_chat_marks_where_one_is_and_what_runs(visitor: Visitor) -> None:
    quiet, busy = await visitor.begin(), await visitor.begin(new="1")
    await visitor.say(busy, RUNNING)

    page = await visitor.page(quiet)

    links = page.select("#chats").matching("a")
    assert [link.attributes["href"] for link in links] == [busy, quiet]
    assert [link.attributes.get("aria-current") for link in links] == [None, "page"]
    assert [bool(link.matching(".running")) for link in links] == [True, False]


# Settings


async def test_settings_reach_the_model_and_can_be_taken_back(visitor: Visitor, model: Model) -> None:
    chat, tuned, usual = await visitor.begin(), unique("tuned"), unique("usual")
    values = {"system_prompt": "Be brief.", "temperature": "0,5", "top_k": "7", "max_tokens": "20", "seed": "42"}

    await visitor.http.post(f"{chat}/settings", data=values)
    shown = (await visitor.http.get(f"{chat}/settings")).text
    await answered(visitor, chat, tuned)
    await visitor.http.post(f"{chat}/settings", data={"reset": "1"})
    await answered(visitor, chat, usual)

    (first,), (second,) = await model.requests(tuned), await model.requests(usual)
    assert {name: first[name] for name in ("temperature", "top_k", "max_tokens", "seed")} == {
        "temperature": 0.5,
        "top_k": 7,
        "max_tokens": 20,
        "seed": 42,
    }
    assert first["messages"][0] == {"role": "system", "content": "Be brief."}
    assert 'value="0.5"' in shown
    assert "temperature" not in second
    assert second["max_tokens"] == 512
    assert second["messages"][0]["content"].startswith("You are a helpful assistant.")


@pytest.fixture(scope="session")
async def choosy_house(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Where there are several models."""
    async with running_house(cluster, tmp_path_factory.mktemp("choosy"), models=("small", "large")) as house:
        await house.web()
        yield house


async def test_one_of_several_models_is_chosen_for_a_chat_and_for_those_begun_from_it(choosy_house: House) -> None:
    visitor, model = Visitor(choosy_house.services[-1]), Model(choosy_house.llama)
    asked = [unique(name) for name in ("chosen", "after", "changed", "default")]
    offered = parse((await visitor.http.get("/")).text).select("#model").text
    chat = await visitor.begin(model="large")
    await answered(visitor, chat, asked[0])
    copied = parse((await visitor.http.get(chat)).text).select("#chats form")
    later = await visitor.begin(**{field.attributes["name"]: field.attributes["value"] for field in copied.matching("input")})
    await answered(visitor, later, asked[1])
    await visitor.http.post(f"{chat}/settings", data={"model": "small"})
    await answered(visitor, chat, asked[2])
    await visitor.http.post(f"{chat}/settings", data={"reset": "1"})
    await answered(visitor, chat, asked[3])

    models = [(await model.requests(content))[0].get("model") for content in asked]
    assert offered == "The server's defaultsmalllarge"
    assert later != chat
    assert models == ["large", "large", "small", None]
    await model.http.aclose()


async def test_where_there_is_one_model_nothing_is_to_be_chosen(visitor: Visitor) -> None:
    chat = await visitor.begin()

    assert "<select" not in (await visitor.http.get("/")).text + (await visitor.http.get(f"{chat}/settings")).text


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", "2.1"), ("temperature", "nan"), ("top_p", "0"), ("top_k", "1.5"), ("seed", "-1"), ("max_tokens", "x")],
)
async def test_a_value_out_of_range_is_refused_with_everything_still_there(visitor: Visitor, name: str, value: str) -> None:
    chat = await visitor.begin()

    answer = await visitor.http.post(f"{chat}/settings", data={"system_prompt": "Be brief.", name: value})

    assert answer.status_code == 422
    assert "has to be a number" in answer.text
    assert f'value="{value}"' in answer.text
    assert "Be brief." in answer.text
    assert answer.text.count('aria-invalid="true"') == 1
    assert 'value="2.1"' not in (await visitor.http.get(f"{chat}/settings")).text


async def test_what_an_answer_cost_is_told_to_who_asks(visitor: Visitor) -> None:
    chat = await visitor.begin()
    done = await answered(visitor, chat)

    facts = (await visitor.page(chat)).select(f"#message-{done['id']} .facts").text

    for told in ("tokens a second", "First word after", "from cache", "Memory used"):
        assert told in facts


# A long chat


@pytest.fixture(scope="session")
async def forgetful_house(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Where the model remembers little."""
    async with running_house(cluster, tmp_path_factory.mktemp("forgetful"), n_ctx=1500) as house:
        await house.web()
        yield house


async def test_the_oldest_turns_are_left_out_in_big_steps_and_the_page_says_from_where(forgetful_house: House) -> None:
    visitor, model = Visitor(forgetful_house.services[-1]), Model(forgetful_house.llama)
    chat, starts = await visitor.begin(), []
    questions = [unique(f"{number} " + "word " * 60) for number in range(12)]

    for question in questions:
        await answered(visitor, chat, question)
        (asked,) = await model.requests(question)
        kept = [message["content"] for message in asked["messages"] if message["role"] == "user"]
        starts.append(questions.index(kept[0]))

    page = (await visitor.http.get(chat)).text
    _, mark, after = page.partition("The model remembers the chat from here on")
    steps = [later - earlier for earlier, later in pairwise(starts) if later != earlier]
    assert starts[0] == 0
    assert starts[-1] > 0
    assert all(step > 1 for step in steps)
    assert len(steps) < len(questions) / 2
    assert mark
    assert questions[starts[-1]].strip()[:12] in after
    await visitor.leave()
    await model.http.aclose()


# Of another session


@pytest.mark.parametrize("verb", ON_A_CHAT)
async def test_a_chat_of_another_session_is_not_there(visitor: Visitor, other: Visitor, verb: str) -> None:
    chat, _ = await visitor.begin(), await other.begin()

    answer = await other.http.post(f"{chat}/{verb}", data={"title": "mine", "temperature": "1"})

    assert answer.status_code == 404
    assert (await visitor.http.get(chat)).status_code == 200
    assert [(await other.http.get(f"{chat}{path}")).status_code for path in ("", "/settings", "/list")] == [404] * 3


@pytest.mark.parametrize("verb", ON_AN_ANSWER)
async def test_a_message_of_another_session_is_not_there(visitor: Visitor, other: Visitor, verb: str) -> None:
    theirs, own = await visitor.begin(), await other.begin()
    done = await answered(visitor, theirs)
    before = await visitor.messages(theirs)

    await act(other, theirs, done["id"], verb, 404)
    await act(other, own, done["id"], verb, 404)
    await act(visitor, theirs, str(uuid4()), verb, 404)

    assert await visitor.messages(theirs) == before


@pytest.mark.parametrize("verb", [*ON_A_CHAT, *(f"messages/%s/{verb}" for verb in ON_AN_ANSWER)])
async def test_only_our_own_pages_may_act(visitor: Visitor, verb: str) -> None:
    chat = await visitor.begin()
    done = await answered(visitor, chat)
    before = await visitor.messages(chat)

    answer = await visitor.http.post(f"{chat}/{verb.replace('%s', done['id'])}", headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert await visitor.messages(chat) == before


async def test_all_at_once_leaves_a_chat_that_works(visitor: Visitor) -> None:
    chat = await visitor.begin()
    done = await answered(visitor, chat)
    verbs = ["regenerate", "continue", "show", "regenerate", "delete", "stop"]

    answers = await asyncio.gather(*(visitor.http.post(f"{chat}/messages/{done['id']}/{verb}") for verb in verbs))

    assert all(answer.status_code in (303, 404, 409) for answer in answers)
    assert (await answered(visitor, chat, "next"))["status"] == "complete"
