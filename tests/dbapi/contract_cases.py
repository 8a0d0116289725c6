"""One case for each endpoint, which makes all its successful responses."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx

from tests.dbapi.calls import (
    LEASE_SECONDS,
    answered,
    append,
    finish,
    new_chat,
    new_device,
    new_preset,
    new_turn,
    queued,
    running,
)
from tests.dbapi.conftest import Api
from tests.dbapi.endpoints import call

Case = Callable[[Api], Awaitable[list[httpx.Response]]]
OFFER = {"owner": "test", "slots": 1000, "lease": LEASE_SECONDS}


async def create_session(api: Api) -> list[httpx.Response]:
    return [await api.post("/sessions", json={"token_hash": uuid4().hex * 2})]


async def find_session(api: Api) -> list[httpx.Response]:
    await new_device(api)
    (device,) = (await api.get("/devices")).json()["devices"]
    return [await api.post("/sessions/find", json={"token_hash": device["token_hash"]})]


async def create_device(api: Api) -> list[httpx.Response]:
    link_hash = uuid4().hex * 2
    await api.post("/links", json={"token_hash": link_hash})
    return [await api.post("/devices", json={"link_hash": link_hash, "token_hash": uuid4().hex * 2})]


async def create_link(api: Api) -> list[httpx.Response]:
    return [await api.post("/links", json={"token_hash": uuid4().hex * 2})]


async def list_devices(api: Api) -> list[httpx.Response]:
    await new_device(api)
    return [await api.get("/devices")]


async def sign_out_device(api: Api) -> list[httpx.Response]:
    return [await api.delete(f"/devices/{await new_device(api)}")]


async def sign_out_others(api: Api) -> list[httpx.Response]:
    await new_device(api)
    return [await api.delete("/devices", params={"keep": "ab" * 32})]


async def list_presets(api: Api) -> list[httpx.Response]:
    await new_preset(api)
    return [await api.get("/presets")]


async def save_preset(api: Api) -> list[httpx.Response]:
    """Created, and replaced."""
    settings = {"model": "m", "system_prompt": "Rhyme.", "parameters": {"temperature": 0.5}}
    return [await api.put("/presets", json={"name": "Poet"} | more) for more in (settings, {})]


async def show_preset(api: Api) -> list[httpx.Response]:
    return [await api.get(f"/presets/{(await new_preset(api))['id']}")]


async def delete_preset(api: Api) -> list[httpx.Response]:
    return [await api.delete(f"/presets/{(await new_preset(api))['id']}")]


async def find_words(api: Api) -> list[httpx.Response]:
    """In a title, in a question and its answer, in a running answer, and nowhere."""
    chat = await new_chat(api)
    await answered(api, chat, "Why is a runnel small?", "A runnel is small.")
    await append(api, await running(api, chat), 1, "A small runnel.")
    return [await api.get("/search", params={"q": q}) for q in ("runnel", "small -runnel", "")]


async def create_chat(api: Api) -> list[httpx.Response]:
    first = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}]
    return [await api.post("/chats", json={"username": "Ada", "model": "m", "messages": first})]


async def list_chats(api: Api) -> list[httpx.Response]:
    """With a pinned, a running and an unread chat, and with a next page."""
    await api.patch(f"/chats/{(await new_chat(api))['id']}", json={"pinned": True})
    await queued(api)
    await answered(api, await new_chat(api))
    return [await api.get(f"/chats{query}") for query in ("", "?limit=1", "?archived=1")]


async def change_chats(api: Api) -> list[httpx.Response]:
    return [await api.patch("/chats", json={"ids": [(await new_chat(api))["id"]], "pinned": True})]


async def set_defaults(api: Api) -> list[Any]:
    return [await api.put(f"/chats/{(await new_chat(api))['id']}/defaults")]


async def show_state(api: Api) -> list[Any]:
    return [await api.get(f"/chats/{(await new_chat(api))['id']}/state")]


async def show_chat(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    await append(api, await running(api, chat), 1, "Because.")
    queries = ("", "?last=1", f"?message={chat['tip_id']}")
    return [await api.get(f"/chats/{chat['id']}{query}") for query in queries]


async def show_latest_chat(api: Api) -> list[httpx.Response]:
    return [await api.get(f"/chats/username/{(await new_chat(api))['username']}")]


async def change_chat(api: Api) -> list[httpx.Response]:
    chat, values = await new_chat(api), {"title": "Hi", "parameters": {"temperature": 0.5}, "pinned": True}
    return [await api.patch(f"/chats/{chat['id']}", json=values)]


async def delete_chat(api: Api) -> list[httpx.Response]:
    return [await api.delete(f"/chats/{(await new_chat(api))['id']}")]


async def restore_chat(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    await api.delete(f"/chats/{chat['id']}")
    return [await api.post(f"/chats/{chat['id']}/restore")]


async def request_title(api: Api) -> list[httpx.Response]:
    """Granted, and not granted again."""
    chat = await new_chat(api)
    await answered(api, chat)
    return [await api.post(f"/chats/{chat['id']}/title", json={"slots": 1000}) for _ in range(2)]


async def store_title(api: Api) -> list[httpx.Response]:
    """One that was requested, and one that was not."""
    chat = await new_chat(api)
    await answered(api, chat)
    await api.post(f"/chats/{chat['id']}/title", json={"slots": 1000})
    return [await api.put(f"/chats/{chat['id']}/title", json={"title": "Reasons"}) for _ in range(2)]


async def leave_chat(api: Api) -> list[httpx.Response]:
    return [await api.post(f"/chats/{(await new_chat(api, is_temporary=True))['id']}/leave")]


async def return_to_chat(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api, is_temporary=True)
    await api.post(f"/chats/{chat['id']}/leave")
    return [await api.post(f"/chats/{chat['id']}/return")]


async def keep_chat(api: Api) -> list[httpx.Response]:
    chats = [await new_chat(api, is_temporary=is_temporary) for is_temporary in (True, False)]
    return [await api.post(f"/chats/{chat['id']}/keep") for chat in chats]


async def show_branch(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    return [await api.put(f"/chats/{chat['id']}/tip", json={"message_id": chat["tip_id"]})]


async def add_message(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    return [await api.post(f"/chats/{chat['id']}/message", json={"role": "user", "content": "Hi"})]


async def show_messages(api: Api) -> list[httpx.Response]:
    """Of every kind: the user's, a queued, a running and a finished answer."""
    chat, answers = await new_chat(api), [await running(api)]
    finished = await running(api, chat)
    await append(api, finished, 1, "Because.")
    await finish(api, finished, 1, usage={"total_tokens": 7}, timings={"predicted_ms": 1.5}, finish_reason="stop")
    turn = await new_turn(api, chat)
    paths = [f"/chats/{each['chat_id']}/messages/{each['message_id']}" for each in [*answers, finished]]
    paths += [f"/chats/{chat['id']}/messages/{turn[role]['id']}" for role in ("user", "assistant")]
    return [await api.get(path) for path in paths]


async def delete_message(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    turn = await new_turn(api, chat)
    return [await api.delete(f"/chats/{chat['id']}/messages/{turn['user']['id']}")]


async def edit_answer(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    answer = (await answered(api, chat))["assistant"]
    path = f"/chats/{chat['id']}/messages/{answer['id']}/versions"
    return [await api.post(path, json={"content": "Therefore."}) for _ in range(2)]


async def show_prompt(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    return [await api.get(f"/chats/{chat['id']}/messages/{(await queued(api, chat))['id']}/prompt")]


async def stop_answer(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    return [await api.post(f"/chats/{chat['id']}/messages/{(await queued(api, chat))['id']}/stop")]


async def create_turn(api: Api) -> list[httpx.Response]:
    """Created and claimed, posted again, and created without a claim."""
    chat, turn = await new_chat(api), {"content": "Why?", "message_id": str(uuid4()), "claim": OFFER}
    responses = [await api.post(f"/chats/{chat['id']}/turns", json=turn) for _ in range(2)]
    responses.append(await api.post(f"/chats/{chat['id']}/turns", json={"content": "How?"}))
    claimed = [response.json()["claimed"] is not None for response in responses]
    assert ([response.status_code for response in responses], claimed) == ([201, 200, 201], [True, False, False])
    return responses


async def regenerate(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    claimed = await running(api, chat)
    await finish(api, claimed, 0)
    path = f"/chats/{chat['id']}/messages/{claimed['message_id']}/answers"
    return [await api.post(path, json={"claim": OFFER}), await api.post(path, json={})]


async def continue_answer(api: Api) -> list[httpx.Response]:
    chat = await new_chat(api)
    claimed = await running(api, chat)
    await append(api, claimed, 1, "Be")
    await finish(api, claimed, 1, "stopped")
    path = f"/chats/{chat['id']}/messages/{claimed['message_id']}/continue"
    return [await api.post(path, json={"claim": OFFER})]


async def claim_answers(api: Api) -> list[httpx.Response]:
    idle = await api.post("/generations/claim", json=OFFER)
    await queued(api)
    return [idle, await api.post("/generations/claim", json=OFFER)]


async def append_text(api: Api) -> list[httpx.Response]:
    claimed = await running(api)
    await api.post(f"/chats/{claimed['chat_id']}/messages/{claimed['message_id']}/stop")
    entries = [[claimed["id"], claimed["fence"], 1, 0, "Because.", 8]]
    return [await api.post("/generations/append", json={"lease": 60, "entries": entries})]


async def finish_answer(api: Api) -> list[httpx.Response]:
    claimed = await running(api)
    end = {"id": claimed["id"], "fence": claimed["fence"], "last_seq": 0, "status": "failed", "error": "It broke."}
    return [await api.post("/generations/finish", json=end) for _ in range(2)]


async def rename_request(api: Api) -> list[httpx.Response]:
    claimed = await running(api)
    new = {"id": claimed["id"], "fence": claimed["fence"], "upstream_key": "g-new"}
    return [await api.post("/generations/rename", json=new)]


async def release_leases(api: Api) -> list[httpx.Response]:
    claimed = await running(api)
    return [await api.post("/generations/release", json={"entries": [[claimed["id"], claimed["fence"]]]})]


async def read_log(api: Api) -> list[httpx.Response]:
    claimed, waiting = await running(api), await queued(api)
    await append(api, claimed, 1, "Because.")
    entries = [[claimed["id"], 0], [waiting["generation_id"], 0]]
    return [await api.post("/generations/read", json={"entries": entries})]


async def read_events(api: Api) -> list[httpx.Response]:
    """The lines until an append was reported, as a response that ends there."""
    claimed = await running(api)
    async with api.stream("GET", "/events?owner=other&lease=60") as response:
        lines, stream = [], response.aiter_lines()
        lines.append(await anext(stream))
        await append(api, claimed, 1, "Because.")
        while "log" not in json.loads(lines[-1]):
            lines.append(await anext(stream))
    return [httpx.Response(response.status_code, headers=response.headers, text="\n".join(lines))]


def by_calling(name: str) -> Case:
    async def case(api: Api) -> list[httpx.Response]:
        return [await call(api, name)]

    return case


CASES: dict[str, Case] = {
    "GET /healthz": by_calling("GET /healthz"),
    "GET /readyz": by_calling("GET /readyz"),
    "POST /sessions": create_session,
    "POST /sessions/find": find_session,
    "GET /devices": list_devices,
    "POST /devices": create_device,
    "DELETE /devices": sign_out_others,
    "DELETE /devices/{device_id}": sign_out_device,
    "POST /links": create_link,
    "GET /presets": list_presets,
    "PUT /presets": save_preset,
    "GET /presets/{preset_id}": show_preset,
    "DELETE /presets/{preset_id}": delete_preset,
    "GET /search": find_words,
    "POST /chats": create_chat,
    "GET /chats": list_chats,
    "PATCH /chats": change_chats,
    "GET /chats/{chat_id}": show_chat,
    "GET /chats/{chat_id}/state": show_state,
    "PUT /chats/{chat_id}/defaults": set_defaults,
    "GET /chats/username/{username}": show_latest_chat,
    "PATCH /chats/{chat_id}": change_chat,
    "DELETE /chats/{chat_id}": delete_chat,
    "POST /chats/{chat_id}/restore": restore_chat,
    "POST /chats/{chat_id}/title": request_title,
    "PUT /chats/{chat_id}/title": store_title,
    "POST /chats/{chat_id}/leave": leave_chat,
    "POST /chats/{chat_id}/return": return_to_chat,
    "POST /chats/{chat_id}/keep": keep_chat,
    "PUT /chats/{chat_id}/tip": show_branch,
    "POST /chats/{chat_id}/message": add_message,
    "POST /chats/{chat_id}/turns": create_turn,
    "GET /chats/{chat_id}/messages/{message_id}": show_messages,
    "GET /chats/{chat_id}/messages/{message_id}/prompt": show_prompt,
    "DELETE /chats/{chat_id}/messages/{message_id}": delete_message,
    "POST /chats/{chat_id}/messages/{message_id}/versions": edit_answer,
    "POST /chats/{chat_id}/messages/{message_id}/answers": regenerate,
    "POST /chats/{chat_id}/messages/{message_id}/continue": continue_answer,
    "POST /chats/{chat_id}/messages/{message_id}/stop": stop_answer,
    "POST /generations/claim": claim_answers,
    "POST /generations/append": append_text,
    "POST /generations/finish": finish_answer,
    "POST /generations/rename": rename_request,
    "POST /generations/release": release_leases,
    "POST /generations/read": read_log,
    "GET /events": read_events,
}
