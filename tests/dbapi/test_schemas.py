"""The API behaves as its OpenAPI document says, and never touches another session's data.

Schemathesis generates the requests from the document, the same ones in every run.
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

from dbapi.openapi import openapi
from dbapi.routes import routes
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
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
document = schemathesis.openapi.from_dict(openapi(routes))
schema = document.exclude(path="/events")  # its response does not end; see test_contract.py
scoped = schema.include(path_regex="^/(chats|devices|links|presets|search)")


class FilledSession:
    """A session with a row of each kind, and their ids by the names of path parameters."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, headers=CREDENTIAL | {"X-Session-ID": str(uuid4())}, trust_env=False)
        self.username = f"Ada {uuid4()}"
        chat = self._made(
            "/chats", {"username": self.username, "messages": [{"role": "assistant", "content": "Hello!"}]}
        )
        turn = self._made(f"/chats/{chat['id']}/turns", {"content": "Why?"})
        self._made("/links", {"token_hash": (link := uuid4().hex * 2)})
        self._made("/devices", {"link_hash": link, "token_hash": uuid4().hex * 2})
        preset = self._made("/presets", {"name": f"Poet {uuid4()}"}, "PUT")
        (device,) = self.http.get("/devices").json()["devices"]
        self.ids = {
            "chat_id": chat["id"],
            "message_id": turn["assistant"]["id"],
            "username": self.username,
            "device_id": device["id"],
            "preset_id": preset["id"],
        }

    def records(self) -> list[Any]:
        paths = (f"/chats/{self.ids['chat_id']}", "/chats", "/devices", "/presets", f"/presets/{self.ids['preset_id']}")
        return [self.http.get(path).json() for path in paths]

    def _made(self, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        response = self.http.request(method, path, json=body)
        assert response.is_success, response.text
        return response.json()


@pytest.fixture
def me(service: Service) -> Iterator[FilledSession]:
    me = FilledSession(service.url)
    yield me
    me.http.close()


@pytest.fixture
def theirs(service: Service) -> Iterator[FilledSession]:
    """Another session, which must be unchanged after all requests."""
    theirs = FilledSession(service.url)
    before = theirs.records()
    yield theirs
    assert theirs.records() == before
    theirs.http.close()


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    with requests.Session() as http:
        http.trust_env = False
        yield http


def send(case: Any, http: requests.Session, session: FilledSession, ids: dict[str, str]) -> Response:
    """Sends the case for this session, with `ids` in place of the well-formed ids that Schemathesis generated."""
    for name in case.path_parameters or {}:
        if re.fullmatch("[0-9a-f-]{36}", str(case.path_parameters[name])) or name == "username":
            case.path_parameters[name] = ids[name]
    case.headers = {**(case.headers or {}), **CREDENTIAL, "X-Session-ID": session.http.headers["X-Session-ID"]}
    return case.call(base_url=str(session.http.base_url).rstrip("/"), session=http)  # type: ignore[no-any-return]


@schema.parametrize()
@QUICKLY
def test_every_operation_behaves_as_documented(case: Any, http: requests.Session, me: FilledSession) -> None:
    answer = send(case, http, me, me.ids)

    case.validate_response(answer, checks=CONFORMS)


@scoped.parametrize()
@QUICKLY
def test_no_generated_request_reaches_another_sessions_data(
    case: Any, http: requests.Session, me: FilledSession, theirs: FilledSession
) -> None:
    response = send(case, http, me, theirs.ids)

    case.validate_response(response, checks=CONFORMS)
    requests_their_row = any(value in theirs.ids.values() for value in (case.path_parameters or {}).values())
    assert response.status_code >= 400 or not requests_their_row
    assert theirs.username not in response.text
    assert theirs.ids["chat_id"] not in response.text
