"""Chats: the home page, the chat page, and what can be done with one chat."""

import contextlib
import re
from collections.abc import Sequence
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from kit.ids import IdConvertor
from kit.text import is_blank
from web.contract import Chat, ChatChange, ListedChat, NewMessage
from web.errors import NotFound, Refused, TooMany, Unavailable
from web.pages import forms, models, query
from web.pages.chat_page import chat_page
from web.pages.devices import device_name
from web.state import Request

NAME_CODE_POINTS, TITLE_CODE_POINTS, MODEL_CODE_POINTS = 100, 200, 200
HOME_CHATS = 50


async def home(request: Request) -> Response:
    """Redirects to the latest chat if the application is opened, rather than a link in it followed."""
    session = await request.state["sessions"].find(request)
    chats = (await request.state["dbapi"].chats(session, HOME_CHATS))["chats"] if session else []
    if chats and _opens_the_application(request):
        latest = max(chats, key=lambda chat: chat["updated_at"])  # pinned chats come first
        return RedirectResponse(f"/chats/{latest['id']}", 303)
    deleted = query.id_parameter(request, "deleted")
    response = _home_page(request, chats, deleted=deleted, has_session=session is not None)
    request.state["sessions"].renew(request, response)
    return response


async def create(request: Request) -> Response:
    """Redirects to the latest chat of this name, or to a new chat."""
    form = await forms.read(request)
    username = form.get("username", "").strip()
    if is_blank(username):
        return _home_page(
            request, notice="Please enter a name, so that you can find your chats again.", username=username, status=422
        )
    if len(username) > NAME_CODE_POINTS:
        notice = f"A name can have at most {NAME_CODE_POINTS} characters."
        return _home_page(request, notice=notice, username=username, status=422)
    sessions = request.state["sessions"]
    try:
        session, new_token = await sessions.begin(request, device_name(request))
        if not new_token:
            await _leave(request, session, form)
        is_new = form.get("new") == "1" or "temporary" in form or new_token
        chat = None if is_new else await _latest_chat(request, session, username)
        chat = chat or await _new_chat(request, session, username, form)
    except (TooMany, Unavailable) as error:
        response = _home_page(request, notice=error.message, username=username, status=error.status)
        response.headers.update(error.headers)
        return response
    redirect = RedirectResponse(f"/chats/{chat['id']}", 303)
    if new_token:
        sessions.set(redirect, new_token)
    return redirect


async def show(request: Request) -> Response:
    response = await chat_page(request)
    request.state["sessions"].renew(request, response)
    return response


async def rename(request: Request) -> Response:
    session, chat_id = await _session_and_chat(request)
    title = " ".join((await forms.read(request)).get("title", "").split())
    if len(title) > TITLE_CODE_POINTS:
        raise Refused(422, f"A title can have at most {TITLE_CODE_POINTS} characters.")
    await request.state["dbapi"].change_chat(session, chat_id, {"title": title})
    return RedirectResponse(f"/chats/{chat_id}", 303)


async def pin(request: Request) -> Response:
    return await _change(request, {"pinned": True})


async def unpin(request: Request) -> Response:
    return await _change(request, {"pinned": False})


async def archive(request: Request) -> Response:
    return await _change(request, {"archived": True})


async def unarchive(request: Request) -> Response:
    return await _change(request, {"archived": False})


async def _change(request: Request, values: ChatChange) -> Response:
    session, chat_id = await _session_and_chat(request)
    await request.state["dbapi"].change_chat(session, chat_id, values)
    return RedirectResponse(f"/chats/{chat_id}", 303)


async def delete(request: Request) -> Response:
    """The home page then offers to restore the chat."""
    session, chat_id = await _session_and_chat(request)
    await request.state["dbapi"].delete_chat(session, chat_id)
    request.state["live_answers"].chat_deleted(chat_id)
    return RedirectResponse(f"/?deleted={chat_id}", 303)


async def leave(request: Request) -> Response:
    """The page of a temporary chat reports that it was left."""
    session, chat_id = await _session_and_chat(request)
    await request.state["dbapi"].leave_chat(session, chat_id, query.page(request))
    return Response(status_code=204)


async def come_back(request: Request) -> Response:
    """The page of a temporary chat reports that it is open."""
    session, chat_id = await _session_and_chat(request)
    await request.state["dbapi"].return_to_chat(session, chat_id, query.page(request))
    return Response(status_code=204)


async def keep(request: Request) -> Response:
    """Makes a temporary chat an ordinary one."""
    session, chat_id = await _session_and_chat(request)
    await request.state["dbapi"].keep_chat(session, chat_id)
    return RedirectResponse(f"/chats/{chat_id}", 303)


async def restore(request: Request) -> Response:
    session, chat_id = await _session_and_chat(request)
    await request.state["dbapi"].restore_chat(session, chat_id)
    return RedirectResponse(f"/chats/{chat_id}", 303)


def _opens_the_application(request: Request) -> bool:
    """Whether a browser opens the address itself, from a bookmark or an icon, instead of following a link or reloading.

    Sec-Fetch-Site does not tell: the service worker of the page sends the request again.
    """
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    return is_navigation and not request.url.query and "referer" not in request.headers


def _home_page(
    request: Request,
    chats: Sequence[ListedChat] = (),
    notice: str = "",
    username: str = "",
    status: int = 200,
    deleted: str = "",
    has_session: bool = False,
) -> Response:
    values: dict[str, object] = {"chats": chats, "models": models.choices(request), "notice": notice}
    values["username"] = username
    values |= {"deleted": deleted, "has_session": has_session}
    return request.state["templates"].response("chats/home.html", status, **values)


async def _latest_chat(request: Request, session: UUID, username: str) -> Chat | None:
    try:
        return await request.state["dbapi"].latest_chat(session, username)
    except NotFound:
        return None


async def _leave(request: Request, session: UUID, form: dict[str, str]) -> None:
    """A new chat is opened on the page of the temporary chat in the field `leave`."""
    if re.fullmatch(IdConvertor.regex, form.get("leave", "")):
        with contextlib.suppress(NotFound):
            await request.state["dbapi"].leave_chat(session, UUID(form["leave"]))


async def _new_chat(request: Request, session: UUID, username: str, form: dict[str, str]) -> Chat:
    """Takes over the settings of the chat in the field `settings_of`.

    With the field `reuse`, a chat in which nothing was written yet serves as the new one. With the field `temporary`,
    it is a temporary chat.
    """
    model = form.get("model")
    if model and len(model) > MODEL_CODE_POINTS:
        raise Refused(422, "This model is not available.")
    settings = request.state["settings"]
    messages: list[NewMessage] = [
        {"role": "system", "content": settings.system_prompt},
        {"role": "assistant", "content": settings.opening_message},
    ]
    messages = [message for message in messages if not is_blank(message["content"])]
    settings_of = form.get("settings_of", "")
    settings_of = settings_of if re.fullmatch(IdConvertor.regex, settings_of) else ""
    return await request.state["dbapi"].create_chat(
        session, username, model or None, messages, settings_of or None, "reuse" in form, "temporary" in form
    )


async def _session_and_chat(request: Request) -> tuple[UUID, UUID]:
    """Raises NotFound if the request has no session."""
    return await request.state["sessions"].require(request), request.path_params["chat_id"]
