"""What tests of several services share: one PostgreSQL for all, and the services as processes. See tests/stack.py."""

from collections.abc import AsyncIterator

import pytest

from tests.stack import Cluster, Stack, running_cluster, running_stack


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """With dbapi, and no web process yet."""
    async with running_stack(cluster, tmp_path_factory.mktemp("stack")) as stack:
        yield stack
