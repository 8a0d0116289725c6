"""The API does what its own document says, for whatever can be made of that document; and to no other session's data.

Schemathesis makes the requests, the same ones at every run.
"""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dbapi.app import routes
from dbapi.openapi import openapi
from tests.dbapi.conftest import CREDENTIAL
from tests.stack import Service

EXAMPLES = 15  # of each operation
CONFORMS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
QUICKLY = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
schema = schemathesis.openapi.from_dict(openapi(routes))
scoped = schema.include(path_regex="^/(chats|devices|links)")


class Somebody:
    """A session with something in it, and its ids as paths name them."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, headers=CREDENTIAL | {"X-Session-ID": str(uuid4())}, trust_env=False)
        self.username = f"Ada {uuid4()}"
        chat = self._made("/chats", {"username": self.username, "messages": [{"role": "assistant", "content": "Hello!"}]})
        turn = self._made(f"/chats/{chat['id']}/turns", {"content": "Why?"})
        self._made("/links", {"token_hash": (link := uuid4().hex * 2)})
        self._made("/devices", {"link_hash": link, "token_hash": uuid4().hex * 2})
        (device,) = self.http.get("/devices").json()["devices"]
        self.ids = {"chat_id": chat["id"], "message_id": turn["assistant"]["id"], "username": self.username, "device_id": device["id"]}

    def everything(self) -> list[Any]:
        return [self.http.get(path).json() for path in (f"/chats/{self.ids['chat_id']}", "/chats", "/devices")]

    def _made(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
def me(service: Service) -> Iterator[Somebody]:
    me = Somebody(service.url)
    yield me
    me.http.close()


@pytest.fixture
def theirs(service: Service) -> Iterator[Somebody]:
    """Somebody else's, of which nothing may have changed when all requests have been made."""
    theirs = Somebody(service.url)
    before = theirs.everything()
    yield theirs
    assert theirs.everything() == before
    theirs.http.close()


@pytest.fixture(scope="module")
def wire() -> Iterator[requests.Session]:
    with requests.Session() as wire:
        wire.trust_env = False
        yield wire


def send(case: Any, wire: requests.Session, asker: Somebody, ids: dict[str, str]) -> Response:
    """As this session, and with these ids wherever the path has one that Schemathesis made up well."""
    for name in case.path_parameters or {}:
        if re.fullmatch("[0-9a-f-]{36}", str(case.path_parameters[name])) or name == "username":
            case.path_parameters[name] = ids[name]
    case.headers = {**(case.headers or {}), **CREDENTIAL, "X-Session-ID": asker.http.headers["X-Session-ID"]}
    return case.call(base_url=str(asker.http.base_url).rstrip("/"), session=wire)  # type: ignore[no-any-return]


@schema.parametrize()
@QUICKLY
def test_every_operation_does_what_its_document_says(case: Any, wire: requests.Session, me: Somebody) -> None:
    answer = send(case, wire, me, me.ids)

    case.validate_response(answer, checks=CONFORMS)


@scoped.parametrize()
@QUICKLY
def test_no_request_reaches_another_sessions_data(case: Any, wire: requests.Session, me: Somebody, theirs: Somebody) -> None:
    answer = send(case, wire, me, theirs.ids)

    case.validate_response(answer, checks=CONFORMS)
    names_theirs = any(value in theirs.ids.values() for value in (case.path_parameters or {}).values())
    assert answer.status_code >= 400 or not names_theirs
    assert theirs.username not in answer.text
    assert theirs.ids["chat_id"] not in answer.text
