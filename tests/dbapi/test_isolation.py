"""Two locks, each of which holds alone: the conditions on the session in every question, and PostgreSQL's row-level security.

All that is tested of two sessions is tested again here, once with every condition forgotten and once without the policies.
"""

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.dbapi.calls import new_chat, new_device
from tests.dbapi.conftest import Api
from tests.dbapi.test_access import (  # noqa: F401 (collected here as well)
    OWN,
    test_a_list_has_the_chats_of_its_session_only,
    test_what_belongs_to_another_session_is_not_there,
)
from tests.stack import DBAPI_KEY, NO_LIMITS, Cluster, Service

FEWEST_CONDITIONS = 30  # that there are to be forgotten


@pytest.fixture(scope="module", params=["without conditions", "without row security"])
def lock(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
async def database(cluster: Cluster, lock: str) -> str:
    return await (cluster.without_row_security() if lock == "without row security" else cluster.new_database())


@pytest.fixture(scope="module")
async def service(cluster: Cluster, database: str, lock: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    environ = {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": DBAPI_KEY} | NO_LIMITS
    module = "tests.dbapi.without_conditions" if lock == "without conditions" else "dbapi"
    dbapi = await Service("dbapi", tmp_path_factory.mktemp("isolation") / "log", environ, module).start()
    yield dbapi
    await dbapi.terminate()


async def test_the_lock_in_question_is_really_open(service: Service, lock: str, cluster: Cluster, database: str, other: Api) -> None:
    await new_chat(other)
    runtime = await asyncpg.connect(cluster.runtime_url(database))
    try:
        seen = await runtime.fetchval("SELECT count(*) FROM chats")
    finally:
        await runtime.close()

    if lock == "without row security":
        assert seen > 0, "whoever forgets the condition sees all"
    else:
        assert seen == 0
        (told,) = re.findall(r"^forgotten: (\d+)$", service.log.read_text(), re.MULTILINE)
        assert int(told) >= FEWEST_CONDITIONS


async def test_devices_are_listed_and_signed_out_in_their_own_session_only(api: Api, other: Api) -> None:
    theirs, mine = await new_device(other), await new_device(api)

    listed = [device["id"] for device in (await api.get("/devices")).json()["devices"]]
    signed_out = (await api.delete("/devices")).json()

    assert listed == [mine]
    assert signed_out == {"signed_out": 1}
    assert [device["id"] for device in (await other.get("/devices")).json()["devices"]] == [theirs]


async def test_a_link_is_made_and_voided_in_its_own_session_only(api: Api, other: Api) -> None:
    await other.post("/links", json={"token_hash": "12" * 32})
    await api.post("/links", json={"token_hash": "34" * 32})
    await api.delete("/devices")

    mine = await api.post("/devices", json={"link_hash": "34" * 32, "token_hash": "56" * 32})
    theirs = await api.post("/devices", json={"link_hash": "12" * 32, "token_hash": "78" * 32})

    assert mine.status_code == 404
    assert theirs.json() == {"session_id": other.headers["X-Session-ID"]}


async def test_limits_count_what_is_their_sessions_own(api: Api, other: Api, owner: Any) -> None:
    mine, theirs = await new_chat(api), await new_chat(other)
    for _ in range(3):
        await other.post(f"/chats/{theirs['id']}/turns", json={"content": "Why?"})
    await api.post(f"/chats/{mine['id']}/turns", json={"content": "Why?"})

    session = api.headers["X-Session-ID"]
    async with owner.transaction():
        await owner.execute("SELECT set_config('app.session_id', $1, true)", session)
        counted = await owner.fetchval("SELECT unfinished_answers($1)", session)

    assert counted == 1
