"""Services die or freeze during an answer: it is finished, or ends with an error message and all its text."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from tests.chaos.browser_tab import BrowserTab, watched
from tests.chaos.conftest import ROUNDS
from tests.chaos.fault_injector import REPLICAS, SILENCE_SECONDS, FaultInjector, random_pause
from tests.chaos.model_server import script, text
from tests.stack import client, until
from tests.system.user import User

ANSWER_SECONDS = 2.5
REFUSED_WITHIN_SECONDS = 3.5  # the deadline of a call, and some tolerance


async def dbapi_is_killed(faults: FaultInjector) -> None:
    pid = faults.pid("dbapi-1")
    faults.send("dbapi-1", signal.SIGKILL)
    await faults.replaced("dbapi-1", pid)


async def dbapi_is_terminated(faults: FaultInjector) -> None:
    pid = faults.pid("dbapi-1")
    faults.send("dbapi-1", signal.SIGTERM)
    await faults.replaced("dbapi-1", pid)


async def postgresql_crashes(faults: FaultInjector) -> None:
    """Like `pg_ctl stop -m immediate`: only what is in the write-ahead log survives."""
    pid = faults.pid("postgres")
    faults.send("postgres", signal.SIGQUIT)
    await until(lambda: faults.pid("postgres") != pid)


async def nginx_workers_are_killed(faults: FaultInjector) -> None:
    for worker in faults.children("nginx"):
        os.kill(worker, signal.SIGKILL)


async def everything_but_the_model_is_killed(faults: FaultInjector) -> None:
    faults.send("postgres", signal.SIGQUIT)
    for service in ("dbapi-1", *REPLICAS):
        faults.send(service, signal.SIGKILL)


ACCIDENTS = [
    dbapi_is_killed,
    dbapi_is_terminated,
    postgresql_crashes,
    nginx_workers_are_killed,
    everything_but_the_model_is_killed,
]


@pytest.mark.parametrize("moment", range(max(1, ROUNDS // 5)))
@pytest.mark.parametrize("happens", ACCIDENTS, ids=lambda accident: accident.__name__)
async def test_an_answer_is_finished_although(
    faults: FaultInjector,
    ada: User,
    gaps: dict[str, list[float]],
    happens: Callable[[FaultInjector], Awaitable[None]],
    moment: int,
) -> None:
    answer = text()
    question = script(answer, ANSWER_SECONDS)
    path = await ada.say(question)
    tabs = [await BrowserTab(ada.http, path, answer).load() for _ in range(2)]

    async with watched(*tabs):
        await random_pause(ANSWER_SECONDS * 0.8, 0.3)
        began = time.monotonic()
        await happens(faults)

    await faults.exact(ada, path, answer, *tabs)
    assert len(await faults.model.requests_of(question)) == 1
    gaps.setdefault(happens.__name__, []).append(max(tab.gap(began) for tab in tabs))


@pytest.mark.parametrize("moment", range(max(1, ROUNDS // 5)))
async def test_an_answer_continues_after_the_model_server_was_killed(
    faults: FaultInjector, ada: User, moment: int
) -> None:
    answer = text()
    question = script(answer, ANSWER_SECONDS)
    path = await ada.say(question)
    tab = await BrowserTab(ada.http, path, answer).load()

    async with watched(tab):
        await random_pause(ANSWER_SECONDS * 0.8, 0.3)
        await faults.model.kill()
        await random_pause(1.0)
        await faults.model.start()

    await faults.exact(ada, path, answer, tab)
    (again,) = await faults.model.requests_of(question)
    prefix = again["messages"][-1]["content"]
    assert again["continue_final_message"]
    assert answer.startswith(prefix)
    assert prefix


async def test_a_frozen_database_service_gives_an_error_and_stores_nothing_twice(
    faults: FaultInjector, ada: User
) -> None:
    """A request sent while it was frozen may still be executed later; its id keeps the message unique."""
    answer, words = text(), text(3)
    running = await ada.say(script(answer, 8))
    chat = await ada.begin()
    form = {"content": script(words, 0.2), "message_id": str(uuid4())}
    tab = await BrowserTab(ada.http, running, answer).load()

    async with watched(tab):
        await random_pause(0.5, 0.2)
        async with faults.frozen("dbapi-1"):
            began = time.monotonic()
            refused = await ada.http.post(f"{chat}/messages", data=form, headers={"HX-Request": "true"})
            seconds = time.monotonic() - began
            await asyncio.sleep(max(0.0, 5 - seconds))
        accepted = await ada.http.post(f"{chat}/messages", data=form)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "3")
    assert seconds < REFUSED_WITHIN_SECONDS
    assert accepted.status_code == 303
    await ada.ended(f"{chat}/messages/{accepted.headers['Location'].partition('#message-')[2]}")
    assert [message["content"] for message in await ada.messages(chat)][1:] == [form["content"], words]
    await faults.exact(ada, running, answer, tab)


async def test_an_answer_waits_for_a_briefly_frozen_model_server(faults: FaultInjector, ada: User) -> None:
    answer = text()
    question = script(answer, ANSWER_SECONDS)
    path = await ada.say(question)
    tab = await BrowserTab(ada.http, path, answer).load()

    async with watched(tab):
        await random_pause(1.0, 0.3)
        faults.model.send(signal.SIGSTOP)
        before = tab.pings
        await asyncio.sleep(SILENCE_SECONDS - 1.2)
        heard = tab.pings - before
        faults.model.send(signal.SIGCONT)

    assert heard >= 1, "the tab received pings"
    await faults.exact(ada, path, answer, tab)
    assert len(await faults.model.requests_of(question)) == 1


async def test_a_long_frozen_model_server_ends_the_answer_and_keeps_its_text(faults: FaultInjector, ada: User) -> None:
    answer = text()
    path = await ada.say(script(answer, 3))
    tab = await BrowserTab(ada.http, path, answer).load()

    try:
        async with watched(tab):
            await random_pause(1.0, 0.3)
            faults.model.send(signal.SIGSTOP)
    finally:
        faults.model.send(signal.SIGCONT)

    message = await ada.look(path)
    assert message["status"] == "failed"
    assert message["error"].startswith("The model stopped in the middle of its answer.")
    assert message["error"] in tab.remark
    assert answer.startswith(message["content"])
    assert message["content"]
    assert tab.content == (await BrowserTab(ada.http, path).load()).content
    await until(faults.model.is_idle)


async def test_a_timed_out_request_frees_its_slot_at_the_model(faults: FaultInjector, ada: User) -> None:
    never = await ada.say(script(text(), 1, hang_after=-1))
    await ada.begin()
    silent = await ada.say(script(text(), 1, hang_after=10))
    await until(faults.model.is_idle, seconds=SILENCE_SECONDS + 3)

    assert [(await ada.ended(path))["status"] for path in (never, silent)] == ["failed", "failed"]


async def test_the_chat_page_works_without_the_model_server(faults: FaultInjector, ada: User) -> None:
    await faults.model.kill()
    try:
        began = time.monotonic()
        async with client(faults.origin, cookies=ada.http.cookies) as http:
            pages = [(await http.get(address)).status_code for address in ("/", ada.chat, f"{ada.chat}.json")]
        seconds = time.monotonic() - began
    finally:
        await faults.model.start()

    assert pages == [200, 200, 200]
    assert seconds < 2
