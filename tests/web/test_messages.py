"""Messages are stored once and answered, or refused with their text still in the form."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.stack import Service, Stack, row_counts
from tests.web.dom import Node, parse
from tests.web.visitor import HTMX, Model, Visitor, unique

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def draft(page: Node) -> str:
    """The text in the form; browsers drop a leading line feed."""
    return page.select("#content").text.removeprefix("\n").removeprefix("\r")


async def test_a_message_is_answered_and_the_page_shows_both(visitor: Visitor, model: Model) -> None:
    chat, text = await visitor.begin(), unique("What is this?")

    answer = await visitor.ended(chat, await visitor.say(chat, text))

    page = await visitor.page(chat)
    assert answer["status"] == "complete"
    assert [article.attributes["class"] for article in page.matching("article")][1:] == [
        "message user",
        "message assistant",
    ]
    assert page.matching("article")[1].select(".content").text == text
    assert page.select(f"#message-{answer['id']} h2").tag == "h2"
    (request,) = await model.requests(text)
    assert request["stream"] is True
    assert "max_tokens" not in request, "the model may use what its context leaves"
    assert [message["role"] for message in request["messages"]] == ["system", "assistant", "user"]


async def test_the_next_question_is_sent_with_the_whole_history(visitor: Visitor, model: Model) -> None:
    chat, second = await visitor.begin(), unique("And that?")
    first = await visitor.ended(chat, await visitor.say(chat, {"text": "Because."}))

    await visitor.ended(chat, await visitor.say(chat, second))

    (request,) = await model.requests(second)
    assert [message["role"] for message in request["messages"]] == ["system", "assistant", "user", "assistant", "user"]
    assert request["messages"][3]["content"] == first["content"] == "Because."


async def test_htmx_requests_receive_the_fragment_of_the_turn(visitor: Visitor) -> None:
    chat = await visitor.begin()
    page = await visitor.page(chat)
    before = page.select("#message-id").attributes["value"]

    sent = await visitor.post(chat, "Why <i>so</i>?", HTMX, message_id=before)

    fragment = parse(sent.text)
    assert sent.status_code == 201
    question, answer = fragment.matching("article")
    assert question.select(".content").text == "Why <i>so</i>?"
    assert (
        answer.attributes["hx-sse:connect"]
        == f"{chat}/messages/{answer.attributes['id'].removeprefix('message-')}/stream?after=0.0"
    )
    assert answer.attributes["hx-sse:close"] == "done"
    page.swap("".join(node.outer for node in fragment.matching("hx-partial")))
    assert page.select("#message-id").attributes["value"] not in ("", before)
    assert page.select("#notice").text == ""


async def test_the_fragment_equals_the_page_except_for_the_noscript_parts(visitor: Visitor) -> None:
    chat = await visitor.begin()

    sent = parse((await visitor.post(chat, {"text": "x", "first_delay_ms": 60_000}, HTMX)).text)

    shown = (await visitor.page(chat)).select("#messages").matching("article")[1:]
    frame = shown[1].select("noscript")
    assert frame.select("iframe").attributes["src"] == shown[1].attributes["hx-sse:connect"].partition("?")[0]
    frame.replace_with([])
    assert ["".join(article.outer.split()) for article in sent.matching("article")] == [
        "".join(article.outer.split()) for article in shown
    ]


async def test_a_message_sent_ten_times_at_once_is_stored_once(visitor: Visitor, model: Model) -> None:
    chat, text, client_id = await visitor.begin(), unique("Twice?"), str(uuid4())

    answers = await asyncio.gather(*(visitor.post(chat, text, message_id=client_id) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    await visitor.ended(chat, answers[0].headers["location"].partition("#message-")[2])
    assert len(await visitor.messages(chat)) == 3
    assert len(await model.requests(text)) == 1


async def test_a_message_that_was_sent_twice_by_htmx_refreshes_the_page(visitor: Visitor) -> None:
    chat, client_id = await visitor.begin(), str(uuid4())

    first, again = [await visitor.post(chat, "Why?", HTMX, message_id=client_id) for _ in range(2)]

    assert (first.status_code, again.status_code) == (201, 204)
    assert again.headers["hx-refresh"] == "true"
    assert len(await visitor.messages(chat)) == 3


async def test_the_same_id_with_different_content_is_another_message(visitor: Visitor) -> None:
    chat, client_id = await visitor.begin(), str(uuid4())

    for text in ("Why?", "Why not?"):
        await visitor.ended(chat, await visitor.say(chat, text, message_id=client_id))

    assert [message["content"] for message in await visitor.messages(chat) if message["role"] == "user"] == [
        "Why?",
        "Why not?",
    ]


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        ("", 422, "write a message first"),
        (" \n\t ", 422, "write a message first"),
        ("\u200b\u200d\ufeff", 422, "write a message first"),
        ("x" * 32_001, 413, "32,001 characters; the maximum is 32,000"),
        ("東" * 32_001, 413, "32,001 characters"),
    ],
    ids=["nothing", "spaces", "invisible", "too long", "too long in Chinese"],
)
async def test_a_message_that_is_refused_stays_in_the_form(
    visitor: Visitor, owner: Any, content: str, status: int, sentence: str
) -> None:
    chat = await visitor.begin()
    before = await row_counts(owner)

    refused, notice = await visitor.post(chat, content), await visitor.post(chat, content, HTMX)

    page = parse(refused.text)
    assert (refused.status_code, notice.status_code) == (status, status)
    assert sentence in page.select("#notice").text
    assert draft(page) == content
    assert not page.matching("article"), "the chat is not shown again"
    assert chat in [link.attributes["href"] for link in page.matching("a")]
    fragment = parse(notice.text).select("#notice")
    assert fragment.text == page.select("#notice").text
    assert fragment.attributes["role"] == "alert"
    assert parse(notice.text).matching("html") == []
    assert await row_counts(owner) == before


@pytest.mark.parametrize("character", ["x", "東", "🙂", "\r\n"])
async def test_the_longest_message_is_counted_in_characters(visitor: Visitor, character: str) -> None:
    chat = await visitor.begin()

    message = await visitor.say(chat, "y" + character * 31_999)

    assert (await visitor.messages(chat))[-2]["content"] == "y" + character.replace("\r\n", "\n") * 31_999
    await visitor.stop(chat, message)


async def test_an_oversized_body_is_refused_with_a_message(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    before = await row_counts(owner)

    async def endless() -> Any:
        for _ in range(100):
            yield b"content=" + b"x" * 10_000 + b"&"

    answers = [
        await visitor.post(chat, "x" * 400_001),
        await visitor.http.post(f"{chat}/messages", content=endless(), headers=FORM),
    ]
    notice = await visitor.post(chat, "x" * 400_001, HTMX)

    assert [answer.status_code for answer in [*answers, notice]] == [413] * 3
    assert "too long" in parse(answers[0].text).select("#notice").text
    assert notice.text.startswith('<p id="notice"')
    assert await row_counts(owner) == before


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "application/json", "text/plain", "multipart/form-data", "x" * 5000]
)
async def test_another_format_is_refused_and_nothing_is_stored(visitor: Visitor, owner: Any, kind: str) -> None:
    chat = await visitor.begin()
    before = await row_counts(owner)

    body = b'--x\r\nContent-Disposition: form-data; name="content"; filename="../../x"\r\n\r\nHi\r\n--x--\r\n'
    refused = await visitor.http.post(f"{chat}/messages", content=body, headers={"Content-Type": kind})

    assert refused.status_code == 415
    assert "format" in parse(refused.text).select("#notice").text
    assert await row_counts(owner) == before


async def test_too_many_fields_are_refused(visitor: Visitor) -> None:
    chat = await visitor.begin()

    refused = await visitor.http.post(f"{chat}/messages", content=b"a=1&" * 21 + b"content=Hi", headers=FORM)

    assert refused.status_code == 400
    assert len(await visitor.messages(chat)) == 1


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        (b"content=%FF%FEx", "\ufffd\ufffdx"),
        (b"content=\xff\xfex", "\ufffd\ufffdx"),
        (b"content=%C0%AF.", "\ufffd\ufffd."),
        (b"content=%ED%A0%80.", "\ufffd\ufffd\ufffd."),
        (b"content=a%00b", "a\ufffdb"),
        (b"content=a%0D%0Ab%0Dc", "a\nb\rc"),
        (b"content=%E2%80%A8%F0%9F%99%82+%2B", "\u2028🙂 +"),
        (b"content=first&content=second", "first"),
        (b"content=%3Cb%3E%26amp%3B%7B%7B7*7%7D%7D", "<b>&amp;{{7*7}}"),
        (b"content=%", "%"),
    ],
)
async def test_whatever_bytes_come_text_is_stored(visitor: Visitor, body: bytes, stored: str) -> None:
    chat = await visitor.begin()

    sent = await visitor.http.post(f"{chat}/messages", content=body, headers=FORM)

    assert sent.status_code == 303
    assert (await visitor.messages(chat))[1]["content"] == stored
    assert (await visitor.page(chat)).matching("article")[1].select(".content").text == stored


@pytest.mark.parametrize("field", ["message_id", "parent_id"])
async def test_a_damaged_form_shows_an_error_and_keeps_the_text(visitor: Visitor, field: str) -> None:
    chat = await visitor.begin()

    refused = await visitor.post(chat, "Keep this", **{field: "not an id"})

    assert refused.status_code == 422
    assert draft(parse(refused.text)) == "Keep this"
    assert "not an id" not in refused.text, "the form can be sent again"
    assert "reload" in parse(refused.text).select("#notice").text


async def test_a_message_follows_the_named_answer_or_is_refused(visitor: Visitor, other: Visitor) -> None:
    chat, elsewhere = await visitor.begin(), await other.begin()
    opening, theirs = (await visitor.messages(chat))[0]["id"], (await other.messages(elsewhere))[0]["id"]
    await visitor.ended(chat, await visitor.say(chat, "Why?"))

    foreign = [await visitor.post(chat, "Hi", parent_id=parent) for parent in (theirs, str(uuid4()))]
    edited = await visitor.say(chat, "How?", parent_id=opening)

    assert [answer.status_code for answer in foreign] == [404, 404]
    await visitor.ended(chat, edited)
    assert [message["content"] for message in await visitor.messages(chat) if message["role"] == "user"] == ["How?"]


async def test_a_message_sent_while_an_answer_is_written_waits_and_is_answered_after_it(
    visitor: Visitor, model: Model
) -> None:
    chat, later = await visitor.begin(), unique("And then?")
    first = await visitor.say(chat, {"text": "one two three four five", "delay_ms": 60})
    await visitor.written(chat, first)

    second = await visitor.say(chat, later)
    waiting = await visitor.message(chat, second)

    assert waiting["status"] == "queued"
    assert (await visitor.message(chat, first))["status"] == "streaming"
    assert (await visitor.ended(chat, second))["status"] == "complete"
    assert (await visitor.message(chat, first))["content"] == "one two three four five"
    (request,) = await model.requests(later)
    assert [message["content"] for message in request["messages"]][-2:] == ["one two three four five", later]


async def test_without_the_database_a_message_is_kept_and_can_be_sent_again(
    stack: Stack, web: Service, visitor: Visitor
) -> None:
    chat = await visitor.begin()
    await stack.dbapi.kill()
    try:
        refused, notice = await visitor.post(chat, "Keep\nthis <b>"), await visitor.post(chat, "Keep this", HTMX)
        home, ready, alive = [await visitor.http.get(path) for path in ("/", "/readyz", "/healthz")]
    finally:
        await stack.dbapi.start()

    form = parse(refused.text)
    assert [answer.status_code for answer in (refused, notice, home, ready, alive)] == [503, 503, 503, 503, 200]
    assert refused.headers["retry-after"] == notice.headers["retry-after"] == home.headers["retry-after"]
    assert draft(form) == "Keep\nthis <b>"
    assert "not available at the moment" in form.select("#notice").text
    assert notice.text.startswith('<p id="notice"')
    sent = await visitor.http.post(
        form.select("form").attributes["action"],
        data={"content": draft(form), "message_id": form.select("#message-id").attributes["value"]},
    )
    assert sent.status_code == 303
    assert (await visitor.messages(chat))[1]["content"] == "Keep\nthis <b>"


async def test_without_the_database_a_user_name_is_kept(stack: Stack, web: Service, visitor: Visitor) -> None:
    await stack.dbapi.kill()
    try:
        refused = await visitor.http.post("/chats", data={"username": "Ada"})
    finally:
        await stack.dbapi.start()

    assert refused.status_code == 503
    assert parse(refused.text).select("#username").attributes["value"] == "Ada"


async def test_without_the_database_an_event_stream_never_answers_html(
    stack: Stack, web: Service, visitor: Visitor
) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat)
    await visitor.ended(chat, message)
    await stack.dbapi.kill()
    try:
        refused = await visitor.http.get(
            f"{chat}/messages/{message}/stream", headers={"Accept": "text/event-stream", "HX-Request": "true"}
        )
    finally:
        await stack.dbapi.start()

    assert refused.status_code == 503
    assert not refused.headers["content-type"].startswith("text/html")
