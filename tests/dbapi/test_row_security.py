"""PostgreSQL returns only the current session's rows, even for statements without a condition on the session."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from dbapi.sql.connection import Database
from tests.dbapi.calls import append, new_chat, new_turn, running
from tests.dbapi.conftest import Api
from tests.stack import Cluster

TABLES = ["sessions", "devices", "links", "presets", "chats", "messages", "generations", "generation_chunks"]
DERIVED = ["message_words", "message_words_progress"]  # which the runtime login cannot read at all
SET_SESSION = "SELECT set_config('app.session_id', $1, true)"


@pytest.fixture
async def runtime(cluster: Cluster, database: str) -> AsyncIterator[Any]:
    """A connection of the runtime login, like those of dbapi."""
    connection = await asyncpg.connect(cluster.runtime_url(database))
    yield connection
    await connection.close()


@pytest.fixture
async def session(api: Api, idle_log: None) -> str:
    """A session that has a row in every table."""
    await append(api, await running(api), 1, "Because.")
    return str(api.headers["X-Session-ID"])


@pytest.fixture
async def filled(session: str, owner: Any) -> str:
    await owner.execute("INSERT INTO devices (token_hash, session_id) VALUES ($1, $2)", uuid4().bytes * 2, session)
    await owner.execute(
        "INSERT INTO links (token_hash, session_id, expires_at) VALUES ($1, $2, now())", uuid4().bytes * 2, session
    )
    await owner.execute("INSERT INTO presets (session_id, name) VALUES ($1, 'Poet')", session)
    return session


async def counts(connection: Any) -> dict[str, int]:
    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def test_no_rows_are_visible_without_a_session(runtime: Any, owner: Any, filled: str) -> None:
    nothing = dict.fromkeys(TABLES, 0)

    before = await counts(runtime)
    with contextlib.suppress(asyncpg.DivisionByZeroError):
        async with runtime.transaction():
            await runtime.fetch(SET_SESSION, filled)
            seen = await counts(runtime)
            await runtime.execute("SELECT 1 / 0")
    async with runtime.transaction():
        await runtime.fetch(SET_SESSION, filled)
    after = await counts(runtime)
    async with runtime.transaction():
        await runtime.fetch(SET_SESSION, "")
        empty = await counts(runtime)

    assert before == after == empty == nothing
    assert seen == {
        "sessions": 1,
        "devices": 1,
        "links": 1,
        "presets": 1,
        "chats": 1,
        "messages": 3,
        "generations": 1,
        "generation_chunks": 1,
    }
    assert all((await counts(owner)).values())


async def test_a_session_sees_only_its_own_rows(runtime: Any, owner: Any, other: Api, filled: str) -> None:
    await new_turn(other, await new_chat(other))

    async with runtime.transaction():
        await runtime.fetch(SET_SESSION, filled)
        seen = {
            table: await runtime.fetch(f"SELECT {'id' if table == 'sessions' else 'session_id'} FROM {table}")
            for table in TABLES
        }

    assert all(rows for rows in seen.values())
    assert {str(row[0]) for rows in seen.values() for row in rows} == {filled}
    assert await owner.fetchval("SELECT count(DISTINCT session_id) > 1 FROM chats")


async def test_a_links_token_shows_and_deletes_only_that_link(runtime: Any, owner: Any, filled: str) -> None:
    token_hash = await owner.fetchval("SELECT token_hash FROM links WHERE session_id = $1", filled)
    assert await owner.fetchval("SELECT count(*) FROM links") >= 1

    async with runtime.transaction():
        await runtime.fetch("SELECT set_config('app.token_hash', $1, true)", token_hash.hex())
        seen = {table: await runtime.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}
        prolonged = await runtime.execute("UPDATE links SET expires_at = 'infinity'")
        deleted = await runtime.execute("DELETE FROM links")

    assert seen == dict.fromkeys(TABLES, 0) | {"links": 1}
    assert (prolonged, deleted) == ("UPDATE 0", "DELETE 1")


async def test_a_devices_token_shows_only_that_device(runtime: Any, owner: Any, filled: str) -> None:
    token_hash = await owner.fetchval("SELECT token_hash FROM devices WHERE session_id = $1", filled)

    async with runtime.transaction():
        await runtime.fetch("SELECT set_config('app.token_hash', $1, true)", token_hash.hex())
        devices = await runtime.fetch("SELECT token_hash FROM devices")
        others = {
            table: await runtime.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES if table != "devices"
        }
        deleted = await runtime.execute("DELETE FROM devices")

    assert [row["token_hash"] for row in devices] == [token_hash]
    assert not any(others.values())
    assert deleted == "DELETE 0"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO sessions (id) VALUES ($1)",
        "INSERT INTO devices (token_hash, session_id) VALUES (decode(repeat('ab', 32), 'hex'), $1)",
        "INSERT INTO chats (session_id, username) VALUES ($1, 'Eve')",
        "UPDATE chats SET session_id = $1",
        "UPDATE messages SET session_id = $1",
        "UPDATE devices SET session_id = $1",
        "UPDATE links SET session_id = $1",
        "INSERT INTO presets (session_id, name) VALUES ($1, 'Poet')",
        "UPDATE presets SET session_id = $1",
        "INSERT INTO links (token_hash, session_id, expires_at) VALUES (decode(repeat('ab', 32), 'hex'), $1, now())",
        "INSERT INTO messages (session_id, chat_id, role) SELECT $1, id, 'user' FROM chats",
        "INSERT INTO generations (session_id, chat_id, message_id) SELECT $1, chat_id, id FROM messages",
    ],
)
async def test_a_session_cannot_write_rows_of_another_session(runtime: Any, filled: str, statement: str) -> None:
    async with runtime.transaction():
        await runtime.fetch(SET_SESSION, filled)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await runtime.execute(statement, uuid4())


async def test_a_row_cannot_reference_another_sessions_rows(runtime: Any, owner: Any, other: Api, filled: str) -> None:
    theirs = await new_turn(other, await new_chat(other))
    chat_id = await owner.fetchval("SELECT chat_id FROM messages WHERE id = $1", theirs["user"]["id"])
    into_their_chat = "INSERT INTO messages (session_id, chat_id, role) VALUES ($1, $2, 'user')"
    behind_their_message = (
        "INSERT INTO messages (session_id, chat_id, parent_id, role) SELECT $1, id, $2, 'user' FROM chats"
    )
    their_tip = "UPDATE chats SET tip_id = $2 WHERE session_id = $1"

    for statement, foreign in (
        (into_their_chat, chat_id),
        (behind_their_message, theirs["user"]["id"]),
        (their_tip, theirs["user"]["id"]),
    ):
        async with runtime.transaction():
            await runtime.fetch(SET_SESSION, filled)
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                await runtime.execute(statement, filled, foreign)


async def test_a_session_cannot_change_or_delete_another_sessions_rows(runtime: Any, owner: Any, filled: str) -> None:
    before = await counts(owner)

    async with runtime.transaction():
        await runtime.fetch(SET_SESSION, str(uuid4()))
        statuses = [
            await runtime.execute(f"DELETE FROM {table}")
            for table in ("sessions", "devices", "links", "presets", "chats", "messages", "generations")
        ]
        statuses.append(await runtime.execute("UPDATE messages SET content = 'changed'"))
        statuses.append(await runtime.execute("UPDATE generations SET stop_requested = true"))

    assert statuses == ["DELETE 0"] * 7 + ["UPDATE 0"] * 2
    assert await counts(owner) == before


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE runnel_log",
        "SET ROLE runnel_search",
        "SET ROLE runnel_owner",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "CREATE TABLE mine (id int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "DROP TABLE chats",
        "DROP FUNCTION log_next()",
        "TRUNCATE chats CASCADE",
        "TRUNCATE generation_chunks",
        "ALTER TABLE chats DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE chats NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE chats ADD COLUMN mine int",
        "CREATE POLICY mine ON chats USING (true)",
        "DROP POLICY own_session ON chats",
        "ALTER FUNCTION log_next() OWNER TO CURRENT_USER",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "GRANT runnel_log TO CURRENT_USER",
        "GRANT runnel_search TO CURRENT_USER",
        "SELECT count(*) FROM message_words",
        "SELECT message_id FROM message_words",
        "UPDATE message_words SET words = ''",
        "DELETE FROM message_words",
        "SELECT up_to FROM message_words_progress",
        "DELETE FROM message_words_progress",
        "CREATE TRIGGER mine AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION store_words()",
        "CREATE TRIGGER mine AFTER UPDATE ON chats FOR EACH ROW EXECUTE FUNCTION store_words_of_kept()",
        "SELECT is_temporary_chat(gen_random_uuid())",
        "INSERT INTO generation_chunks (generation_id, session_id, seq, fence, text)"
        " SELECT id, session_id, 9, 1, 'x' FROM generations",
        "UPDATE generation_chunks SET text = 'x'",
        "DELETE FROM generation_chunks",
        "UPDATE generations SET fence = fence + 1",
        "UPDATE generations SET last_seq = 0",
        "UPDATE generations SET lease_until = now()",
        "UPDATE generations SET session_id = gen_random_uuid()",
        "UPDATE alembic_version SET version_num = 'x'",
        "COPY chats TO PROGRAM 'cat'",
        "COPY chats FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_authid",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> CURRENT_USER",
    ],
)
async def test_the_runtime_login_has_no_permission(runtime: Any, filled: str, statement: str) -> None:
    async with runtime.transaction():
        await runtime.fetch(SET_SESSION, filled)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await runtime.execute(statement)


async def test_the_runtime_login_has_only_the_rights_of_runnel_runtime(runtime: Any) -> None:
    about = await runtime.fetchrow(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
        " FROM pg_roles WHERE rolname = CURRENT_USER"
    )
    roles = await runtime.fetch(
        "SELECT rolname FROM pg_roles WHERE pg_has_role(CURRENT_USER, oid, 'MEMBER') AND rolname <> CURRENT_USER"
    )

    assert not any(about)
    assert [role["rolname"] for role in roles] == ["runnel_runtime"]


async def test_the_logs_functions_run_as_a_role_that_cannot_log_in(runtime: Any) -> None:
    functions = await runtime.fetch(
        "SELECT proname, proowner::regrole::text AS owner, prosecdef, proconfig,"
        " has_function_privilege('public', oid, 'EXECUTE') AS open"
        " FROM pg_proc WHERE proname LIKE 'log\\_%' AND pronamespace = 'public'::regnamespace"
    )
    role = await runtime.fetchrow(
        "SELECT rolcanlogin, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = 'runnel_log'"
    )

    assert len(functions) >= 10
    for function in functions:
        assert (function["owner"], function["prosecdef"], function["open"]) == ("runnel_log", True, False), function[
            "proname"
        ]
        assert any(setting.startswith("search_path=pg_catalog") for setting in function["proconfig"]), function[
            "proname"
        ]
    assert not any(role)


async def test_the_functions_of_a_search_run_as_a_role_that_sees_words_only(runtime: Any, owner: Any) -> None:
    functions = await runtime.fetch(
        "SELECT proname FROM pg_proc WHERE proowner = 'runnel_search'::regrole AND prosecdef"
        " AND NOT has_function_privilege('public', oid, 'EXECUTE') AND proconfig[1] LIKE 'search_path=pg_catalog%'"
    )
    role = await runtime.fetchrow(
        "SELECT rolcanlogin, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = 'runnel_search'"
    )
    readable = await owner.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND has_any_column_privilege('runnel_search', oid, 'SELECT, INSERT, UPDATE')"
    )

    assert {function["proname"] for function in functions} == {"find_messages", "store_words"}
    assert not any(role)
    assert [table["relname"] for table in readable] == ["message_words"]


async def find_why(runtime: Any, session: str | None, only_newest: bool) -> int:
    """Returns the number of messages of this session that contain "why"."""
    async with runtime.transaction():
        if session is not None:
            await runtime.fetch(SET_SESSION, session)
        find = "SELECT count(*) FROM find_messages(to_tsquery('public.runnel', 'why'), 300, $1, '{}')"
        return int(await runtime.fetchval(find, only_newest))


@pytest.mark.parametrize("only_newest", [False, True])
async def test_a_search_needs_a_session(runtime: Any, filled: str, only_newest: bool) -> None:
    for session in (None, ""):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="needs a session"):
            await find_why(runtime, session, only_newest)

    assert await find_why(runtime, filled, only_newest) == 1
    assert await find_why(runtime, str(uuid4()), only_newest) == 0


async def test_a_trigger_of_a_temporary_table_cannot_store_words(runtime: Any) -> None:
    await runtime.execute("CREATE TEMPORARY TABLE forged (LIKE messages)")

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="store_words"):
        await runtime.execute(
            "CREATE TRIGGER forged AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION store_words()"
        )


async def test_every_table_forces_row_level_security(owner: Any) -> None:
    tables = await owner.fetch(
        "SELECT relname, relrowsecurity, relforcerowsecurity"
        " FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )

    unprotected = {
        table["relname"] for table in tables if not (table["relrowsecurity"] and table["relforcerowsecurity"])
    }
    assert unprotected == {"alembic_version"}
    assert {table["relname"] for table in tables} == {*TABLES, *DERIVED, "alembic_version"}


async def test_the_owner_can_read_and_dump_every_row(
    cluster: Cluster, database: str, owner: Any, filled: str, runtime: Any
) -> None:
    assert await owner.fetchval("SELECT count(*) FROM chats WHERE session_id = $1", filled) == 1

    program = cluster.cluster.programs / "pg_dump"
    command: list[Any] = [program, "--enable-row-security", "--data-only", cluster.owner_url(database)]
    pipe = asyncio.subprocess.PIPE
    dumping = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    dump, trouble = await dumping.communicate()

    assert dumping.returncode == 0, trouble
    assert filled.encode() in dump
    assert b"Because." in dump


async def test_a_connection_left_inside_a_transaction_forgets_its_session(cluster: Cluster, database: str) -> None:
    only_one = Database(cluster.runtime_url(database), pool_size=2)  # half of them are in asyncpg's pool
    try:
        async with only_one.connection() as connection:
            await connection.execute(f"BEGIN; SELECT set_config('app.session_id', '{uuid4()}', true)")
            left = connection.get_server_pid()
        async with only_one.connection() as connection:
            assert connection.get_server_pid() == left
            assert not connection.is_in_transaction()
            assert not await connection.fetchval("SELECT current_setting('app.session_id', true)")
    finally:
        await only_one.close()
