"""One Runnel with two web processes and a scripted model server, for all tests of this folder: they leave it whole."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.chaos.fault_injector import SECONDS_OF_SILENCE, FaultInjector
from tests.chaos.model_server import ModelServer
from tests.stack import NO_LIMITS
from tests.system.running import running
from tests.system.user import User, user

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "3"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.fixture(scope="session")
async def faults(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaultInjector]:
    model = ModelServer(tmp_path_factory.mktemp("model") / "log")
    await model.start()
    limit = str(SECONDS_OF_SILENCE)
    try:
        limits = {
            "FIRST_TOKEN_SECONDS": limit,
            "TOKEN_SECONDS": limit,
            "MAX_TOKENS": "5000",
            "STREAMS_PER_ADDRESS": "0",
            "WRITES_PER_ADDRESS": "0",
        } | NO_LIMITS
        with running(WEB_REPLICAS="2", LLAMA_URL=model.url, PING_SECONDS="1", **limits) as runnel:
            yield FaultInjector(runnel, model)
    finally:
        await model.kill()


@pytest.fixture(autouse=True)
async def wholeness(faults: FaultInjector) -> AsyncIterator[None]:
    """What a test has broken is whole again before the next."""
    await faults.is_whole()
    yield
    await faults.is_whole()
    assert faults.unexpected() == []


@pytest.fixture
async def ada(faults: FaultInjector) -> AsyncIterator[User]:
    """In a new chat."""
    async with user(faults.origin) as ada:
        await ada.begin()
        yield ada


@pytest.fixture
async def eve(faults: FaultInjector) -> AsyncIterator[User]:
    """In another session, with a chat of her own."""
    async with user(faults.origin) as eve:
        await eve.begin("Eve")
        yield eve


@pytest.fixture(scope="session")
def gaps() -> Iterator[dict[str, list[float]]]:
    """How long viewers saw nothing new, by what was done; told at the end."""
    gaps: dict[str, list[float]] = {}
    yield gaps
    for what, seconds in gaps.items():
        ordered = sorted(seconds)
        print(f"\n{what}: {len(ordered)} times, gap p50 {ordered[len(ordered) // 2]:.2f} s, longest {ordered[-1]:.2f} s")
