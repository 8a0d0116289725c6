"""A model server that neither keeps its streams nor continues a text: what was lost is begun anew, and that is said."""

import signal
import time
from collections.abc import AsyncIterator

import pytest

from tests.chaos.conftest import ROUNDS
from tests.chaos.house import REPLICAS, House, a_moment
from tests.chaos.model_server import script, text
from tests.chaos.tab import Tab, watched
from tests.stack import until
from tests.system.person import Person

ANSWER_SECONDS = 2.0
BEGUN_ANEW = "The model server was lost, so the answer was begun anew."


@pytest.fixture
async def plain(house: House) -> AsyncIterator[None]:
    """In place of the usual one, and long enough gone that everybody has noticed."""
    await replace(house, "--no-replay")
    yield
    await replace(house)


async def replace(house: House, *options: str) -> None:
    await house.model.kill()
    for replica in REPLICAS:
        await until(lambda replica=replica: misses_its_model(house, replica))  # type: ignore[misc]
    await house.model.start(*options)
    await house.is_whole()


async def misses_its_model(house: House, replica: str) -> bool:
    return not await house.is_ready(replica)


@pytest.mark.usefixtures("plain")
async def test_an_answer_that_is_lost_is_begun_anew_and_says_so(house: House, ada: Person, gaps: dict[str, list[float]]) -> None:
    for how in (signal.SIGKILL, signal.SIGTERM)[: max(1, ROUNDS)]:
        answer = text(8)
        asked = script(answer, ANSWER_SECONDS)
        path = await ada.say(asked)
        tab = await Tab(ada.http, path).load()

        async with watched(tab):
            await a_moment(ANSWER_SECONDS * 0.7, 0.4)
            writer = await house.writer(path)
            pid, done_at = house.pid(writer), time.monotonic()
            house.send(writer, how)

        await house.exact(ada, path, answer, tab)
        assert any(BEGUN_ANEW in remark for remark in tab.remarks)
        assert [len(body["messages"][-1:]) for body in await house.model.asked(asked)] == [1, 1]
        assert all(body["messages"][-1]["role"] == "user" for body in await house.model.asked(asked))
        gaps.setdefault(f"{how.name}, begun anew", []).append(tab.gap(done_at))
        await house.replaced(writer, pid)
        await until(house.model.is_idle)
