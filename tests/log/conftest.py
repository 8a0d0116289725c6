"""The log's functions in a database of their own."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.log.harness import LogHarness
from tests.stack import Cluster

# Failed assertions in these modules show values, like those of tests.
pytest.register_assert_rewrite("tests.log.machine", "tests.log.appends", "tests.log.two_writers")


@pytest.fixture
async def database(cluster: Cluster) -> str:
    return await cluster.new_database()


@pytest.fixture
def harness(cluster: Cluster, database: str) -> Iterator[LogHarness]:
    harness = LogHarness(
        cluster.runtime_url(database), urlsplit(cluster.superuser_url)._replace(path=f"/{database}").geturl()
    )
    yield harness
    harness.close()
