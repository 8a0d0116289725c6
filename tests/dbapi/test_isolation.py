"""Each of two protections is sufficient: the conditions on the session in every statement, and row-level security.

The tests of two sessions run again here, once without any condition and once without the policies.
"""

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from dbapi.presets import MAX_PRESETS
from tests.dbapi import isolation_cases
from tests.dbapi.calls import MANY_PRESETS, hits, new_chat, new_device, new_preset, new_turn
from tests.dbapi.conftest import Api
from tests.dbapi.endpoints import OWN
from tests.stack import DBAPI_KEY, NO_LIMITS, Cluster, Service

MIN_CONDITIONS = 42  # in dbapi/sql


@pytest.fixture(scope="module", params=["without conditions", "without row security"])
def removed(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
async def database(cluster: Cluster, removed: str) -> str:
    return await (cluster.without_row_security() if removed == "without row security" else cluster.new_database())


@pytest.fixture(scope="module")
async def service(
    cluster: Cluster, database: str, removed: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    environ = {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": DBAPI_KEY} | NO_LIMITS
    module = "tests.dbapi.without_conditions" if removed == "without conditions" else "dbapi"
    dbapi = await Service("dbapi", tmp_path_factory.mktemp("isolation") / "log", environ, module).start()
    yield dbapi
    await dbapi.terminate()


async def test_the_protection_under_test_is_really_off(
    service: Service, removed: str, cluster: Cluster, database: str, other: Api
) -> None:
    await new_chat(other)
    runtime = await asyncpg.connect(cluster.runtime_url(database))
    try:
        seen = await runtime.fetchval("SELECT count(*) FROM chats")
    finally:
        await runtime.close()

    if removed == "without row security":
        assert seen > 0, "a statement without the condition should see all rows"
    else:
        assert seen == 0
        (conditions,) = re.findall(r"^removed conditions: (\d+)$", service.log.read_text(), re.MULTILINE)
        assert int(conditions) >= MIN_CONDITIONS


@pytest.mark.parametrize("name", OWN)
async def test_rows_of_another_session_are_not_found(api: Api, other: Api, owner: Any, name: str) -> None:
    await isolation_cases.check_rows_of_another_session_are_not_found(api, other, owner, name)


async def test_the_list_of_chats_contains_only_chats_of_the_session(api: Api, other: Api) -> None:
    await isolation_cases.check_chats_of_another_session_are_not_listed(api, other)


async def test_only_chats_of_the_session_are_changed(api: Api, other: Api, owner: Any) -> None:
    await isolation_cases.check_only_chats_of_the_session_are_changed(api, other, owner)


async def test_a_page_of_the_list_has_only_chats_of_the_session(api: Api, other: Api) -> None:
    await isolation_cases.check_a_page_of_the_list_has_only_chats_of_the_session(api, other)


async def test_a_session_does_not_see_the_chats_of_another(api: Api, other: Api, owner: Any) -> None:
    await isolation_cases.check_a_session_does_not_see_the_chats_of_another(api, other, owner)


async def test_the_presets_of_a_session_are_its_own(api: Api, other: Api) -> None:
    await isolation_cases.check_presets_of_another_session_are_neither_listed_nor_replaced(api, other)


async def test_a_search_finds_only_what_belongs_to_the_session(api: Api, other: Api) -> None:
    await isolation_cases.check_a_search_finds_only_what_belongs_to_the_session(api, other)


async def test_a_search_reads_no_text_of_another_session_even_if_it_gets_their_ids(
    api: Api, other: Api, owner: Any
) -> None:
    definition = await owner.fetchval("SELECT pg_get_functiondef('find_messages'::regproc)")
    assert definition.count("w.session_id = asker") == 5
    await new_turn(other, await new_chat(other), "Who can read this?")
    await owner.execute(definition.replace("w.session_id = asker", "true"))
    try:
        async with owner.transaction():
            await owner.execute("SELECT set_config('app.session_id', $1, true)", api.headers["X-Session-ID"])
            assert await owner.fetchval("SELECT count(*) FROM find_messages('read & this', 300, false, '{}')") > 0
        assert await hits(api, "read this") == []
        assert len(await hits(other, "read this")) == 1
        await isolation_cases.check_a_search_finds_only_what_belongs_to_the_session(api, other)
    finally:
        await owner.execute(definition)


async def test_the_page_of_a_chat_shows_no_message_of_another(api: Api, other: Api) -> None:
    await isolation_cases.check_the_page_of_a_chat_shows_no_message_of_another(api, other)


async def test_the_limit_of_presets_counts_only_those_of_the_session(api: Api, other: Api, owner: Any) -> None:
    await new_preset(other)
    await owner.execute(MANY_PRESETS, other.headers["X-Session-ID"], MAX_PRESETS - 1)

    mine, theirs = [await each.put("/presets", json={"name": "One more"}) for each in (api, other)]

    assert (mine.status_code, theirs.status_code) == (200, 409)


async def test_devices_are_listed_and_signed_out_only_in_their_session(api: Api, other: Api) -> None:
    theirs, mine = await new_device(other), await new_device(api)

    listed = [device["id"] for device in (await api.get("/devices")).json()["devices"]]
    signed_out = (await api.delete("/devices")).json()

    assert listed == [mine]
    assert signed_out == {"signed_out": 1}
    assert [device["id"] for device in (await other.get("/devices")).json()["devices"]] == [theirs]


async def test_a_link_is_created_and_deleted_only_in_its_session(api: Api, other: Api) -> None:
    await other.post("/links", json={"token_hash": "12" * 32})
    await api.post("/links", json={"token_hash": "34" * 32})
    await api.delete("/devices")

    mine = await api.post("/devices", json={"link_hash": "34" * 32, "token_hash": "56" * 32})
    theirs = await api.post("/devices", json={"link_hash": "12" * 32, "token_hash": "78" * 32})

    assert mine.status_code == 404
    assert theirs.json() == {"session_id": other.headers["X-Session-ID"]}


async def test_limits_count_only_rows_of_the_session(api: Api, other: Api, owner: Any) -> None:
    mine, theirs = await new_chat(api), await new_chat(other)
    for _ in range(3):
        await other.post(f"/chats/{theirs['id']}/turns", json={"content": "Why?"})
    await api.post(f"/chats/{mine['id']}/turns", json={"content": "Why?"})

    session = api.headers["X-Session-ID"]
    async with owner.transaction():
        await owner.execute("SELECT set_config('app.session_id', $1, true)", session)
        counted = await owner.fetchval("SELECT unfinished_answers($1)", session)

    assert counted == 1
