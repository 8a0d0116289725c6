"""`make doctor` and the checks of web and dbapi: a healthy deployment passes, and every fault is found."""

import asyncio
import os
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from dev import ports, postgres
from tests.stack import (
    DBAPI_KEY,
    LOGIN,
    PASSWORD,
    SECRET_KEY,
    Cluster,
    Stack,
    run,
    running_stack,
    serving,
    succeed,
)
from tests.system.running import Runnel
from web.pages.health import PARTS, PAUSE_SECONDS

LONG_PASSWORD = "0123456789-of-the-doctor"
OTHER_KEY = "0ther-key-of-the-tests-9876543210fedcba"


@pytest.fixture(scope="module")
async def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running_stack(cluster, tmp_path_factory.mktemp("doctor")) as stack:
        yield stack


@pytest.fixture
def healthy(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """The environment of a healthy deployment, except that PUBLIC_URL is not reachable from this host."""
    environ = {
        "PUBLIC_URL": "https://chat.test",
        "DBAPI_URL": stack.dbapi.url,
        "LLAMA_URL": stack.llama,
        "ENVIRONMENT": "production",
    }
    database = stack.cluster.runtime_url(stack.database).replace(PASSWORD, LONG_PASSWORD)
    for name, text in (("SECRET_KEYS", SECRET_KEY), ("DBAPI_KEYS", DBAPI_KEY), ("DBAPI_DATABASE_URL", database)):
        file = tmp_path / name.lower()
        file.write_text(f"{text}\n")
        file.chmod(0o640)
        environ[f"{name}_FILE"] = str(file)
    return environ


@pytest.fixture(scope="module", autouse=True)
async def long_password(cluster: Cluster, stack: Stack) -> AsyncIterator[None]:
    """Change the password of the login, and restore it afterwards: the login is shared by the whole cluster."""
    owner, usual = cluster.owner_url(stack.database), cluster.runtime_url(stack.database)
    await succeed("dbapi.login", DATABASE_URL=owner, DBAPI_DATABASE_URL=usual.replace(PASSWORD, LONG_PASSWORD))
    yield
    await succeed("dbapi.login", DATABASE_URL=owner, DBAPI_DATABASE_URL=usual)


async def check(service: str, environ: dict[str, str]) -> tuple[int, dict[str, list[str]]]:
    """Run the check and return its exit code and its messages by severity."""
    code, output = await run(service, "check", **environ)
    lines = [re.fullmatch(rf"{service}: (ok|warning|ERROR): (.+)", line) for line in output.splitlines()]
    assert all(lines), output
    found: dict[str, list[str]] = {"ok": [], "warning": [], "ERROR": []}
    for line in lines:
        assert line
        found[line[1]].append(line[2])
    return code, found


async def test_a_healthy_deployment_has_no_errors(healthy: dict[str, str]) -> None:
    web, dbapi = await check("web", healthy), await check("dbapi", healthy)

    assert (web[0], web[1]["ERROR"], dbapi[0], dbapi[1]["ERROR"], dbapi[1]["warning"]) == (0, [], 0, [], [])
    assert [line.partition(" (")[0] for line in web[1]["warning"]] == [
        "https://chat.test is not reachable from this host"
    ]
    assert len(web[1]["ok"]) >= 5
    assert len(dbapi[1]["ok"]) >= 4


@pytest.mark.parametrize(
    ("changed", "severity", "message"),
    [
        ({"SECRET_KEYS_FILE": "", "SECRET_KEYS": "changeme"}, "ERROR", "at least 32 random characters"),
        (
            {"SECRET_KEYS_FILE": "", "SECRET_KEYS": "please-changeme-0123456789-abcdefghij"},
            "ERROR",
            "contains a placeholder",
        ),
        ({"SECRET_KEYS_FILE": "", "SECRET_KEYS": DBAPI_KEY}, "ERROR", "must not share a key"),
        ({"SECRET_KEYS_FILE": ""}, "ERROR", "SECRET_KEYS is not set"),
        ({"LLAMA_API_KEY": SECRET_KEY}, "ERROR", "LLAMA_API_KEY is also in SECRET_KEYS or DBAPI_KEYS"),
        ({"SECRET_KEYS_FILE": "", "SECRET_KEYS": SECRET_KEY}, "warning", "read SECRET_KEYS from files"),
        ({"DBAPI_KEYS_FILE": "", "DBAPI_KEYS": OTHER_KEY}, "ERROR", "dbapi rejects web's credential"),
        ({"DBAPI_URL": "http://127.0.0.1:9"}, "ERROR", "dbapi does not respond"),
        ({"PUBLIC_URL": "http://chat.test"}, "ERROR", "plain http"),
        ({"PUBLIC_URL": "chat.test"}, "ERROR", "must be a URL like"),
        ({"PUBLIC_URL": "https://chat.test/sub"}, "ERROR", "must not have a path"),
        ({"ENVIRONMENT": "developement"}, "ERROR", "ENVIRONMENT must be production or development"),
        ({"ENVIRONMENT": "development"}, "ERROR", "ENVIRONMENT is development"),
        ({"LLAMA_URL": "http://127.0.0.1:9"}, "ERROR", "the model server does not respond"),
        ({"MODEL": "nothing-of-that-name"}, "ERROR", "has no model 'nothing-of-that-name'"),
        ({"BODY_BYTES": "0"}, "warning", "no limit: BODY_BYTES = 0"),
    ],
)
async def test_errors_of_web_are_found(
    healthy: dict[str, str], changed: dict[str, str], severity: str, message: str
) -> None:
    code, found = await check("web", healthy | changed)

    assert any(message in line for line in found[severity]), found
    assert code == (1 if severity == "ERROR" else 0)
    assert not any(secret in str(found) for secret in (SECRET_KEY, DBAPI_KEY, OTHER_KEY))


@pytest.mark.parametrize(
    ("changed", "severity", "message"),
    [
        ({"DBAPI_KEYS_FILE": "", "DBAPI_KEYS": "x" * 40}, "ERROR", "at least 32 random characters"),
        ({"DBAPI_KEYS_FILE": "", "DBAPI_KEYS": f"{DBAPI_KEY},{DBAPI_KEY}"}, "ERROR", "the same key twice"),
        (
            {"DBAPI_KEYS_FILE": "", "DBAPI_KEYS": f"{DBAPI_KEY},{OTHER_KEY}"},
            "warning",
            "2 service credentials are accepted",
        ),
        ({"WRITES_PER_SESSION": "0"}, "warning", "no limit: WRITES_PER_SESSION = 0"),
        ({"DBAPI_POOL_SIZE": "500"}, "warning", "raise max_connections"),
    ],
)
async def test_errors_of_dbapi_are_found(
    healthy: dict[str, str], changed: dict[str, str], severity: str, message: str
) -> None:
    code, found = await check("dbapi", healthy | changed)

    assert any(message in line for line in found[severity]), found
    assert code == (1 if severity == "ERROR" else 0)


async def test_errors_of_the_database_are_found(stack: Stack, healthy: dict[str, str]) -> None:
    def at(url: str) -> dict[str, str]:
        return {**healthy, "DBAPI_DATABASE_URL_FILE": "", "DBAPI_DATABASE_URL": url}

    runtime = stack.cluster.runtime_url(stack.database).replace(PASSWORD, LONG_PASSWORD)
    urls = {
        "owns the tables": stack.cluster.owner_url(stack.database),
        "is a superuser": stack.cluster.superuser_url,
        "the tables are missing": stack.cluster.runtime_url("template1").replace(PASSWORD, LONG_PASSWORD),
        "PostgreSQL is not usable": runtime.replace(LONG_PASSWORD, "not-the-password-at-all"),
        "the password of runnel_app is weak": runtime.replace(LONG_PASSWORD, LOGIN),
    }

    for message, url in urls.items():
        code, found = await check("dbapi", at(url))
        assert code == 1
        assert any(message in line for line in found["ERROR"]), (message, found)
        assert LONG_PASSWORD not in str(found)

    unprotected = await stack.cluster.without_row_security()
    code, found = await check("dbapi", at(stack.cluster.runtime_url(unprotected).replace(PASSWORD, LONG_PASSWORD)))
    assert code == 1
    assert any("chats" in line and "can be read without a session" in line for line in found["ERROR"])

    old = await stack.cluster.new_database()
    owner = await asyncpg.connect(stack.cluster.owner_url(old))
    await owner.execute("UPDATE alembic_version SET version_num = '0001'")
    await owner.close()
    code, found = await check("dbapi", at(stack.cluster.runtime_url(old).replace(PASSWORD, LONG_PASSWORD)))
    assert code == 1
    assert any("the schema is at 0001" in line for line in found["ERROR"])


async def test_a_postgresql_that_logs_what_users_wrote_is_found(stack: Stack, healthy: dict[str, str]) -> None:
    name = await stack.cluster.new_database()
    url = stack.cluster.runtime_url(name).replace(PASSWORD, LONG_PASSWORD)
    superuser = await asyncpg.connect(stack.cluster.superuser_url)
    await superuser.execute(f"ALTER DATABASE {name} SET log_error_verbosity = 'default'")
    await superuser.close()

    code, found = await check("dbapi", {**healthy, "DBAPI_DATABASE_URL_FILE": "", "DBAPI_DATABASE_URL": url})

    assert code == 0
    assert any("PostgreSQL may log what users wrote" in line for line in found["warning"]), found


async def test_a_database_whose_locale_knows_few_letters_is_found(stack: Stack, healthy: dict[str, str]) -> None:
    name = "ascii"
    superuser = await asyncpg.connect(stack.cluster.superuser_url)
    locale = "TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C' ENCODING 'UTF8'"
    await superuser.execute(f"CREATE DATABASE {name} {locale} OWNER {postgres.OWNER}")
    await superuser.close()
    await succeed("alembic", "upgrade", "head", DATABASE_URL=stack.cluster.owner_url(name))
    url = stack.cluster.runtime_url(name).replace(PASSWORD, LONG_PASSWORD)

    code, found = await check("dbapi", {**healthy, "DBAPI_DATABASE_URL_FILE": "", "DBAPI_DATABASE_URL": url})

    assert code == 0
    assert any("the database's locale knows ASCII letters only" in line for line in found["warning"]), found


async def test_a_secret_file_that_every_user_can_read_is_found(healthy: dict[str, str]) -> None:
    os.chmod(healthy["SECRET_KEYS_FILE"], 0o644)

    code, found = await check("web", healthy)

    assert code == 1
    assert any(f"every user of this machine can read {healthy['SECRET_KEYS_FILE']}" in line for line in found["ERROR"])


@asynccontextmanager
async def buffering_proxy(held: str) -> AsyncIterator[str]:
    """Run a proxy that holds back the whole response, or its beginning, or the text."""

    alive, text, still = PARTS
    arrivals = {"whole": [alive + text + still], "beginning": [alive + text, still], "text": [alive, text + still]}

    async def parts() -> AsyncIterator[str]:
        for number, part in enumerate(arrivals[held]):
            await asyncio.sleep(PAUSE_SECONDS if number else 0)
            yield part

    async def show(request: Request) -> Response:
        return StreamingResponse(parts(), media_type="text/event-stream")

    with serving(Starlette(routes=[Route("/healthz", show)])) as url:
        yield url


@pytest.mark.parametrize("held", ["whole", "beginning", "text"])
async def test_a_proxy_that_buffers_streams_is_found(healthy: dict[str, str], held: str) -> None:
    async with buffering_proxy(held) as url:
        code, found = await check("web", healthy | {"PUBLIC_URL": url})

    assert code == 1
    assert any("buffers streams" in line for line in found["ERROR"]), found


async def test_a_proxy_that_compresses_streams_is_found(healthy: dict[str, str]) -> None:
    async def parts() -> AsyncIterator[bytes]:
        compressor = zlib.compressobj(wbits=31)
        for part in PARTS:
            yield compressor.compress(part.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
        yield compressor.flush()

    async def show(request: Request) -> Response:
        return StreamingResponse(parts(), media_type="text/event-stream", headers={"Content-Encoding": "gzip"})

    with serving(Starlette(routes=[Route("/healthz", show)])) as url:
        code, found = await check("web", healthy | {"PUBLIC_URL": url})

    assert code == 1
    assert any("compresses streams (gzip)" in line for line in found["ERROR"]), found


async def test_another_server_at_the_public_url_is_found(healthy: dict[str, str]) -> None:
    async def nothing(request: Request) -> Response:
        return PlainTextResponse("?", 404)

    with serving(Starlette(routes=[Route("/healthz", nothing)])) as url:
        code, found = await check("web", healthy | {"PUBLIC_URL": url})

    assert code == 1
    assert any("this is not Runnel" in line for line in found["ERROR"]), found


async def test_the_doctor_finds_no_errors_in_make_dev(runnel: Runnel) -> None:
    given = {"DATA_DIR": str(runnel.dev.run.parent), "PORT": runnel.origin.rpartition(":")[2], "LLAMA_URL": ""}

    code, output = await run("dev.doctor", **given)

    assert code == 0, output
    assert output.count(": ok: ") >= 8
    assert "streams pass" in output
    assert "ERROR" not in output
    assert "warning" not in output


async def test_the_doctor_reports_a_service_that_is_down(runnel: Runnel) -> None:
    given = {
        "DATA_DIR": str(runnel.dev.run.parent),
        "PORT": runnel.origin.rpartition(":")[2],
        "LLAMA_URL": f"http://127.0.0.1:{ports.free()}",
    }

    code, output = await run("dev.doctor", **given)

    assert code == 1
    assert "web: ERROR: the model server does not respond" in output
