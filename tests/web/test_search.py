"""The search, and links to single messages."""

import re
from typing import Any
from uuid import uuid4

import pytest

from tests.web.actions import act, finished_answer, user_messages
from tests.web.all_routes import UNKNOWN
from tests.web.dom import Node, parse
from tests.web.visitor import HTMX, Visitor
from web.contract import FoundChat, Hit, Snippet
from web.rendering.templates import Templates

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> \"'><b hx-get=/pwned>bold</b> &lt;i&gt; <mark>{{ 7 * 7 }}"
)
ALLOWED = {"ol", "ul", "li", "h2", "a", "b", "small", "span", "time", "mark"}


async def search(visitor: Visitor, text: str, **more: str) -> Node:
    """The page with the results."""
    answer = await visitor.http.get("/search", params={"q": text} | more)
    assert answer.status_code == 200, answer.text
    return parse(answer.text)


async def listed(visitor: Visitor, text: str) -> Node:
    """The results that htmx gets while the user is typing."""
    answer = await visitor.http.get("/search", params={"q": text, "typing": "1"}, headers=HTMX)
    assert answer.status_code == 200, answer.text
    return parse(answer.text)


def rare_word() -> str:
    return f"w{uuid4().hex}"


def links(results: Node) -> list[str]:
    return [link.attributes["href"] for link in results.select("#results").matching("a")]


def tags(node: Node) -> set[str]:
    return {each.tag for each in node.all()} - {"document"}


def snippet(*parts: str) -> Snippet:
    """Every second part is a match."""
    return [{"text": part, "is_match": bool(number % 2)} for number, part in enumerate(parts)]


def found(title: Snippet, *hits: Snippet) -> FoundChat:
    made: list[Hit] = [
        {"message_id": UNKNOWN, "role": "user", "created_at": "2026-11-27", "snippet": each, "is_running": False}
        for each in hits
    ]
    return {"chat_id": UNKNOWN, "title": title, "updated_at": "2026-11-27T10:00:00Z", "hits": made}


async def branches(visitor: Visitor) -> tuple[str, Any, Any]:
    """A chat with two answers to its question. Returns its path, the hidden answer and the shown one."""
    chat = await visitor.begin()
    hidden = await finished_answer(visitor, chat)
    shown = (await act(visitor, chat, hidden["id"], "regenerate")).partition("#message-")[2]
    return chat, hidden, await visitor.ended(chat, shown)


def message_ids(page: Node) -> list[str]:
    return [article.attributes["id"].removeprefix("message-") for article in page.matching("article")]


def follows(page: Node) -> str:
    """What the next message follows, as the composer says."""
    (field,) = [each for each in page.matching("input") if each.attributes.get("form") == "composer"]
    assert field.attributes["name"] == "parent_id"
    return field.attributes["value"]


# The page and the list of results


async def test_messages_and_titles_are_found_and_grouped_by_chat(visitor: Visitor) -> None:
    word, chat = rare_word(), await visitor.begin()
    answer = await finished_answer(visitor, chat, {"text": f"The {word} is blue."})
    question = (await visitor.messages(chat))[1]["id"]
    await visitor.http.post(f"{chat}/title", data={"title": "Colours"})
    named = await visitor.begin(new="1")
    await visitor.http.post(f"{named}/title", data={"title": f"About {word}"})

    page = await search(visitor, word)

    hits = [f"{chat}?message={each}#message-{each}" for each in (question, answer["id"])]
    assert sorted(links(page)) == sorted([chat, *hits, named])
    assert links(page).index(chat) + 1 in {links(page).index(hit) for hit in hits}
    assert [each.text for each in page.matching("mark")] == [word] * 3
    assert page.select("search").select("form").attributes["action"] == "/search"
    assert "3 results" in page.select("main").text


async def test_a_result_opens_the_chat_at_the_message(visitor: Visitor) -> None:
    chat, hidden, shown = await branches(visitor)

    (link,) = [each for each in links(await search(visitor, "Because")) if hidden["id"] in each]

    page = await visitor.page(link)
    assert link.endswith(f"#message-{hidden['id']}")
    assert message_ids(page)[-1] == hidden["id"]
    assert message_ids(await visitor.page(chat))[-1] == shown["id"], "looking changes nothing"


async def test_htmx_gets_the_results_alone(visitor: Visitor) -> None:
    word, chat = rare_word(), await visitor.begin()
    await finished_answer(visitor, chat, {"text": word})

    answer = await visitor.http.get("/search", params={"q": word[:5], "typing": "1"}, headers=HTMX)

    (results,) = [each for each in parse(answer.text).children if isinstance(each, Node)]
    assert (results.attributes["id"], results.attributes["data-said"]) == ("results", "2 results")
    options = [each for each in results.all() if each.attributes.get("role") == "option"]
    assert sorted(each.attributes["href"] for each in options) == sorted(links(await search(visitor, word)))
    assert "no-store" in answer.headers["cache-control"]
    assert "HX-Request" in answer.headers["vary"]


async def test_a_whole_word_is_searched_unless_the_user_is_typing(visitor: Visitor) -> None:
    word, chat = rare_word(), await visitor.begin()
    await finished_answer(visitor, chat, word)

    assert links(await search(visitor, word[:8])) == []
    assert links(await search(visitor, word[:8], typing="1")) != []
    assert links(await search(visitor, word)) != []


@pytest.mark.parametrize("text", ["", "   ", "\u200b"])
async def test_an_empty_query_shows_the_form_alone(visitor: Visitor, text: str) -> None:
    await visitor.begin()

    page = await search(visitor, text)

    assert links(page) == []
    assert "Nothing found" not in page.text
    assert [field.attributes["name"] for field in page.select("search").matching("input")] == ["q"]


@pytest.mark.parametrize(
    "text", ["zzz", "!!!", "-zzz", '"', '"zzz', "' OR 1=1 --", "%", "\\", "a\x00b", "z" * 10_000, "漢" * 10_000]
)
async def test_any_query_is_answered(visitor: Visitor, text: str) -> None:
    await finished_answer(visitor, await visitor.begin())

    page, options = await search(visitor, text), await listed(visitor, text)

    assert "Nothing found" in page.select("main").text
    assert "Nothing found" in options.select("#results").text
    assert page.select("search").select("input").attributes["value"] == text.replace("\0", "\ufffd")


async def test_bytes_that_are_no_text_are_answered(visitor: Visitor) -> None:
    await visitor.begin()

    answers = [await visitor.http.get(f"/search?{query}") for query in ("q=%ff%fe", "q=%ed%a0%80", "q=a&q=b", "Q=a")]

    assert {answer.status_code for answer in answers} == {200}


async def test_the_form_leads_back_to_the_chat(visitor: Visitor) -> None:
    chat = await visitor.begin()
    form = (await visitor.page(chat)).select("#chats search form")
    fields = {each.attributes["name"]: each.attributes.get("value", "x") for each in form.matching("input")}

    page = parse((await visitor.http.get(form.attributes["action"], params=fields)).text)
    forged = parse((await visitor.http.get("/search?chat=//evil.example")).text)

    assert page.select("main").matching("a")[0].attributes["href"] == chat
    assert page.select("search").matching("input")[0].attributes["value"] == chat.removeprefix("/chats/")
    assert forged.select("main").matching("a")[0].attributes["href"] == "/"


# Markup


@pytest.mark.parametrize("is_listbox", [False, True])
def test_markup_in_a_snippet_is_text(is_listbox: bool) -> None:
    results = [found(snippet(HOSTILE, HOSTILE), snippet(HOSTILE, HOSTILE, "end")), found([], snippet("", HOSTILE))]

    html = Templates().html("search/results.html", results=results, is_listbox=is_listbox, summary=HOSTILE)

    page = parse(html)
    assert tags(page) <= ALLOWED
    assert [each.text for each in page.matching("mark")] == [HOSTILE] * 3
    assert [each.text for each in page.matching("b")] == [HOSTILE * 2, "New chat"]
    assert f"{HOSTILE * 2}end" in page.text
    names = {name for each in page.all() for name in each.attributes}
    assert names <= {"id", "href", "dir", "role", "tabindex", "datetime", "data-said"} | {
        "aria-selected",
        "aria-label",
    }


async def test_markup_in_messages_titles_and_queries_is_text(visitor: Visitor) -> None:
    word, chat = rare_word(), await visitor.begin()
    await finished_answer(visitor, chat, f"{word} {HOSTILE}")
    await visitor.http.post(f"{chat}/title", data={"title": f"{word} {HOSTILE}"})

    pages = [await search(visitor, f"{word} {HOSTILE}"), await search(visitor, word), await listed(visitor, word)]

    assert pages[0].select("search").select("input").attributes["value"] == f"{word} {HOSTILE}"
    assert f"{word} {HOSTILE}"[:100] in pages[0].select("title").text
    for page in pages:
        assert tags(page.select("#results")) <= ALLOWED
        assert not page.matching("img")
        assert not page.matching("script")
    for page in pages[1:]:
        assert "<script>alert(1)</script>" in page.select("#results").text
        assert word in [each.text for each in page.matching("mark")]


# Links to messages


async def test_every_message_has_a_link_that_shows_its_branch(visitor: Visitor) -> None:
    chat, hidden, shown = await branches(visitor)
    await finished_answer(visitor, chat, "What followed")

    page = await visitor.page(chat)

    ids = message_ids(page)[1:]  # without the opening message
    found = [
        re.fullmatch(rf"{chat}\?message=(.*)#message-\1", link.attributes["href"])
        for link in page.select("#messages").matching("a")
        if link.matching("time")
    ]
    assert [each[1] for each in found if each] == ids
    assert user_messages(await visitor.page(f"{chat}?message={hidden['id']}"))[1:] == []
    assert user_messages(await visitor.page(f"{chat}?message={shown['id']}"))[1:] == ["What followed"]


async def test_a_linked_message_is_shown_however_long_ago_it_was_written(visitor: Visitor) -> None:
    chat = await visitor.begin()
    for text in ("one", "two", "three"):
        await finished_answer(visitor, chat, text)
    asked = (await visitor.messages(chat))[3]["id"]

    page = await visitor.page(f"{chat}?last=2&message={asked}")

    assert user_messages(page) == ["two", "three"]
    (earlier,) = page.select(".earlier").matching("a")
    assert f"message={asked}" in earlier.attributes["href"]
    assert "named" in page.select("#messages").attributes["class"]


@pytest.mark.parametrize("named", [UNKNOWN, "x", "", "%ff", "' OR 1=1"])
async def test_an_unknown_message_leads_to_the_chat(visitor: Visitor, named: str) -> None:
    chat, _, shown = await branches(visitor)

    page = await visitor.page(f"{chat}?message={named}")

    assert message_ids(page)[-1] == shown["id"]
    assert "class" not in page.select("#messages").attributes


async def test_a_deleted_message_leads_to_the_chat(visitor: Visitor) -> None:
    chat, hidden, shown = await branches(visitor)

    where = await visitor.http.post(
        f"{chat}/messages/{hidden['id']}/delete", headers={"Referer": f"http://x{chat}?message={hidden['id']}"}
    )

    assert where.headers["location"] == f"{chat}?message={hidden['id']}"
    assert message_ids(await visitor.page(where.headers["location"]))[-1] == shown["id"]


async def test_what_is_written_on_a_linked_branch_continues_it(visitor: Visitor) -> None:
    chat, hidden, shown = await branches(visitor)
    page = await visitor.page(f"{chat}?message={hidden['id']}")

    sent = await visitor.post(chat, "And then?", parent_id=follows(page))
    await visitor.ended(chat, sent.headers["location"].partition("#message-")[2])

    assert follows(page) == hidden["id"]
    assert follows(await visitor.page(f"{chat}?message={shown['id']}")) == shown["id"], "no longer the stored branch"
    assert [each["id"] for each in await visitor.messages(chat)][2] == hidden["id"]
    assert user_messages(await visitor.page(chat))[1:] == ["And then?"]
    assert follows(await visitor.page(chat)) == ""


async def test_htmx_loads_the_page_again_after_a_message_on_a_linked_branch(visitor: Visitor) -> None:
    chat, hidden, _ = await branches(visitor)
    address = f"{visitor.web.url}{chat}?message={hidden['id']}#message-{hidden['id']}"

    sent = await visitor.post(chat, "And then?", HTMX | {"HX-Current-URL": address}, parent_id=hidden["id"])

    assert sent.status_code == 204
    page = await visitor.page(sent.headers["hx-redirect"])
    assert user_messages(page)[1:] == ["And then?"]
    assert sent.headers["hx-redirect"] == f"{chat}?message={message_ids(page)[-1]}"


async def test_a_message_takes_the_place_of_a_question_without_answer_on_a_linked_branch(visitor: Visitor) -> None:
    chat, hidden, shown = await branches(visitor)
    await act(visitor, chat, hidden["id"], "show")
    unanswered = await finished_answer(visitor, chat, "No answer")
    question = (await visitor.messages(chat))[-2]["id"]
    await act(visitor, chat, unanswered["id"], "delete")
    await act(visitor, chat, shown["id"], "show")

    page = await visitor.page(f"{chat}?message={question}")
    await finished_answer(visitor, chat, "Another question", parent_id=follows(page))

    assert follows(page) == hidden["id"]
    assert user_messages(await visitor.page(chat))[1:] == ["Another question"]
    assert "2/ of 2" in (await visitor.page(chat)).select("#messages").text


async def test_an_action_on_a_linked_branch_returns_to_it(visitor: Visitor) -> None:
    chat = await visitor.begin()
    cut = await finished_answer(visitor, chat, {"text": "one two", "finish_reason": "length"})
    shown = (await act(visitor, chat, cut["id"], "regenerate")).partition("#message-")[2]
    await visitor.ended(chat, shown)
    there = {"Referer": f"{visitor.web.url}{chat}?last=60&message={cut['id']}#message-{cut['id']}"}

    continued = await visitor.http.post(f"{chat}/messages/{cut['id']}/continue", headers=there)
    other = await visitor.http.post(f"{chat}/messages/{shown}/show", headers=there)

    assert continued.headers["location"] == f"{chat}?last=60&message={cut['id']}#message-{cut['id']}"
    assert message_ids(await visitor.page(continued.headers["location"]))[-1] == cut["id"]
    assert other.headers["location"] == f"{chat}?last=60&message={shown}#message-{shown}"
    await visitor.ended(chat, shown)


async def test_a_part_of_the_page_for_htmx_is_that_of_its_address(visitor: Visitor) -> None:
    """The page requests its messages after a change elsewhere, and a form for editing."""
    chat, hidden, shown = await branches(visitor)
    address = f"{visitor.web.url}{chat}?message={hidden['id']}"

    async def last_message(path: str, address: str) -> str:
        answer = await visitor.http.get(path, headers=HTMX | {"HX-Current-URL": address})
        assert answer.status_code == 200, answer.text
        (last,) = parse(answer.text).select("#messages").matching("article")[-1:]
        return last.attributes["id"].removeprefix("message-")

    question = (await visitor.messages(chat))[1]["id"]
    assert await last_message(f"{chat}?last=60", address) == hidden["id"]
    assert await last_message(f"{chat}?edit={question}", address) == hidden["id"]
    assert await last_message(f"{chat}?last=60&message={shown['id']}", address) == shown["id"]
    for odd in ("", "http://[", f"{chat}?message=x&last=0", f"{chat}#?message={hidden['id']}"):
        assert await last_message(chat, odd) == shown["id"]


async def test_a_message_of_a_hidden_branch_can_be_edited(visitor: Visitor) -> None:
    chat, hidden, _ = await branches(visitor)

    page = await visitor.page(f"{chat}?edit={hidden['id']}")

    assert page.select("#edited").text.strip() == hidden["content"]
    (cancel,) = [link for link in page.select(".edit").matching("a") if link.text == "Cancel"]
    assert message_ids(await visitor.page(cancel.attributes["href"]))[-1] == hidden["id"]
