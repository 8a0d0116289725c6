"""All viewers of an answer see the same on every process; an answer needs no viewer."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable

import pytest

from tests.stack import Service, Stack
from tests.web.answer_scripts import assert_like_reload, script, start_answer
from tests.web.dom import Node
from tests.web.visitor import EVENTS, HTML, TEXT, Event, Model, Visitor, unique


async def test_many_viewers_see_the_same_answer_from_one_model_request(
    visitors: Callable[..., Visitor], visitor: Visitor, model: Model
) -> None:
    content = script("prose") | {"text": unique("one two three four five six seven. ") + "\n\nmore **and** more"}
    chat, message, page = await start_answer(visitor, content)
    pages = [copy.deepcopy(page) for _ in range(5)]

    async def watch(own: Node) -> Event:
        async with visitor.following(own, message) as watched:
            return await watched.shown(own)

    ends, text = await asyncio.gather(asyncio.gather(*map(watch, pages)), visitor.plain(chat, message))

    assert [end.event for end in ends] == ["done"] * 5
    assert len({each.outer for each in pages}) == 1
    assert text == content["text"]
    await assert_like_reload(visitor, chat, message, pages[0])
    assert len(await model.requests(content)) == 1


@pytest.mark.parametrize("accept", [EVENTS, HTML, TEXT])
async def test_a_leaving_viewer_does_not_stop_the_answer(visitor: Visitor, model: Model, accept: str) -> None:
    content = {"text": unique("one two three four five six"), "delay_ms": 30, "first_delay_ms": 50}
    chat, message, _ = await start_answer(visitor, content)

    for _ in range(3):
        async with visitor.watching(chat, message, accept) as watched:
            await anext(watched.response.aiter_bytes())

    ended = await visitor.ended(chat, message)
    assert (ended["status"], ended["content"]) == ("complete", content["text"])
    assert len(await model.requests(content)) == 1


async def test_stopping_is_seen_at_once(visitor: Visitor) -> None:
    chat, message, page = await start_answer(visitor, {"text": "one two three", "hang_after": 2})

    async with visitor.following(page, message) as watched:
        async for _ in watched.steps(page):
            if "two" in page.select(f"#message-{message} .content").text:
                break
        await visitor.stop(chat, message)
        last = await asyncio.wait_for(watched.shown(page), 3)

    assert last == Event("stopped", "done")
    assert page.select(f"#message-{message}-footer .outcome").text == "Stopped."
    await assert_like_reload(visitor, chat, message, page)


@pytest.fixture(scope="module")
async def second(stack: Stack, default_web: Service) -> AsyncIterator[Service]:
    """Another web process with frequent pings."""
    web = await stack.web(PING_SECONDS="1")
    yield web
    await stack.leave(web)


async def test_silence_is_filled_with_pings(second: Service, visitors: Callable[..., Visitor]) -> None:
    visitor = visitors(second)
    _, message, page = await start_answer(visitor, {"text": "one two", "hang_after": 1})

    pings = 0
    async with visitor.following(page, message) as watched:
        async for event in watched.events():
            pings += event == Event("", "ping")
            if pings == 3:
                break

    assert pings == 3


async def test_another_process_shows_the_same_and_can_stop_it(
    second: Service, visitors: Callable[..., Visitor], visitor: Visitor
) -> None:
    elsewhere = visitors(second)
    chat, message, page = await start_answer(
        visitor, {"text": "One.\n\nTwo three four", "delay_ms": 20, "hang_after": 6}
    )
    elsewhere.http.cookies.update(visitor.http.cookies)

    async with elsewhere.following(page, message) as watched:
        async for _ in watched.steps(page):
            if "three" in page.select(f"#message-{message} .content").text:
                break
        await elsewhere.stop(chat, message)
        last = await asyncio.wait_for(watched.shown(page), 3)

    assert last == Event("stopped", "done")
    await assert_like_reload(elsewhere, chat, message, page)
    await assert_like_reload(visitor, chat, message, page)
