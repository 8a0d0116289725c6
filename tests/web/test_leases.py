"""Leases of answers: renewed while the model is silent, lost and taken again by a process without CPU time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.stack import Cluster, Stack, running_stack, until
from tests.web.visitor import Visitor


@pytest.fixture
async def starved_stack(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack with only one web process."""
    async with running_stack(cluster, tmp_path) as stack:
        await stack.web()
        yield stack


async def test_a_starved_process_that_loses_leases_repeatedly_finishes_its_answers(starved_stack: Stack) -> None:
    visitor = Visitor(starved_stack.services[-1])
    owner = await asyncpg.connect(starved_stack.cluster.owner_url(starved_stack.database))
    chat = await visitor.begin()
    message = await visitor.say(chat, {"text": "at last", "first_delay_ms": 4000})
    fence = 0

    async def expired() -> bool:
        await owner.execute(
            "UPDATE generations SET lease_until = '-infinity' WHERE message_id = $1 AND status = 'streaming'", message
        )
        await owner.execute("NOTIFY runnel_work")
        return int(await owner.fetchval("SELECT fence FROM generations WHERE message_id = $1", message)) > fence

    for _ in range(8):
        await until(expired)
        fence = await owner.fetchval("SELECT fence FROM generations WHERE message_id = $1", message)

    assert (await visitor.ended(chat, message))["content"] == "at last"
    assert await owner.fetchval("SELECT attempts FROM generations WHERE message_id = $1", message) > 5
    await owner.close()


async def test_a_process_renews_the_leases_of_silent_answers_in_time(cluster: Cluster, tmp_path: Path) -> None:
    """The answers start at different moments between two renewals."""
    renew_seconds, lease_seconds = 2.0, 60.0
    shortest = "SELECT extract(epoch FROM min(lease_until) - clock_timestamp())::float FROM generations"
    async with running_stack(cluster, tmp_path) as stack:
        web = await stack.web(RENEW_SECONDS=str(renew_seconds), LEASE_SECONDS=str(lease_seconds))
        visitor, owner = Visitor(web), await asyncpg.connect(cluster.owner_url(stack.database))
        for chat in [await visitor.begin() for _ in range(8)]:
            await visitor.say(chat, {"text": "late", "first_delay_ms": 30_000})
            await asyncio.sleep(0.1)
        oldest = 0.0
        for _ in range(50):
            oldest = max(oldest, lease_seconds - await owner.fetchval(shortest))
            await asyncio.sleep(0.1)
        await owner.close()

    assert renew_seconds / 2 < oldest < renew_seconds + 0.5
