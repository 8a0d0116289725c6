"""What is removed over all sessions, and when."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from dbapi import pruner
from dbapi.sql.connection import Database
from tests.dbapi.calls import append, finish, new_chat, new_preset, new_turn, running
from tests.dbapi.conftest import Api
from tests.stack import Cluster, until

LIFETIME = timedelta(days=400)
TABLES = ("sessions", "devices", "links", "presets", "chats", "messages", "generations")


@pytest.fixture
async def runtime_database(cluster: Cluster, database: str) -> AsyncIterator[Database]:
    """With the login of dbapi, which sees one session at a time."""
    opened = Database(cluster.runtime_url(database), 2)
    yield opened
    await opened.close()


async def age(owner: Any, table: str, column: str, age: str, session: str) -> None:
    key = "id" if table == "sessions" else "session_id"
    await owner.execute(
        f"UPDATE {table} SET {column} = clock_timestamp() - interval '{age}' WHERE {key} = $1",
        session,
    )


async def rows(owner: Any, session: str) -> dict[str, int]:
    keys = {table: "id" if table == "sessions" else "session_id" for table in TABLES}
    return {
        table: await owner.fetchval(f"SELECT count(*) FROM {table} WHERE {key} = $1", session)
        for table, key in keys.items()
    }


async def new_session(api: Api) -> str:
    """Creates a session with a device, a preset, a chat and an answer. Returns its id."""
    device = {"token_hash": uuid4().hex * 2, "name": "a browser"}
    session = str((await api.post("/sessions", json=device)).json()["session_id"])
    api.headers["X-Session-ID"] = session
    await new_preset(api)
    await new_turn(api, await new_chat(api))
    return session


async def test_deleted_chats_are_removed_after_an_hour_without_a_visit(
    runtime_database: Database, clients: Callable[[], Api], owner: Any
) -> None:
    kept, removed = clients(), clients()
    for api in (kept, removed):
        await new_session(api)
        chat = (await api.get("/chats")).json()["chats"][0]
        await api.delete(f"/chats/{chat['id']}")
    await age(owner, "chats", "deleted_at", "59 minutes", kept.headers["X-Session-ID"])
    await age(owner, "chats", "deleted_at", "61 minutes", removed.headers["X-Session-ID"])

    await pruner.prune(runtime_database, None)

    left = [await rows(owner, api.headers["X-Session-ID"]) for api in (kept, removed)]
    assert [(each["chats"], each["generations"], each["sessions"]) for each in left] == [(1, 1, 1), (0, 0, 1)]
    assert left[1]["messages"] == 0


async def test_many_deleted_chats_are_removed_in_one_round(runtime_database: Database, api: Api, owner: Any) -> None:
    session = api.headers["X-Session-ID"]
    for _ in range(2 * 20 + 1):
        await api.delete(f"/chats/{(await new_chat(api))['id']}")
    await age(owner, "chats", "deleted_at", "2 hours", session)

    await pruner.prune(runtime_database, None)

    assert (await rows(owner, session))["chats"] == 0


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ([("devices", "last_seen_at", "399 days")], True),
        ([("devices", "last_seen_at", "403 days")], False),
        ([("devices", "revoked_at", "59 minutes")], True),
        ([("devices", "revoked_at", "61 minutes")], False),
        ([("devices", "revoked_at", "61 minutes"), ("links", "expires_at", "-5 minutes")], True),
        ([("devices", "revoked_at", "61 minutes"), ("links", "expires_at", "1 minute")], False),
    ],
)
async def test_a_session_that_nobody_can_open_is_removed_with_all_its_rows(
    runtime_database: Database, clients: Callable[[], Api], owner: Any, changes: list[Any], is_kept: bool
) -> None:
    api, neighbour = clients(), clients()
    session, others = await new_session(api), await new_session(neighbour)
    if "links" in [table for table, *_ in changes]:
        assert (await api.post("/links", json={"token_hash": uuid4().hex * 2})).status_code == 201
    await age(owner, "sessions", "created_at", "500 days", session)
    before = await rows(owner, others)
    for table, column, time in changes:
        await age(owner, table, column, time, session)

    await pruner.prune(runtime_database, LIFETIME)

    left = await rows(owner, session)
    assert left["sessions"] == int(is_kept)
    assert is_kept or set(left.values()) == {0}
    assert await rows(owner, others) == before


@pytest.mark.parametrize(("used", "is_kept"), [("399 days", True), ("403 days", False)])
async def test_a_session_without_devices_lives_as_long_as_its_chats_are_used(
    runtime_database: Database, api: Api, owner: Any, used: str, is_kept: bool
) -> None:
    session = api.headers["X-Session-ID"]
    await new_chat(api)
    for column in ("created_at", "last_seen_at"):
        await age(owner, "sessions", column, "500 days", session)
    await age(owner, "chats", "updated_at", used, session)

    await pruner.prune(runtime_database, LIFETIME)

    assert (await rows(owner, session))["sessions"] == int(is_kept)


async def test_the_callers_times_cannot_remove_anything_earlier(cluster: Cluster, database: str, api: Api) -> None:
    chat = await new_chat(api)
    await api.delete(f"/chats/{chat['id']}")
    opened = Database(cluster.runtime_url(database), 2)

    async with opened.connection() as connection:
        await connection.execute("SELECT purge_chats('0', 100), purge_sessions('0', '0', 100)")

    await opened.close()
    assert (await api.post(f"/chats/{chat['id']}/restore")).status_code == 200


async def test_a_running_dbapi_removes_them(service: Any, api: Api, owner: Any) -> None:
    """It starts with those that became due while it was stopped."""
    await api.delete(f"/chats/{(await new_chat(api))['id']}")
    await age(owner, "chats", "deleted_at", "2 hours", api.headers["X-Session-ID"])

    await service.terminate()
    await service.start()

    async def is_gone() -> bool:
        return (await rows(owner, api.headers["X-Session-ID"]))["chats"] == 0

    await until(is_gone)


async def test_a_step_that_fails_does_not_keep_the_others_from_working(cluster: Cluster) -> None:
    database = await cluster.new_database()
    owner = await asyncpg.connect(cluster.owner_url(database))
    session = str(await owner.fetchval("INSERT INTO sessions (id) VALUES (gen_random_uuid()) RETURNING id"))
    for column in ("created_at", "last_seen_at"):
        await age(owner, "sessions", column, "500 days", session)
    await owner.execute("DROP FUNCTION purge_chats")
    opened = Database(cluster.runtime_url(database), 2)

    with pytest.raises(asyncpg.UndefinedFunctionError):
        await pruner.prune(opened, LIFETIME)

    assert await owner.fetchval("SELECT count(*) FROM sessions") == 0
    await opened.close()
    await owner.close()


async def test_the_log_of_an_answer_that_is_being_continued_is_kept(
    cluster: Cluster, database: str, api: Api, owner: Any, idle_log: None
) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "Because.")
    await finish(api, claimed, 1, "stopped")
    chunks = "SELECT count(*) FROM generation_chunks WHERE generation_id = $1"
    runtime = await asyncpg.connect(cluster.runtime_url(database))

    async with runtime.transaction():
        await runtime.fetch("SELECT set_config('app.session_id', $1, true)", api.headers["X-Session-ID"])
        await runtime.fetchval("SELECT log_reopen($1, 'Because.', '')", claimed["message_id"])
        await owner.fetchval("SELECT log_prune('0', 500)")

    assert await owner.fetchval(chunks, claimed["id"]) == 1
    await runtime.close()
