"""Limits per session. A request over the limit shows a message and keeps its text."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.stack import NO_LIMITS, Cluster, Service, Stack, running_stack, until
from tests.web.dom import parse
from tests.web.visitor import EVENTS, HTMX, TEXT, Visitor

WRITES, ANSWERS, OF_ADDRESS, STREAMS = 8, 3, 5, 2


@pytest.fixture(scope="module")
async def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack with low limits and two web processes."""
    limits = {
        "WRITES_PER_SESSION": str(WRITES),
        "ANSWERS_PER_SESSION": str(ANSWERS),
        "ANSWERS_PER_ADDRESS": str(OF_ADDRESS),
        "STREAMS_PER_SESSION": str(STREAMS),
    }
    assert limits.keys() == NO_LIMITS.keys()
    async with running_stack(cluster, tmp_path_factory.mktemp("limited"), limits, slots=2) as stack:
        await stack.web()
        await stack.web()
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


async def test_settings_over_the_limit_stay_in_their_fields(tired: Visitor) -> None:
    typed = {"system_prompt": "Be\nbrief", "temperature": "0.5"}

    refused = await tired.http.post(f"{tired.chats[0]}/settings", data=typed)

    page = parse(refused.text)
    assert refused.status_code == 429
    assert page.select("#system_prompt").text.strip() == "Be\nbrief"
    assert page.select("#temperature").attributes["value"] == "0.5"
    assert "You have sent a lot" in page.select("#notice").text


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


async def test_a_refusal_costs_little_however_long_the_chat_is(stack: Stack, owner: Any) -> None:
    web = stack.services[-1]
    visitor = Visitor(web)
    visitor.http.headers["X-Forwarded-For"] = "192.0.2.200"
    chat = await visitor.begin()
    await lengthen(owner, chat, 2000)
    refused = {"empty": {"content": " "}, "long": {"content": "y" * 32_001}}
    await visitor.http.post(f"{chat}/messages", data=refused["long"])  # warms up

    for form in refused.values():
        before = cpu_seconds(web)
        for _ in range(10):
            answer = await visitor.http.post(f"{chat}/messages?last=2000", data=form | {"parent_id": "root"})
            page = parse(answer.text)
            assert answer.status_code in (413, 422)
            assert page.select("#content").text.strip() == form["content"].strip()
            assert [each.attributes["value"] for each in page.matching("input")[1:]] == ["root"]
            assert len(answer.text) < 10_000 + len(form["content"])
        assert cpu_seconds(web) - before < 10 * 0.03, "a page of this chat takes 0.4 s"
    await visitor.http.aclose()


async def test_an_unknown_message_to_edit_shows_no_more_messages(stack: Stack, owner: Any) -> None:
    visitor = Visitor(stack.services[-1])
    chat = await visitor.begin()
    await lengthen(owner, chat, 200)
    ids = [message["id"] for message in await visitor.messages(chat)]

    unknown, old = "00000000-0000-4000-8000-000000000000", ids[-100]
    shown = [len((await visitor.page(f"{chat}?edit={edited}")).matching("article")) for edited in (unknown, old)]

    assert shown[0] == 60
    assert 99 <= shown[1] <= 100, "an existing message is shown with all that follow it"
    await visitor.http.aclose()


async def test_pages_of_one_session_are_loaded_in_turn(stack: Stack, owner: Any) -> None:
    crowd, neighbour = Visitor(stack.services[-1]), Visitor(stack.services[-1])
    chat, own = await crowd.begin(), await neighbour.begin()
    await lengthen(owner, chat, 400)
    ended: list[str] = []

    async def load(visitor: Visitor, path: str, name: str) -> int:
        status = (await visitor.http.get(path)).status_code
        ended.append(name)
        return status

    heavy = [asyncio.create_task(load(crowd, f"{chat}?last=400", "heavy")) for _ in range(60)]
    await until(lambda: "heavy" in ended)
    assert await load(neighbour, own, "neighbour") == 200
    waited = ended.index("neighbour")
    statuses = await asyncio.gather(*heavy)

    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 10
    assert ended[waited:].count("heavy") >= 5, "the neighbour does not wait for all of them"
    for visitor in (crowd, neighbour):
        await visitor.http.aclose()


async def lengthen(owner: Any, chat: str, count: int) -> None:
    """Adds messages to the shown branch."""
    await owner.execute(
        """
        WITH RECURSIVE chat AS (SELECT * FROM chats WHERE id = $1),
        ids AS (SELECT n, gen_random_uuid() AS id FROM generate_series(1, $2) AS n),
        added AS (
          INSERT INTO messages (id, session_id, chat_id, parent_id, role, content)
          SELECT ids.id, chat.session_id, chat.id, coalesce(before.id, chat.tip_id),
                 CASE ids.n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, repeat('Some **words** of this message. ', 20)
            FROM chat, ids LEFT JOIN ids before ON before.n = ids.n - 1 ORDER BY ids.n
        )
        UPDATE chats SET tip_id = (SELECT id FROM ids WHERE n = $2) WHERE id = $1
        """,
        chat.removeprefix("/chats/"),
        count,
    )


def cpu_seconds(service: Service) -> float:
    """CPU time of the process so far."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
