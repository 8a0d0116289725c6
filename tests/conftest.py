"""What tests of several services share: one PostgreSQL for all, and the services as processes. See tests/stack.py."""

from collections.abc import AsyncIterator

import pytest

from tests.stack import Cluster, House, running_cluster, running_house


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def house(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """With dbapi, and no web process yet."""
    async with running_house(cluster, tmp_path_factory.mktemp("house")) as house:
        yield house
