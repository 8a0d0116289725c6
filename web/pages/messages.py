"""Messages: sending one, which starts its answer, and stopping that answer."""

import re
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from kit.text import is_blank
from web.errors import Failure, NotFound, Refused, Unavailable
from web.live.answer import FINAL
from web.pages import chats, forms
from web.rendering.templates import is_htmx, rendered


async def create(request: Request) -> Response:
    """Stores the message and starts its answer."""
    form = await forms.read(request)
    content = form.get("content", "")
    try:
        turn = await _turn(request, form, content)
    except NotFound:
        raise
    except Failure as error:
        return await _refused(request, content, error)
    if turn["claimed"]:
        request.state["watch"].written(UUID(turn["session_id"]), request.path_params["chat_id"], turn["assistant"])
        request.state["answers"].begin(turn["claimed"], turn["prompt"])
    elif turn["created"]:
        request.state["answers"].look_for_work()
    chat_id = request.path_params["chat_id"]
    if not is_htmx(request):
        return _to_message(request, turn["assistant"]["id"])
    if not turn["created"]:  # it is on the page already, or should be: show the page as it is
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    chats.prepare(turn["user"])
    turn["assistant"] |= {"is_live": True, "snapshot": None}
    return request.state["pages"].answer(request, "messages/_turn.html", 201, chat_id=chat_id, turn=turn)  # type: ignore[no-any-return]


async def regenerate(request: Request) -> Response:
    """Another answer to the same message; the earlier one stays as a version."""
    session, chat_id, message_id = await _message(request)
    answers = request.state["answers"]
    answering = await request.state["dbapi"].regenerate(session, chat_id, message_id, {"claim": answers.claim()})
    return _answering(request, answering)


async def go_on(request: Request) -> Response:
    """More of an answer that was stopped, failed or cut off."""
    session, chat_id, message_id = await _message(request)
    answers = request.state["answers"]
    answering = await request.state["dbapi"].go_on(session, chat_id, message_id, {"claim": answers.claim()})
    return _answering(request, answering)


async def show_version(request: Request) -> Response:
    """Makes the branch through this message the one that is shown."""
    session, chat_id, message_id = await _message(request)
    await request.state["dbapi"].show_branch(session, chat_id, message_id)
    return _to_message(request, message_id)


async def delete(request: Request) -> Response:
    """Deletes a message of the user with its answers."""
    session, chat_id, message_id = await _message(request)
    await request.state["dbapi"].delete_message(session, chat_id, message_id)
    return RedirectResponse(f"/chats/{chat_id}{_as_far_back(request)}", 303)


async def stop(request: Request) -> Response:
    """Stops an answer and keeps its text; a finished one stays as it is."""
    session, chat_id, message_id = await _message(request)
    status = await request.state["dbapi"].stop(session, chat_id, message_id)
    if not is_htmx(request):
        return _to_message(request, message_id)
    if status not in FINAL:  # its stream will tell
        return Response(status_code=204)
    message = await request.state["dbapi"].message(session, chat_id, message_id)
    content = {"mode": "whole", "html": rendered(message)}
    return request.state["pages"].answer(request, "messages/_end.html", message=message, chat_id=chat_id, content=content, context=None)  # type: ignore[no-any-return]


async def _message(request: Request) -> tuple[UUID, UUID, UUID]:
    """Whose, in which chat, and which message. Raises NotFound without a session."""
    session = await request.state["sessions"].require(request)
    return session, request.path_params["chat_id"], request.path_params["message_id"]


def _answering(request: Request, answering: Any) -> Response:
    """An answer is on its way: it is written here, if it was claimed, and the page shows it."""
    if answering["claimed"]:
        request.state["answers"].begin(answering["claimed"])
    else:
        request.state["answers"].look_for_work()
    return _to_message(request, answering["message"]["id"])


def _to_message(request: Request, message_id: UUID | str) -> Response:
    return RedirectResponse(f"/chats/{request.path_params['chat_id']}{_as_far_back(request)}#message-{message_id}", 303)


def _as_far_back(request: Request) -> str:
    """A query that shows as many messages as the page this came from, so that what was acted on is still there."""
    there = request.headers.get("hx-current-url") or request.headers.get("referer", "")
    found = _LAST.search(urlsplit(there).query)
    return f"?{found[1]}" if found else ""


_LAST = re.compile(r"(?:^|&)(last=[0-9]{1,6})(?:&|$)")


async def _turn(request: Request, form: dict[str, str], content: str) -> Any:
    """Stores it; whose it is, is found out on the way."""
    sessions = request.state["sessions"]
    session, device = sessions.known(request)
    most = request.state["settings"].message_code_points
    if is_blank(content):
        raise Refused(422, "Please write a message first.")
    if most and len(content) > most:
        raise Refused(413, f"This message has {len(content):,} characters, {most:,} are possible. Please shorten it, or send it in parts.")
    at_root = form.get("parent_id") == "root"  # the changed first message of a chat without an opening one
    turn = {
        "content": content,
        "message_id": _id(form.get("message_id")),
        "parent_id": None if at_root else _id(form.get("parent_id")),
        "at_root": at_root,
        "claim": request.state["answers"].claim(),
        "token_hash": None if session else device,
    }
    stored = await request.state["dbapi"].create_turn(session, request.path_params["chat_id"], turn)
    if session is None:
        sessions.remember(device, UUID(stored["session_id"]))
    return stored


def _id(text: str | None) -> str | None:
    """Raises Refused for what is given but no id."""
    if not text:
        return None
    try:
        return str(UUID(text))
    except ValueError as error:
        raise Refused(422, "This form is damaged. Please reload the page.") from error


async def _refused(request: Request, content: str, error: Failure) -> Response:
    """The sentence, and what was typed still in its place: htmx leaves it there, without htmx the page comes with it."""
    pages = request.state["pages"]
    if is_htmx(request):
        return HTMLResponse(pages.html("errors/_notice.html", sentence=error.sentence), error.status, error.headers)
    try:
        if isinstance(error, Unavailable):
            raise error  # the page would need the database as well
        response = await chats.page(request, content, error.sentence, error.status)
    except Failure:
        html = pages.html("errors/resend.html", sentence=error.sentence, content=content, chat_id=request.path_params["chat_id"])
        response = HTMLResponse(html, error.status)
    response.headers.update(error.headers)
    return response
