"""Fixtures for the tests of several services: one PostgreSQL, and the services as processes. See tests/stack.py."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests import parallel
from tests.stack import Cluster, Stack, running_cluster, running_stack

parallel.reserve_ports()
# How long an example takes depends on what else the machine does
settings.register_profile("runnel", deadline=None)
settings.load_profile("runnel")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: parallel.order(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> parallel.WholeFiles:
    return parallel.WholeFiles(config, log)


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """With dbapi, and no web process yet."""
    async with running_stack(cluster, tmp_path_factory.mktemp("stack")) as stack:
        yield stack
