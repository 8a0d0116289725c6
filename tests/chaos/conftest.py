"""One Runnel with two web processes and a scripted model server, shared by all tests of this folder."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.chaos.fault_injector import SILENCE_SECONDS, FaultInjector
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
    limit = str(SILENCE_SECONDS)
    try:
        limits = {
            "FIRST_TOKEN_SECONDS": limit,
            "TOKEN_SECONDS": limit,
            "MAX_TOKENS": "5000",
            "TITLES": "off",
            "STREAMS_PER_ADDRESS": "0",
            "WRITES_PER_ADDRESS": "0",
        } | NO_LIMITS
        with running(WEB_REPLICAS="2", LLAMA_URL=model.url, PING_SECONDS="1", **limits) as runnel:
            yield FaultInjector(runnel, model)
    finally:
        await model.kill()


@pytest.fixture(autouse=True)
async def all_services_ready(faults: FaultInjector) -> AsyncIterator[None]:
    """Waits until all services are ready before and after each test."""
    await faults.wait_until_ready()
    yield
    await faults.wait_until_ready()
    assert faults.new_tracebacks() == []


@pytest.fixture
async def ada(faults: FaultInjector) -> AsyncIterator[User]:
    """A user in a new chat."""
    async with user(faults.origin) as ada:
        await ada.begin()
        yield ada


@pytest.fixture
async def eve(faults: FaultInjector) -> AsyncIterator[User]:
    """A user of another session, in a new chat."""
    async with user(faults.origin) as eve:
        await eve.begin("Eve")
        yield eve


@pytest.fixture(scope="session")
def gaps() -> Iterator[dict[str, list[float]]]:
    """Seconds without new text for viewers, by kind of fault; printed at the end."""
    gaps: dict[str, list[float]] = {}
    yield gaps
    for what, seconds in gaps.items():
        ordered = sorted(seconds)
        print(
            f"\n{what}: {len(ordered)} times, gap p50 {ordered[len(ordered) // 2]:.2f} s, longest {ordered[-1]:.2f} s"
        )
