"""An answer survives crashes of its process, the database service and PostgreSQL."""

import asyncio
from collections.abc import Callable

from tests.stack import Service, Stack, client
from tests.web.answer_scripts import assert_like_reload, start_answer
from tests.web.dom import Node
from tests.web.visitor import Event, Model, Visitor, Watched, unique

LONG = "Some words, and `code`.\n\n" * 12


async def half_written(watched: Watched, page: Node, message: str) -> None:
    """Waits until the page shows a part of the answer."""
    async for _ in watched.steps(page):
        if "code" in page.select(f"#message-{message} .content").text:
            return


async def test_a_stopping_process_hands_over_its_answers_and_viewers(
    stack: Stack, web: Service, visitor: Visitor, visitors: Callable[..., Visitor], model: Model
) -> None:
    leaving = await stack.web()
    there, content = visitors(leaving), {"text": unique(LONG), "delay_ms": 15, "first_delay_ms": 50}
    chat, message, page = await start_answer(there, content)
    visitor.http.cookies.update(there.http.cookies)

    cursor = None
    async with there.following(page, message) as watched:
        ending = None
        async for event in watched.steps(page):
            cursor = event.id or cursor
            if ending is None and "code" in page.select(f"#message-{message} .content").text:
                ending = asyncio.create_task(stack.leave(leaving))
        assert event.event == "moved"
        assert b"retry: 100\n" in watched.raw
        await ending  # type: ignore[misc]
    assert leaving.process.returncode == 0

    async with visitor.watching(chat, message, **{"Last-Event-ID": str(cursor)}) as watched:
        last = await watched.shown(page)

    there.web, there.http.base_url = web, web.url  # its own process is gone
    assert last == Event("complete", "done")
    assert (await visitor.message(chat, message))["content"] == content["text"]
    await assert_like_reload(visitor, chat, message, page)
    assert len(await model.requests(content)) == 1


async def test_another_process_finishes_the_answer_of_a_killed_one(
    stack: Stack, web: Service, visitor: Visitor, visitors: Callable[..., Visitor], model: Model
) -> None:
    doomed = await stack.web(LEASE_SECONDS="1", RENEW_SECONDS="0.3")
    there, content = visitors(doomed), {"text": unique(LONG), "delay_ms": 15, "first_delay_ms": 50}
    chat, message, page = await start_answer(there, content)
    visitor.http.cookies.update(there.http.cookies)

    async with visitor.following(page, message) as watched:
        await half_written(watched, page, message)
        await doomed.kill()
        stack.services.remove(doomed)
        last = await watched.shown(page)

    there.web, there.http.base_url = web, web.url
    assert last == Event("complete", "done")
    assert (await visitor.message(chat, message))["content"] == content["text"]
    await assert_like_reload(visitor, chat, message, page)
    assert len(await model.requests(content)) == 1


async def test_an_answer_survives_a_database_service_that_is_killed(
    stack: Stack, web: Service, visitor: Visitor, model: Model
) -> None:
    content = {"text": unique(LONG), "delay_ms": 15, "first_delay_ms": 50}
    chat, message, page = await start_answer(visitor, content)

    async with visitor.following(page, message) as watched:
        await half_written(watched, page, message)
        await stack.dbapi.kill()
        await stack.dbapi.start()
        last = await watched.shown(page)

    assert last == Event("complete", "done")
    assert (await visitor.message(chat, message))["content"] == content["text"]
    await assert_like_reload(visitor, chat, message, page)
    assert len(await model.requests(content)) == 1


async def test_an_answer_survives_a_crash_of_postgresql(
    stack: Stack, web: Service, visitor: Visitor, model: Model
) -> None:
    content = {"text": unique(LONG), "delay_ms": 15, "first_delay_ms": 50}
    chat, message, page = await start_answer(visitor, content)

    async with visitor.following(page, message) as watched:
        await half_written(watched, page, message)
        await stack.cluster.crash_and_restart()
        last = await watched.shown(page)

    ended = await visitor.ended(chat, message)
    assert last == Event("complete", "done")
    assert ended["content"] == content["text"]
    await assert_like_reload(visitor, chat, message, page)
    assert len(await model.requests(content)) == 1


async def test_after_a_crash_the_next_click_works(stack: Stack, web: Service, visitor: Visitor) -> None:
    chat = await visitor.begin()
    await visitor.ended(chat, await visitor.say(chat))

    await stack.cluster.crash_and_restart()

    async with client(web.url, headers={"Cookie": f"runnel={visitor.http.cookies['runnel']}"}) as http:
        assert (await http.get(chat)).status_code == 200
