"""The process that writes an answer dies, stops or freezes: others continue at the exact character."""

import asyncio
import signal
import time

import pytest

from tests.chaos.browser_tab import BrowserTab, watched
from tests.chaos.conftest import ROUNDS
from tests.chaos.fault_injector import (
    LEASE_SECONDS,
    MAX_GAP_SECONDS,
    REPLICAS,
    SILENCE_SECONDS,
    FaultInjector,
    random_pause,
)
from tests.chaos.model_server import script, text
from tests.stack import client
from tests.system.user import User

ANSWER_SECONDS = 2.5


@pytest.mark.parametrize("moment", range(ROUNDS))
@pytest.mark.parametrize(
    ("how", "longest"), [(signal.SIGKILL, MAX_GAP_SECONDS), (signal.SIGTERM, 1.0)], ids=["killed", "terminated"]
)
async def test_an_answer_continues_soon_when_its_writer_is(
    faults: FaultInjector, ada: User, gaps: dict[str, list[float]], how: signal.Signals, longest: float, moment: int
) -> None:
    """In all open tabs, at the exact character, without a new request to the model."""
    answer = text()
    question = script(answer, ANSWER_SECONDS)
    path = await ada.say(question)
    tabs = [await BrowserTab(ada.http, path, answer).load() for _ in range(2)]

    async with watched(*tabs):
        await random_pause(ANSWER_SECONDS * 0.8)
        writer = await faults.writer(path)
        pid, done_at = faults.pid(writer), time.monotonic()
        faults.send(writer, how)

    await faults.exact(ada, path, answer, *tabs)
    gap = max(tab.gap(done_at) for tab in tabs)
    gaps.setdefault(how.name, []).append(gap)
    assert gap < longest
    assert len(await faults.model.requests_of(question)) == 1
    assert await faults.query("SELECT fence FROM generations WHERE message_id = $1", path.rpartition("/")[2]) == 2
    await faults.replaced(writer, pid)


async def test_a_rolling_restart_under_twenty_answers_loses_none(
    faults: FaultInjector, ada: User, gaps: dict[str, list[float]]
) -> None:
    answers = [text(6) for _ in range(20)]
    scripts = [script(answer, 15) for answer in answers]  # two restarts take 3 s, on a busy machine 9 s
    paths, tabs = [], []
    for answer, question in zip(answers, scripts, strict=True):
        await ada.begin()
        paths.append(await ada.say(question))
        tabs.append(await BrowserTab(ada.http, paths[-1], answer).load())

    async with watched(*tabs):
        began = time.monotonic()
        for replica in REPLICAS:
            pid = faults.pid(replica)
            faults.send(replica, signal.SIGTERM)
            await faults.replaced(replica, pid)
        restarted = time.monotonic()
        running = sum(not tab.is_done for tab in tabs)

    for path, answer, question, tab in zip(paths, answers, scripts, tabs, strict=True):
        await faults.exact(ada, path, answer, tab)
        assert len(await faults.model.requests_of(question)) == 1
    assert running == 20, f"some had ended before both were restarted, which took {restarted - began:.1f} s"
    gaps.setdefault("rolling restart", []).extend(tab.gap(began) for tab in tabs)


async def test_a_writer_frozen_longer_than_its_lease_cannot_write(faults: FaultInjector, ada: User) -> None:
    answer = text()
    question = script(answer, SILENCE_SECONDS + 3)
    path = await ada.say(question)
    sleeper = await faults.writer(path)
    async with faults.at(ada, sleeper) as same_replica, faults.at(ada, faults.other(sleeper)) as other_replica:
        tabs = [await BrowserTab(http, path, answer).load() for http in (same_replica, other_replica)]

        async with watched(*tabs):
            await random_pause(0.6, 0.2)
            async with faults.frozen(sleeper):
                slept_at = time.monotonic()
                await asyncio.sleep(SILENCE_SECONDS + 1)  # so that it also considers the model dead
                woke_at = time.monotonic()

        await faults.exact(ada, path, answer, *tabs)
    assert tabs[1].gap(slept_at, woke_at) < MAX_GAP_SECONDS
    assert [moment for moment in tabs[1].moments if moment < woke_at and moment > slept_at + 1], (
        "no process continued while it slept"
    )
    assert await faults.query("SELECT fence FROM generations WHERE message_id = $1", path.rpartition("/")[2]) == 2
    assert len(await faults.model.requests_of(question)) == 1


async def test_a_writer_frozen_shorter_than_its_lease_continues(faults: FaultInjector, ada: User) -> None:
    answer = text()
    path = await ada.say(script(answer, 3))
    writer = await faults.writer(path)
    async with faults.at(ada, writer) as same_replica:
        tab = await BrowserTab(same_replica, path, answer).load()

        async with watched(tab):
            await random_pause(0.6, 0.2)
            async with faults.frozen(writer):
                await asyncio.sleep(LEASE_SECONDS / 3)

        await faults.exact(ada, path, answer, tab)
    assert await faults.query("SELECT fence FROM generations WHERE message_id = $1", path.rpartition("/")[2]) == 1


async def test_an_answer_continues_after_both_replicas_restart(faults: FaultInjector, ada: User) -> None:
    answer = text()
    path = await ada.say(script(answer, 3))
    tab = await BrowserTab(ada.http, path, answer).load()

    async with watched(tab):
        await random_pause(1.5, 0.3)
        for replica in REPLICAS:
            faults.send(replica, signal.SIGKILL)

    await faults.exact(ada, path, answer, tab)
    async with client(faults.origin) as http:
        assert (await http.get("/readyz")).status_code == 200
