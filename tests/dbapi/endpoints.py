"""Every endpoint of dbapi, by method and path: for tests that call all of them."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from dbapi.routes import routes


@dataclass(frozen=True)
class Endpoint:
    """`open` needs nothing and `service` the credential. The others need a session, too: `list` reads or changes its
    rows, `new` creates one, and `own` acts on a row that must belong to it.
    """

    access: Literal["open", "service", "list", "new", "own"]
    body: Any = field(default=None)


UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
LOG_ENTRIES = {"entries": [[UNKNOWN_ID, 1]]}
FINISH = {"id": UNKNOWN_ID, "fence": 1, "last_seq": 0, "status": "complete"}
ENDPOINTS = {
    "GET /healthz": Endpoint("open"),
    "GET /readyz": Endpoint("open"),
    "POST /sessions": Endpoint("service", {"token_hash": "ab" * 32}),
    "POST /sessions/find": Endpoint("service", {"token_hash": "ab" * 32}),
    "GET /devices": Endpoint("list"),
    "POST /devices": Endpoint("service", {"link_hash": "cd" * 32, "token_hash": "ab" * 32}),
    "DELETE /devices": Endpoint("list"),
    "DELETE /devices/{device_id}": Endpoint("own"),
    "POST /links": Endpoint("new", {"token_hash": "ef" * 32}),
    "GET /presets": Endpoint("list"),
    "PUT /presets": Endpoint("new", {"name": "Poet"}),
    "GET /presets/{preset_id}": Endpoint("own"),
    "DELETE /presets/{preset_id}": Endpoint("own"),
    "GET /search": Endpoint("list"),
    "POST /chats": Endpoint("new", {"username": "Ada"}),
    "GET /chats": Endpoint("list"),
    "PATCH /chats": Endpoint("list", {"ids": [UNKNOWN_ID], "archived": True}),
    "GET /chats/{chat_id}": Endpoint("own"),
    "GET /chats/username/{username}": Endpoint("own"),
    "GET /chats/{chat_id}/state": Endpoint("own"),
    "PUT /chats/{chat_id}/defaults": Endpoint("own"),
    "PATCH /chats/{chat_id}": Endpoint("own", {"title": "Hi"}),
    "DELETE /chats/{chat_id}": Endpoint("own"),
    "POST /chats/{chat_id}/restore": Endpoint("own"),
    "POST /chats/{chat_id}/title": Endpoint("own", {"slots": 1000}),
    "PUT /chats/{chat_id}/title": Endpoint("own", {"title": "Hi"}),
    "POST /chats/{chat_id}/leave": Endpoint("own"),
    "POST /chats/{chat_id}/return": Endpoint("own"),
    "POST /chats/{chat_id}/keep": Endpoint("own"),
    "PUT /chats/{chat_id}/tip": Endpoint("own", {"message_id": UNKNOWN_ID}),
    "POST /chats/{chat_id}/message": Endpoint("own", {"role": "user", "content": "Hi"}),
    "POST /chats/{chat_id}/turns": Endpoint("own", {"content": "Hi"}),
    "GET /chats/{chat_id}/messages/{message_id}": Endpoint("own"),
    "GET /chats/{chat_id}/messages/{message_id}/prompt": Endpoint("own"),
    "DELETE /chats/{chat_id}/messages/{message_id}": Endpoint("own"),
    "POST /chats/{chat_id}/messages/{message_id}/versions": Endpoint("own", {"content": "Hi"}),
    "POST /chats/{chat_id}/messages/{message_id}/answers": Endpoint("own", {}),
    "POST /chats/{chat_id}/messages/{message_id}/continue": Endpoint("own", {}),
    "POST /chats/{chat_id}/messages/{message_id}/stop": Endpoint("own"),
    "POST /generations/claim": Endpoint("service", {"owner": "test", "slots": 0, "lease": 1}),
    "POST /generations/append": Endpoint("service", {"lease": 1, "entries": []}),
    "POST /generations/finish": Endpoint("service", FINISH),
    "POST /generations/rename": Endpoint("service", {"id": UNKNOWN_ID, "fence": 1, "upstream_key": "g"}),
    "POST /generations/release": Endpoint("service", LOG_ENTRIES),
    "POST /generations/read": Endpoint("service", LOG_ENTRIES),
    "GET /events": Endpoint("service"),
}
# These act on another message than a running answer. tests/web/test_versions.py,
# tests/web/test_continuing_and_deleting.py and tests/dbapi/test_versions.py show that they work for the owner.
NEEDS_ANOTHER_MESSAGE = {
    "PUT /chats/{chat_id}/tip",
    "DELETE /chats/{chat_id}/messages/{message_id}",
    "POST /chats/{chat_id}/messages/{message_id}/versions",
    "POST /chats/{chat_id}/messages/{message_id}/continue",
}
GUARDED = [name for name, endpoint in ENDPOINTS.items() if endpoint.access != "open"]
OF_A_SESSION = [name for name, endpoint in ENDPOINTS.items() if endpoint.access in ("list", "new", "own")]
OWN = [name for name, endpoint in ENDPOINTS.items() if endpoint.access == "own"]


def names_of_routes() -> set[str]:
    """Every route as in ENDPOINTS."""
    named = {(method, route.path) for route in routes for method in (route.methods or set()) - {"HEAD"}}
    return {f"{method} {re.sub(':[a-z]+}', '}', path)}" for method, path in named}


async def call(
    http: httpx.AsyncClient, name: str, ids: dict[str, str] | None = None, headers: Any = None
) -> httpx.Response:
    """Ids that are not given are those of no row."""
    unknown = dict.fromkeys(("chat_id", "message_id", "device_id", "preset_id"), UNKNOWN_ID) | {"username": "Nobody"}
    method, path = name.split(" ")
    return await http.request(
        method, path.format_map(unknown | (ids or {})), json=ENDPOINTS[name].body, headers=headers
    )
