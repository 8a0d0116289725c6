"""What tests ask of dbapi again and again, in a line."""

from typing import Any
from uuid import uuid4

from tests.dbapi.conftest import Api

LEASE_SECONDS = 60.0  # longer than any test
OPENING = {"role": "assistant", "content": "Hello!"}


async def new_chat(api: Api, username: str = "Ada") -> Any:
    created = await api.post("/chats", json={"username": username, "messages": [OPENING]})
    assert created.status_code == 201, created.text
    return created.json()


async def new_turn(api: Api, chat: Any, content: str = "Why?", **more: Any) -> Any:
    created = await api.post(f"/chats/{chat['id']}/turns", json={"content": content} | more)
    assert created.is_success, created.text
    return created.json()


async def new_device(api: Api) -> str:
    """One more device of this session, let in by a link: its id."""
    link, token = {"token_hash": uuid4().hex * 2}, {"token_hash": uuid4().hex * 2}
    assert (await api.post("/links", json=link)).status_code == 201
    joined = await api.post("/devices", json={"link_hash": link["token_hash"], "name": "a browser"} | token)
    assert joined.status_code == 201, joined.text
    (device,) = [each for each in (await api.get("/devices")).json()["devices"] if each["token_hash"] == token["token_hash"]]
    return str(device["id"])


async def queued(api: Api, chat: Any = None) -> Any:
    """A new turn, in a new chat unless one is given: its answer's record."""
    return (await new_turn(api, chat or await new_chat(api)))["assistant"]


async def claim(api: Api, slots: int = 1000, lease: float = LEASE_SECONDS, owner: str = "test") -> Any:
    """What was claimed, by generation id."""
    answer = await api.post("/generations/claim", json={"owner": owner, "slots": slots, "lease": lease})
    assert answer.status_code == 200, answer.text
    return {claimed["id"]: claimed for claimed in answer.json()["claimed"]}


async def running(api: Api, chat: Any = None, lease: float = LEASE_SECONDS) -> Any:
    """A new answer that is claimed, as the claim told."""
    answer = await queued(api, chat)
    return (await claim(api, lease=lease))[answer["generation_id"]]


async def append(api: Api, claimed: Any, seq: int | None, text: str = "", kind: int = 0, **changed: Any) -> bool:
    """Whether it was accepted."""
    entry = [claimed["id"], changed.get("fence", claimed["fence"]), seq, kind, text, changed.get("offset")]
    answer = await api.post("/generations/append", json={"lease": changed.get("lease", LEASE_SECONDS), "entries": [entry]})
    assert answer.status_code == 200, answer.text
    return answer.json()["ok"] == [claimed["id"]]  # type: ignore[no-any-return]


async def finish(api: Api, claimed: Any, last_seq: int, status: str = "complete", **more: Any) -> bool:
    end = {"id": claimed["id"], "fence": claimed["fence"], "last_seq": last_seq, "status": status} | more
    answer = await api.post("/generations/finish", json=end)
    assert answer.status_code == 200, answer.text
    return answer.json()["done"]  # type: ignore[no-any-return]


async def read(api: Api, generation_id: str, after: int = 0) -> tuple[Any, list[Any]]:
    """Its state, and its chunks as [seq, fence, kind, text]."""
    answer = await api.post("/generations/read", json={"entries": [[generation_id, after]]})
    assert answer.status_code == 200, answer.text
    (state,) = answer.json()["states"]
    return state, [chunk[1:] for chunk in answer.json()["chunks"]]


async def message(api: Api, chat_id: str, message_id: str) -> Any:
    answer = await api.get(f"/chats/{chat_id}/messages/{message_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def everything(owner: Any) -> dict[str, tuple[Any, ...]]:
    """Number and sum of all rows of all tables, to see that nothing has changed."""
    tables = ["sessions", "devices", "links", "chats", "messages", "generations", "generation_chunks"]
    return {table: tuple(await owner.fetchrow(f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} t")) for table in tables}
