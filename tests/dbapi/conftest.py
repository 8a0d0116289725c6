"""dbapi as a process with its own database, so that no web process claims the answers that a test queues."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests import stack
from tests.stack import DBAPI_KEY, NO_LIMITS, Cluster, Service

# Failed assertions in this module show values, like those of tests.
pytest.register_assert_rewrite("tests.dbapi.contract_cases")

Api = httpx.AsyncClient
CREDENTIAL = {"Authorization": f"Bearer {DBAPI_KEY}"}


@pytest.fixture(scope="session")
async def database(cluster: Cluster) -> str:
    return await cluster.new_database()


@pytest.fixture(scope="session")
async def service(cluster: Cluster, database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    environ = {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": DBAPI_KEY} | NO_LIMITS
    dbapi = await Service("dbapi", tmp_path_factory.mktemp("dbapi") / "log", environ).start()
    yield dbapi
    await dbapi.terminate()


@pytest.fixture(autouse=True)
async def no_surprises(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fails a test during which dbapi logged an error: an unexpected exception."""
    if "service" not in request.fixturenames:
        yield
        return
    service: Service = request.getfixturevalue("service")
    before = service.logged
    yield
    assert [line for line in service.lines(before) if line["level"] == "error"] == []


@pytest.fixture
async def clients(service: Service) -> AsyncIterator[Callable[[], Api]]:
    """Creates clients, each with the service credential and its own session."""
    made: list[Api] = []

    def client() -> Api:
        made.append(stack.client(service.url, headers=CREDENTIAL | {"X-Session-ID": str(uuid4())}))
        return made[-1]

    yield client
    for each in made:
        await each.aclose()


@pytest.fixture
async def api(clients: Callable[[], Api]) -> Api:
    return clients()


@pytest.fixture
async def other(clients: Callable[[], Api]) -> Api:
    """A client of another session."""
    return clients()


@pytest.fixture
async def owner(cluster: Cluster, database: str) -> AsyncIterator[Any]:
    """A connection of the tables' owner, which can read every row."""
    connection = await asyncpg.connect(cluster.owner_url(database))
    yield connection
    await connection.close()


@pytest.fixture
async def idle_log(owner: Any) -> None:
    """Ends the unfinished answers of earlier tests."""
    await owner.execute(
        "UPDATE generations SET status = 'failed', finished_at = now() WHERE status IN ('queued', 'streaming')"
    )
