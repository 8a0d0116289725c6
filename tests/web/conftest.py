"""Web processes with all that belongs to them, a model server that follows scripts, and visitors."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from tests.stack import Cluster, Service, Stack, running_stack, until
from tests.web.visitor import Model, Visitor

pytest.register_assert_rewrite("tests.web.answers", "tests.web.rendered")  # what they find wrong is told as fully as by a test


@pytest.fixture(scope="session")
async def usual_web(stack: Stack) -> Service:
    return await stack.web()


@pytest.fixture
async def model(stack: Stack) -> AsyncIterator[Model]:
    """With the settings it began with, and nothing asked yet."""
    model = Model(stack.llama)
    await model.reset()
    yield model
    await model.reset()
    await model.http.aclose()


@pytest.fixture
async def web(stack: Stack, usual_web: Service, model: Model) -> AsyncIterator[Service]:
    """A web process with the usual settings. Whatever a test does, no process may meet an exception that it did not expect."""
    await until(usual_web.is_ready, usual_web.say_why)
    before = {service: service.logged for service in stack.services}
    yield usual_web
    surprises = [line for service in stack.services for line in service.lines(before.get(service, 0)) if "error" in line]
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
async def owner(stack: Stack) -> AsyncIterator[Any]:
    """A connection of the tables' owner, who sees everything."""
    connection = await asyncpg.connect(stack.cluster.owner_url(stack.database))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def single_slot_stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Where the model writes one answer at a time."""
    async with running_stack(cluster, tmp_path_factory.mktemp("narrow"), slots=1) as stack:
        await stack.web()
        yield stack


@pytest.fixture
async def queuer(single_slot_stack: Stack) -> AsyncIterator[Visitor]:
    """A visitor of that stack."""
    visitor = Visitor(single_slot_stack.services[-1])
    yield visitor
    await visitor.leave()
