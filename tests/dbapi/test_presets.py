"""Presets: saved, replaced, listed by name, deleted, and limited."""

import asyncio
from typing import Any

import httpx
import pytest

from dbapi.presets import MAX_PRESETS
from tests.dbapi.calls import MANY_PRESETS, new_preset, row_checksums
from tests.dbapi.conftest import Api
from tests.stack import until

SETTINGS: dict[str, Any] = {"model": "large", "system_prompt": "Rhyme.", "parameters": {"temperature": 0.5, "top_k": 7}}


async def names(api: Api) -> list[str]:
    return [preset["name"] for preset in (await api.get("/presets")).json()["presets"]]


async def test_a_preset_is_returned_as_it_was_saved(api: Api) -> None:
    saved = await new_preset(api, " Poet ", **SETTINGS)

    assert {name: saved[name] for name in SETTINGS} == SETTINGS
    assert saved["name"] == "Poet"
    assert (await api.get(f"/presets/{saved['id']}")).json() == saved


async def test_presets_are_listed_by_name(api: Api) -> None:
    for name in ("poet", "Clerk", "Zoologist", "cook"):
        await new_preset(api, name)

    assert await names(api) == ["Clerk", "cook", "poet", "Zoologist"]


async def test_a_preset_with_the_same_name_is_replaced_as_a_whole(api: Api) -> None:
    first = await new_preset(api, **SETTINGS)

    second = await new_preset(api, system_prompt="Do not rhyme.")

    assert (await api.get("/presets")).json() == {"presets": [{"id": first["id"], "name": "Poet"}]}
    assert (await api.get(f"/presets/{first['id']}")).json() == second
    assert (second["model"], second["system_prompt"], second["parameters"]) == (None, "Do not rhyme.", {})
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]


async def test_parameters_that_are_null_and_an_empty_model_are_left_to_the_model_server(api: Api) -> None:
    saved = await new_preset(api, model=" ", parameters={"temperature": None, "seed": 0})

    assert (saved["model"], saved["parameters"]) == (None, {"seed": 0})


async def test_a_preset_that_was_deleted_is_not_found(api: Api) -> None:
    kept, deleted = await new_preset(api, "Kept"), await new_preset(api, "Deleted")
    path = f"/presets/{deleted['id']}"

    statuses = [(await api.request(method, path)).status_code for method in ("DELETE", "GET", "DELETE")]

    assert statuses == [204, 404, 404]
    assert (await api.get("/presets")).json()["presets"] == [{"id": kept["id"], "name": "Kept"}]


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, "name"),
        ({"name": " \u200b "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "Poet", "model": "x" * 201}, "model"),
        ({"name": "Poet", "system_prompt": "x" * 32_001}, "system_prompt"),
        ({"name": "Poet", "parameters": {"temperature": 3}}, "parameters.temperature"),
    ],
)
async def test_problems_with_a_preset_are_reported_with_their_location(
    api: Api, owner: Any, body: Any, at: str
) -> None:
    before = await row_checksums(owner)

    refused = await api.put("/presets", json=body)

    assert refused.status_code == 422
    assert [error["at"] for error in refused.json()["errors"]] == [at]
    assert await row_checksums(owner) == before


async def almost_full(api: Api, owner: Any, free: int) -> None:
    """Leaves room for `free` more presets."""
    await new_preset(api, "Poet")
    await owner.execute(MANY_PRESETS, api.headers["X-Session-ID"], MAX_PRESETS - 1 - free)


async def test_at_the_limit_a_preset_can_be_replaced_but_not_added(api: Api, owner: Any) -> None:
    await almost_full(api, owner, 0)

    added = await api.put("/presets", json={"name": "One more"})
    replaced = await new_preset(api, "Poet", system_prompt="Rhyme.")
    await api.delete(f"/presets/{replaced['id']}")
    after_deletion = await api.put("/presets", json={"name": "One more"})

    assert (added.status_code, after_deletion.status_code) == (409, 200)
    assert added.json() == {"detail": "There are 100 presets already. Delete one of them first."}
    assert len(await names(api)) == MAX_PRESETS


async def test_simultaneous_requests_do_not_exceed_the_limit(api: Api, owner: Any) -> None:
    await almost_full(api, owner, 2)
    await asyncio.gather(*(api.get("/presets") for _ in range(8)))  # opens all connections to the database

    answers: list[httpx.Response] = await asyncio.gather(
        *(api.put("/presets", json={"name": f"New {number}"}) for number in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [409] * 6
    assert len(await names(api)) == MAX_PRESETS


async def test_a_preset_is_counted_after_the_one_that_is_being_saved(api: Api, owner: Any) -> None:
    await almost_full(api, owner, 1)
    session = api.headers["X-Session-ID"]

    async with owner.transaction():  # another request
        await owner.execute("SELECT FROM sessions WHERE id = $1 FOR NO KEY UPDATE", session)
        await owner.execute("INSERT INTO presets (session_id, name) VALUES ($1, 'The last')", session)
        saving = asyncio.create_task(api.put("/presets", json={"name": "One more"}))
        await until(lambda: saving.done() or owner.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

    assert (await saving).status_code == 409
    assert len(await names(api)) == MAX_PRESETS


async def test_simultaneous_requests_with_one_name_are_one_preset(api: Api) -> None:
    await asyncio.gather(*(new_preset(api, system_prompt=str(number)) for number in range(6)))

    assert await names(api) == ["Poet"]
