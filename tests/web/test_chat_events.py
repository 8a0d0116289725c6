"""The events that tell an open page what has changed in the chats of its session."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.stack import until
from tests.web.device_page import devices
from tests.web.test_devices import SIGNED_OUT_SECONDS, join, link_of
from tests.web.visitor import EVENTS, Visitor, Watched
from web.live import changes as page_changes
from web.live.event_stream import MAX_NOTICES, EventStream
from web.live.open_streams import OpenStreams


class Changes:
    """The events of a stream, without pings."""

    def __init__(self, watched: Watched) -> None:
        self._events = watched.events()

    async def next(self) -> tuple[str, Any]:
        async for event in self._events:
            if event.event not in ("ping", "message"):
                return event.event, json.loads(event.data or "null")
        raise AssertionError("the stream has ended")

    async def of(self, chat: str) -> Any:
        """The next change that names this chat."""
        while True:
            name, data = await self.next()
            if name == "changed" and data["chat"] in chat:
                return data


@contextlib.asynccontextmanager
async def listening(visitor: Visitor, chat: str) -> AsyncIterator[Changes]:
    """Listens to the changes of a chat, whose page is open."""
    async with visitor.http.stream("GET", f"{chat}/events", headers={"Accept": EVENTS}) as response:
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store, no-transform"
        yield Changes(Watched(response))


async def never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def shown(visitor: Visitor, chat: str) -> tuple[int, str]:
    """The revision and the state of the list that the page shows."""
    page = await visitor.page(chat)
    state = page.select("#list p").attributes["data-state"]
    return int(page.select("#revision").attributes["value"]), state


async def test_the_first_event_is_the_state_that_the_page_shows(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await visitor.ended(chat, await visitor.say(chat))

    revision, state = await shown(visitor, chat)
    async with listening(visitor, chat) as changes:
        name, data = await changes.next()

    assert (name, data) == ("changed", {"chat": chat.removeprefix("/chats/"), "revision": revision, "list": state})


async def test_every_action_announces_a_new_revision(visitor: Visitor, elsewhere: Visitor) -> None:
    """The listener is connected to another process."""
    chat = await visitor.begin()
    await join(elsewhere, await link_of(visitor))
    async with listening(elsewhere, chat) as changes:
        revision = (await changes.of(chat))["revision"]

        async def is_announced() -> None:
            nonlocal revision
            found = revision
            while found <= revision:
                found = (await changes.of(chat))["revision"] or 0
            revision = found

        answer = await visitor.say(chat, {"text": "word " * 200, "delay_ms": 20})
        await is_announced()
        await visitor.stop(chat, answer)
        assert (await changes.of(chat))["revision"] is None  # only the list shows that it has ended
        question = (await visitor.messages(chat))[-2]["id"]
        for path, form in {
            f"{chat}/messages/{answer}/continue": {},
            f"{chat}/messages/{answer}/stop": {},
            f"{chat}/messages/{answer}/regenerate": {},
            f"{chat}/messages/{answer}/show": {},
            f"{chat}/title": {"title": "Renamed"},
            f"{chat}/settings": {"temperature": "1"},
            f"{chat}/messages/{question}/delete": {},
            f"{chat}/delete": {},
            f"{chat}/restore": {},
        }.items():
            done = await visitor.http.post(path, data=form)
            assert done.status_code == 303, (path, done.text)
            if path.endswith("/stop"):
                await visitor.ended(chat, answer)
            else:
                await is_announced()

    assert revision == (await shown(visitor, chat))[0]


async def test_other_chats_of_the_session_change_the_list(visitor: Visitor) -> None:
    chat = await visitor.begin()
    async with listening(visitor, chat) as changes:
        first = await changes.of(chat)
        another = await visitor.begin("Grace")
        new = await changes.of(another)

    assert (new["chat"], new["list"]) == (another.removeprefix("/chats/"), None)
    assert (await shown(visitor, chat))[1] != first["list"]


async def test_other_sessions_hear_nothing(visitor: Visitor, other: Visitor) -> None:
    chat, theirs = await visitor.begin(), await other.begin()
    async with listening(visitor, chat) as changes:
        await changes.of(chat)
        await other.ended(theirs, await other.say(theirs))
        await visitor.http.post(f"{chat}/title", data={"title": "Renamed"})
        name, data = await changes.next()

    assert (name, data["chat"]) == ("changed", chat.removeprefix("/chats/"))


async def test_the_stream_of_an_answer_carries_changes(visitor: Visitor) -> None:
    chat = await visitor.begin()
    answer = await visitor.say(chat, {"text": "word " * 500, "delay_ms": 20})
    async with visitor.watching(chat, answer, after="0.0") as watched:
        changes = Changes(watched)
        await until(lambda: visitor.written(chat, answer))
        await visitor.http.post(f"{chat}/title", data={"title": "Renamed"})
        revision, data = (await shown(visitor, chat))[0], await changes.of(chat)
        while data["revision"] < revision:  # the change by the new turn
            data = await changes.of(chat)

    assert data["revision"] == revision


async def test_a_page_that_returns_to_an_answer_gets_the_state(visitor: Visitor) -> None:
    chat = await visitor.begin()
    answer = await visitor.say(chat, {"text": "word " * 500, "delay_ms": 20})
    await visitor.written(chat, answer)

    async with visitor.watching(chat, answer, **{"Last-Event-ID": "1.1"}) as watched:
        data = await Changes(watched).of(chat)

    assert (data["revision"], data["list"]) == await shown(visitor, chat)


async def test_a_signed_out_device_is_told(visitor: Visitor, elsewhere: Visitor) -> None:
    chat = await visitor.begin()
    await join(elsewhere, await link_of(visitor))
    async with listening(elsewhere, chat) as changes:
        await changes.of(chat)
        (device,) = [each for each in await devices(visitor) if "this device" not in each.text]
        await visitor.http.post(device.select("form").attributes["action"])
        async with asyncio.timeout(SIGNED_OUT_SECONDS):
            assert await changes.next() == ("gone", None)
        with pytest.raises(AssertionError, match="has ended"):
            await changes.next()


async def test_after_lost_notifications_every_page_gets_the_state() -> None:
    class Database:
        async def chat_state(self, session: UUID, chat_id: UUID) -> Any:
            return {"revision": 3, "list_state": "1.3.0"}

    class Response(EventStream):
        def __init__(self) -> None:
            super().__init__(never(), {}, 15)  # type: ignore[arg-type]

    open_streams = OpenStreams(0)
    changes = page_changes.Changes(Database(), open_streams)  # type: ignore[arg-type]
    responses = [Response() for _ in range(3)]
    for response in responses:
        open_streams.open(uuid4(), UUID(int=1), "", response, b"")

    changes.check_all()
    running = asyncio.create_task(changes.run())
    await until(lambda: all(response._notices for response in responses))
    running.cancel()

    assert {bytes(b"".join(response._notices)) for response in responses} == {
        page_changes.changed(UUID(int=1), 3, "1.3.0")
    }


async def test_a_foreign_or_unknown_chat_has_no_events(visitor: Visitor, other: Visitor) -> None:
    await visitor.begin()
    theirs = await other.begin()
    unknown = f"/chats/{UUID(int=1)}"

    for chat in (theirs, unknown):
        response = await visitor.http.get(f"{chat}/events", headers={"Accept": EVENTS})
        assert response.status_code == 404
        assert response.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_client_that_reads_nothing_keeps_a_bounded_number_of_notices() -> None:
    stream = EventStream(never(), {}, 15)  # type: ignore[arg-type]
    for number in range(10 * MAX_NOTICES):
        stream.notify(b"%d" % number)

    assert len(stream._notices) == MAX_NOTICES
    assert stream._notices[-1] == b"%d" % (10 * MAX_NOTICES - 1)
