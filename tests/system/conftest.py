"""One Runnel for all tests of this folder, with the real llama.cpp and its small model."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.system.running import Runnel, running
from tests.system.user import User, user

SLOTS, TOKENS = 2, 80
# One thread: several that share their cores with anything else wait for each other most of the time
MODEL = {"LLAMA_SLOTS": str(SLOTS), "LLAMA_THREADS": "1", "MAX_TOKENS": str(TOKENS)}


@pytest.fixture(scope="session")
def runnel() -> Iterator[Runnel]:
    with running(**MODEL) as runnel:
        yield runnel


@pytest.fixture
async def ada(runnel: Runnel) -> AsyncIterator[User]:
    """In a new chat."""
    async with user(runnel.origin) as ada:
        await ada.begin()
        yield ada


@pytest.fixture
async def eve(runnel: Runnel) -> AsyncIterator[User]:
    """In another session, with a chat of her own."""
    async with user(runnel.origin) as eve:
        await eve.begin("Eve")
        yield eve
