"""The stream of wake-ups: who watches learns what grew, without asking."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.dbapi.calls import LEASE_SECONDS, append, claim, finish, new_chat, queued, running
from tests.dbapi.conftest import Api
from tests.stack import PATIENCE_SECONDS, until

pytestmark = pytest.mark.usefixtures("idle_log")


class Told:
    """What the stream has said so far."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def until(self, condition: Callable[[Any], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self._lines:
                if found := condition(json.loads(line)):
                    return found
        raise AssertionError("the stream has ended")

    async def of(self, generation_id: str, what: str) -> None:
        await self.until(lambda line: line.get("log", {}).get(generation_id) == what)


@contextlib.asynccontextmanager
async def listening(api: Api, owner: str = "") -> AsyncIterator[Told]:
    async with api.stream("GET", f"/events?owner={owner}") as response:
        assert response.status_code == 200
        told = Told(response.aiter_lines())
        await told.until(lambda line: line.get("lost"))
        yield told


async def test_a_listener_is_told_at_first_that_it_may_have_missed_something(api: Api) -> None:
    async with api.stream("GET", "/events") as response:
        first = await anext(response.aiter_lines())

    assert json.loads(first) == {"lost": True}
    assert response.headers["content-type"] == "application/x-ndjson"


async def test_appends_and_ends_of_every_answer_are_told_to_every_listener(api: Api, other: Api) -> None:
    claimed = await running(api)

    async with listening(api) as one, listening(other) as two:
        await append(api, claimed, 1, "Be")
        await one.of(claimed["id"], "1")
        await two.of(claimed["id"], "1")
        await append(api, claimed, 2, "cause")
        await finish(api, claimed, 2)
        await one.of(claimed["id"], "2:complete")
        await two.of(claimed["id"], "2:complete")


async def test_who_appends_is_not_told_of_it_but_of_the_end(api: Api) -> None:
    claimed = await running(api)

    async with listening(api, owner="test") as writer, listening(api, owner="another") as other:
        await append(api, claimed, 1, "Be")
        await append(api, claimed, 2, "cause")
        await other.of(claimed["id"], "2")
        await finish(api, claimed, 2)
        first = await writer.until(lambda line: line.get("log"))

    assert first == {claimed["id"]: "2:complete"}


async def test_a_wish_to_stop_is_told_at_once(api: Api) -> None:
    chat = await new_chat(api)
    claimed, waiting = await running(api, chat), await queued(api, chat)

    async with listening(api) as told:
        await api.post(f"/chats/{chat['id']}/messages/{claimed['message_id']}/stop")
        await told.of(claimed["id"], "0:stop")
        await api.post(f"/chats/{chat['id']}/messages/{waiting['id']}/stop")
        await told.of(waiting["generation_id"], "0:stop")


async def test_a_release_calls_for_others_to_go_on(api: Api) -> None:
    claimed = await running(api)

    async with listening(api) as told:
        await api.post("/generations/release", json={"entries": [[claimed["id"], 1]]})
        await told.until(lambda line: line.get("work"))


async def test_an_append_of_very_many_answers_is_told_in_full(api: Api) -> None:
    for _ in range(20):
        await asyncio.gather(*(queued(api) for _ in range(8)))
    claims = list((await claim(api)).values())
    waiting = {each["id"] for each in claims}

    def all_told(line: Any) -> bool:
        waiting.difference_update(line.get("log", {}))
        return not waiting

    async with listening(api) as told:
        entries = [[each["id"], 1, 1, 0, "x", None] for each in claims]
        answer = await api.post("/generations/append", json={"lease": 60, "entries": entries})
        assert len(answer.json()["ok"]) == 160
        assert await told.until(all_told)


async def test_who_goes_without_a_word_loses_what_it_held_and_who_still_writes_does_not(api: Api, other: Api) -> None:
    gone, alive = await running(api), await running(other)

    async with api.stream("GET", "/events", params={"owner": "test", "lease": LEASE_SECONDS}) as response:
        await anext(response.aiter_lines())
    taken: dict[str, Any] = {}

    async def taken_over() -> bool:
        assert await append(other, alive, None)
        taken.update(await claim(api, owner="successor"))
        return bool(taken)

    await until(taken_over, seconds=5)
    assert list(taken) == [gone["id"]]
    assert taken[gone["id"]]["fence"] == 2
