"""Chats: opening by user name, pages, exports."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack import Service, client, row_counts
from tests.web.all_routes import PUBLIC_ROUTES, SESSION_ROUTES, UNKNOWN
from tests.web.dom import parse
from tests.web.visitor import HTML, Visitor
from web.routes import routes


def test_every_route_has_an_entry() -> None:
    there = {f"{method} {route.path}" for route in routes for method in (route.methods or set()) - {"HEAD"}}

    assert {name.replace(":id}", "}") for name in there} == PUBLIC_ROUTES | SESSION_ROUTES.keys()


async def test_new_chat_reuses_the_one_in_which_nothing_was_written(visitor: Visitor) -> None:
    first = await visitor.begin()
    form = parse((await visitor.http.get(first)).text).select("#chats form")
    fields = {field.attributes["name"]: field.attributes["value"] for field in form.matching("input")}

    clicked = [await visitor.begin(**fields) for _ in range(3)]
    await visitor.ended(first, await visitor.say(first, {"text": "Yes."}))
    another = await visitor.begin(**fields)

    assert set(clicked) == {first}
    assert another != first
    assert len(parse((await visitor.http.get("/")).text).matching("li")) == 2


async def test_opening_the_application_leads_to_the_latest_chat(visitor: Visitor) -> None:
    opened = {"Sec-Fetch-Mode": "navigate"}
    first = await visitor.http.get("/", headers=opened)
    chat = await visitor.begin()

    again = await visitor.http.get("/", headers=opened)
    by_link = await visitor.http.get("/", headers=opened | {"Referer": f"{visitor.http.base_url}{chat}"})
    after_deletion = await visitor.http.get(f"/?deleted={chat.removeprefix('/chats/')}", headers=opened)

    assert (first.status_code, by_link.status_code, after_deletion.status_code) == (200, 200, 200)
    assert (again.status_code, again.headers["location"]) == (303, chat)


async def test_opening_the_application_leads_to_the_latest_chat_rather_than_a_pinned_one(visitor: Visitor) -> None:
    pinned, latest = await visitor.begin(), await visitor.begin(new="1")
    await visitor.http.post(f"{pinned}/pin")

    opened = await visitor.http.get("/", headers={"Sec-Fetch-Mode": "navigate"})

    assert opened.headers["location"] == latest


async def test_a_user_name_opens_a_chat_and_finds_it_again(visitor: Visitor) -> None:
    first = await visitor.begin("Ada")
    again, padded = await visitor.begin("Ada"), await visitor.begin("  Ada ")
    other_name = await visitor.begin("Grace")
    new = await visitor.begin("Ada", new="1")
    latest = await visitor.begin("Ada")

    assert first == again == padded
    assert len({first, other_name, new}) == 3
    assert latest == new


async def test_a_user_name_opens_the_chat_with_the_latest_message(visitor: Visitor) -> None:
    older, newer = await visitor.begin("Ada"), await visitor.begin("Ada", new="1")
    assert older != newer

    await visitor.ended(older, await visitor.say(older))

    assert await visitor.begin("Ada") == older


@pytest.mark.parametrize(
    "name", ["a/b", "ü 🙂", "100%", "a?b#c&d=e", "'; DROP TABLE chats; --", "<script>", "x" * 100, "..", "."]
)
async def test_any_characters_are_allowed_in_a_user_name(visitor: Visitor, name: str) -> None:
    await visitor.begin("Ada")

    chat = await visitor.begin(name)

    assert await visitor.begin(name) == chat
    assert (await visitor.page(chat)).select(".who").text == name


@pytest.mark.parametrize("name", ["", "   ", "\u200b", "x" * 101])
async def test_an_invalid_user_name_is_refused_and_stays_in_its_field(visitor: Visitor, owner: Any, name: str) -> None:
    before = await row_counts(owner)

    refused = await visitor.http.post("/chats", data={"username": name})

    assert refused.status_code == 422
    page = parse(refused.text)
    assert page.select("#notice").text
    assert page.select("#username").attributes["value"] == name.strip()
    assert "set-cookie" not in refused.headers
    assert await row_counts(owner) == before


async def test_a_new_chat_shows_the_opening_message_but_not_the_system_prompt(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin("Ada")

    page, messages = await visitor.page(chat), await visitor.messages(chat)

    assert [(message["role"], message["content"]) for message in messages] == [
        ("assistant", "Hello! What can I do for you?")
    ]
    assert [article.select(".content").text.strip() for article in page.matching("article")] == [
        "Hello! What can I do for you?"
    ]
    prompt = await owner.fetchval("SELECT system_prompt FROM chats WHERE id = $1", chat.removeprefix("/chats/"))
    assert prompt.startswith("You are a helpful assistant")
    assert prompt not in page.outer


async def test_a_chat_shows_its_messages_and_is_titled_after_the_first(visitor: Visitor) -> None:
    chat = await visitor.begin("Ada")
    await visitor.ended(chat, await visitor.say(chat, 'What is <b>"this"</b> & that?'))

    page, home = await visitor.page(chat), parse((await visitor.http.get("/")).text)

    assert [article.attributes["class"] for article in page.matching("article")] == [
        "message assistant opening",
        "message user",
        "message assistant",
    ]
    assert page.matching("article")[1].select(".content").text == 'What is <b>"this"</b> & that?'
    assert page.select("title").text == 'What is <b>"this"</b> & that? · Runnel'
    assert [(link.attributes["href"], link.select("span").text) for link in home.matching("li")[0].matching("a")] == [
        (chat, 'What is <b>"this"</b> & that?')
    ]


async def test_a_chat_can_be_exported_in_three_formats(visitor: Visitor) -> None:
    chat = await visitor.begin("Ada")
    answer = await visitor.ended(chat, await visitor.say(chat, {"text": "**Because.**\n\n- one"}))

    as_json, markdown, text = [await visitor.http.get(f"{chat}.{form}") for form in ("json", "md", "txt")]

    about = as_json.json()
    assert about["id"] == chat.removeprefix("/chats/")
    assert [message["id"] for message in about["messages"]] == [
        about["messages"][0]["id"],
        about["messages"][1]["id"],
        answer["id"],
    ]
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


async def test_requests_without_a_session_store_nothing(web: Service, owner: Any) -> None:
    before = await row_counts(owner)

    async with client(web.url, headers={"Accept": HTML}) as http:
        paths = [
            name.removeprefix("GET ").format(chat_id=UNKNOWN, message_id=UNKNOWN)
            for name in {*PUBLIC_ROUTES, *SESSION_ROUTES}
            if name.startswith("GET")
        ]
        answers = [await http.get(path) for path in paths * 2]

    assert {answer.status_code for answer in answers} == {200, 404}
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert await row_counts(owner) == before


@pytest.mark.parametrize("form", ["{0}x", "{1}", "{{{0}}}", "{2}", "%20{0}", "{0}%0a", "{0}.xml", "{0}/", "..%2f{0}"])
async def test_a_chat_has_exactly_one_url(visitor: Visitor, form: str) -> None:
    chat_id = (await visitor.begin()).removeprefix("/chats/")

    answer = await visitor.http.get(
        "/chats/" + form.format(chat_id, chat_id.upper(), chat_id.replace("-", "")), follow_redirects=False
    )

    assert answer.status_code in (404, 307)  # 307: redirects to the URL without the slash
    assert "article" not in answer.text


async def test_chats_are_listed_latest_first(visitors: Callable[..., Visitor]) -> None:
    visitor = visitors()
    made = [await visitor.begin(f"Name {number}") for number in range(5)]

    home = parse((await visitor.http.get("/")).text)

    assert [link.attributes["href"] for link in home.select("ul").matching("a")] == made[::-1]
