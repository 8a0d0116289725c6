"""The stream of an answer: whoever watches, from wherever, sees exactly what a reload would show."""

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.stack import PATIENCE_SECONDS, House, Service, client, until
from tests.web.dom import Node, parse
from tests.web.visitor import EVENTS, HTML, TEXT, Event, Model, Visitor, unique

SLOW = {"delay_ms": 6, "first_delay_ms": 60}  # slow enough to be watched
ANSWERS: dict[str, Any] = {
    "prose": {},
    "one word": {"text": "Because."},
    "nothing": {"tokens": [""]},
    "a fence": {"text": "See:\n\n```python\ndef f(x):\n    return x < 2 & 3\n```\n\nThat is it."},
    "an open fence": {"text": "```js\nlet a = '</code></pre>';\n\n\nlet b"},
    "a late definition": {"text": "See [this][x].\n\nMore.\n\n- [x]\n\n[x]: https://e.example\n\nEnd."},
    "a list": {"text": "1. one\n2. two\n   - deep\n\n   more\n3. three\n\nafter"},
    "HTML": {
        "text": "<script>x</script>\n\n</div></article><hx-partial hx-target='#x'>x</hx-partial>\n\n<b onclick=x>b</b> &lt; &amp;amp;"
    },
    "attributes": {
        "text": '[x](https://e.example "<hx-a hx-post=/X hx-trigger=load ") and ![y](https://e.example/i.png "<head>")\n\n`</head>`'
    },
    "line ends": {"tokens": ["a\r", "\nb", "\r\r", "c\u2028d\u2029e\x85f\x0bg\x0ch", "\r\n", "\r\n", "i", "\n", "\r", "\nj"]},
    "other protocols": {
        "tokens": ["[DONE]", "\n\ndata: [DONE]\n\n", "event: done\n", "data: x\n\n", "id: 999.9\n\n", "\r\n\r\nretry: 1\n\n", ": x"]
    },
    "hard characters": {"tokens": ["\ufeff", "a\0b", "e", "\u0301", "👩", "\u200d", "👧", "\u202e", "\u2066", "\ufdd0"]},
    "halves": {"tokens": ["x", "\ud83d", "\ude42", "y\ud83d", "\ude42z", "\ud83d", "w", "\ude42", "\ud83d"]},
    "long": {"tokens": ["word " * 50] * 60, "delay_ms": 2},
}
WHOLE_TEXT = {"halves": "x🙂y🙂z\ufffdw\ufffd\ufffd", "hard characters": "\ufeffa\ufffdbe\u0301👩\u200d👧\u202e\u2066\ufdd0"}


def script(name: str) -> dict[str, Any]:
    return SLOW | ({"finish_reason": "stop"} | ANSWERS[name] if ANSWERS[name] else {"finish_reason": "stop"})


def text_of(name: str) -> str | None:
    """What the answer is, where the script says it."""
    if name in WHOLE_TEXT:
        return WHOLE_TEXT[name]
    given = ANSWERS[name]
    return given.get("text") or ("".join(given["tokens"]) if given else None)


async def begun(visitor: Visitor, content: Any) -> tuple[str, str, Node]:
    """A chat, an answer that is not written yet, and the page on which it will appear."""
    chat = await visitor.begin(new="1")
    message = await visitor.say(chat, content)
    return chat, message, await visitor.page(chat)


async def looks_reloaded(visitor: Visitor, chat: str, message: str, page: Node) -> None:
    """Where the answer is, the page is what a reload gives."""
    reloaded = await visitor.page(chat)
    for part in (f"#message-{message} .content", f"#message-{message}-footer"):
        assert page.select(part).outer == reloaded.select(part).outer


# One resource, three representations


@pytest.mark.parametrize("name", ANSWERS)
async def test_events_make_the_page_what_a_reload_shows(visitor: Visitor, name: str) -> None:
    chat, message, page = await begun(visitor, script(name))

    async with visitor.following(page, message) as watched:
        events = [event async for event in watched.steps(page)]

    ended = await visitor.message(chat, message)
    assert ended["status"] == "complete", ended
    assert ended["content"] == text_of(name) or text_of(name) is None
    assert events[-1] == Event("complete", "done", None)
    assert {event.event for event in events} <= {"message", "ping", "done"}
    assert all(re.fullmatch(r"[0-9]+\.[0-9]+", event.id) for event in events if event.id is not None)
    assert watched.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert watched.response.headers["x-accel-buffering"] == "no"
    await looks_reloaded(visitor, chat, message, page)


async def test_events_come_while_the_answer_is_written(visitor: Visitor) -> None:
    _, message, page = await begun(visitor, script("prose"))

    async with visitor.following(page, message) as watched:
        cursors = [event.id async for event in watched.steps(page) if event.id]

    assert len(cursors) > 5
    assert [int(cursor.split(".")[0]) for cursor in cursors] == sorted({int(cursor.split(".")[0]) for cursor in cursors})


async def test_an_answer_that_is_being_written_is_there_for_its_own_session_and_chat_only(visitor: Visitor, other: Visitor) -> None:
    chat, message, _ = await begun(visitor, script("prose"))
    await other.begin(new="1")
    elsewhere = await visitor.begin(new="1")

    for asker, place in ((other, chat), (visitor, elsewhere)):
        refused = await asker.http.get(f"{place}/messages/{message}/stream", headers={"Accept": EVENTS})
        assert (refused.status_code, refused.headers["content-type"]) == (404, "text/plain; charset=utf-8")

    assert (await visitor.http.get(f"{chat}/messages/{message}/stream", headers={"Accept": TEXT})).status_code == 200


@pytest.mark.parametrize("name", ANSWERS)
async def test_plain_text_is_the_answer_and_nothing_else(visitor: Visitor, name: str) -> None:
    chat, message, _ = await begun(visitor, script(name))

    live = await visitor.plain(chat, message)
    finished = await visitor.plain(chat, message)

    ended = await visitor.message(chat, message)
    assert live == finished == ended["content"]
    assert live == text_of(name) or text_of(name) is None


async def test_plain_text_comes_from_the_first_character_on_however_late(visitor: Visitor) -> None:
    chat, message, _ = await begun(visitor, {"text": "one two three four five six", "delay_ms": 200})
    await visitor.written(chat, message, 8)

    parts = []
    async with visitor.watching(chat, message, TEXT) as watched:
        async for part in watched.response.aiter_text():
            parts.append(part)

    assert "".join(parts) == "one two three four five six"
    assert len(parts) > 1
    assert watched.response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("accept", ["*/*", "", "application/json", "text/markdown"])
async def test_who_asks_for_nothing_special_gets_plain_text(visitor: Visitor, accept: str) -> None:
    chat, message, _ = await begun(visitor, {"text": "Because."})

    async with visitor.watching(chat, message, accept) as watched:
        text = await watched.response.aread()

    assert (text, watched.response.headers["content-type"]) == (b"Because.", "text/plain; charset=utf-8")


def seen_in_frame(html: str) -> str:
    """What the style sheet leaves visible of the growing page's content."""
    shown: list[Any] = []
    for child in parse(html).select(".content").children:
        if isinstance(child, Node) and child.matches(".void"):
            shown = []
        elif not (isinstance(child, Node) and child.matches(".tail")) and not (isinstance(child, str) and not child.strip()):
            shown.append(child)
    return "\n".join(child if isinstance(child, str) else child.outer for child in shown)


@pytest.mark.parametrize("name", ANSWERS)
async def test_the_growing_page_ends_as_the_answer_and_is_closed(visitor: Visitor, name: str) -> None:
    chat, message, _ = await begun(visitor, script(name))

    async with visitor.watching(chat, message, HTML) as watched:
        live = (await watched.response.aread()).decode()
    finished = (await visitor.http.get(f"{chat}/messages/{message}/stream")).text

    content = (await visitor.page(chat)).select(f"#message-{message} .content")
    expected = [
        child if isinstance(child, str) else child.outer for child in content.children if not isinstance(child, str) or child.strip()
    ]
    assert seen_in_frame(live) == seen_in_frame(finished) == "\n".join(expected)
    assert live.rstrip().endswith("</html>")


async def test_the_growing_page_grows(visitor: Visitor) -> None:
    chat, message, _ = await begun(visitor, {"text": "one two three four five six seven eight", "delay_ms": 60})

    parts = []
    async with visitor.watching(chat, message, HTML) as watched:
        async for part in watched.response.aiter_text():
            parts.append(part)

    assert sum("one" in part for part in parts) > 2
    assert "eight" not in "".join(parts[:2])


@pytest.mark.parametrize("accept", [EVENTS, HTML, TEXT])
async def test_head_is_answered_at_once_and_consumes_nothing(visitor: Visitor, web: Service, model: Model, accept: str) -> None:
    content = {"text": unique("one two"), "hang_after": 1}
    chat, message, _ = await begun(visitor, content)
    await visitor.written(chat, message)

    answers = [
        await asyncio.wait_for(visitor.http.head(f"{chat}/messages/{message}/stream", headers={"Accept": accept}), 5) for _ in range(3)
    ]
    after = await asyncio.wait_for(visitor.message(chat, message), 5)

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 3
    assert answers[0].headers["content-type"].startswith(accept)
    assert after["status"] == "streaming"
    assert len(await model.requests(content)) == 1


# Coming back


@pytest.mark.parametrize("cursor", [None, "0.0", "1.1", "999.9", "-1.1", "abc", "1" * 5000, "1.1.1", "9" * 30 + ".1"])
async def test_a_finished_stream_is_the_whole_answer_and_its_end_at_once(visitor: Visitor, model: Model, cursor: str | None) -> None:
    content = {"text": unique("Because.")}
    chat, message, page = await begun(visitor, content)
    await visitor.ended(chat, message)

    async with visitor.watching(chat, message, after="0.0", **({} if cursor is None else {"Last-Event-ID": cursor})) as watched:
        events = [event async for event in watched.steps(page)]

    assert [event.event for event in events] == ["message", "done"]
    await looks_reloaded(visitor, chat, message, page)
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


async def test_from_every_place_that_was_seen_the_page_goes_on_and_from_any_other_it_begins_anew(visitor: Visitor) -> None:
    text = "A *line*.\n\nAnother `one`.\n\n```py\nx = 1\ny = 2\nz = 3\n```\n\n- a\n- b\n\nLast words"
    content = {
        "tokens": [*re.findall(r"\S+\s*", text), " never said"],
        "delay_ms": 70,
        "first_delay_ms": 100,
        "hang_after": len(text.split()),
    }
    chat, message, page = await begun(visitor, content)
    places = {"0.0": copy.deepcopy(page)}
    async with visitor.following(page, message) as watched:
        async for event in watched.steps(page):
            if event.id:
                places[event.id] = copy.deepcopy(page)
            if "Last words" in page.select(f"#message-{message} .content").text:
                break
    assert len(places) > 5
    middle, begun_anew, waiting = places[list(places)[len(places) // 2]], set(), 0

    async def come_back(start: Node, cursor: str) -> Node:
        nonlocal waiting
        own, first = copy.deepcopy(start), True
        async with visitor.watching(chat, message, after="7.7", **{"Last-Event-ID": cursor.encode()}) as watched:  # type: ignore[arg-type]
            async for event in watched.steps(own):
                if event.event == "message" and first:
                    first = False
                    waiting += 1
                    if f'hx-target="#message-{message} .content" hx-swap="innerHTML"' in event.data:
                        begun_anew.add(cursor)
        return own

    visits = [(start, cursor) for cursor, start in places.items()] + [(middle, cursor) for cursor in FORGED]
    coming = asyncio.gather(*(come_back(start, cursor) for start, cursor in visits))
    await until(lambda: waiting == len(visits))
    await visitor.stop(chat, message)
    pages = await asyncio.wait_for(coming, PATIENCE_SECONDS)

    assert begun_anew == set(FORGED)
    assert (await visitor.message(chat, message))["content"] == text
    for (_, cursor), each in zip(visits, pages, strict=True):
        assert cursor is not None
        await looks_reloaded(visitor, chat, message, each)


async def test_the_header_wins_over_the_address(visitor: Visitor) -> None:
    chat, message, _ = await begun(visitor, {"text": "one two three", "hang_after": 2})
    await visitor.written(chat, message, len("one two"))

    async with visitor.watching(chat, message, after="0.0", **{"Last-Event-ID": "5.5"}) as watched:
        first = await anext(event async for event in watched.events() if event.event == "message")

    assert f'hx-target="#message-{message} .content" hx-swap="innerHTML"' in first.data


async def test_a_page_that_is_loaded_in_the_middle_goes_on_from_there(visitor: Visitor) -> None:
    chat, message, _ = await begun(visitor, {"text": "One `two` three.\n\nFour five six seven eight.\n\nNine ten", "delay_ms": 40})
    await visitor.written(chat, message, 12)
    page = await visitor.page(chat)
    assert "One" in page.select(f"#message-{message} .content").text

    async with visitor.following(page, message) as watched:
        events = [event async for event in watched.steps(page)]

    assert not any('.content" hx-swap="innerHTML"' in event.data for event in events[:-2])
    await looks_reloaded(visitor, chat, message, page)


async def test_who_reloads_while_many_steps_were_taken_sees_nothing_twice(visitor: Visitor) -> None:
    text = "One.\n\nTwo.\n\nThree.\n\nFour"
    chat, message, _ = await begun(visitor, {"tokens": [*re.findall(r"\S+\s*", text), "."], "delay_ms": 60, "hang_after": 4})
    await visitor.written(chat, message, len(text))

    for _ in range(3):  # each time nobody else watches, so the process reads the log from its beginning
        page = await visitor.page(chat)
        async with visitor.following(page, message) as watched:
            await anext(event async for event in watched.steps(page) if event.event == "message")
        reloaded = await visitor.page(chat)
        assert page.select(f"#message-{message} .content").text.split() == text.split()
        assert page.select(f"#message-{message} .content").outer == reloaded.select(f"#message-{message} .content").outer


async def test_reading_one_byte_at_a_time_changes_nothing(visitor: Visitor) -> None:
    chat, message, page = await begun(visitor, script("line ends"))

    async with visitor.following(page, message) as watched:
        watched._bytes = (data[at : at + 1] async for data in watched.response.aiter_bytes() for at in range(len(data)))
        await watched.shown(page)

    await looks_reloaded(visitor, chat, message, page)


# Many who watch, and nobody


async def test_many_viewers_see_the_same_and_the_model_is_asked_once(
    visitors: Callable[..., Visitor], visitor: Visitor, model: Model
) -> None:
    content = script("prose") | {"text": unique("one two three four five six seven. ") + "\n\nmore **and** more"}
    chat, message, page = await begun(visitor, content)
    pages = [copy.deepcopy(page) for _ in range(5)]

    async def watch(own: Node) -> Event:
        async with visitor.following(own, message) as watched:
            return await watched.shown(own)

    ends, text = await asyncio.gather(asyncio.gather(*map(watch, pages)), visitor.plain(chat, message))

    assert [end.event for end in ends] == ["done"] * 5
    assert len({each.outer for each in pages}) == 1
    assert text == content["text"]
    await looks_reloaded(visitor, chat, message, pages[0])
    assert len(await model.requests(content)) == 1


@pytest.mark.parametrize("accept", [EVENTS, HTML, TEXT])
async def test_who_goes_away_does_not_stop_the_answer(visitor: Visitor, model: Model, accept: str) -> None:
    content = {"text": unique("one two three four five six"), "delay_ms": 30, "first_delay_ms": 50}
    chat, message, _ = await begun(visitor, content)

    for _ in range(3):
        async with visitor.watching(chat, message, accept) as watched:
            await anext(watched.response.aiter_bytes())

    ended = await visitor.ended(chat, message)
    assert (ended["status"], ended["content"]) == ("complete", content["text"])
    assert len(await model.requests(content)) == 1


async def test_stopping_is_seen_at_once(visitor: Visitor) -> None:
    chat, message, page = await begun(visitor, {"text": "one two three", "hang_after": 2})

    async with visitor.following(page, message) as watched:
        async for _ in watched.steps(page):
            if "two" in page.select(f"#message-{message} .content").text:
                break
        await visitor.stop(chat, message)
        last = await asyncio.wait_for(watched.shown(page), 3)

    assert last == Event("stopped", "done")
    assert page.select(f"#message-{message}-footer .outcome").text == "Stopped."
    await looks_reloaded(visitor, chat, message, page)


@pytest.fixture(scope="module")
async def second(house: House, usual_web: Service) -> AsyncIterator[Service]:
    """Another web process, which pings often."""
    web = await house.web(PING_SECONDS="1")
    yield web
    await house.leave(web)


async def test_silence_is_filled_with_pings(second: Service, visitors: Callable[..., Visitor]) -> None:
    visitor = visitors(second)
    _, message, page = await begun(visitor, {"text": "one two", "hang_after": 1})

    pings = 0
    async with visitor.following(page, message) as watched:
        async for event in watched.events():
            pings += event == Event("", "ping")
            if pings == 3:
                break

    assert pings == 3


async def test_another_process_shows_the_same_and_can_stop_it(second: Service, visitors: Callable[..., Visitor], visitor: Visitor) -> None:
    elsewhere = visitors(second)
    chat, message, page = await begun(visitor, {"text": "One.\n\nTwo three four", "delay_ms": 20, "hang_after": 6})
    elsewhere.http.cookies.update(visitor.http.cookies)

    async with elsewhere.following(page, message) as watched:
        async for _ in watched.steps(page):
            if "three" in page.select(f"#message-{message} .content").text:
                break
        await elsewhere.stop(chat, message)
        last = await asyncio.wait_for(watched.shown(page), 3)

    assert last == Event("stopped", "done")
    await looks_reloaded(elsewhere, chat, message, page)
    await looks_reloaded(visitor, chat, message, page)


# Processes that leave, die, and lose their database

LONG = "Some words, and `code`.\n\n" * 12


async def test_a_process_that_leaves_hands_its_answers_and_viewers_over(
    house: House, web: Service, visitor: Visitor, visitors: Callable[..., Visitor], model: Model
) -> None:
    leaving = await house.web()
    there, content = visitors(leaving), {"text": unique(LONG), "delay_ms": 15, "first_delay_ms": 50}
    chat, message, page = await begun(there, content)
    visitor.http.cookies.update(there.http.cookies)

    cursor = None
    async with there.following(page, message) as watched:
        ending = None
        async for event in watched.steps(page):
            cursor = event.id or cursor
            if ending is None and "code" in page.select(f"#message-{message} .content").text:
                ending = asyncio.create_task(house.leave(leaving))
        assert event.event == "moved"
        assert b"retry: 100\n" in watched.raw
        await ending  # type: ignore[misc]
    assert leaving.process.returncode == 0

    async with visitor.watching(chat, message, **{"Last-Event-ID": str(cursor)}) as watched:
        last = await watched.shown(page)

    there.web, there.http.base_url = web, web.url  # its own is gone
    assert last == Event("complete", "done")
    assert (await visitor.message(chat, message))["content"] == content["text"]
    await looks_reloaded(visitor, chat, message, page)
    assert len(await model.requests(content)) == 1


async def test_an_answer_whose_process_was_killed_is_finished_by_another(
    house: House, web: Service, visitor: Visitor, visitors: Callable[..., Visitor], model: Model
) -> None:
    doomed = await house.web(LEASE_SECONDS="1", RENEW_SECONDS="0.3")
    there, content = visitors(doomed), {"text": unique(LONG), "delay_ms": 15, "first_delay_ms": 50}
    chat, message, page = await begun(there, content)
    visitor.http.cookies.update(there.http.cookies)

    async with visitor.following(page, message) as watched:
        async for _ in watched.steps(page):
            if "code" in page.select(f"#message-{message} .content").text:
                break
        await doomed.kill()
        house.services.remove(doomed)
        last = await watched.shown(page)

    there.web, there.http.base_url = web, web.url
    assert last == Event("complete", "done")
    assert (await visitor.message(chat, message))["content"] == content["text"]
    await looks_reloaded(visitor, chat, message, page)
    assert len(await model.requests(content)) == 1


async def test_an_answer_survives_a_database_service_that_is_killed(house: House, web: Service, visitor: Visitor, model: Model) -> None:
    content = {"text": unique(LONG), "delay_ms": 15, "first_delay_ms": 50}
    chat, message, page = await begun(visitor, content)

    async with visitor.following(page, message) as watched:
        async for _ in watched.steps(page):
            if "code" in page.select(f"#message-{message} .content").text:
                break
        await house.dbapi.kill()
        await house.dbapi.start()
        last = await watched.shown(page)

    assert last == Event("complete", "done")
    assert (await visitor.message(chat, message))["content"] == content["text"]
    await looks_reloaded(visitor, chat, message, page)
    assert len(await model.requests(content)) == 1


async def test_an_answer_survives_a_crash_of_postgresql(house: House, web: Service, visitor: Visitor, model: Model) -> None:
    content = {"text": unique(LONG), "delay_ms": 15, "first_delay_ms": 50}
    chat, message, page = await begun(visitor, content)

    async with visitor.following(page, message) as watched:
        async for _ in watched.steps(page):
            if "code" in page.select(f"#message-{message} .content").text:
                break
        await house.cluster.crash_and_restart()
        last = await watched.shown(page)

    ended = await visitor.ended(chat, message)
    assert last == Event("complete", "done")
    assert ended["content"] == content["text"]
    await looks_reloaded(visitor, chat, message, page)
    assert len(await model.requests(content)) == 1


async def test_after_a_crash_the_next_click_works(house: House, web: Service, visitor: Visitor) -> None:
    chat = await visitor.begin()
    await visitor.ended(chat, await visitor.say(chat))

    await house.cluster.crash_and_restart()

    async with client(web.url, headers={"Cookie": f"runnel={visitor.http.cookies['runnel']}"}) as http:
        assert (await http.get(chat)).status_code == 200
