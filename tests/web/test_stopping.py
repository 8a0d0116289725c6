"""Stopping an answer that is queued, running or finished, and the slots of the model."""

import asyncio

from tests.stack import Stack, until
from tests.web.visitor import HTMX, Model, Visitor, unique


async def test_stopping_keeps_the_text_and_can_be_repeated(visitor: Visitor, model: Model) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, {"text": "one two three", "hang_after": 2})
    await visitor.written(chat, message, len("one two"))

    stops = [await visitor.stop(chat, message) for _ in range(2)]
    stopped = await visitor.ended(chat, message, seconds=5)
    late = await visitor.stop(chat, message)

    assert [answer.headers["location"] for answer in [*stops, late]] == [f"{chat}#message-{message}"] * 3
    assert (stopped["status"], stopped["content"]) == ("stopped", "one two")
    assert await visitor.message(chat, message) == stopped
    assert (await visitor.page(chat)).select(f"#message-{message}-footer .outcome").text == "Stopped."
    await until(lambda: idle(model))


async def idle(model: Model) -> bool:
    counters = await model.counters()
    return counters["active"] == counters["waiting"] == 0


async def test_stopping_before_the_first_word_keeps_an_empty_answer(visitor: Visitor, model: Model) -> None:
    chat, script = await visitor.begin(), {"text": unique(), "first_delay_ms": 60_000}
    message = await visitor.say(chat, script)
    await until(lambda: model.requests(script))

    await visitor.stop(chat, message)

    stopped = await visitor.ended(chat, message, seconds=5)
    assert (stopped["status"], stopped["content"]) == ("stopped", "")


async def test_stopping_a_finished_answer_changes_nothing(visitor: Visitor) -> None:
    chat = await visitor.begin()
    done = await visitor.ended(chat, await visitor.say(chat))

    for headers in ({}, HTMX):
        answer = await visitor.http.post(f"{chat}/messages/{done['id']}/stop", headers=headers)
        assert answer.status_code == (200 if headers else 303)

    assert await visitor.message(chat, done["id"]) == done


async def test_a_queued_answer_shows_its_position_and_can_be_stopped(
    queued_visitor: Visitor, single_slot_stack: Stack
) -> None:
    running, waiting = await queued_visitor.begin(), await queued_visitor.begin(new="1")
    writing = await queued_visitor.say(running, {"text": "one two", "hang_after": 1})
    await queued_visitor.written(running, writing)
    queued, script = await queued_visitor.begin(new="1"), {"text": unique()}
    first, second = await queued_visitor.say(waiting, script), await queued_visitor.say(queued, {"text": "next"})
    page = await queued_visitor.page(queued)

    async with queued_visitor.watching(queued, second) as watched:
        async for _ in watched.steps(page):
            if "number 2 in line" in page.select(f"#message-{second}-footer").text:
                await queued_visitor.stop(waiting, first)
            if "number 1 in line" in page.select(f"#message-{second}-footer").text:
                await queued_visitor.stop(running, writing)

    model = Model(single_slot_stack.llama)
    assert (await queued_visitor.message(waiting, first))["status"] == "stopped"
    assert (await queued_visitor.ended(queued, second))["content"] == "next"
    assert await model.requests(script) == []
    assert page.select(f"#message-{second} .content").text.strip() == "next"
    await model.http.aclose()


async def test_requests_to_the_model_never_exceed_its_slots(queued_visitor: Visitor, single_slot_stack: Stack) -> None:
    model = Model(single_slot_stack.llama)
    chats = [await queued_visitor.begin(new="1") for _ in range(4)]
    most = 0

    messages = await asyncio.gather(
        *(queued_visitor.say(chat, {"text": unique("one two three four"), "delay_ms": 10}) for chat in chats)
    )

    async def all_ended() -> bool:
        nonlocal most
        counters = await model.counters()
        most = max(most, counters["active"] + counters["waiting"])
        return all(
            [
                (await queued_visitor.message(chat, message))["status"] == "complete"
                for chat, message in zip(chats, messages, strict=True)
            ]
        )

    await until(all_ended)
    await model.http.aclose()
    assert most == 1
