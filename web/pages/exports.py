"""A chat as a file: JSON, Markdown or plain text."""

import re

import orjson
from starlette.responses import Response

from web.addresses import network
from web.contract import ChatWithMessages, Message
from web.state import Request

FIELDS = (
    "id",
    "parent_id",
    "role",
    "content",
    "reasoning",
    "status",
    "error",
    "model",
    "usage",
    "timings",
    "created_at",
)
# The file contains what users and models wrote: a browser that opens it must not run anything in it
HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "no-store", "Vary": "Cookie"}
FILE_NAME_CHARACTERS = 40


async def show_json(request: Request) -> Response:
    chat = await _chat(request)
    body = {
        "id": chat["id"],
        "title": chat["title"],
        "username": chat["username"],
        "created_at": chat["created_at"],
        "messages": [_exported(message) for message in chat["messages"]],
    }
    return _file(chat, "json", orjson.dumps(body), "application/json")


async def show_markdown(request: Request) -> Response:
    chat = await _chat(request)
    parts = [f"# {_one_line(chat['title'] or 'Chat')}"]
    parts += [f"## {_speaker(chat, message)}\n\n{message['content']}" for message in chat["messages"]]
    return _file(chat, "md", "\n\n".join(parts) + "\n", "text/plain")


async def show_text(request: Request) -> Response:
    chat = await _chat(request)
    parts = [f"{_speaker(chat, message)}:\n{message['content']}" for message in chat["messages"]]
    return _file(chat, "txt", "\n\n".join(parts) + "\n", "text/plain")


async def _chat(request: Request) -> ChatWithMessages:
    session = await request.state["sessions"].require(request)
    async with request.state["page_limit"].enter(session, network(request)):
        return await request.state["dbapi"].chat(session, request.path_params["chat_id"])


def _exported(message: Message) -> dict[str, object]:
    values: dict[str, object] = {**message}
    return {name: values[name] for name in FIELDS}


def _speaker(chat: ChatWithMessages, message: Message) -> str:
    return _one_line(chat["username"]) if message["role"] == "user" else "Assistant"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _file(chat: ChatWithMessages, extension: str, body: str | bytes, media_type: str) -> Response:
    name = re.sub(r"[^A-Za-z0-9]+", "-", chat["title"] or "").strip("-").lower()[:FILE_NAME_CHARACTERS] or "chat"
    disposition = {"Content-Disposition": f'attachment; filename="{name}.{extension}"'}
    return Response(body, media_type=media_type, headers=HEADERS | disposition)
