"""No log contains what users wrote, whatever fails: PostgreSQL's statements, and errors inside a service."""

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import yaml

from dev import postgres
from tests.stack import ROOT, Cluster, Stack, until
from tests.web.visitor import Visitor

MARKER = "what-a-user-wrote-73902"
TABLE = """
CREATE TABLE rows (id int PRIMARY KEY, text text NOT NULL UNIQUE CHECK (length(text) < 60), parent int REFERENCES rows);
INSERT INTO rows VALUES (1, $$marker$$, 1)
""".replace("$$marker$$", f"'{MARKER}'")
FAILURES = {
    "unique": ("INSERT INTO rows VALUES (2, $1)", [MARKER]),
    "check": ("INSERT INTO rows VALUES (3, $1)", [MARKER * 3]),
    "not null": ("INSERT INTO rows VALUES (NULL, $1)", [MARKER]),
    "foreign key": ("INSERT INTO rows VALUES (4, $1 || 'x', 5)", [MARKER]),
    "json": ("SELECT ($1 || '{')::jsonb", [MARKER]),
    "json null": ("SELECT ('{\"a\": \"' || $1 || '\\u0000\"}')::jsonb", [MARKER]),
    "literal": (f"SELECT '{MARKER}' FROM nowhere", []),
    "syntax": (f"SELECT '{MARKER}' FROM FROM", []),
    "raise": (f"DO $$ BEGIN RAISE EXCEPTION 'refused' USING DETAIL = '{MARKER}', HINT = '{MARKER}'; END $$", []),
    "context": (f"DO $$ BEGIN PERFORM '{MARKER}', 1 / 0; END $$", []),
}


@pytest.fixture
async def table(cluster: Cluster) -> AsyncIterator[Any]:
    """A connection to a database with a table whose row contains the marker."""
    connection = await asyncpg.connect(cluster.owner_url(await cluster.new_database("template1")))
    await connection.execute(TABLE)
    yield connection
    await connection.close()


def logged(cluster: Cluster, after: int = 0) -> str:
    return cluster.cluster.log.read_bytes()[after:].decode(errors="replace")


@pytest.mark.parametrize("failure", FAILURES)
async def test_postgresql_does_not_log_the_values_of_a_statement_that_fails(
    cluster: Cluster, table: Any, failure: str
) -> None:
    before, (statement, values) = len(cluster.cluster.log.read_bytes()), FAILURES[failure]

    with pytest.raises(asyncpg.PostgresError):
        await table.execute(statement, *values) if values else await table.execute(statement)

    await until(lambda: "ERROR:" in logged(cluster, before))
    assert MARKER not in logged(cluster, before)


async def test_postgresql_does_not_log_a_row_that_cannot_be_copied(cluster: Cluster, table: Any) -> None:
    before = len(cluster.cluster.log.read_bytes())

    with pytest.raises(asyncpg.UniqueViolationError):
        await table.copy_records_to_table("rows", records=[(9, MARKER, None)])
    with pytest.raises(asyncpg.BadCopyFileFormatError):
        await table.copy_to_table("rows", source=io.BytesIO(f"9\t{MARKER}\t1\t2\n".encode()))

    await until(lambda: logged(cluster, before).count("ERROR:") == 2)
    assert MARKER not in logged(cluster, before)


async def test_postgresql_logs_slow_statements_without_their_values(cluster: Cluster, table: Any) -> None:
    before = len(cluster.cluster.log.read_bytes())

    await table.fetch("SELECT pg_sleep(1.05), $1::text", MARKER)

    await until(lambda: "pg_sleep" in logged(cluster, before))
    assert MARKER not in logged(cluster, before)


async def test_slow_and_failed_requests_leave_nothing_private_in_any_log(stack: Stack) -> None:
    web = await stack.web()
    visitor = Visitor(web)
    chat = await visitor.begin(f"Ada {MARKER}")
    owner = await asyncpg.connect(stack.cluster.owner_url(stack.database))
    before = len(stack.cluster.cluster.log.read_bytes())
    try:
        async with owner.transaction():  # requests of the chat wait for its row, until their lock timeout of 2 s
            await owner.execute("SELECT FROM chats WHERE id = $1 FOR UPDATE", chat.rpartition("/")[2])
            slow = [
                asyncio.create_task(visitor.http.post(f"{chat}/title", data={"title": MARKER})),
                asyncio.create_task(visitor.http.post(f"{chat}/settings", data={"system_prompt": MARKER})),
                asyncio.create_task(visitor.post(chat, MARKER)),
            ]
            await asyncio.wait(slow)
        await asyncio.gather(*slow)
        await until(lambda: "lock timeout" in logged(stack.cluster, before))
    finally:
        await owner.close()
        await visitor.leave()
        await stack.leave(web)

    assert MARKER not in logged(stack.cluster)
    assert [service.name for service in stack.services if MARKER in service.log.read_text()] == []
    assert MARKER not in web.log.read_text()


def _arguments(command: list[str]) -> dict[str, str]:
    given = (argument.removeprefix("--") for argument in command if argument.startswith("--"))
    return dict(argument.split("=", 1) for argument in given)


def test_every_deployment_sets_what_make_dev_sets() -> None:
    kubernetes = ROOT / "deploy" / "kubernetes"
    compose = yaml.safe_load((ROOT / "compose.yml").read_text())["services"]["db"]["command"]
    single, *_ = yaml.safe_load_all((kubernetes / "parts" / "postgres" / "postgres.yaml").read_text())
    replicated = yaml.safe_load((kubernetes / "cloudnativepg" / "cluster.yaml").read_text())
    parameters = replicated["spec"]["postgresql"]["parameters"]

    wanted = postgres.PRIVACY.items()
    assert wanted <= _arguments(compose).items()
    assert wanted <= _arguments(single["spec"]["template"]["spec"]["containers"][0]["args"]).items()
    assert wanted <= parameters.items()
    assert parameters["log_min_messages"] == "log", "its log format contains DETAIL in any case"


FAILING_SERVICE = f"""
import asyncio, gc, logging, threading
from kit import logs

class Cycle:
    def __del__(self):
        raise ValueError("{MARKER}")

async def fail(text):
    raise ValueError(text)

def fail_now(text):
    raise ValueError(text)

async def main():
    asyncio.create_task(fail("{MARKER}"))
    asyncio.get_running_loop().call_soon(fail_now, "{MARKER}")
    await asyncio.sleep(0.01)
    gc.collect()
    Cycle()

logs.configure()
asyncio.run(main())
thread = threading.Thread(target=fail_now, args=["{MARKER}"])
thread.start()
thread.join()
"""


def test_a_service_logs_errors_that_nothing_catches_without_their_text() -> None:
    done = subprocess.run([sys.executable, "-c", FAILING_SERVICE], cwd=ROOT, capture_output=True, text=True, check=True)

    for message in ("Task exception was never retrieved", "Exception in callback", "was ignored", "a thread failed"):
        assert message in done.stderr
    assert done.stderr.count("ValueError") == 4
    assert MARKER not in done.stderr + done.stdout
