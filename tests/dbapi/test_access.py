"""Who may call, and for which session: every route there is, and none without an entry here."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from dbapi.app import routes
from tests.dbapi.calls import everything, new_chat, new_device, new_turn
from tests.dbapi.conftest import CREDENTIAL, Api
from tests.stack import DBAPI_KEY, Cluster, Service, client


@dataclass(frozen=True)
class Entry:
    kind: str  # open: anybody; service: whoever has the credential; list, new: for a session; own: for the session it belongs to
    body: Any = field(default=None)


NOBODY = "00000000-0000-4000-8000-000000000000"
LOG_ENTRIES = {"entries": [[NOBODY, 1]]}
FINISH = {"id": NOBODY, "fence": 1, "last_seq": 0, "status": "complete"}
ENTRIES = {
    "GET /healthz": Entry("open"),
    "GET /readyz": Entry("open"),
    "POST /sessions": Entry("service", {"token_hash": "ab" * 32}),
    "POST /sessions/find": Entry("service", {"token_hash": "ab" * 32}),
    "GET /devices": Entry("list"),
    "POST /devices": Entry("service", {"link_hash": "cd" * 32, "token_hash": "ab" * 32}),
    "DELETE /devices": Entry("list"),
    "DELETE /devices/{device_id}": Entry("own"),
    "POST /links": Entry("new", {"token_hash": "ef" * 32}),
    "POST /chats": Entry("new", {"username": "Ada"}),
    "GET /chats": Entry("list"),
    "GET /chats/{chat_id}": Entry("own"),
    "GET /chats/username/{username}": Entry("own"),
    "PATCH /chats/{chat_id}": Entry("own", {"title": "Hi"}),
    "DELETE /chats/{chat_id}": Entry("own"),
    "POST /chats/{chat_id}/restore": Entry("own"),
    "PUT /chats/{chat_id}/tip": Entry("own", {"message_id": NOBODY}),
    "POST /chats/{chat_id}/message": Entry("own", {"role": "user", "content": "Hi"}),
    "POST /chats/{chat_id}/turns": Entry("own", {"content": "Hi"}),
    "GET /chats/{chat_id}/messages/{message_id}": Entry("own"),
    "GET /chats/{chat_id}/messages/{message_id}/prompt": Entry("own"),
    "DELETE /chats/{chat_id}/messages/{message_id}": Entry("own"),
    "POST /chats/{chat_id}/messages/{message_id}/answers": Entry("own", {}),
    "POST /chats/{chat_id}/messages/{message_id}/continue": Entry("own", {}),
    "POST /chats/{chat_id}/messages/{message_id}/stop": Entry("own"),
    "POST /generations/claim": Entry("service", {"owner": "test", "slots": 0, "lease": 1}),
    "POST /generations/append": Entry("service", {"lease": 1, "entries": []}),
    "POST /generations/finish": Entry("service", FINISH),
    "POST /generations/rename": Entry("service", {"id": NOBODY, "fence": 1, "upstream_key": "g"}),
    "POST /generations/release": Entry("service", LOG_ENTRIES),
    "POST /generations/read": Entry("service", LOG_ENTRIES),
    "GET /events": Entry("service"),
}
# What these act on is another message than a running answer; that they work for its owner is seen in tests/web/test_versions.py
# and in tests/web/test_continuing_and_deleting.py.
NEEDS_MORE = {
    "PUT /chats/{chat_id}/tip",
    "DELETE /chats/{chat_id}/messages/{message_id}",
    "POST /chats/{chat_id}/messages/{message_id}/continue",
}
GUARDED = [name for name, entry in ENTRIES.items() if entry.kind != "open"]
OF_A_SESSION = [name for name, entry in ENTRIES.items() if entry.kind in ("list", "new", "own")]
OWN = [name for name, entry in ENTRIES.items() if entry.kind == "own"]


async def call(http: httpx.AsyncClient, name: str, ids: dict[str, str] | None = None, headers: Any = None) -> httpx.Response:
    method, path = name.split(" ")
    path = path.format_map({"chat_id": NOBODY, "message_id": NOBODY, "device_id": NOBODY, "username": "Nobody"} | (ids or {}))
    return await http.request(method, path, json=ENTRIES[name].body, headers=headers)


def test_every_route_has_an_entry() -> None:
    there = {f"{method} {route.path}" for route in routes for method in (route.methods or set()) - {"HEAD"}}

    assert {name.replace(":id}", "}").replace(":path}", "}") for name in there} == set(ENTRIES)


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
async def test_without_the_one_right_credential_nobody_gets_in(service: Service, owner: Any, credential: Any) -> None:
    before = await everything(owner)

    async with client(service.url, params={"key": DBAPI_KEY, "access_token": DBAPI_KEY}) as http:
        refused = {name: await call(http, name, headers=[*credential, ("X-Session-ID", str(uuid4()))]) for name in GUARDED}

    assert {name: answer.status_code for name, answer in refused.items()} == dict.fromkeys(GUARDED, 401)
    assert {(answer.headers["www-authenticate"], bool(answer.json()["detail"])) for answer in refused.values()} == {("Bearer", True)}
    assert await everything(owner) == before


@pytest.mark.parametrize("name", [name for name in GUARDED if name != "GET /events"])
async def test_with_the_credential_the_same_calls_get_further(api: Api, name: str) -> None:
    answer = await call(api, name)

    assert answer.status_code in (200, 201, 204, 404, 409)


async def test_the_credential_is_checked_before_the_body_is_read(service: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(b"POST /chats HTTP/1.1\r\nHost: dbapi\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: 100000000\r\nAuthorization: Bearer no\r\n\r\n")

    status = await asyncio.wait_for(reader.readline(), 5)

    writer.close()
    assert status.startswith(b"HTTP/1.1 401")


async def test_of_two_credentials_both_are_good_until_one_is_taken_away(cluster: Cluster, database: str, tmp_path: Path) -> None:
    new = "new-key-of-the-tests-9876543210fedcba"

    async def statuses(keys: str) -> list[int]:
        environ = {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": keys}
        dbapi = await Service("dbapi", tmp_path / "log", environ).start()
        try:
            async with client(dbapi.url, headers={"X-Session-ID": str(uuid4())}) as http:
                answers = [await http.get("/chats", headers={"Authorization": f"Bearer {key}"}) for key in (DBAPI_KEY, new)]
            return [answer.status_code for answer in answers]
        finally:
            await dbapi.terminate()

    assert [await statuses(keys) for keys in (DBAPI_KEY, f"{new},{DBAPI_KEY}", new)] == [[200, 401], [200, 200], [401, 200]]


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
    ids=["missing", "empty", "no uuid", "upper-case", "braced", "urn", "no hyphens", "list", "doubled", "and empty", "two empty", "long"],
)
async def test_the_session_is_one_uuid_in_its_canonical_form(service: Service, owner: Any, given: list[str], status: int) -> None:
    before = await everything(owner)

    async with client(service.url, headers=CREDENTIAL) as http:
        refused = {name: await call(http, name, headers=[("X-Session-ID", value) for value in given]) for name in OF_A_SESSION}

    assert {name: answer.status_code for name, answer in refused.items()} == dict.fromkeys(OF_A_SESSION, status)
    assert all("X-Session-ID" in answer.json()["detail"] for answer in refused.values())
    assert await everything(owner) == before


@pytest.mark.parametrize("name", OWN)
async def test_what_belongs_to_another_session_is_not_there(api: Api, other: Api, owner: Any, name: str) -> None:
    username = f"Ada {uuid4()}"
    theirs, mine = await new_chat(other, username), await new_chat(api)
    answer = (await new_turn(other, theirs))["assistant"]
    ids = {"chat_id": theirs["id"], "message_id": answer["id"], "username": username, "device_id": await new_device(other)}
    before = await everything(owner)

    foreign, unknown = await call(api, name, ids), await call(api, name)
    mixed = await call(api, name, ids | {"chat_id": mine["id"]}) if "{message_id}" in name else unknown
    after = await everything(owner)

    assert (foreign.status_code, unknown.status_code, mixed.status_code) == (404, 404, 404)
    assert foreign.content == unknown.content == mixed.content
    assert after == before
    own = await call(other, name, ids)
    assert own.is_success or (name in NEEDS_MORE and own.status_code in (404, 409)), own.text


async def test_a_list_has_the_chats_of_its_session_only(api: Api, other: Api) -> None:
    theirs, mine = await new_chat(other), await new_chat(api)

    listed = (await api.get("/chats")).json()["chats"]

    assert [chat["id"] for chat in listed] == [mine["id"]]
    assert theirs["id"] not in str(listed)


@pytest.mark.parametrize("form", ["{0}x", "{1}", "{{{0}}}", "{2}", " {0}", "{0}%0a", "{0},", "%00{0}", "{0}" * 300])
async def test_an_id_has_one_form(api: Api, form: str) -> None:
    chat_id = (await new_chat(api))["id"]
    canonical = await api.get(f"/chats/{chat_id}")

    found = await api.get("/chats/" + form.format(chat_id, chat_id.upper(), chat_id.replace("-", "")))

    assert canonical.status_code == 200
    assert found.status_code == 404


async def test_health_is_open_and_says_nothing_about_the_data(service: Service) -> None:
    async with client(service.url) as http:
        alive, ready, docs, nowhere = [await http.get(path) for path in ("/healthz", "/readyz", "/docs", "/openapi.json")]

    assert (alive.json(), ready.json()) == ({"status": "alive"}, {"status": "ready"})
    assert (docs.status_code, nowhere.status_code) == (401, 401)
