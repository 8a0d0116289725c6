"""Every response has the fields that its documentation lists, and no others. test_schemas.py tries many requests."""

import copy
import json
from typing import Any

import httpx
import jsonschema_rs
import pytest

from dbapi.openapi import openapi
from dbapi.routes import routes
from tests.dbapi.calls import new_chat
from tests.dbapi.conftest import CREDENTIAL, Api
from tests.dbapi.contract_cases import CASES, create_chat
from tests.dbapi.endpoints import GUARDED, OF_A_SESSION, OWN, call, names_of_routes
from tests.stack import Service, client

pytestmark = pytest.mark.usefixtures("idle_log")
JSON = {"Content-Type": "application/json"}


def forbid_undocumented_fields(schema: Any) -> Any:
    """A copy in which every object allows its documented fields only."""
    if isinstance(schema, list):
        return [forbid_undocumented_fields(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: forbid_undocumented_fields(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        strict["additionalProperties"] = False
    return strict


DOCUMENT = openapi(routes)
SCHEMAS = forbid_undocumented_fields(copy.deepcopy(DOCUMENT["components"]))


def check(name: str, response: httpx.Response) -> None:
    """Compares a response with the documentation of its status."""
    method, path = name.split(" ")
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(response.status_code) in responses, f"{response.status_code} is not documented: {response.text}"
    content = responses[str(response.status_code)].get("content")
    if content is None:
        assert response.content == b""
        return
    media_type = response.headers["content-type"].partition(";")[0]
    schema = {**content[media_type]["schema"], "components": SCHEMAS}
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    for line in response.text.splitlines() if media_type == "application/x-ndjson" else [response.text]:
        assert [str(error) for error in validator.iter_errors(json.loads(line))] == []


def test_every_route_is_documented_and_has_a_case() -> None:
    documented = {f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods}

    assert documented == set(CASES) == names_of_routes()


@pytest.mark.parametrize("name", CASES)
async def test_every_success_response_matches_its_documentation(api: Api, name: str) -> None:
    responses = await CASES[name](api)

    for response in responses:
        check(name, response)
    method, path = name.split(" ")
    successes = {status for status in DOCUMENT["paths"][path][method.lower()]["responses"] if status < "400"}
    assert {str(response.status_code) for response in responses} == successes


async def test_error_responses_match_their_documentation(service: Service, api: Api) -> None:
    errors: list[tuple[str, httpx.Response]] = []
    async with client(service.url) as http:
        errors += [(name, await call(http, name)) for name in GUARDED]
        errors += [(name, await call(http, name, headers=CREDENTIAL)) for name in OF_A_SESSION]
        malformed = CREDENTIAL | {"X-Session-ID": "zzz"}
        errors += [(name, await call(http, name, headers=malformed)) for name in OF_A_SESSION]
    errors += [(name, await call(api, name)) for name in OWN]
    chat = await new_chat(api)
    for body, headers in ((b"[]", JSON), (b"{}", {"Content-Type": "text/plain"}), (b" " * 1_000_001, JSON)):
        errors.append(("POST /chats", await api.post("/chats", content=body, headers=headers)))
    path = f"/chats/{chat['id']}/messages/{chat['tip_id']}/answers"
    errors.append(("POST /chats/{chat_id}/messages/{message_id}/answers", await api.post(path, json={})))

    for name, response in errors:
        check(name, response)
    assert {response.status_code for _, response in errors} == {400, 401, 404, 409, 413, 415, 422}


async def test_an_undocumented_field_or_status_fails_the_comparison(api: Api) -> None:
    (created,) = await create_chat(api)
    chat = created.json()
    chat["messages"][0]["surprise"] = 1

    with pytest.raises(AssertionError, match="surprise"):
        check("POST /chats", httpx.Response(201, json=chat))
    with pytest.raises(AssertionError, match="not documented"):
        check("POST /chats", httpx.Response(202, json=created.json()))
    del chat["messages"][0]["surprise"], chat["title"]
    with pytest.raises(AssertionError, match="title"):
        check("POST /chats", httpx.Response(201, json=chat))
