"""Web processes with their services, a scripted model server, and visitors."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from tests.stack import Cluster, Service, Stack, running_stack, until
from tests.web.visitor import Model, Visitor

# Failed assertions in these helpers show values, like those of tests.
pytest.register_assert_rewrite("tests.web.answer_scripts", "tests.web.block_viewer", "tests.web.sanitized_html")


@pytest.fixture(scope="session")
async def default_web(stack: Stack) -> Service:
    return await stack.web()


@pytest.fixture
async def model(stack: Stack) -> AsyncIterator[Model]:
    """The scripted model server, reset before and after the test."""
    model = Model(stack.llama)
    await model.reset()
    yield model
    await model.reset()
    await model.http.aclose()


@pytest.fixture
async def web(stack: Stack, default_web: Service, model: Model) -> AsyncIterator[Service]:
    """A web process with the default settings. The test fails if any process logs an unexpected exception."""
    await until(default_web.is_ready, default_web.log_tail)
    before = {service: service.logged for service in stack.services}
    yield default_web
    unexpected_errors = [
        line for service in stack.services for line in service.lines(before.get(service, 0)) if "error" in line
    ]
    assert unexpected_errors == []


@pytest.fixture
async def visitors(web: Service) -> AsyncIterator[Callable[..., Visitor]]:
    """Creates visitors, each with its own session, of the default web process or another."""
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
    """A visitor with another session."""
    return visitors()


@pytest.fixture(scope="session")
async def second_web(stack: Stack) -> Service:
    """Another web process."""
    return await stack.web()


@pytest.fixture
async def elsewhere(web: Service, second_web: Service, visitors: Callable[..., Visitor]) -> Visitor:
    """A visitor without a session, at another replica."""
    visitor: Visitor = visitors(second_web)
    return visitor


@pytest.fixture
async def owner(stack: Stack) -> AsyncIterator[Any]:
    """A database connection of the tables' owner, which row-level security does not restrict."""
    connection = await asyncpg.connect(stack.cluster.owner_url(stack.database))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def single_slot_stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack whose model writes one answer at a time."""
    async with running_stack(cluster, tmp_path_factory.mktemp("narrow"), slots=1) as stack:
        await stack.web()
        yield stack


@pytest.fixture
async def queued_visitor(single_slot_stack: Stack) -> AsyncIterator[Visitor]:
    """A visitor of the stack with one slot."""
    visitor = Visitor(single_slot_stack.services[-1])
    yield visitor
    await visitor.leave()
