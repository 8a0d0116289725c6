"""Messages: sending one, which starts its answer, and actions on messages and answers."""

import re
from uuid import UUID

from starlette.responses import HTMLResponse, RedirectResponse, Response

from kit.ids import IdConvertor
from kit.text import is_blank
from web.contract import FINAL, NewTurn, StartedAnswer, Turn
from web.errors import NotFound, Refused, UserError
from web.pages import forms, models, query
from web.pages.message_view import message_view, new_answer_view
from web.rendering.templates import content_html, is_htmx
from web.state import Request


async def create(request: Request) -> Response:
    """Stores the message and starts its answer."""
    form = await forms.read(request)
    content = form.get("content") or form.get("starter", "")
    try:
        turn = await _create_turn(request, form, content)
    except NotFound:
        raise
    except UserError as error:
        return _not_sent(request, form, error)
    if turn["created"]:
        request.state["worker"].begin(turn["assistant"], turn["claimed"], turn["prompt"])
    if not is_htmx(request):
        return _to_message(request, turn["assistant"]["id"])
    # The page may show the turn already, or what the turn replaces: it loads again
    if not turn["created"] or turn["replaces_tip"] or form.get("parent_id"):
        return Response(status_code=204, headers={"HX-Redirect": _address(request, turn["assistant"]["id"])})
    views = {"user_message": message_view(turn["user"]), "assistant_message": new_answer_view(turn["assistant"])}
    values = {"chat_id": request.path_params["chat_id"], "revision": turn["revision"]}
    return request.state["templates"].response("messages/_turn.html", 201, **values, **views)


async def regenerate(request: Request) -> Response:
    """Starts another answer to the same message, or an answer to this message; earlier ones remain as versions.

    With the field `model`, that model writes it.
    """
    session, chat_id, message_id = await _session_and_message(request)
    asked = models.requested(request, await forms.read(request))
    claim, address = request.state["worker"].claim(), request.state["addresses"].hashed(request)
    default, dbapi = models.default_name(request), request.state["dbapi"]
    return _begin(request, await dbapi.regenerate(session, chat_id, message_id, claim, address, default, asked))


async def continue_answer(request: Request) -> Response:
    """Continues an answer that was stopped, failed or reached its maximum length."""
    session, chat_id, message_id = await _session_and_message(request)
    claim, address = request.state["worker"].claim(), request.state["addresses"].hashed(request)
    return _begin(request, await request.state["dbapi"].continue_answer(session, chat_id, message_id, claim, address))


async def show_version(request: Request) -> Response:
    """Shows the branch that contains this message."""
    session, chat_id, message_id = await _session_and_message(request)
    await request.state["dbapi"].show_branch(session, chat_id, message_id)
    return _to_message(request, message_id)


async def edit_answer(request: Request) -> Response:
    """Saves the text as a version of the answer, without asking the model. `create` edits messages of the user."""
    form = await forms.read(request)
    content = form.get("content", "")
    try:
        session, chat_id, message_id = await _session_and_message(request)
        _check_length(content, request.state["settings"].message_code_points, "Please shorten it.")
        version = await request.state["dbapi"].edit_answer(session, chat_id, message_id, content)
    except NotFound:
        raise
    except UserError as error:
        return _not_sent(request, form, error, is_answer=True)
    return _to_message(request, version["id"])


async def delete(request: Request) -> Response:
    """Deletes a user's message with its answers, or one version of an answer.

    The query parameter `version` means that the page offered to delete nothing else. If that page is out of date, the
    deletion of the only version would delete what is below it, too.
    """
    session, chat_id, message_id = await _session_and_message(request)
    if "version" in request.query_params:
        message = await request.state["dbapi"].message(session, chat_id, message_id)
        if len(message["siblings"]) == 1:
            raise Refused(409, "This is the only version now. Please reload the page.")
    await request.state["dbapi"].delete_message(session, chat_id, message_id)
    return RedirectResponse(f"/chats/{chat_id}{query.same_view(request)}", 303)


async def stop(request: Request) -> Response:
    """Stops an answer and keeps its text. Does not change a finished answer."""
    session, chat_id, message_id = await _session_and_message(request)
    status = await request.state["dbapi"].stop(session, chat_id, message_id)
    if not is_htmx(request):
        return _to_message(request, message_id)
    if status not in FINAL:  # the writer stops it, and the answer's stream shows that
        return Response(status_code=204)
    message = await request.state["dbapi"].message(session, chat_id, message_id)
    content = {"mode": "whole", "html": content_html(message)}
    return request.state["templates"].response(
        "messages/_end.html", message=message, chat_id=chat_id, content=content, context=None
    )


async def _session_and_message(request: Request) -> tuple[UUID, UUID, UUID]:
    """The ids of the session, the chat and the message. Raises NotFound if the request has no session."""
    session = await request.state["sessions"].require(request)
    return session, request.path_params["chat_id"], request.path_params["message_id"]


def _begin(request: Request, started: StartedAnswer) -> Response:
    request.state["worker"].begin(started["message"], started["claimed"])
    return _to_message(request, started["message"]["id"])


def _to_message(request: Request, message_id: UUID | str) -> Response:
    return RedirectResponse(f"{_address(request, message_id)}#message-{message_id}", 303)


def _address(request: Request, message_id: UUID | str) -> str:
    """Of the page that shows this message, if the page that sent the request shows more than the end of the chat."""
    return f"/chats/{request.path_params['chat_id']}{query.same_view(request, message_id)}"


async def _create_turn(request: Request, form: dict[str, str], content: str) -> Turn:
    """If the session is not cached, dbapi looks it up in the same transaction."""
    sessions = request.state["sessions"]
    session, device = sessions.cached_session(request)
    _check_length(content, request.state["settings"].message_code_points)
    # Another version of the first message, in a chat without an opening message
    at_root = form.get("parent_id") == "root"
    new: NewTurn = {
        "content": content,
        "message_id": _id(form.get("message_id")),
        "parent_id": None if at_root else _id(form.get("parent_id")),
        "at_root": at_root,
        "claim": request.state["worker"].claim(),
        "token_hash": None if session else device,
        "address": request.state["addresses"].hashed(request),
        "default_model": models.default_name(request),
        "request": models.requested(request, form),
    }
    turn = await request.state["dbapi"].create_turn(session, request.path_params["chat_id"], new)
    if session is None:
        sessions.remember(device, UUID(turn["session_id"]))
    return turn


def _check_length(content: str, maximum: int, advice: str = "Please shorten it, or send it in parts.") -> None:
    """`maximum` is in code points; 0 means no limit."""
    if is_blank(content):
        raise Refused(422, "Please write a message first.")
    if maximum and len(content) > maximum:
        raise Refused(413, f"This message has {len(content):,} characters; the maximum is {maximum:,}. {advice}")


def _id(text: str | None) -> str | None:
    """Raises Refused if the field is neither empty nor an id."""
    if not text:
        return None
    try:
        return str(UUID(text))
    except ValueError as error:
        raise Refused(422, "This form is not valid. Please reload the page.") from error


def _not_sent(request: Request, form: dict[str, str], error: UserError, is_answer: bool = False) -> Response:
    """A notice. htmx leaves the text in its field; without htmx, a small page has the form with the text.

    The chat itself is not shown: a refusal must not cost more than what it refuses.
    """
    templates = request.state["templates"]
    if is_htmx(request):
        return HTMLResponse(templates.html("errors/_notice.html", notice=error.message), error.status, error.headers)
    parent_id = form.get("parent_id", "")
    response = templates.response(
        "errors/resend.html",
        error.status,
        notice=error.message,
        content=form.get("content", ""),
        parent_id=parent_id if parent_id == "root" or re.fullmatch(IdConvertor.regex, parent_id) else "",
        chat_id=request.path_params["chat_id"],
        path=request.url.path,
        editing=query.id_parameter(request, "edit"),
        is_answer=is_answer,
    )
    response.headers.update(error.headers)
    return response
