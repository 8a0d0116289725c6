"""The stream of notifications."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from dbapi.listener import MAX_CHATS, Listener, Subscriber
from dbapi.reaper import DEFAULT_SILENCE_SECONDS
from tests.dbapi.calls import LEASE_SECONDS, append, claim, finish, new_chat, queued, running
from tests.dbapi.conftest import Api
from tests.stack import PATIENCE_SECONDS, until

pytestmark = pytest.mark.usefixtures("idle_log")


class EventStream:
    """Reads a stream of notifications."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def until(self, condition: Callable[[Any], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self._lines:
                if found := condition(json.loads(line)):
                    return found
        raise AssertionError("the stream has ended")

    async def until_log(self, generation_id: str, what: str) -> None:
        await self.until(lambda line: line.get("log", {}).get(generation_id) == what)


@contextlib.asynccontextmanager
async def listening(api: Api, owner: str = "") -> AsyncIterator[EventStream]:
    async with api.stream("GET", f"/events?owner={owner}") as response:
        assert response.status_code == 200
        events = EventStream(response.aiter_lines())
        await events.until(lambda line: line.get("lost"))
        yield events


async def test_the_stream_begins_with_a_warning_of_missed_notifications(api: Api) -> None:
    async with api.stream("GET", "/events") as response:
        first = await anext(response.aiter_lines())

    assert json.loads(first) == {"lost": True}
    assert response.headers["content-type"] == "application/x-ndjson"


async def test_every_subscriber_receives_appends_and_ends_of_every_answer(api: Api, other: Api) -> None:
    claimed = await running(api)

    async with listening(api) as one, listening(other) as two:
        await append(api, claimed, 1, "Be")
        await one.until_log(claimed["id"], "1")
        await two.until_log(claimed["id"], "1")
        await append(api, claimed, 2, "cause")
        await finish(api, claimed, 2)
        await one.until_log(claimed["id"], "2:complete")
        await two.until_log(claimed["id"], "2:complete")


async def test_a_writer_is_notified_of_the_end_but_not_of_its_own_appends(api: Api) -> None:
    claimed = await running(api)

    async with listening(api, owner="test") as writer, listening(api, owner="another") as other:
        await append(api, claimed, 1, "Be")
        await append(api, claimed, 2, "cause")
        await other.until_log(claimed["id"], "2")
        await finish(api, claimed, 2)
        first = await writer.until(lambda line: line.get("log"))

    assert first == {claimed["id"]: "2:complete"}


async def test_a_stop_request_is_reported_immediately(api: Api) -> None:
    chat = await new_chat(api)
    claimed, waiting = await running(api, chat), await queued(api, chat)

    async with listening(api) as events:
        await api.post(f"/chats/{chat['id']}/messages/{claimed['message_id']}/stop")
        await events.until_log(claimed["id"], "0:stop")
        await api.post(f"/chats/{chat['id']}/messages/{waiting['id']}/stop")
        await events.until_log(waiting["generation_id"], "0:stop")


async def test_a_release_notifies_others_of_work(api: Api) -> None:
    claimed = await running(api)

    async with listening(api) as events:
        await api.post("/generations/release", json={"entries": [[claimed["id"], 1]]})
        await events.until(lambda line: line.get("work"))


async def test_an_append_to_160_answers_is_reported_completely(api: Api) -> None:
    for _ in range(20):
        await asyncio.gather(*(queued(api) for _ in range(8)))
    claims = list((await claim(api)).values())
    waiting = {each["id"] for each in claims}

    def all_reported(line: Any) -> bool:
        waiting.difference_update(line.get("log", {}))
        return not waiting

    async with listening(api) as events:
        entries = [[each["id"], 1, 1, 0, "x", None] for each in claims]
        response = await api.post("/generations/append", json={"lease": 60, "entries": entries})
        assert len(response.json()["ok"]) == 160
        assert await events.until(all_reported)


@pytest.mark.parametrize("silence", [{}, {"silence": "0.5"}, {"silence": "unknown"}], ids=str)
async def test_a_silent_disconnected_process_loses_its_leases_and_a_writing_one_keeps_them(
    api: Api, other: Api, silence: dict[str, str]
) -> None:
    gone, alive = await running(api), await running(other)

    async with api.stream(
        "GET", "/events", params={"owner": "test", "lease": str(LEASE_SECONDS), **silence}
    ) as response:
        await anext(response.aiter_lines())
    taken: dict[str, Any] = {}

    async def taken_over() -> bool:
        assert await append(other, alive, None)
        taken.update(await claim(api, owner="successor"))
        return bool(taken)

    await until(taken_over, seconds=5)
    assert list(taken) == [gone["id"]]
    assert taken[gone["id"]]["fence"] == 2


async def test_a_disconnected_process_keeps_its_leases_for_the_silence_it_announced(api: Api) -> None:
    await running(api)
    silence = 2 * DEFAULT_SILENCE_SECONDS

    async with api.stream(
        "GET", "/events", params={"owner": "test", "lease": LEASE_SECONDS, "silence": silence}
    ) as response:
        await anext(response.aiter_lines())
    await asyncio.sleep(1.3 * DEFAULT_SILENCE_SECONDS)
    early = await claim(api, owner="successor")
    await until(lambda: claim(api, owner="successor"), seconds=5)

    assert not early


async def test_every_change_of_a_chat_is_announced_with_its_revision(api: Api) -> None:
    async with listening(api, owner="test") as events:
        chat = await new_chat(api)

        async def announced() -> int | None:
            def of_chat(line: Any) -> Any:
                return [change for change in line.get("chats", []) if change[1] == chat["id"]]

            ((session, _, revision),) = await events.until(of_chat)
            assert session == api.headers["X-Session-ID"]
            return revision  # type: ignore[no-any-return]

        async def state() -> int:
            return (await api.get(f"/chats/{chat['id']}/state")).json()["revision"]  # type: ignore[no-any-return]

        assert await announced() == await state() == chat["revision"]
        turn = await queued(api, chat)
        assert await announced() == await state()
        claimed = (await claim(api))[turn["generation_id"]]
        await finish(api, claimed, 0)
        assert await announced() is None  # the list of chats shows that it is no longer running
        renamed = (await api.patch(f"/chats/{chat['id']}", json={"title": "Renamed"})).json()
        assert await announced() == await state() == renamed["revision"]
        await api.delete(f"/chats/{chat['id']}")
        assert await announced() == renamed["revision"] + 1


async def test_a_subscriber_that_reads_nothing_keeps_a_bounded_number_of_chats() -> None:
    listener, subscriber = Listener(""), Subscriber()
    listener._subscribers.add(subscriber)

    for number in range(MAX_CHATS + 1):
        listener._on_chat(None, 0, "", f"session:{number}:1")

    assert subscriber.lost
    assert not subscriber.chats
