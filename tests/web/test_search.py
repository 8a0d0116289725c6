"""The page of the search and the results while typing."""

from uuid import uuid4

import pytest

from tests.web.actions import branches, finished_answer, message_ids
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
    "text", ["zzz", "!!!", "zzz -e", '"', '"zzz', "' OR 1=1 --", "%", "\\", "a\x00b", "z" * 10_000, "😀" * 4_000]
)
async def test_any_query_is_answered(visitor: Visitor, text: str) -> None:
    await finished_answer(visitor, await visitor.begin())

    page, options = await search(visitor, text), await listed(visitor, text)

    assert "Nothing found" in page.select("main").text
    assert "Nothing found" in options.select("#results").text
    assert page.select("search").select("input").attributes["value"] == text.replace("\0", "\ufffd")


async def test_odd_parameters_are_answered(visitor: Visitor) -> None:
    await visitor.begin()

    queries = ("q=%ff%fe", "q=%ed%a0%80", "q=a&q=b", "Q=a", "q=-zzz", f"q=-zzz%20{'%22' * 999}")

    answers = [await visitor.http.get(f"/search?{query}") for query in queries]

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
