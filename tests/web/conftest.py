"""Web processes with all that belongs to them, a model server that follows scripts, and visitors."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from tests.stack import Cluster, House, Service, running_house, until
from tests.web.visitor import Model, Visitor

pytest.register_assert_rewrite("tests.web.answers", "tests.web.rendered")  # what they find wrong is told as fully as by a test


@pytest.fixture(scope="session")
async def usual_web(house: House) -> Service:
    return await house.web()


@pytest.fixture
async def model(house: House) -> AsyncIterator[Model]:
    """With the settings it began with, and nothing asked yet."""
    model = Model(house.llama)
    await model.reset()
    yield model
    await model.reset()
    await model.http.aclose()


@pytest.fixture
async def web(house: House, usual_web: Service, model: Model) -> AsyncIterator[Service]:
    """A web process with the usual settings. Whatever a test does, no process may meet an exception that it did not expect."""
    await until(usual_web.is_ready, usual_web.say_why)
    before = {service: service.logged for service in house.services}
    yield usual_web
    surprises = [line for service in house.services for line in service.lines(before.get(service, 0)) if "error" in line]
    assert surprises == []


@pytest.fixture
async def visitors(web: Service) -> AsyncIterator[Callable[..., Visitor]]:
    """Makes visitors, each of a session of its own, of the usual web process or another."""
    made: list[Visitor] = []

    def visitor(at: Service = web) -> Visitor:
        made.append(Visitor(at))
        return made[-1]

    yield visitor
    for each in made:
        await each.leave()


@pytest.fixture
async def visitor(visitors: Callable[..., Visitor]) -> Visitor:
    return visitors()


@pytest.fixture
async def other(visitors: Callable[..., Visitor]) -> Visitor:
    """Of another session."""
    return visitors()


@pytest.fixture
async def owner(house: House) -> AsyncIterator[Any]:
    """A connection of the tables' owner, who sees everything."""
    connection = await asyncpg.connect(house.cluster.owner_url(house.database))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def narrow_house(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Where the model writes one answer at a time."""
    async with running_house(cluster, tmp_path_factory.mktemp("narrow"), slots=1) as house:
        await house.web()
        yield house


@pytest.fixture
async def queuer(narrow_house: House) -> AsyncIterator[Visitor]:
    """A visitor of that house."""
    visitor = Visitor(narrow_house.services[-1])
    yield visitor
    await visitor.leave()
