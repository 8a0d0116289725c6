"""The stream of an answer in its three representations; each ends like a reload."""

import asyncio
import re
from typing import Any

import pytest

from tests.stack import Service
from tests.web.answer_scripts import ANSWERS, assert_like_reload, script, start_answer, text_of
from tests.web.dom import Node, parse
from tests.web.visitor import EVENTS, HTML, TEXT, Event, Model, Visitor, unique


@pytest.mark.parametrize("name", ANSWERS)
async def test_the_events_of_a_stream_end_like_a_reload(visitor: Visitor, name: str) -> None:
    chat, message, page = await start_answer(visitor, script(name))

    async with visitor.following(page, message) as watched:
        events = [event async for event in watched.steps(page)]

    ended = await visitor.message(chat, message)
    assert ended["status"] == "complete", ended
    assert ended["content"] == text_of(name) or text_of(name) is None
    assert events[-1] == Event("complete", "done", None)
    assert {event.event for event in events} <= {"message", "ping", "changed", "done"}
    assert all(re.fullmatch(r"[0-9]+\.[0-9]+", event.id) for event in events if event.id is not None)
    assert watched.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert watched.response.headers["x-accel-buffering"] == "no"
    await assert_like_reload(visitor, chat, message, page)


async def test_events_come_while_the_answer_is_written(visitor: Visitor) -> None:
    _, message, page = await start_answer(visitor, script("prose"))

    async with visitor.following(page, message) as watched:
        cursors = [event.id async for event in watched.steps(page) if event.id]

    assert len(cursors) > 5
    assert [int(cursor.split(".")[0]) for cursor in cursors] == sorted(
        {int(cursor.split(".")[0]) for cursor in cursors}
    )


async def test_a_running_answer_is_visible_only_to_its_session_and_chat(visitor: Visitor, other: Visitor) -> None:
    chat, message, _ = await start_answer(visitor, script("prose"))
    await other.begin(new="1")
    elsewhere = await visitor.begin(new="1")

    for asker, place in ((other, chat), (visitor, elsewhere)):
        refused = await asker.http.get(f"{place}/messages/{message}/stream", headers={"Accept": EVENTS})
        assert (refused.status_code, refused.headers["content-type"]) == (404, "text/plain; charset=utf-8")

    assert (await visitor.http.get(f"{chat}/messages/{message}/stream", headers={"Accept": TEXT})).status_code == 200


@pytest.mark.parametrize("name", ANSWERS)
async def test_plain_text_is_the_answer_and_nothing_else(visitor: Visitor, name: str) -> None:
    chat, message, _ = await start_answer(visitor, script(name))

    live = await visitor.plain(chat, message)
    finished = await visitor.plain(chat, message)

    ended = await visitor.message(chat, message)
    assert live == finished == ended["content"]
    assert live == text_of(name) or text_of(name) is None


async def test_plain_text_starts_with_the_first_character_for_late_clients(visitor: Visitor) -> None:
    chat, message, _ = await start_answer(visitor, {"text": "one two three four five six", "delay_ms": 200})
    await visitor.written(chat, message, 8)

    parts = []
    async with visitor.watching(chat, message, TEXT) as watched:
        async for part in watched.response.aiter_text():
            parts.append(part)

    assert "".join(parts) == "one two three four five six"
    assert len(parts) > 1
    assert watched.response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("accept", ["*/*", "", "application/json", "text/markdown"])
async def test_plain_text_is_the_default(visitor: Visitor, accept: str) -> None:
    chat, message, _ = await start_answer(visitor, {"text": "Because."})

    async with visitor.watching(chat, message, accept) as watched:
        text = await watched.response.aread()

    assert (text, watched.response.headers["content-type"]) == (b"Because.", "text/plain; charset=utf-8")


def seen_in_frame(html: str) -> str:
    """The content of the streamed frame that the style sheet leaves visible."""
    shown: list[Any] = []
    for child in parse(html).select(".content").children:
        if isinstance(child, Node) and child.matches(".void"):
            shown = []
        elif not (isinstance(child, Node) and child.matches(".tail")) and not (
            isinstance(child, str) and not child.strip()
        ):
            shown.append(child)
    return "\n".join(child if isinstance(child, str) else child.outer for child in shown)


@pytest.mark.parametrize("name", ANSWERS)
async def test_the_streamed_frame_ends_with_the_whole_answer(visitor: Visitor, name: str) -> None:
    chat, message, _ = await start_answer(visitor, script(name))

    async with visitor.watching(chat, message, HTML) as watched:
        live = (await watched.response.aread()).decode()
    finished = (await visitor.http.get(f"{chat}/messages/{message}/stream")).text

    content = (await visitor.page(chat)).select(f"#message-{message} .content")
    expected = [
        child if isinstance(child, str) else child.outer
        for child in content.children
        if not isinstance(child, str) or child.strip()
    ]
    assert seen_in_frame(live) == seen_in_frame(finished) == "\n".join(expected)
    assert live.rstrip().endswith("</html>")


async def test_the_streamed_frame_grows_while_the_answer_is_written(visitor: Visitor) -> None:
    chat, message, _ = await start_answer(visitor, {"text": "one two three four five six seven eight", "delay_ms": 60})

    parts = []
    async with visitor.watching(chat, message, HTML) as watched:
        async for part in watched.response.aiter_text():
            parts.append(part)

    assert sum("one" in part for part in parts) > 2
    assert "eight" not in "".join(parts[:2])


@pytest.mark.parametrize("accept", [EVENTS, HTML, TEXT])
async def test_head_is_answered_at_once_and_consumes_nothing(
    visitor: Visitor, web: Service, model: Model, accept: str
) -> None:
    content = {"text": unique("one two"), "hang_after": 1}
    chat, message, _ = await start_answer(visitor, content)
    await visitor.written(chat, message)

    answers = [
        await asyncio.wait_for(visitor.http.head(f"{chat}/messages/{message}/stream", headers={"Accept": accept}), 5)
        for _ in range(3)
    ]
    after = await asyncio.wait_for(visitor.message(chat, message), 5)

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 3
    assert answers[0].headers["content-type"].startswith(accept)
    assert after["status"] == "streaming"
    assert len(await model.requests(content)) == 1
