"""A model server that neither keeps its streams nor continues a text: what was lost is begun anew, and that is said."""

import signal
import time
from collections.abc import AsyncIterator

import pytest

from tests.chaos.browser_tab import BrowserTab, watched
from tests.chaos.conftest import ROUNDS
from tests.chaos.fault_injector import REPLICAS, FaultInjector, random_pause
from tests.chaos.model_server import script, text
from tests.stack import until
from tests.system.user import User

ANSWER_SECONDS = 2.0
BEGUN_ANEW = "The model server was lost, so the answer was begun anew."


@pytest.fixture
async def plain(faults: FaultInjector) -> AsyncIterator[None]:
    """In place of the usual one, and long enough gone that everybody has noticed."""
    await replace(faults, "--no-replay")
    yield
    await replace(faults)


async def replace(faults: FaultInjector, *options: str) -> None:
    await faults.model.kill()
    for replica in REPLICAS:
        await until(lambda replica=replica: misses_its_model(faults, replica))  # type: ignore[misc]
    await faults.model.start(*options)
    await faults.is_whole()


async def misses_its_model(faults: FaultInjector, replica: str) -> bool:
    return not await faults.is_ready(replica)


@pytest.mark.usefixtures("plain")
async def test_an_answer_that_is_lost_is_begun_anew_and_says_so(faults: FaultInjector, ada: User, gaps: dict[str, list[float]]) -> None:
    for how in (signal.SIGKILL, signal.SIGTERM)[: max(1, ROUNDS)]:
        answer = text(8)
        asked = script(answer, ANSWER_SECONDS)
        path = await ada.say(asked)
        tab = await BrowserTab(ada.http, path).load()

        async with watched(tab):
            await random_pause(ANSWER_SECONDS * 0.7, 0.4)
            writer = await faults.writer(path)
            pid, done_at = faults.pid(writer), time.monotonic()
            faults.send(writer, how)

        await faults.exact(ada, path, answer, tab)
        assert any(BEGUN_ANEW in remark for remark in tab.remarks)
        assert [len(body["messages"][-1:]) for body in await faults.model.asked(asked)] == [1, 1]
        assert all(body["messages"][-1]["role"] == "user" for body in await faults.model.asked(asked))
        gaps.setdefault(f"{how.name}, begun anew", []).append(tab.gap(done_at))
        await faults.replaced(writer, pid)
        await until(faults.model.is_idle)
