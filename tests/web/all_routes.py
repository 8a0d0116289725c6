"""Every route of web, with a form for those that need one."""

from typing import Any

from tests.web.visitor import Visitor

UNKNOWN = "00000000-0000-4000-8000-000000000000"
PUBLIC_ROUTES = {
    "GET /",
    "GET /healthz",
    "GET /readyz",
    "GET /manifest.webmanifest",
    "GET /sw.js",
    "GET /offline",
    "GET /join",
    "GET /metrics",
    "GET /appearance",
    "POST /appearance",
}
SESSION_ROUTES = {
    "GET /search": None,
    "GET /chats": None,
    "GET /chats/archived": None,
    "POST /chats/selected": {"action": "archive"},
    "POST /chats": {"username": "Ada"},
    "GET /chats/{chat_id}": None,
    "GET /chats/{chat_id}.json": None,
    "GET /chats/{chat_id}.md": None,
    "GET /chats/{chat_id}.txt": None,
    "POST /chats/{chat_id}/messages": {"content": "Hi"},
    "GET /chats/{chat_id}/messages/{message_id}/stream": None,
    "GET /chats/{chat_id}/list": None,
    "GET /chats/{chat_id}/events": None,
    "GET /chats/{chat_id}/settings": None,
    "POST /chats/{chat_id}/settings": {},
    "POST /chats/{chat_id}/presets/{preset_id}/delete": {},
    "POST /chats/{chat_id}/title": {"title": "x"},
    "POST /chats/{chat_id}/pin": {},
    "POST /chats/{chat_id}/unpin": {},
    "POST /chats/{chat_id}/archive": {},
    "POST /chats/{chat_id}/unarchive": {},
    "POST /chats/{chat_id}/delete": {},
    "POST /chats/{chat_id}/restore": {},
    "POST /chats/{chat_id}/leave": {},
    "POST /chats/{chat_id}/return": {},
    "POST /chats/{chat_id}/keep": {},
    "POST /chats/{chat_id}/messages/{message_id}/stop": {},
    "POST /chats/{chat_id}/messages/{message_id}/regenerate": {},
    "POST /chats/{chat_id}/messages/{message_id}/continue": {},
    "POST /chats/{chat_id}/messages/{message_id}/show": {},
    "POST /chats/{chat_id}/messages/{message_id}/edit": {"content": "Hi"},
    "POST /chats/{chat_id}/messages/{message_id}/delete": {},
}
SESSION_ROUTES |= {  # see tests/web/test_devices.py
    "GET /devices": None,
    "POST /devices/link": {},
    "POST /devices/sign-out": {},
    "POST /devices/{device_id}/sign-out": {},
    "POST /join": {"code": "x"},
}
CHAT_ROUTES = [name for name in SESSION_ROUTES if "{chat_id}" in name]
CHAT_ACTIONS = [
    *("title", "pin", "unpin", "archive", "unarchive", "delete", "restore", "leave", "return", "keep", "settings"),
]
ANSWER_ACTIONS = ["regenerate", "continue", "show", "edit", "delete", "stop"]


async def call(
    visitor: Visitor, name: str, chat: str = f"/chats/{UNKNOWN}", message: str = UNKNOWN, headers: Any = None
) -> Any:
    method, path = name.split(" ")
    path = path.replace("/chats/{chat_id}", chat).replace("{message_id}", message).replace("{preset_id}", UNKNOWN)
    return await visitor.http.request(method, path, data=SESSION_ROUTES.get(name), headers=headers)
