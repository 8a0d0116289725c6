"""Frequent calls of dbapi, one function each."""

from typing import Any
from uuid import uuid4

from tests.dbapi.conftest import Api
from tests.stack import until

MOMENT = 0.05  # seconds: a lease that ends during the test
LEASE_SECONDS = 60.0  # longer than any test
MANY_PRESETS = "INSERT INTO presets (session_id, name) SELECT $1, 'No. ' || n FROM generate_series(1, $2) n"
OPENING = {"role": "assistant", "content": "Hello!"}


async def new_chat(api: Api, username: str = "Ada", **more: Any) -> Any:
    created = await api.post("/chats", json={"username": username, "messages": [OPENING]} | more)
    assert created.status_code == 201, created.text
    return created.json()


async def new_turn(api: Api, chat: Any, content: str = "Why?", **more: Any) -> Any:
    created = await api.post(f"/chats/{chat['id']}/turns", json={"content": content} | more)
    assert created.is_success, created.text
    return created.json()


async def bare_chat(api: Api) -> Any:
    """Creates a chat without an opening message."""
    return (await api.post("/chats", json={"username": "Ada"})).json()


async def ask(api: Api, content: str, chat: Any = None) -> Any:
    """Stores a user's message, in a new chat unless one is given. Returns it."""
    return (await new_turn(api, chat or await bare_chat(api), content))["user"]


async def new_device(api: Api) -> str:
    """Adds a device to the session with a link. Returns its id."""
    link, token = {"token_hash": uuid4().hex * 2}, {"token_hash": uuid4().hex * 2}
    assert (await api.post("/links", json=link)).status_code == 201
    joined = await api.post("/devices", json={"link_hash": link["token_hash"], "name": "a browser"} | token)
    assert joined.status_code == 201, joined.text
    (device,) = [
        each for each in (await api.get("/devices")).json()["devices"] if each["token_hash"] == token["token_hash"]
    ]
    return str(device["id"])


async def new_preset(api: Api, name: str = "Poet", **settings: Any) -> Any:
    saved = await api.put("/presets", json={"name": name} | settings)
    assert saved.status_code == 200, saved.text
    return saved.json()


async def queued(api: Api, chat: Any = None, **more: Any) -> Any:
    """Creates a turn, in a new chat unless one is given. Returns its answer."""
    return (await new_turn(api, chat or await new_chat(api), **more))["assistant"]


async def claim(api: Api, slots: int = 1000, lease: float = LEASE_SECONDS, owner: str = "test") -> Any:
    """Returns the claimed answers by generation id."""
    response = await api.post("/generations/claim", json={"owner": owner, "slots": slots, "lease": lease})
    assert response.status_code == 200, response.text
    return {claimed["id"]: claimed for claimed in response.json()["claimed"]}


async def running(api: Api, chat: Any = None, lease: float = LEASE_SECONDS) -> Any:
    """Creates and claims an answer. Returns the claim."""
    answer = await queued(api, chat)
    return (await claim(api, lease=lease))[answer["generation_id"]]


async def append(api: Api, claimed: Any, seq: int | None, text: str = "", kind: int = 0, **changed: Any) -> bool:
    """Returns whether it was accepted."""
    entry = [claimed["id"], changed.get("fence", claimed["fence"]), seq, kind, text, changed.get("offset")]
    response = await api.post(
        "/generations/append", json={"lease": changed.get("lease", LEASE_SECONDS), "entries": [entry]}
    )
    assert response.status_code == 200, response.text
    return response.json()["ok"] == [claimed["id"]]  # type: ignore[no-any-return]


async def finish(api: Api, claimed: Any, last_seq: int, status: str = "complete", **more: Any) -> bool:
    end = {"id": claimed["id"], "fence": claimed["fence"], "last_seq": last_seq, "status": status} | more
    response = await api.post("/generations/finish", json=end)
    assert response.status_code == 200, response.text
    return response.json()["done"]  # type: ignore[no-any-return]


async def answered(api: Api, chat: Any, content: str = "Why?", text: str = "Because.", **more: Any) -> Any:
    """Creates a turn and finishes its answer with this text. Returns the turn."""
    turn = await new_turn(api, chat, content, **more)
    claimed = (await claim(api))[turn["assistant"]["generation_id"]]
    assert await append(api, claimed, 1, text)
    assert await finish(api, claimed, 1)
    return turn


async def another_answer(api: Api, chat: Any, message_id: str, text: str) -> str:
    """Requests another answer to the message and finishes it with this text. Returns its id."""
    started = await api.post(f"/chats/{chat['id']}/messages/{message_id}/answers", json={})
    assert started.status_code == 201, started.text
    claimed = (await claim(api))[started.json()["message"]["generation_id"]]
    assert await append(api, claimed, 1, text)
    assert await finish(api, claimed, 1)
    return str(claimed["message_id"])


async def read(api: Api, generation_id: str, after: int = 0) -> tuple[Any, list[Any]]:
    """Returns the state and the chunks, each as [seq, fence, kind, text]."""
    response = await api.post("/generations/read", json={"entries": [[generation_id, after]]})
    assert response.status_code == 200, response.text
    (state,) = response.json()["states"]
    return state, [chunk[1:] for chunk in response.json()["chunks"]]


async def message(api: Api, chat_id: str, message_id: str) -> Any:
    response = await api.get(f"/chats/{chat_id}/messages/{message_id}")
    assert response.status_code == 200, response.text
    return response.json()


async def search(api: Api, q: str, **parameters: Any) -> Any:
    response = await api.get("/search", params={"q": q, **parameters})
    assert response.status_code == 200, response.text
    return response.json()


async def hits(api: Api, q: str, **parameters: Any) -> list[Any]:
    """The messages that a search finds, of all chats."""
    found = await search(api, q, **parameters)
    assert found["is_complete"]
    return [hit for chat in found["results"] for hit in chat["hits"]]


async def found(api: Api, q: str, **parameters: Any) -> list[str]:
    """The snippets of all messages that a search finds."""
    return [marked(hit["snippet"]) for hit in await hits(api, q, **parameters)]


def marked(parts: Any) -> str:
    """A snippet or a title, with what was found in brackets."""
    return "".join(f"[{part['text']}]" if part["is_match"] else part["text"] for part in parts)


async def row_checksums(owner: Any) -> dict[str, tuple[Any, ...]]:
    """Number and checksum of the rows of all tables, to prove that nothing changed."""
    tables = ["sessions", "devices", "links", "presets", "chats", "messages", "generations", "generation_chunks"]
    return {
        table: tuple(await owner.fetchrow(f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} t"))
        for table in tables
    }


async def claimed_after_expiry(api: Api, claimed: Any) -> Any:
    """Claims this answer again as soon as its lease has ended."""
    return await until(lambda: claimed_again(api, claimed["id"]))


async def claimed_again(api: Api, generation_id: str) -> Any:
    return (await claim(api, owner="successor")).get(generation_id)
