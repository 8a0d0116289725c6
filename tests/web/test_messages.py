"""Messages are stored once and answered."""

import asyncio
from uuid import uuid4

from tests.web.dom import parse
from tests.web.visitor import HTMX, Model, Visitor, unique


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


async def test_a_message_that_was_sent_twice_by_htmx_loads_the_page_again(visitor: Visitor) -> None:
    chat, client_id = await visitor.begin(), str(uuid4())

    first, again = [await visitor.post(chat, "Why?", HTMX, message_id=client_id) for _ in range(2)]

    assert (first.status_code, again.status_code) == (201, 204)
    assert again.headers["hx-redirect"] == chat
    assert len(await visitor.messages(chat)) == 3


async def test_the_same_id_with_different_content_is_another_message(visitor: Visitor) -> None:
    chat, client_id = await visitor.begin(), str(uuid4())

    for text in ("Why?", "Why not?"):
        await visitor.ended(chat, await visitor.say(chat, text, message_id=client_id))

    assert [message["content"] for message in await visitor.messages(chat) if message["role"] == "user"] == [
        "Why?",
        "Why not?",
    ]


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
