"""One `make dev` for all tests of this folder, with the real llama.cpp and the small model."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.system.running import Runnel, running
from tests.system.user import User, user

SLOTS, TOKENS = 2, 80
# llama.cpp's threads wait for each other: with one thread it does not stall when other processes use the cores
MODEL = {"LLAMA_SLOTS": str(SLOTS), "LLAMA_THREADS": "1", "MAX_TOKENS": str(TOKENS), "TITLES": "on"}


@pytest.fixture(scope="session")
def runnel() -> Iterator[Runnel]:
    with running(**MODEL) as runnel:
        yield runnel


@pytest.fixture
async def ada(runnel: Runnel) -> AsyncIterator[User]:
    """A user with a new chat."""
    async with user(runnel.origin) as ada:
        await ada.begin()
        yield ada


@pytest.fixture
async def eve(runnel: Runnel) -> AsyncIterator[User]:
    """A user in another session, with another chat."""
    async with user(runnel.origin) as eve:
        await eve.begin("Eve")
        yield eve
