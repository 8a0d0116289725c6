"""A reconnecting viewer resumes at its cursor or restarts, and ends like a reload."""

import asyncio
import copy
import re

import pytest

from tests.stack import PATIENCE_SECONDS, until
from tests.web.answer_scripts import assert_like_reload, script, start_answer
from tests.web.dom import Node
from tests.web.visitor import Model, Visitor, unique


@pytest.mark.parametrize("cursor", [None, "0.0", "1.1", "999.9", "-1.1", "abc", "1" * 5000, "1.1.1", "9" * 30 + ".1"])
async def test_the_stream_of_a_finished_answer_sends_all_of_it_at_once(
    visitor: Visitor, model: Model, cursor: str | None
) -> None:
    content = {"text": unique("Because.")}
    chat, message, page = await start_answer(visitor, content)
    await visitor.ended(chat, message)

    async with visitor.watching(
        chat, message, after="0.0", **({} if cursor is None else {"Last-Event-ID": cursor})
    ) as watched:
        events = [event async for event in watched.steps(page)]

    assert [event.event for event in events] == ["message", "done"]
    await assert_like_reload(visitor, chat, message, page)
    assert len(await model.requests(content)) == 1


FORGED = [
    "",
    "1.2",
    "2.0",
    "9999.1",
    "-1.1",
    "abc",
    "1",
    "1.1.1",
    "1.1 x",
    "1e3.1",
    "0.1",
    "999999999.999999999",
    "9" * 30 + ".1",
    "1" * 5000,
    "0x1.1",
    "é",
    "NaN.1",
]


async def test_a_known_cursor_resumes_the_stream_and_any_other_restarts_it(visitor: Visitor) -> None:
    text = "A *line*.\n\nAnother `one`.\n\n```py\nx = 1\ny = 2\nz = 3\n```\n\n- a\n- b\n\nLast words"
    content = {
        "tokens": [*re.findall(r"\S+\s*", text), " never said"],
        "delay_ms": 70,
        "first_delay_ms": 100,
        "hang_after": len(text.split()),
    }
    chat, message, page = await start_answer(visitor, content)
    places = {"0.0": copy.deepcopy(page)}
    async with visitor.following(page, message) as watched:
        async for event in watched.steps(page):
            if event.id:
                places[event.id] = copy.deepcopy(page)
            if "Last words" in page.select(f"#message-{message} .content").text:
                break
    assert len(places) > 5
    middle, restarted, waiting = places[list(places)[len(places) // 2]], set(), 0

    async def come_back(start: Node, cursor: str) -> Node:
        nonlocal waiting
        own, first = copy.deepcopy(start), True
        async with visitor.watching(chat, message, after="7.7", **{"Last-Event-ID": cursor.encode()}) as watched:  # type: ignore[arg-type]
            async for event in watched.steps(own):
                if event.event == "message" and first:
                    first = False
                    waiting += 1
                    if f'hx-target="#message-{message} .content" hx-swap="innerHTML"' in event.data:
                        restarted.add(cursor)
        return own

    visits = [(start, cursor) for cursor, start in places.items()] + [(middle, cursor) for cursor in FORGED]
    coming = asyncio.gather(*(come_back(start, cursor) for start, cursor in visits))
    await until(lambda: waiting == len(visits))
    await visitor.stop(chat, message)
    pages = await asyncio.wait_for(coming, PATIENCE_SECONDS)

    assert restarted == set(FORGED)
    assert (await visitor.message(chat, message))["content"] == text
    for (_, cursor), each in zip(visits, pages, strict=True):
        assert cursor is not None
        await assert_like_reload(visitor, chat, message, each)


async def test_the_last_event_id_header_overrides_the_url(visitor: Visitor) -> None:
    chat, message, _ = await start_answer(visitor, {"text": "one two three", "hang_after": 2})
    await visitor.written(chat, message, len("one two"))

    async with visitor.watching(chat, message, after="0.0", **{"Last-Event-ID": "5.5"}) as watched:
        first = await anext(event async for event in watched.events() if event.event == "message")

    assert f'hx-target="#message-{message} .content" hx-swap="innerHTML"' in first.data


async def test_a_page_loaded_during_an_answer_continues_from_there(visitor: Visitor) -> None:
    chat, message, _ = await start_answer(
        visitor, {"text": "One `two` three.\n\nFour five six seven eight.\n\nNine ten", "delay_ms": 40}
    )
    await visitor.written(chat, message, 12)
    page = await visitor.page(chat)
    assert "One" in page.select(f"#message-{message} .content").text

    async with visitor.following(page, message) as watched:
        events = [event async for event in watched.steps(page)]

    assert not any('.content" hx-swap="innerHTML"' in event.data for event in events[:-2])
    await assert_like_reload(visitor, chat, message, page)


async def test_a_reload_between_steps_shows_no_text_twice(visitor: Visitor) -> None:
    text = "One.\n\nTwo.\n\nThree.\n\nFour"
    chat, message, _ = await start_answer(
        visitor, {"tokens": [*re.findall(r"\S+\s*", text), "."], "delay_ms": 60, "hang_after": 4}
    )
    await visitor.written(chat, message, len(text))

    for _ in range(3):  # there is no other viewer, so the process reads the log from the start each time
        page = await visitor.page(chat)
        async with visitor.following(page, message) as watched:
            await anext(event async for event in watched.steps(page) if event.event == "message")
        reloaded = await visitor.page(chat)
        assert page.select(f"#message-{message} .content").text.split() == text.split()
        assert (
            page.select(f"#message-{message} .content").outer == reloaded.select(f"#message-{message} .content").outer
        )


async def test_reading_one_byte_at_a_time_changes_nothing(visitor: Visitor) -> None:
    chat, message, page = await start_answer(visitor, script("line ends"))

    async with visitor.following(page, message) as watched:
        watched._bytes = (data[at : at + 1] async for data in watched.response.aiter_bytes() for at in range(len(data)))
        await watched.shown(page)

    await assert_like_reload(visitor, chat, message, page)
