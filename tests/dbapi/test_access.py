"""Access to every endpoint: the credential, the session, and the rows of other sessions."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.dbapi import isolation_cases
from tests.dbapi.calls import new_chat, row_checksums
from tests.dbapi.conftest import CREDENTIAL, Api
from tests.dbapi.endpoints import ENDPOINTS, GUARDED, OF_A_SESSION, OWN, call, names_of_routes
from tests.stack import DBAPI_KEY, Cluster, Service, client


def test_every_route_is_listed() -> None:
    assert names_of_routes() == set(ENDPOINTS)


@pytest.mark.parametrize(
    "credential",
    [
        [],
        [("Authorization", "")],
        [("Authorization", f"Bearer {'x' * len(DBAPI_KEY)}")],
        [("Authorization", f"Bearer {DBAPI_KEY[:-1]}")],
        [("Authorization", f"Bearer {DBAPI_KEY}x")],
        [("Authorization", f"bearer {DBAPI_KEY}")],
        [("Authorization", DBAPI_KEY)],
        [("Authorization", "Basic dXNlcjpwYXNz")],
        [("Authorization", f"Bearer {DBAPI_KEY}"), ("Authorization", f"Bearer {DBAPI_KEY}")],
        [("Authorization", "Bearer \xff\xfe".encode("latin-1"))],
    ],
    ids=["none", "empty", "wrong", "cut", "longer", "lower-case", "bare", "basic", "doubled", "no ascii"],
)
async def test_requests_without_the_valid_credential_get_401(service: Service, owner: Any, credential: Any) -> None:
    before = await row_checksums(owner)

    async with client(service.url, params={"key": DBAPI_KEY, "access_token": DBAPI_KEY}) as http:
        refused = {
            name: await call(http, name, headers=[*credential, ("X-Session-ID", str(uuid4()))]) for name in GUARDED
        }

    assert {name: response.status_code for name, response in refused.items()} == dict.fromkeys(GUARDED, 401)
    assert {
        (response.headers["www-authenticate"], bool(response.json()["detail"])) for response in refused.values()
    } == {("Bearer", True)}
    assert await row_checksums(owner) == before


@pytest.mark.parametrize("name", [name for name in GUARDED if name != "GET /events"])
async def test_requests_with_the_credential_are_accepted(api: Api, name: str) -> None:
    response = await call(api, name)

    assert response.status_code in (200, 201, 204, 404, 409)


async def test_the_credential_is_checked_before_the_body_is_read(service: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(b"POST /chats HTTP/1.1\r\nHost: dbapi\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: 100000000\r\nAuthorization: Bearer no\r\n\r\n")

    status = await asyncio.wait_for(reader.readline(), 5)

    writer.close()
    assert status.startswith(b"HTTP/1.1 401")


async def test_two_credentials_are_both_valid_until_one_is_removed(
    cluster: Cluster, database: str, tmp_path: Path
) -> None:
    new = "new-key-of-the-tests-9876543210fedcba"

    async def statuses(keys: str) -> list[int]:
        environ = {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": keys}
        dbapi = await Service("dbapi", tmp_path / "log", environ).start()
        try:
            async with client(dbapi.url, headers={"X-Session-ID": str(uuid4())}) as http:
                responses = [
                    await http.get("/chats", headers={"Authorization": f"Bearer {key}"}) for key in (DBAPI_KEY, new)
                ]
            return [response.status_code for response in responses]
        finally:
            await dbapi.terminate()

    assert [await statuses(keys) for keys in (DBAPI_KEY, f"{new},{DBAPI_KEY}", new)] == [
        [200, 401],
        [200, 200],
        [401, 200],
    ]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ([], 401),
        ([""], 401),
        (["zzz"], 400),
        (["6BA7B810-9DAD-41D1-80B4-00C04FD430C8"], 400),
        (["{6ba7b810-9dad-41d1-80b4-00c04fd430c8}"], 400),
        (["urn:uuid:6ba7b810-9dad-41d1-80b4-00c04fd430c8"], 400),
        (["6ba7b8109dad41d180b400c04fd430c8"], 400),
        (["6ba7b810-9dad-41d1-80b4-00c04fd430c8,6ba7b810-9dad-41d1-80b4-00c04fd430c8"], 400),
        (["6ba7b810-9dad-41d1-80b4-00c04fd430c8"] * 2, 400),
        (["6ba7b810-9dad-41d1-80b4-00c04fd430c8", ""], 400),
        (["", ""], 400),
        (["x" * 10_000], 400),
    ],
    ids=[
        "missing",
        "empty",
        "no uuid",
        "upper-case",
        "braced",
        "urn",
        "no hyphens",
        "list",
        "doubled",
        "and empty",
        "two empty",
        "long",
    ],
)
async def test_the_session_header_must_be_one_canonical_uuid(
    service: Service, owner: Any, given: list[str], status: int
) -> None:
    before = await row_checksums(owner)

    async with client(service.url, headers=CREDENTIAL) as http:
        refused = {
            name: await call(http, name, headers=[("X-Session-ID", value) for value in given]) for name in OF_A_SESSION
        }

    assert {name: response.status_code for name, response in refused.items()} == dict.fromkeys(OF_A_SESSION, status)
    assert all("X-Session-ID" in response.json()["detail"] for response in refused.values())
    assert await row_checksums(owner) == before


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


async def test_the_page_of_a_chat_shows_no_message_of_another(api: Api, other: Api) -> None:
    await isolation_cases.check_the_page_of_a_chat_shows_no_message_of_another(api, other)


@pytest.mark.parametrize("form", ["{0}x", "{1}", "{{{0}}}", "{2}", " {0}", "{0}%0a", "{0},", "%00{0}", "{0}" * 300])
async def test_an_id_in_a_path_has_only_its_canonical_form(api: Api, form: str) -> None:
    chat_id = (await new_chat(api))["id"]
    canonical = await api.get(f"/chats/{chat_id}")

    found = await api.get("/chats/" + form.format(chat_id, chat_id.upper(), chat_id.replace("-", "")))

    assert canonical.status_code == 200
    assert found.status_code == 404


async def test_health_needs_no_credential_and_reveals_no_data(service: Service) -> None:
    async with client(service.url) as http:
        alive, ready, docs, nowhere = [
            await http.get(path) for path in ("/healthz", "/readyz", "/docs", "/openapi.json")
        ]

    assert (alive.json(), ready.json()) == ({"status": "alive"}, {"status": "ready"})
    assert (docs.status_code, nowhere.status_code) == (401, 401)


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer", "Basic " + DBAPI_KEY, DBAPI_KEY])
async def test_readiness_refuses_a_wrong_credential(service: Service, header: str) -> None:
    async with client(service.url, headers={"Authorization": header}) as http:
        alive, refused = await http.get("/healthz"), await http.get("/readyz")
        accepted = await http.get("/readyz", headers=CREDENTIAL)

    assert (alive.status_code, refused.status_code, accepted.status_code) == (200, 401, 200)
