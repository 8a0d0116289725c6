"""No session sees or changes anything of another.

Each test runs three times: as installed, with every condition on the session left out of dbapi's queries, and without
row-level security. Either safeguard alone must be enough.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.stack import Cluster, Service, Stack, client, row_counts, running_stack
from tests.web.actions import act, finished_answer
from tests.web.all_routes import ANSWER_ACTIONS, CHAT_ACTIONS, CHAT_ROUTES, UNKNOWN, call
from tests.web.cookies import status_with
from tests.web.device_page import devices, form_of
from tests.web.visitor import EVENTS, HTML, HTMX, TEXT, Visitor

SAFEGUARDS = ["both safeguards", "without conditions", "without row security"]


@pytest.fixture(scope="module", params=SAFEGUARDS)
async def stack(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """A stack without one of the two safeguards, or with both."""
    database = await (
        cluster.without_row_security() if request.param == "without row security" else cluster.new_database()
    )
    module = "tests.dbapi.without_conditions" if request.param == "without conditions" else "dbapi"
    async with running_stack(cluster, tmp_path_factory.mktemp("isolation"), database=database, dbapi=module) as stack:
        yield stack


@pytest.fixture(scope="module")
async def default_web(stack: Stack) -> Service:
    return await stack.web()


async def test_the_same_user_name_in_another_session_opens_another_chat(visitor: Visitor, other: Visitor) -> None:
    assert await visitor.begin("Ada") != await other.begin("Ada")


@pytest.mark.parametrize("name", CHAT_ROUTES)
async def test_the_chats_of_another_session_are_not_found(
    visitor: Visitor, other: Visitor, owner: Any, name: str
) -> None:
    theirs, mine = await other.begin(), await visitor.begin()
    message = await other.say(theirs, {"text": "a secret", "hang_after": 1})
    await other.written(theirs, message)
    before = await row_counts(owner)

    answers = {
        "foreign": await call(visitor, name, theirs, message),
        "unknown": await call(visitor, name),
        "mixed": await call(visitor, name, mine if "{message_id}" in name else f"/chats/{UNKNOWN}", message),
        "htmx": await call(visitor, name, theirs, message, HTMX),
    }

    assert {which: answer.status_code for which, answer in answers.items()} == dict.fromkeys(answers, 404)
    assert answers["foreign"].content == answers["unknown"].content == answers["mixed"].content
    assert "secret" not in "".join(answer.text for answer in answers.values())
    assert await row_counts(owner) == before
    assert (await other.message(theirs, message))["status"] == "streaming"


@pytest.mark.parametrize("name", CHAT_ROUTES)
async def test_without_a_cookie_no_chat_is_found(visitor: Visitor, other: Visitor, name: str) -> None:
    theirs = await other.begin()
    message = await other.say(theirs)
    await other.ended(theirs, message)

    answer = await call(visitor, name, theirs, message)

    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("accept", [EVENTS, HTML, TEXT, "*/*", f"{EVENTS}, {HTML}"])
@pytest.mark.parametrize("htmx", [{}, HTMX])
async def test_an_unknown_stream_is_refused_in_plain_text(
    visitor: Visitor, other: Visitor, accept: str, htmx: dict[str, str]
) -> None:
    theirs, mine = await other.begin(), await visitor.begin()
    message = await other.say(theirs)
    own_question = (await other.messages(theirs))[1]["id"]

    answers = [
        await visitor.http.get(path, headers=htmx | {"Accept": accept})
        for path in (
            f"{theirs}/messages/{message}/stream",
            f"{mine}/messages/{message}/stream",
            f"{mine}/messages/{UNKNOWN}/stream",
        )
    ]
    of_a_question = await other.http.get(f"{theirs}/messages/{own_question}/stream", headers=htmx | {"Accept": accept})

    for answer in [*answers, of_a_question]:
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
        assert "This page does not exist" in answer.text


async def test_a_device_of_another_session_is_not_found(visitor: Visitor, other: Visitor, owner: Any) -> None:
    await visitor.begin()
    await other.begin()
    (theirs,) = await devices(other)

    answer = await visitor.http.post(form_of(theirs))
    without = await visitor.http.post("/devices/00000000-0000-4000-8000-000000000000/sign-out")

    assert (answer.status_code, answer.content) == (404, without.content)
    assert len(await devices(other)) == 1


async def test_the_presets_of_another_session_are_neither_shown_nor_deleted(visitor: Visitor, other: Visitor) -> None:
    theirs, mine = await other.begin(), await visitor.begin()
    saved = await other.http.post(
        f"{theirs}/settings", data={"preset": "1", "preset_name": "Theirs", "system_prompt": "a secret"}
    )
    _, _, preset = saved.headers["location"].partition("=")

    pages = [await visitor.http.get(f"{mine}/settings?preset={each}") for each in (preset, UNKNOWN)]
    ends = [await visitor.http.post(f"{chat}/presets/{preset}/delete") for chat in (mine, theirs)]
    foreign = await visitor.http.post(f"{theirs}/settings", data={"preset": "1", "preset_name": "Mine"})

    assert pages[0].content == pages[1].content
    assert "secret" not in pages[0].text + (await visitor.http.get(f"{mine}/settings")).text
    assert [end.status_code for end in ends] == [303, 404]
    assert foreign.status_code == 404
    assert "a secret" in (await other.http.get(saved.headers["location"])).text
    assert "Theirs" in (await other.http.get(f"{theirs}/settings")).text


async def test_the_search_finds_nothing_of_another_session(visitor: Visitor, other: Visitor) -> None:
    mine, theirs, word = await visitor.begin(), await other.begin(), uuid4().hex
    written = await finished_answer(other, theirs, {"text": f"a secret {word}"})
    running = await other.say(theirs, {"text": f"another secret {word} " + "word " * 500, "delay_ms": 20})
    await other.written(theirs, running, len(f"another secret {word} w"))
    await other.http.post(f"{theirs}/title", data={"title": f"secret {word}"})
    linked = [f"{mine}?message={each}" for each in (written["id"], UNKNOWN)]

    found = [await visitor.http.get(f"/search?q={word}", headers=each) for each in ({}, HTMX)]
    unknown = [await visitor.http.get(f"/search?q={uuid4().hex}", headers=each) for each in ({}, HTMX)]
    without = await visitor.http.get(f"/search?q={word}", headers={"Cookie": ""})
    pages = [(await visitor.page(each)).select("#messages").outer for each in linked]

    assert "secret" in (await other.http.get(f"/search?q={word}")).text
    assert [len(each.text) for each in found] == [len(each.text) for each in unknown]
    assert all("secret" not in each.text and theirs not in each.text for each in (*found, without))
    assert pages[0] == pages[1]
    assert (await visitor.http.get(f"{theirs}?message={written['id']}")).status_code == 404


async def test_the_list_neither_shows_nor_changes_chats_of_another_session(visitor: Visitor, other: Visitor) -> None:
    mine, theirs, deleted = await visitor.begin(), await other.begin(), await other.begin(new="1")
    archived = await other.begin(new="1")
    await other.http.post(f"{deleted}/delete")
    await other.http.post(f"{archived}/archive")
    await other.http.post(f"{theirs}/title", data={"title": "a secret"})
    chosen = {f"chat-{chat.removeprefix('/chats/')}": "1" for chat in (theirs, deleted, archived)}

    pages = [(await visitor.http.get(path)).text for path in ("/chats", "/chats/archived", mine, "/")]
    done = [
        await visitor.http.post("/chats/selected", data=chosen | {"action": action})
        for action in ("pin", "archive", "unarchive", "delete", "restore")
    ]

    assert all(chat.removeprefix("/chats/") not in page for page in pages for chat in (theirs, deleted, archived))
    assert "secret" not in "".join(pages)
    assert {answer.status_code for answer in done} == {303}
    assert all("ids=" not in answer.headers["location"] for answer in done)
    assert [(await other.http.get(chat)).status_code for chat in (theirs, deleted, archived)] == [200, 404, 200]
    assert f'href="{theirs}"' in (await other.http.get("/chats")).text
    assert f'href="{archived}"' in (await other.http.get("/chats/archived")).text


@pytest.mark.parametrize("verb", CHAT_ACTIONS)
async def test_a_chat_of_another_session_cannot_be_changed(visitor: Visitor, other: Visitor, verb: str) -> None:
    chat, _ = await visitor.begin(), await other.begin()

    answer = await other.http.post(f"{chat}/{verb}", data={"title": "mine", "temperature": "1"})

    assert answer.status_code == 404
    assert (await visitor.http.get(chat)).status_code == 200
    assert [(await other.http.get(f"{chat}{path}")).status_code for path in ("", "/settings", "/list")] == [404] * 3


@pytest.mark.parametrize("verb", ANSWER_ACTIONS)
async def test_a_message_of_another_session_cannot_be_changed(visitor: Visitor, other: Visitor, verb: str) -> None:
    theirs, own = await visitor.begin(), await other.begin()
    done = await finished_answer(visitor, theirs)
    before = await visitor.messages(theirs)

    await act(other, theirs, done["id"], verb, 404, content="mine")
    await act(other, own, done["id"], verb, 404, content="mine")
    await act(visitor, theirs, str(uuid4()), verb, 404, content="mine")

    assert await visitor.messages(theirs) == before


async def test_two_cookies_of_our_name_never_mix_two_sessions(web: Service, visitor: Visitor, other: Visitor) -> None:
    mine, theirs = await visitor.begin(), await other.begin()
    cookies = [f"runnel={each.http.cookies['runnel']}" for each in (visitor, other)]

    statuses = [[await status_with(web, chat, "; ".join(cookies)) for chat in (mine, theirs)] for _ in range(3)]

    assert statuses[0] == statuses[1] == statuses[2]
    assert statuses[0] in ([200, 404], [404, 200], [404, 404], [400, 400])


async def test_no_other_way_opens_a_session(web: Service, visitor: Visitor, owner: Any) -> None:
    chat, value = await visitor.begin(), visitor.http.cookies["runnel"]
    session = str(await owner.fetchval("SELECT session_id FROM chats WHERE id = $1", chat.removeprefix("/chats/")))

    async with client(web.url, params={"runnel": value, "session_id": session}) as http:
        names = ("X-Session-ID", "x_session_id", "Remote-User", "X-User", "X-Forwarded-User")
        answer = await http.get(chat, headers=dict.fromkeys(names, session) | {"Authorization": f"Bearer {value}"})

    assert answer.status_code == 404
