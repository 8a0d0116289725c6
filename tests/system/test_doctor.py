"""`make doctor`, and the checks behind it: what is right is said to be, and everything that is made wrong is found."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dev import ports
from tests.stack import DBAPI_KEY, LOGIN, PASSWORD, SECRET_KEY, Cluster, Stack, run, running_stack, succeed, taken_ports
from tests.system.running import Runnel
from tests.web.test_guard import serving

LONG_PASSWORD = "0123456789-of-the-doctor"
OTHER_KEY = "0ther-key-of-the-tests-9876543210fedcba"


@pytest.fixture(scope="module")
async def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running_stack(cluster, tmp_path_factory.mktemp("doctor")) as stack:
        yield stack


@pytest.fixture
def healthy(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """The environment of a deployment that nothing is wrong with, but that PUBLIC_URL leads nowhere from here."""
    environ = {"PUBLIC_URL": "https://chat.test", "DBAPI_URL": stack.dbapi.url, "LLAMA_URL": stack.llama, "ENVIRONMENT": "production"}
    database = stack.cluster.runtime_url(stack.database).replace(PASSWORD, LONG_PASSWORD)
    for name, text in (("SECRET_KEYS", SECRET_KEY), ("DBAPI_KEYS", DBAPI_KEY), ("DBAPI_DATABASE_URL", database)):
        file = tmp_path / name.lower()
        file.write_text(f"{text}\n")
        file.chmod(0o640)
        environ[f"{name}_FILE"] = str(file)
    return environ


@pytest.fixture(scope="module", autouse=True)
async def long_password(cluster: Cluster, stack: Stack) -> AsyncIterator[None]:
    """The login is the whole cluster's: for other tests it becomes again what it was."""
    owner, usual = cluster.owner_url(stack.database), cluster.runtime_url(stack.database)
    await succeed("dbapi.login", DATABASE_URL=owner, DBAPI_DATABASE_URL=usual.replace(PASSWORD, LONG_PASSWORD))
    yield
    await succeed("dbapi.login", DATABASE_URL=owner, DBAPI_DATABASE_URL=usual)


async def check(service: str, environ: dict[str, str]) -> tuple[int, dict[str, list[str]]]:
    """Its exit code, and what it says by grade."""
    code, output = await run(service, "check", **environ)
    lines = [re.fullmatch(rf"{service}: (fine|look|WRONG): (.+)", line) for line in output.splitlines()]
    assert all(lines), output
    found: dict[str, list[str]] = {"fine": [], "look": [], "WRONG": []}
    for line in lines:
        assert line
        found[line[1]].append(line[2])
    return code, found


async def test_nothing_is_wrong_where_nothing_is_wrong(healthy: dict[str, str]) -> None:
    web, dbapi = await check("web", healthy), await check("dbapi", healthy)

    assert (web[0], web[1]["WRONG"], dbapi[0], dbapi[1]["WRONG"], dbapi[1]["look"]) == (0, [], 0, [], [])
    assert [line.partition(" (")[0] for line in web[1]["look"]] == ["https://chat.test can't be reached from here"]
    assert len(web[1]["fine"]) >= 5
    assert len(dbapi[1]["fine"]) >= 4


@pytest.mark.parametrize(
    ("changed", "grade", "said"),
    [
        ({"SECRET_KEYS_FILE": "", "SECRET_KEYS": "changeme"}, "WRONG", "at least 32 random characters"),
        ({"SECRET_KEYS_FILE": "", "SECRET_KEYS": "please-changeme-0123456789-abcdefghij"}, "WRONG", "the words of an example"),
        ({"SECRET_KEYS_FILE": "", "SECRET_KEYS": DBAPI_KEY}, "WRONG", "must not share a key"),
        ({"SECRET_KEYS_FILE": ""}, "WRONG", "SECRET_KEYS is not set"),
        ({"LLAMA_API_KEY": SECRET_KEY}, "WRONG", "each key has one purpose"),
        ({"SECRET_KEYS_FILE": "", "SECRET_KEYS": SECRET_KEY}, "look", "take SECRET_KEYS from files"),
        ({"DBAPI_KEYS_FILE": "", "DBAPI_KEYS": OTHER_KEY}, "WRONG", "dbapi does not accept our credential"),
        ({"DBAPI_URL": "http://127.0.0.1:9"}, "WRONG", "dbapi does not answer"),
        ({"PUBLIC_URL": "http://chat.test"}, "WRONG", "plain http"),
        ({"PUBLIC_URL": "chat.test"}, "WRONG", "has to be an address"),
        ({"ENVIRONMENT": "development"}, "WRONG", "ENVIRONMENT is development"),
        ({"LLAMA_URL": "http://127.0.0.1:9"}, "WRONG", "the model server does not answer"),
        ({"MODEL": "nothing-of-that-name"}, "WRONG", "has no model 'nothing-of-that-name'"),
        ({"BODY_BYTES": "0"}, "look", "no limit, by BODY_BYTES = 0"),
    ],
)
async def test_what_is_wrong_with_web_is_found(healthy: dict[str, str], changed: dict[str, str], grade: str, said: str) -> None:
    code, found = await check("web", healthy | changed)

    assert any(said in line for line in found[grade]), found
    assert code == (1 if grade == "WRONG" else 0)
    assert not any(secret in str(found) for secret in (SECRET_KEY, DBAPI_KEY, OTHER_KEY))


@pytest.mark.parametrize(
    ("changed", "grade", "said"),
    [
        ({"DBAPI_KEYS_FILE": "", "DBAPI_KEYS": "x" * 40}, "WRONG", "at least 32 random characters"),
        ({"DBAPI_KEYS_FILE": "", "DBAPI_KEYS": f"{DBAPI_KEY},{DBAPI_KEY}"}, "WRONG", "the same key twice"),
        ({"DBAPI_KEYS_FILE": "", "DBAPI_KEYS": f"{DBAPI_KEY},{OTHER_KEY}"}, "look", "2 service credentials are accepted"),
        ({"WRITES_PER_SESSION": "0"}, "look", "no limit, by WRITES_PER_SESSION = 0"),
        ({"DBAPI_POOL_SIZE": "500"}, "look", "raise max_connections"),
    ],
)
async def test_what_is_wrong_with_dbapi_is_found(healthy: dict[str, str], changed: dict[str, str], grade: str, said: str) -> None:
    code, found = await check("dbapi", healthy | changed)

    assert any(said in line for line in found[grade]), found
    assert code == (1 if grade == "WRONG" else 0)


async def test_what_is_wrong_with_the_database_is_found(stack: Stack, healthy: dict[str, str]) -> None:
    def at(url: str) -> dict[str, str]:
        return {**healthy, "DBAPI_DATABASE_URL_FILE": "", "DBAPI_DATABASE_URL": url}

    runtime = stack.cluster.runtime_url(stack.database).replace(PASSWORD, LONG_PASSWORD)
    urls = {
        "owns the tables": stack.cluster.owner_url(stack.database),
        "is a superuser": stack.cluster.superuser_url,
        "the tables are missing": stack.cluster.runtime_url("template1").replace(PASSWORD, LONG_PASSWORD),
        "PostgreSQL can't be used": runtime.replace(LONG_PASSWORD, "not-the-password-at-all"),
        "the password of runnel_app is weak": runtime.replace(LONG_PASSWORD, LOGIN),
    }

    for said, url in urls.items():
        code, found = await check("dbapi", at(url))
        assert code == 1
        assert any(said in line for line in found["WRONG"]), (said, found)
        assert LONG_PASSWORD not in str(found)

    unprotected = await stack.cluster.without_row_security()
    code, found = await check("dbapi", at(stack.cluster.runtime_url(unprotected).replace(PASSWORD, LONG_PASSWORD)))
    assert code == 1
    assert any("chats" in line and "can be read without a session" in line for line in found["WRONG"])

    old = await stack.cluster.new_database()
    owner = await asyncpg.connect(stack.cluster.owner_url(old))
    await owner.execute("UPDATE alembic_version SET version_num = '0001'")
    await owner.close()
    code, found = await check("dbapi", at(stack.cluster.runtime_url(old).replace(PASSWORD, LONG_PASSWORD)))
    assert code == 1
    assert any("the schema is at 0001" in line for line in found["WRONG"])


async def test_a_secret_that_everybody_can_read_is_found(healthy: dict[str, str]) -> None:
    os.chmod(healthy["SECRET_KEYS_FILE"], 0o644)

    code, found = await check("web", healthy)

    assert code == 1
    assert any(f"everybody on this machine can read {healthy['SECRET_KEYS_FILE']}" in line for line in found["WRONG"])


@asynccontextmanager
async def held_back() -> AsyncIterator[str]:
    """A proxy that collects what it is sent until it has all of it."""

    async def whole(request: Request) -> Response:
        return PlainTextResponse("data: alive\n\ndata: still\n\n", media_type="text/event-stream")

    with serving(Starlette(routes=[Route("/healthz", whole)])) as url:
        yield url


async def test_a_proxy_that_holds_streams_back_is_found(healthy: dict[str, str]) -> None:
    async with held_back() as url:
        code, found = await check("web", healthy | {"PUBLIC_URL": url})

    assert code == 1
    assert any("holds streams back" in line for line in found["WRONG"]), found


async def test_another_server_at_our_address_is_found(healthy: dict[str, str]) -> None:
    async def nothing(request: Request) -> Response:
        return PlainTextResponse("?", 404)

    with serving(Starlette(routes=[Route("/healthz", nothing)])) as url:
        code, found = await check("web", healthy | {"PUBLIC_URL": url})

    assert code == 1
    assert any("it is not Runnel" in line for line in found["WRONG"]), found


async def test_the_doctor_finds_nothing_wrong_with_what_make_dev_runs(runnel: Runnel) -> None:
    given = {"DATA_DIR": str(runnel.dev.run.parent), "PORT": runnel.origin.rpartition(":")[2], "LLAMA_URL": ""}

    code, output = await run("dev.doctor", **given)

    assert code == 0, output
    assert output.count(": fine: ") >= 8
    assert "streams come through" in output
    assert "WRONG" not in output


async def test_the_doctor_says_what_has_died(runnel: Runnel) -> None:
    given = {
        "DATA_DIR": str(runnel.dev.run.parent),
        "PORT": runnel.origin.rpartition(":")[2],
        "LLAMA_URL": f"http://127.0.0.1:{ports.free(None, taken_ports)}",
    }

    code, output = await run("dev.doctor", **given)

    assert code == 1
    assert "web: WRONG: the model server does not answer" in output
