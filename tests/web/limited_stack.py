"""A stack with low limits and two web processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.stack import NO_LIMITS, Cluster, Stack, running_stack

WRITES, ANSWERS, OF_ADDRESS, STREAMS = 8, 3, 5, 2


@asynccontextmanager
async def limited_stack(cluster: Cluster, folder: Path) -> AsyncIterator[Stack]:
    limits = {
        "WRITES_PER_SESSION": str(WRITES),
        "ANSWERS_PER_SESSION": str(ANSWERS),
        "ANSWERS_PER_ADDRESS": str(OF_ADDRESS),
        "STREAMS_PER_SESSION": str(STREAMS),
    }
    assert limits.keys() == NO_LIMITS.keys()
    async with running_stack(cluster, folder, limits, slots=2) as stack:
        await stack.web()
        await stack.web()
        yield stack
