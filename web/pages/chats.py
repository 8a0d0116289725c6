"""Chats: the home page, and the chat page in its forms."""

import asyncio
import re
from typing import Any
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.ids import IdConvertor
from kit.text import is_blank
from web.errors import NotFound, Refused, TooMany, Unavailable
from web.generation.context_window import first_remembered
from web.live.answer import FINAL
from web.pages import forms
from web.rendering import blocks
from web.rendering.templates import is_htmx, prefix, rendered

NAME_CODE_POINTS, TITLE_CODE_POINTS = 100, 200
PAGE_MESSAGES, MOST_MESSAGES = 60, 2000
EXPORTED = ("id", "parent_id", "role", "content", "reasoning", "status", "error", "model", "usage", "timings", "created_at")
EXPORT_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "no-store", "Vary": "Cookie"}


async def home(request: Request) -> Response:
    session = await request.state["sessions"].find(request)
    chats = await request.state["dbapi"].chats(session) if session else []
    response = _home(request, chats, deleted=_id(request.query_params.get("deleted", "")))
    request.state["sessions"].renew(request, response)
    return response


async def create(request: Request) -> Response:
    """To the latest chat of this name, or to a new one."""
    form = await forms.read(request)
    username = form.get("username", "").strip()
    if is_blank(username):
        return _home(request, [], "Please enter a name, so that you find your chats again.", username, 422)
    if len(username) > NAME_CODE_POINTS:
        return _home(request, [], f"A name can have at most {NAME_CODE_POINTS} characters.", username, 422)
    try:
        session, new_token = await request.state["sessions"].begin(request)
        chat = None if form.get("new") == "1" or new_token else await _latest(request, session, username)
        chat = chat or await _begin(request, session, username, form.get("model"))
    except (TooMany, Unavailable) as error:
        refused = _home(request, [], error.sentence, username, error.status)
        refused.headers.update(error.headers)
        return refused
    response = RedirectResponse(f"/chats/{chat['id']}", 303)
    if new_token:
        request.state["sessions"].set(response, new_token)
    return response


async def show(request: Request) -> Response:
    response = await page(request)
    request.state["sessions"].renew(request, response)
    return response


async def beside(request: Request) -> Response:
    """The list of chats by itself, for a page on which something changed in it."""
    session, chat_id = await _own(request)
    dbapi = request.state["dbapi"]
    chat, chats = await asyncio.gather(dbapi.chat(session, chat_id, last=1), dbapi.chats(session))
    return request.state["pages"].answer(request, "chats/list.html", chat=chat, chats=chats)  # type: ignore[no-any-return]


async def rename(request: Request) -> Response:
    session, chat_id = await _own(request)
    title = _line((await forms.read(request)).get("title", ""))
    if len(title) > TITLE_CODE_POINTS:
        raise Refused(422, f"A title can have at most {TITLE_CODE_POINTS} characters.")
    await request.state["dbapi"].change_chat(session, chat_id, {"title": title})
    return RedirectResponse(f"/chats/{chat_id}", 303)


async def delete(request: Request) -> Response:
    """Away, with a way back on the page that follows."""
    session, chat_id = await _own(request)
    await request.state["dbapi"].delete_chat(session, chat_id)
    return RedirectResponse(f"/?deleted={chat_id}", 303)


async def restore(request: Request) -> Response:
    session, chat_id = await _own(request)
    await request.state["dbapi"].restore_chat(session, chat_id)
    return RedirectResponse(f"/chats/{chat_id}", 303)


async def page(request: Request, draft: str = "", notice: str = "", status: int = 200) -> Response:
    """The chat page. `draft` is what its form holds, `notice` what is said about it."""
    session, chat_id = await _own(request)
    dbapi, llama = request.state["dbapi"], request.state["llama"]
    shown = _shown(request.query_params.get("last", ""))
    chat, chats = await asyncio.gather(dbapi.chat(session, chat_id, last=shown + 1), dbapi.chats(session))
    editing = _id(request.query_params.get("edit", ""))
    if editing and editing not in [message["id"] for message in chat["messages"][-shown:]]:
        shown = MOST_MESSAGES
        chat = await dbapi.chat(session, chat_id, last=shown + 1)
    messages = chat["messages"][-shown:]
    for message in messages:
        prepare(message)
        await asyncio.sleep(0)  # other people's streams go on meanwhile
    longest = chat["parameters"].get("max_tokens") or request.state["settings"].max_tokens
    values = {
        "chat": chat | {"messages": messages},
        "chats": chats,
        "earlier": shown + PAGE_MESSAGES if len(chat["messages"]) > shown else 0,
        "remembered": first_remembered(messages, chat["system_prompt"], llama.context, longest),
        "context": llama.context,
        "editing": editing,
        "in_place": is_htmx(request),
        "draft": draft,
        "notice": notice,
    }
    return request.state["pages"].answer(request, "chats/show.html", status, **values)  # type: ignore[no-any-return]


def prepare(message: dict[str, Any]) -> None:
    """Adds what the template of a message needs besides its record."""
    message["is_live"] = message["status"] not in FINAL
    message["snapshot"] = message["html"] = None
    if message["is_live"]:
        message["snapshot"] = blocks.snapshot(message["content"], prefix(message["id"]))
    elif message["role"] == "assistant":
        message["html"] = rendered(message)


async def show_json(request: Request) -> Response:
    chat = await _chat(request)
    messages = [{name: message[name] for name in EXPORTED} for message in chat["messages"]]
    body = {"id": chat["id"], "title": chat["title"], "username": chat["username"], "created_at": chat["created_at"], "messages": messages}
    return Response(orjson.dumps(body), media_type="application/json", headers=EXPORT_HEADERS | _attachment(chat, "json"))


async def show_markdown(request: Request) -> Response:
    chat = await _chat(request)
    parts = [f"# {_line(chat['title'] or 'Chat')}"]
    parts += [f"## {_speaker(chat, message)}\n\n{message['content']}" for message in chat["messages"]]
    headers = EXPORT_HEADERS | _attachment(chat, "md")
    return Response("\n\n".join(parts) + "\n", media_type="text/plain", headers=headers)


async def show_text(request: Request) -> Response:
    chat = await _chat(request)
    parts = [f"{_speaker(chat, message)}:\n{message['content']}" for message in chat["messages"]]
    headers = EXPORT_HEADERS | _attachment(chat, "txt")
    return Response("\n\n".join(parts) + "\n", media_type="text/plain", headers=headers)


def _home(request: Request, chats: list[Any], notice: str = "", username: str = "", status: int = 200, deleted: str = "") -> Response:
    models = request.state["llama"].models
    values = {"chats": chats, "models": models, "notice": notice, "username": username, "deleted": deleted}
    return request.state["pages"].answer(request, "chats/home.html", status, **values)  # type: ignore[no-any-return]


def _shown(text: str) -> int:
    """How many of the newest messages are shown."""
    return min(int(text), MOST_MESSAGES) if re.fullmatch("[0-9]{1,6}", text) and int(text) > 0 else PAGE_MESSAGES


def _id(text: str) -> str:
    """An id from the address bar, if it is one."""
    return text if re.fullmatch(IdConvertor.regex, text) else ""


async def _latest(request: Request, session: UUID, username: str) -> Any:
    try:
        return await request.state["dbapi"].latest_chat(session, username)
    except NotFound:
        return None


async def _begin(request: Request, session: UUID, username: str, model: str | None) -> Any:
    settings = request.state["settings"]
    messages = [{"role": "system", "content": settings.system_prompt}, {"role": "assistant", "content": settings.opening_message}]
    if model and len(model) > 200:
        raise Refused(422, "There is no such model.")
    first = [message for message in messages if not is_blank(message["content"])]
    return await request.state["dbapi"].create_chat(session, username, model or None, first)


async def _own(request: Request) -> tuple[UUID, UUID]:
    """Whose, and which chat. Raises NotFound without a session."""
    return await request.state["sessions"].require(request), request.path_params["chat_id"]


async def _chat(request: Request) -> Any:
    session, chat_id = await _own(request)
    return await request.state["dbapi"].chat(session, chat_id)


def _speaker(chat: Any, message: Any) -> str:
    return _line(chat["username"]) if message["role"] == "user" else "Assistant"


def _line(text: str) -> str:
    return " ".join(text.split())


def _attachment(chat: Any, kind: str) -> dict[str, str]:
    name = re.sub(r"[^A-Za-z0-9]+", "-", chat["title"] or "").strip("-").lower()[:40] or "chat"
    return {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
