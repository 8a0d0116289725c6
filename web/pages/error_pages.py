"""Errors as responses: a notice for htmx, a page for browsers, a line of text for everything else."""

import logging
from typing import Any

import starlette.requests
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from kit.logs import event
from web.errors import NotFound, Unavailable, UserError
from web.rendering.templates import is_htmx
from web.state import Request

AnyRequest = starlette.requests.Request[Any]  # Starlette's type of exception handlers does not know our State

CAN_BE_CORRECTED = (413, 422)  # the form was read, but a field is not valid

logger = logging.getLogger("web")


async def user_error(request: AnyRequest, error: Exception) -> Response:
    assert isinstance(error, UserError)
    if isinstance(error, Unavailable):
        event(logger, "unavailable", logging.WARNING, reason=error.reason)
    can_retry = error.retry_seconds > 0 or (error.status in CAN_BE_CORRECTED and "form" in request.scope)
    response = error_response(request, error.status, error.message, can_retry)
    response.headers.update(error.headers)
    return response


async def http_error(request: AnyRequest, error: Exception) -> Response:
    """An error of Starlette's router: an unknown path or method."""
    assert isinstance(error, HTTPException)
    message = NotFound.message if error.status_code == 404 else "This action is not available here."
    response = error_response(request, error.status_code, message)
    response.headers.update(error.headers or {})
    return response


async def unexpected_error(request: AnyRequest, error: Exception) -> Response:
    response = error_response(request, 500, UserError.message)
    # uvicorn closes the connection after an error; without the header, nginx might send its next request on it
    response.headers["Connection"] = "close"
    return response


def error_response(request: Request, status: int, message: str, can_retry: bool = False) -> Response:
    """With `can_retry`, the page contains the submitted form, so that it can be sent again."""
    templates = request.state["templates"]
    accept = request.headers.get("accept", "")
    is_stream = request.scope["path"].endswith(("/stream", "/events"))  # htmx accepts events from any URL
    if is_htmx(request) and not is_stream:
        return HTMLResponse(templates.html("errors/_notice.html", notice=message), status)
    if "text/html" in accept and "text/event-stream" not in accept:  # never HTML for a client that parses events
        form = request.scope.get("form", {}) if can_retry and request.method == "POST" else None
        return HTMLResponse(templates.html("errors/page.html", notice=message, status=status, form=form), status)
    return PlainTextResponse(f"{message}\n", status)
