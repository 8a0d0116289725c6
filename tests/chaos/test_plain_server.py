"""A model server that can neither replay nor continue a text: a lost answer restarts, and the page shows it."""

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
RESTARTED = "The model server was lost, so the answer was restarted."


@pytest.fixture
async def plain(faults: FaultInjector) -> AsyncIterator[None]:
    """Replaces the model server, and stays down until every replica has noticed."""
    await replace(faults, "--no-replay")
    yield
    await replace(faults)


async def replace(faults: FaultInjector, *options: str) -> None:
    await faults.model.kill()
    for replica in REPLICAS:
        await until(lambda replica=replica: misses_its_model(faults, replica))  # type: ignore[misc]
    await faults.model.start(*options)
    await faults.wait_until_ready()


async def misses_its_model(faults: FaultInjector, replica: str) -> bool:
    return not await faults.is_ready(replica)


@pytest.mark.usefixtures("plain")
async def test_a_lost_answer_restarts_and_shows_it(
    faults: FaultInjector, ada: User, gaps: dict[str, list[float]]
) -> None:
    for how in (signal.SIGKILL, signal.SIGTERM)[: max(1, ROUNDS)]:
        answer = text(8)
        question = script(answer, ANSWER_SECONDS)
        path = await ada.say(question)
        tab = await BrowserTab(ada.http, path).load()

        async with watched(tab):
            await random_pause(ANSWER_SECONDS * 0.7, 0.4)
            writer = await faults.writer(path)
            pid, done_at = faults.pid(writer), time.monotonic()
            faults.send(writer, how)

        await faults.exact(ada, path, answer, tab)
        assert any(RESTARTED in remark for remark in tab.remarks)
        assert [len(body["messages"][-1:]) for body in await faults.model.requests_of(question)] == [1, 1]
        assert all(body["messages"][-1]["role"] == "user" for body in await faults.model.requests_of(question))
        gaps.setdefault(f"{how.name}, restarted", []).append(tab.gap(done_at))
        await faults.replaced(writer, pid)
        await until(faults.model.is_idle)
