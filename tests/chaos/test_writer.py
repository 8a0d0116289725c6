"""The process that writes an answer dies, leaves or sleeps: others go on at the exact character."""

import asyncio
import signal
import time

import pytest

from tests.chaos.browser_tab import BrowserTab, watched
from tests.chaos.conftest import ROUNDS
from tests.chaos.fault_injector import BACK_SECONDS, LEASE_SECONDS, REPLICAS, SECONDS_OF_SILENCE, FaultInjector, random_pause
from tests.chaos.model_server import script, text
from tests.stack import client
from tests.system.user import User

ANSWER_SECONDS = 2.5


@pytest.mark.parametrize("moment", range(ROUNDS))
@pytest.mark.parametrize(("how", "longest"), [(signal.SIGKILL, BACK_SECONDS), (signal.SIGTERM, 1.0)], ids=["killed", "asked to leave"])
async def test_an_answer_goes_on_soon_when_its_writer_is(
    faults: FaultInjector, ada: User, gaps: dict[str, list[float]], how: signal.Signals, longest: float, moment: int
) -> None:
    """In the tabs that are open, at the exact character, and without asking the model again."""
    answer = text()
    asked = script(answer, ANSWER_SECONDS)
    path = await ada.say(asked)
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
    assert len(await faults.model.asked(asked)) == 1
    assert await faults.query("SELECT fence FROM generations WHERE message_id = $1", path.rpartition("/")[2]) == 2
    await faults.replaced(writer, pid)


async def test_a_rolling_restart_under_twenty_answers_loses_none(faults: FaultInjector, ada: User, gaps: dict[str, list[float]]) -> None:
    answers = [text(6) for _ in range(20)]
    scripts = [script(answer, 7) for answer in answers]
    paths, tabs = [], []
    for answer, asked in zip(answers, scripts, strict=True):
        await ada.begin()
        paths.append(await ada.say(asked))
        tabs.append(await BrowserTab(ada.http, paths[-1], answer).load())

    async with watched(*tabs):
        began = time.monotonic()
        for replica in REPLICAS:
            pid = faults.pid(replica)
            faults.send(replica, signal.SIGTERM)
            await faults.replaced(replica, pid)
        restarted = time.monotonic()
        running = sum(not tab.is_done for tab in tabs)

    for path, answer, asked, tab in zip(paths, answers, scripts, tabs, strict=True):
        await faults.exact(ada, path, answer, tab)
        assert len(await faults.model.asked(asked)) == 1
    assert running == 20, f"some had ended before both were restarted, which took {restarted - began:.1f} s"
    gaps.setdefault("rolling restart", []).extend(tab.gap(began) for tab in tabs)


async def test_a_writer_that_sleeps_longer_than_its_lease_can_write_no_more(faults: FaultInjector, ada: User) -> None:
    answer = text()
    asked = script(answer, SECONDS_OF_SILENCE + 3)
    path = await ada.say(asked)
    sleeper = await faults.writer(path)
    async with faults.at(ada, sleeper) as beside, faults.at(ada, faults.other(sleeper)) as elsewhere:
        tabs = [await BrowserTab(http, path, answer).load() for http in (beside, elsewhere)]

        async with watched(*tabs):
            await random_pause(0.6, 0.2)
            async with faults.frozen(sleeper):
                slept_at = time.monotonic()
                await asyncio.sleep(SECONDS_OF_SILENCE + 1)  # so that it also believes the model to be dead
                woke_at = time.monotonic()

        await faults.exact(ada, path, answer, *tabs)
    assert tabs[1].gap(slept_at, woke_at) < BACK_SECONDS
    assert [moment for moment in tabs[1].moments if moment < woke_at and moment > slept_at + 1], "nobody went on while it slept"
    assert await faults.query("SELECT fence FROM generations WHERE message_id = $1", path.rpartition("/")[2]) == 2
    assert len(await faults.model.asked(asked)) == 1


async def test_a_writer_that_sleeps_less_than_its_lease_goes_on(faults: FaultInjector, ada: User) -> None:
    answer = text()
    path = await ada.say(script(answer, 3))
    writer = await faults.writer(path)
    async with faults.at(ada, writer) as beside:
        tab = await BrowserTab(beside, path, answer).load()

        async with watched(tab):
            await random_pause(0.6, 0.2)
            async with faults.frozen(writer):
                await asyncio.sleep(LEASE_SECONDS / 3)

        await faults.exact(ada, path, answer, tab)
    assert await faults.query("SELECT fence FROM generations WHERE message_id = $1", path.rpartition("/")[2]) == 1


async def test_both_die_and_the_answer_goes_on_after_their_restart(faults: FaultInjector, ada: User) -> None:
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
