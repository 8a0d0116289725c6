"""Presets: named settings that any chat of the session can take over. The form is that of chat_settings.py."""

from contextlib import suppress
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from kit.text import is_blank
from web.contract import ChatChange
from web.errors import NotFound
from web.pages import forms
from web.state import Request

FIELD, NAME_CODE_POINTS = "preset_name", 100


def is_named(form: dict[str, str]) -> bool:
    return not is_blank(form.get(FIELD, ""))


async def save(request: Request, session: UUID, form: dict[str, str], settings: ChatChange) -> str:
    """Saves the settings under the name in the form. Returns the preset's id. Raises Refused."""
    name = " ".join(form.get(FIELD, "").split())
    if not is_named(form):
        raise forms.InvalidField(FIELD, "Please enter a name for the preset.")
    if len(name) > NAME_CODE_POINTS:
        raise forms.InvalidField(FIELD, f"The name of a preset can have at most {NAME_CODE_POINTS} characters.")
    saved = await request.state["dbapi"].save_preset(
        session,
        {
            "name": name,
            "model": settings.get("model"),
            "system_prompt": settings.get("system_prompt", ""),
            "parameters": settings.get("parameters", {}),
        },
    )
    return saved["id"]


async def delete(request: Request) -> Response:
    """Redirects to the settings of the chat, also if the preset was deleted in another window."""
    session, chat_id = await request.state["sessions"].require(request), request.path_params["chat_id"]
    await request.state["dbapi"].chat_state(session, chat_id)  # raises NotFound
    with suppress(NotFound):
        await request.state["dbapi"].delete_preset(session, request.path_params["preset_id"])
    return RedirectResponse(f"/chats/{chat_id}/settings", 303)
