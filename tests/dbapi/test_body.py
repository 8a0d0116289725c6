"""Every endpoint with a body refuses malformed and oversized JSON, without an internal error."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.dbapi.calls import new_chat, row_checksums
from tests.dbapi.conftest import Api

JSON = {"Content-Type": "application/json"}
FIELDS = [b"content", b"username", b"role", b"owner", b"slots", b"lease", b"id", b"entries", b"token_hash"]


def in_each_field(value: bytes) -> bytes:
    return b"{" + b",".join(b'"%s":%s' % (field, value) for field in FIELDS) + b"}"


HOSTILE = {
    "nothing": b"",
    "white space": b"  \n",
    "deep arrays": b"[" * 200_000,
    "deep objects": b'{"content":' * 50_000 + b"1" + b"}" * 50_000,
    "deep in a field": b'{"content": "Hi", "username": "Ada", "role": "user", "request": '
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "a large number": b"1" * 10_000,
    "a large number in each field": in_each_field(b"1" * 10_000),
    "not a number": b"NaN",
    "not numbers": in_each_field(b"NaN"),
    "infinity": in_each_field(b"-Infinity"),
    "half a character": in_each_field(rb'"\ud800"'),
    "no UTF-8": in_each_field(b'"\xff\xfe"'),
    "overlong UTF-8": in_each_field(b'"\xc0\x80"'),
    "UTF-16": '{"content":"Hi"}'.encode("utf-16"),
    "a byte order mark and nothing": b"\xef\xbb\xbf",
    "cut off": b'{"content": "Hi',
    "more than one": b'{"content":"Hi"} {"content":"Hi"}',
    "another type": b'"Hi"',
    "null": b"null",
    "objects": in_each_field(b"{}"),
    "lists of lists": in_each_field(b"[[1, 2, 3, 4, 5, 6, 7]]"),
}


async def readers(api: Api) -> list[str]:
    """The path of every endpoint with a JSON body."""
    chat = await new_chat(api)
    log = [f"/generations/{verb}" for verb in ("claim", "append", "finish", "rename", "release", "read")]
    return ["/sessions", "/sessions/find", "/chats", f"/chats/{chat['id']}/message", f"/chats/{chat['id']}/turns", *log]


@pytest.mark.parametrize("name", HOSTILE)
async def test_every_endpoint_refuses_hostile_json(api: Api, owner: Any, name: str) -> None:
    paths = await readers(api)
    before = await row_checksums(owner)

    statuses = {path: (await api.post(path, content=HOSTILE[name], headers=JSON)).status_code for path in paths}

    assert statuses == dict.fromkeys(paths, 422)
    assert await row_checksums(owner) == before


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "",
        "x" * 5000,
    ],
)
async def test_other_content_types_than_json_are_refused(api: Api, kind: str) -> None:
    for path in await readers(api):
        refused = await api.post(path, content=b'{"content": "Hi"}', headers={"Content-Type": kind})
        assert (path, refused.status_code) == (path, 415)


async def test_a_charset_in_the_content_type_is_accepted(api: Api) -> None:
    created = await api.post(
        "/chats", content=b'{"username": "Ada"}', headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )

    assert created.status_code == 201


@pytest.mark.parametrize("tells_its_length", [True, False])
async def test_a_body_that_is_too_large_is_refused_without_reading_all_of_it(api: Api, tells_its_length: bool) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"username": "'
        for _ in range(20):
            yield b"x" * 100_000

    body: Any = b'{"username": "' + b"x" * 1_000_000 if tells_its_length else endless()
    refused = await api.post("/chats", content=body, headers=JSON)

    assert refused.status_code == 413


async def test_the_last_value_of_a_repeated_json_key_wins(api: Api) -> None:
    created = await api.post("/chats", content=b'{"username": "A", "username": "B"}', headers=JSON)

    assert created.json()["username"] == "B"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("append", {"lease": 1, "entries": [["00000000-0000-4000-8000-000000000000", 10**12, 1, 0, "x", None]]}),
        ("append", {"lease": 1, "entries": [["00000000-0000-4000-8000-000000000000", 1, 10**12, 0, "x", None]]}),
        ("append", {"lease": 1, "entries": [["00000000-0000-4000-8000-000000000000", 1, 1, 10**6, "x", None]]}),
        ("append", {"lease": 1, "entries": [["00000000-0000-4000-8000-000000000000", 1, 1, 0, "x", 10**30]]}),
        ("append", {"lease": 0, "entries": []}),
        ("claim", {"owner": "x", "slots": -1, "lease": 1}),
        ("claim", {"owner": "x", "slots": 10**30, "lease": 1}),
        ("read", {"entries": [["00000000-0000-4000-8000-000000000000", 10**12]]}),
        ("release", {"entries": [["00000000-0000-4000-8000-000000000000", -(10**12)]]}),
        ("finish", {"id": "00000000-0000-4000-8000-000000000000", "fence": 1, "last_seq": 1, "status": "streaming"}),
        (
            "finish",
            {
                "id": "00000000-0000-4000-8000-000000000000",
                "fence": 1,
                "last_seq": 1,
                "status": "failed",
                "error": "x" * 1001,
            },
        ),
    ],
)
async def test_numbers_outside_the_range_of_the_log_are_refused(api: Api, path: str, body: Any) -> None:
    refused = await api.post(f"/generations/{path}", json=body)

    assert refused.status_code == 422


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"\\u0000"', '{"\\u0000": 1}', "1" * 4000, "1e400", '"\\ud800"'])
async def test_parameters_of_a_turn_are_stored_or_refused(api: Api, value: str) -> None:
    chat = await new_chat(api)

    created = await api.post(
        f"/chats/{chat['id']}/turns", content=f'{{"content": "Hi", "request": {{"x": {value}}}}}'.encode(), headers=JSON
    )
    shown = await api.get(f"/chats/{chat['id']}")

    assert created.status_code in (201, 422)
    assert len(shown.json()["messages"]) == (3 if created.status_code == 201 else 1)
