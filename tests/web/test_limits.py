"""Limits per session. A request over the limit shows a message and keeps its text."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.stack import Cluster, Stack, until
from tests.web.dom import parse
from tests.web.limited_stack import ANSWERS, OF_ADDRESS, STREAMS, WRITES, limited_stack
from tests.web.visitor import EVENTS, HTMX, TEXT, Visitor


@pytest.fixture(scope="module")
async def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with limited_stack(cluster, tmp_path_factory.mktemp("limited")) as stack:
        yield stack


@pytest.fixture
async def pair(stack: Stack) -> AsyncIterator[tuple[Visitor, Visitor]]:
    """One session at both web processes."""
    one, two = (Visitor(service) for service in stack.services[-2:])
    await one.begin()
    two.http.cookies.update(one.http.cookies)
    yield one, two
    await stop_all_answers(stack, one)
    await two.http.aclose()
    await one.http.aclose()


async def stop_all_answers(stack: Stack, visitor: Visitor) -> None:
    """Stops all answers of the test; stopping is never limited."""
    for chat in visitor.chats:
        for message in await visitor.messages(chat):
            if message["status"] in ("queued", "streaming"):
                assert (await visitor.stop(chat, message["id"])).status_code == 303
                await visitor.ended(chat, message["id"])


async def test_writes_per_minute_are_limited_across_replicas(pair: tuple[Visitor, Visitor]) -> None:
    one, two = pair
    chat = one.chats[0]

    titles = [
        await visitor.http.post(f"{chat}/title", data={"title": f"Title {number}"})
        for number, visitor in enumerate([one, two] * WRITES)
    ]

    statuses = [answer.status_code for answer in titles]
    assert statuses == [303] * (WRITES - 1) + [429] * (WRITES + 1), "the chat itself was the first write"
    for refused in titles[WRITES - 1 :]:
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert f"Please wait {refused.headers['retry-after']} second" in refused.text
        assert parse(refused.text).select("#notice").attributes["role"] == "alert"


async def test_concurrent_writes_are_all_counted(pair: tuple[Visitor, Visitor]) -> None:
    one, two = pair

    answers = await asyncio.gather(
        *(visitor.http.post(f"{one.chats[0]}/title", data={"title": "x"}) for visitor in [one, two] * WRITES)
    )

    assert sorted(answer.status_code for answer in answers) == [303] * (WRITES - 1) + [429] * (WRITES + 1)


async def test_the_write_limit_resets_after_a_minute(pair: tuple[Visitor, Visitor], owner: Any) -> None:
    one, _ = pair
    change = one.http.build_request("POST", f"{one.chats[0]}/title", data={"title": "x"})
    for _ in range(WRITES):
        refused = await one.http.send(change)
    assert refused.status_code == 429

    session = await owner.fetchval("SELECT session_id FROM chats WHERE id = $1", one.chats[0].removeprefix("/chats/"))
    await owner.execute("UPDATE sessions SET writes_since = writes_since - interval '1 minute' WHERE id = $1", session)

    assert (await one.http.send(change)).status_code == 303


@pytest.fixture
async def tired(pair: tuple[Visitor, Visitor]) -> Visitor:
    """A visitor at the write limit."""
    visitor, _ = pair
    for _ in range(WRITES - 1):
        assert (await visitor.http.post(f"{visitor.chats[0]}/title", data={"title": "My title"})).status_code == 303
    return visitor


async def test_a_message_over_the_limit_stays_in_its_field(tired: Visitor) -> None:
    chat = tired.chats[0]

    page, htmx = await tired.post(chat, "What I typed"), await tired.post(chat, "What I typed", HTMX)

    assert (page.status_code, htmx.status_code) == (429, 429)
    assert parse(page.text).select("#content").text.strip() == "What I typed"
    for answer in (page, htmx):
        assert "You have sent a lot" in parse(answer.text).select("#notice").text
        assert int(answer.headers["retry-after"]) >= 1
    assert len(await tired.messages(chat)) == 1


async def test_an_edited_answer_over_the_limit_stays_in_its_field(pair: tuple[Visitor, Visitor]) -> None:
    visitor, _ = pair
    chat = visitor.chats[0]
    answer = await visitor.ended(chat, await visitor.say(chat))
    path = f"{chat}/messages/{answer['id']}"
    edits = [await visitor.http.post(f"{path}/edit", data={"content": f"Text {n}"}) for n in range(WRITES)]

    assert [each.status_code for each in edits] == [303] * (WRITES - 2) + [429] * 2, "a chat and a turn were written"
    assert parse(edits[-1].text).select("#edited").text.strip() == f"Text {WRITES - 1}"
    assert "You have sent a lot" in parse(edits[-1].text).select("#notice").text
    assert (await visitor.http.post(f"{path}/delete")).status_code == 429


async def test_a_user_name_over_the_limit_stays_in_its_field(tired: Visitor) -> None:
    refused = await tired.http.post("/chats", data={"username": "Grace", "new": "1"})

    assert refused.status_code == 429
    assert parse(refused.text).select("#username").attributes["value"] == "Grace"
    assert "You have sent a lot" in parse(refused.text).select("#notice").text
    assert refused.headers["retry-after"]


@pytest.mark.parametrize("preset", [{}, {"preset": "1", "preset_name": "Poet"}], ids=["of the chat", "preset"])
async def test_settings_over_the_limit_stay_in_their_fields(tired: Visitor, preset: dict[str, str]) -> None:
    typed = {"system_prompt": "Be\nbrief", "temperature": "0.5"} | preset

    refused = await tired.http.post(f"{tired.chats[0]}/settings", data=typed)

    page = parse(refused.text)
    assert refused.status_code == 429
    assert page.select("#system_prompt").text.strip() == "Be\nbrief"
    assert page.select("#temperature").attributes["value"] == "0.5"
    assert page.select("#preset_name").attributes["value"] == preset.get("preset_name", "")
    assert "You have sent a lot" in page.select(".notice").text


@pytest.mark.parametrize(("verb", "typed"), [("title", {"title": 'My "new" title'}), ("delete", {}), ("restore", {})])
async def test_whatever_was_sent_can_be_sent_again(tired: Visitor, verb: str, typed: dict[str, str]) -> None:
    refused = await tired.http.post(f"{tired.chats[0]}/{verb}", data=typed)

    form = parse(refused.text).select("form")
    assert refused.status_code == 429
    assert "action" not in form.attributes, "to the same address"
    assert {field.attributes["name"]: field.attributes["value"] for field in form.matching("input")} == typed
    assert form.select("button").text == "Try again"


async def test_running_and_waiting_answers_are_limited(pair: tuple[Visitor, Visitor], owner: Any) -> None:
    one, two = pair
    chat, slow = one.chats[0], {"text": "slow", "hang_after": 1}

    answers = await asyncio.gather(
        *(
            visitor.post(chat, slow, message_id=f"00000000-0000-4000-8000-00000000000{number}")
            for number, visitor in enumerate([one, two] * 3)
        )
    )

    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [303] * ANSWERS + [429] * (6 - ANSWERS)
    (refused, *_) = [answer for answer in answers if answer.status_code == 429]
    assert f"{ANSWERS} of your answers are running or waiting already." in parse(refused.text).select("#notice").text
    assert "hang_after" in parse(refused.text).select("#content").text
    accepted = statuses.index(303)
    again = await two.post(chat, slow, message_id=f"00000000-0000-4000-8000-00000000000{accepted}")
    assert again.headers["location"] == answers[accepted].headers["location"], "the same turn is no further answer"
    assert len([message for message in await one.messages(chat) if message["role"] == "user"]) == ANSWERS


async def test_answers_of_an_address_are_limited_over_its_sessions(stack: Stack) -> None:
    slow = {"text": "slow", "hang_after": 1}
    crowd = [Visitor(stack.services[-1 - number % 2]) for number in range(OF_ADDRESS + 2)]
    for number, visitor in enumerate(crowd):
        visitor.http.headers["X-Forwarded-For"] = f"2001:db8::{number:x}"  # one network
        await visitor.begin()
    neighbour = Visitor(stack.services[-1])
    neighbour.http.headers["X-Forwarded-For"] = "2001:db8:0:1::1"

    answers = await asyncio.gather(*(visitor.post(visitor.chats[0], slow) for visitor in crowd))

    assert sorted(answer.status_code for answer in answers) == [303] * OF_ADDRESS + [429] * 2
    (refused, *_) = [answer for answer in answers if answer.status_code == 429]
    assert f"{OF_ADDRESS} answers of your network" in parse(refused.text).select("#notice").text
    assert (await neighbour.post(await neighbour.begin(), slow)).status_code == 303
    count = await stop_and_count(stack, [*crowd, neighbour])
    assert count == OF_ADDRESS + 1


async def stop_and_count(stack: Stack, visitors: list[Visitor]) -> int:
    """Stops the answers of these visitors, closes their connections, and returns how many messages they sent."""
    count = 0
    for visitor in visitors:
        await stop_all_answers(stack, visitor)
        count += len([each for each in await visitor.messages(visitor.chats[0]) if each["role"] == "user"])
        await visitor.http.aclose()
    return count


async def test_an_answer_that_ended_makes_room(pair: tuple[Visitor, Visitor]) -> None:
    one, _ = pair
    chat, slow = one.chats[0], {"text": "slow", "hang_after": 1}
    first, *_ = [await one.say(chat, slow) for _ in range(ANSWERS)]
    assert (await one.post(chat, "One more")).status_code == 429
    assert (await one.http.post(f"{chat}/messages/{first}/regenerate")).status_code == 429

    await one.stop(chat, first)
    await one.ended(chat, first)

    assert (await one.post(chat, "One more")).status_code == 303


@pytest.mark.parametrize("accept", [EVENTS, TEXT, "text/html"])
async def test_open_streams_are_limited_and_a_closed_one_makes_room(pair: tuple[Visitor, Visitor], accept: str) -> None:
    visitor, _ = pair
    chat = visitor.chats[0]
    answer = await visitor.say(chat, {"text": "slow", "hang_after": 1})
    await visitor.written(chat, answer)

    async with AsyncExitStack() as stack:
        first = stack.enter_async_context(visitor.watching(chat, answer, accept))
        opened = [
            await first,
            *[await stack.enter_async_context(visitor.watching(chat, answer, accept)) for _ in range(STREAMS - 1)],
        ]
        assert {watched.response.status_code for watched in opened} == {200}
        refused = await visitor.http.get(f"{chat}/messages/{answer}/stream", headers={"Accept": accept})
        looked = await visitor.http.head(f"{chat}/messages/{answer}/stream", headers={"Accept": accept})

    assert (refused.status_code, looked.status_code) == (429, 429)
    assert refused.headers["content-type"] == "text/plain; charset=utf-8", "htmx would read a page as events"
    assert f"{STREAMS} answers are open in this session" in refused.text
    assert int(refused.headers["retry-after"]) >= 1

    async def opens() -> bool:
        async with visitor.watching(chat, answer, accept) as watched:
            return watched.response.status_code == 200

    await until(opens)
