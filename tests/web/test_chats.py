"""A name leads to a chat, the page shows it, and nobody else sees it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack import Service, client
from tests.web.dom import parse
from tests.web.visitor import EVENTS, HTML, HTMX, TEXT, Visitor
from web.app import routes

NOBODY = "00000000-0000-4000-8000-000000000000"
PUBLIC = {"GET /", "GET /healthz", "GET /readyz", "GET /manifest.webmanifest", "GET /sw.js", "GET /offline", "GET /join", "GET /metrics"}
OWN = {
    "POST /chats": {"username": "Ada"},
    "GET /chats/{chat_id}": None,
    "GET /chats/{chat_id}.json": None,
    "GET /chats/{chat_id}.md": None,
    "GET /chats/{chat_id}.txt": None,
    "POST /chats/{chat_id}/messages": {"content": "Hi"},
    "GET /chats/{chat_id}/messages/{message_id}/stream": None,
    "GET /chats/{chat_id}/list": None,
    "GET /chats/{chat_id}/settings": None,
    "POST /chats/{chat_id}/settings": {},
    "POST /chats/{chat_id}/title": {"title": "x"},
    "POST /chats/{chat_id}/delete": {},
    "POST /chats/{chat_id}/restore": {},
    "POST /chats/{chat_id}/messages/{message_id}/stop": {},
    "POST /chats/{chat_id}/messages/{message_id}/regenerate": {},
    "POST /chats/{chat_id}/messages/{message_id}/continue": {},
    "POST /chats/{chat_id}/messages/{message_id}/show": {},
    "POST /chats/{chat_id}/messages/{message_id}/delete": {},
}
OWN |= {  # of these, see tests/web/test_devices.py
    "GET /devices": None,
    "POST /devices/link": {},
    "POST /devices/sign-out": {},
    "POST /devices/{device_id}/sign-out": {},
    "POST /join": {"code": "x"},
}
FOREIGN = [name for name in OWN if "{chat_id}" in name]


async def call(visitor: Visitor, name: str, chat: str = f"/chats/{NOBODY}", message: str = NOBODY, headers: Any = None) -> Any:
    method, path = name.split(" ")
    path = path.replace("/chats/{chat_id}", chat).replace("{message_id}", message)
    return await visitor.http.request(method, path, data=OWN.get(name), headers=headers)


async def rows(owner: Any) -> dict[str, int]:
    tables = ("sessions", "devices", "links", "chats", "messages", "generations", "generation_chunks")
    return {table: await owner.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


def test_every_route_has_an_entry() -> None:
    there = {f"{method} {route.path}" for route in routes for method in (route.methods or set()) - {"HEAD"}}

    assert {name.replace(":id}", "}") for name in there} == PUBLIC | OWN.keys()


async def test_a_name_leads_to_a_chat_and_back_to_it(visitor: Visitor) -> None:
    first = await visitor.begin("Ada")
    again, padded = await visitor.begin("Ada"), await visitor.begin("  Ada ")
    other_name = await visitor.begin("Grace")
    new = await visitor.begin("Ada", new="1")
    latest = await visitor.begin("Ada")

    assert first == again == padded
    assert len({first, other_name, new}) == 3
    assert latest == new


async def test_the_chat_that_was_written_in_last_is_the_one_a_name_leads_to(visitor: Visitor) -> None:
    older, newer = await visitor.begin("Ada"), await visitor.begin("Ada", new="1")
    assert older != newer

    await visitor.ended(older, await visitor.say(older))

    assert await visitor.begin("Ada") == older


async def test_the_same_name_of_somebody_else_is_another_chat(visitor: Visitor, other: Visitor) -> None:
    assert await visitor.begin("Ada") != await other.begin("Ada")


@pytest.mark.parametrize("name", ["a/b", "ü 🙂", "100%", "a?b#c&d=e", "'; DROP TABLE chats; --", "<script>", "x" * 100, "..", "."])
async def test_any_name_will_do(visitor: Visitor, name: str) -> None:
    await visitor.begin("Ada")

    chat = await visitor.begin(name)

    assert await visitor.begin(name) == chat
    assert (await visitor.page(chat)).select(".who").text == name


@pytest.mark.parametrize("name", ["", "   ", "\u200b", "x" * 101])
async def test_without_a_usable_name_nothing_begins_and_what_was_typed_stays(visitor: Visitor, owner: Any, name: str) -> None:
    before = await rows(owner)

    refused = await visitor.http.post("/chats", data={"username": name})

    assert refused.status_code == 422
    page = parse(refused.text)
    assert page.select("#notice").text
    assert page.select("#username").attributes["value"] == name.strip()
    assert "set-cookie" not in refused.headers
    assert await rows(owner) == before


async def test_a_new_chat_begins_with_the_opening_message_and_without_the_system_prompt(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin("Ada")

    page, messages = await visitor.page(chat), await visitor.messages(chat)

    assert [(message["role"], message["content"]) for message in messages] == [("assistant", "Hello! What can I do for you?")]
    assert [article.select(".content").text.strip() for article in page.matching("article")] == ["Hello! What can I do for you?"]
    prompt = await owner.fetchval("SELECT system_prompt FROM chats WHERE id = $1", chat.removeprefix("/chats/"))
    assert prompt.startswith("You are a helpful assistant")
    assert prompt not in page.outer


async def test_the_chat_shows_what_was_said_and_its_first_words_as_its_title(visitor: Visitor) -> None:
    chat = await visitor.begin("Ada")
    await visitor.ended(chat, await visitor.say(chat, 'What is <b>"this"</b> & that?'))

    page, home = await visitor.page(chat), parse((await visitor.http.get("/")).text)

    assert [article.attributes["class"] for article in page.matching("article")] == [
        "message assistant",
        "message user",
        "message assistant",
    ]
    assert page.matching("article")[1].select(".content").text == 'What is <b>"this"</b> & that?'
    assert page.select("title").text == 'What is <b>"this"</b> & that? · Runnel'
    assert [(link.attributes["href"], link.select("span").text) for link in home.matching("li")[0].matching("a")] == [
        (chat, 'What is <b>"this"</b> & that?')
    ]


async def test_a_chat_can_be_taken_along_in_three_forms(visitor: Visitor) -> None:
    chat = await visitor.begin("Ada")
    answer = await visitor.ended(chat, await visitor.say(chat, {"text": "**Because.**\n\n- one"}))

    as_json, markdown, text = [await visitor.http.get(f"{chat}.{form}") for form in ("json", "md", "txt")]

    about = as_json.json()
    assert about["id"] == chat.removeprefix("/chats/")
    assert [message["id"] for message in about["messages"]] == [about["messages"][0]["id"], about["messages"][1]["id"], answer["id"]]
    assert {"id", "parent_id", "role", "content", "reasoning", "status"} <= about["messages"][0].keys()
    assert about["messages"][2]["parent_id"] == about["messages"][1]["id"]
    assert markdown.text.endswith("## Assistant\n\n**Because.**\n\n- one\n")
    assert text.text.endswith("Assistant:\n**Because.**\n\n- one\n")
    for form in (as_json, markdown, text):
        assert form.headers["content-disposition"].startswith("attachment; ")
        assert form.headers["content-type"].startswith(("application/json", "text/plain"))
        assert "sandbox" in form.headers["content-security-policy"]
        assert "You are a helpful assistant" not in form.text


async def test_the_json_of_a_running_answer_has_its_text_so_far(visitor: Visitor) -> None:
    chat = await visitor.begin("Ada")
    message = await visitor.say(chat, {"text": "one two three", "hang_after": 2})

    running = await visitor.written(chat, message, len("one two"))

    assert (running["content"], running["status"]) == ("one two", "streaming")


async def test_who_only_looks_leaves_no_trace(web: Service, owner: Any) -> None:
    before = await rows(owner)

    async with client(web.url, headers={"Accept": HTML}) as http:
        paths = [name.removeprefix("GET ").format(chat_id=NOBODY, message_id=NOBODY) for name in {*PUBLIC, *OWN} if name.startswith("GET")]
        answers = [await http.get(path) for path in paths * 2]

    assert {answer.status_code for answer in answers} == {200, 404}
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert await rows(owner) == before


@pytest.mark.parametrize("name", FOREIGN)
async def test_another_sessions_chat_is_not_there(visitor: Visitor, other: Visitor, owner: Any, name: str) -> None:
    theirs, mine = await other.begin(), await visitor.begin()
    message = await other.say(theirs, {"text": "a secret", "hang_after": 1})
    await other.written(theirs, message)
    before = await rows(owner)

    answers = {
        "foreign": await call(visitor, name, theirs, message),
        "unknown": await call(visitor, name),
        "mixed": await call(visitor, name, mine if "{message_id}" in name else f"/chats/{NOBODY}", message),
        "htmx": await call(visitor, name, theirs, message, HTMX),
    }

    assert {which: answer.status_code for which, answer in answers.items()} == dict.fromkeys(answers, 404)
    assert answers["foreign"].content == answers["unknown"].content == answers["mixed"].content
    assert "secret" not in "".join(answer.text for answer in answers.values())
    assert await rows(owner) == before
    assert (await other.message(theirs, message))["status"] == "streaming"


@pytest.mark.parametrize("name", FOREIGN)
async def test_without_a_cookie_no_chat_is_there(visitor: Visitor, other: Visitor, name: str) -> None:
    theirs = await other.begin()
    message = await other.say(theirs)
    await other.ended(theirs, message)

    answer = await call(visitor, name, theirs, message)

    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("accept", [EVENTS, HTML, TEXT, "*/*", f"{EVENTS}, {HTML}"])
@pytest.mark.parametrize("htmx", [{}, HTMX])
async def test_a_stream_that_is_not_there_says_so_in_plain_text(
    visitor: Visitor, other: Visitor, accept: str, htmx: dict[str, str]
) -> None:
    theirs, mine = await other.begin(), await visitor.begin()
    message = await other.say(theirs)
    own_question = (await other.messages(theirs))[1]["id"]

    answers = [
        await visitor.http.get(path, headers=htmx | {"Accept": accept})
        for path in (f"{theirs}/messages/{message}/stream", f"{mine}/messages/{message}/stream", f"{mine}/messages/{NOBODY}/stream")
    ]
    of_a_question = await other.http.get(f"{theirs}/messages/{own_question}/stream", headers=htmx | {"Accept": accept})

    for answer in [*answers, of_a_question]:
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
        assert "no such page" in answer.text


@pytest.mark.parametrize("form", ["{0}x", "{1}", "{{{0}}}", "{2}", "%20{0}", "{0}%0a", "{0}.xml", "{0}/", "..%2f{0}"])
async def test_a_chat_has_one_address(visitor: Visitor, form: str) -> None:
    chat_id = (await visitor.begin()).removeprefix("/chats/")

    answer = await visitor.http.get("/chats/" + form.format(chat_id, chat_id.upper(), chat_id.replace("-", "")), follow_redirects=False)

    assert answer.status_code in (404, 307)  # 307: without the slash at its end
    assert "article" not in answer.text


async def test_somebody_with_many_chats_finds_them_latest_first(visitors: Callable[..., Visitor]) -> None:
    visitor = visitors()
    made = [await visitor.begin(f"Name {number}") for number in range(5)]

    home = parse((await visitor.http.get("/")).text)

    assert [link.attributes["href"] for link in home.select("ul").matching("a")] == made[::-1]
