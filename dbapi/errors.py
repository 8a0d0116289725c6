"""The errors of this service, and the response to each.

Refused             4xx: caused by the request
├── Unauthorized    401  credential missing or wrong, or session missing
├── BadRequest      400
├── NotFound        404  not found, or in another session
├── Conflict        409
├── TooLarge        413
├── WrongType       415
├── Invalid         422  with a list of problems and where they are
└── TooMany         429  with the seconds to wait
NotReady            503  the database cannot be used, with the reason
"""

import logging
import math
from typing import Any

import asyncpg
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

logger = logging.getLogger("dbapi")


class Refused(Exception):
    status = 400
    detail = "Bad request."

    def __init__(self, detail: str | None = None, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail or self.detail)
        self.detail, self.errors = detail or self.detail, errors


class BadRequest(Refused):
    pass


class Unauthorized(Refused):
    status, detail = 401, "A valid service credential is required."


class NotFound(Refused):
    status, detail = 404, "Not found."


class Conflict(Refused):
    status, detail = 409, "Conflict."


class TooLarge(Refused):
    status, detail = 413, "The request is too large."


class WrongType(Refused):
    status, detail = 415, "Send application/json."


class Invalid(Refused):
    status, detail = 422, "The request is not valid."


class TooMany(Refused):
    """The page shows the detail to the user."""

    status = 429

    def __init__(self, detail: str, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__(
            f"{detail} Please wait {self.seconds} second{'s' if self.seconds > 1 else ''}, then send this again."
        )


class NotReady(Exception):
    pass


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    body: dict[str, Any] = {"detail": error.detail}
    if error.errors:
        body["errors"] = error.errors
    return JSONResponse(body, error.status, {"Retry-After": str(error.seconds)} if isinstance(error, TooMany) else None)


async def invalid(request: Request, error: Exception) -> Response:
    """Reports where and why, without the value: it may be a private message."""
    assert isinstance(error, ValidationError)
    found = error.errors(include_url=False, include_context=False, include_input=False)
    errors = [{"at": ".".join(map(str, item["loc"])), "problem": item["msg"]} for item in found]
    return await refused(request, Invalid(errors=errors))


async def not_ready(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "1"})


async def database_failed(request: Request, error: Exception) -> Response:
    """Values that PostgreSQL cannot store are the caller's mistake. Any other failure is temporary: 503."""
    state = sqlstate(error)
    logger.warning("database: %s %s", type(error).__name__, state)
    if state[:2] in ("22", "54") or isinstance(error, asyncpg.DataError):
        return await refused(request, Invalid("The database cannot store this value."))
    if state == "23505":
        return await refused(request, Conflict())
    if isinstance(error, SQLAlchemyError) and not isinstance(error, DBAPIError | PoolTimeout):
        return JSONResponse({"detail": "Internal error."}, 500)
    return await not_ready(request, NotReady("The database is not available at the moment."))


async def http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, dict(error.headers or {}))


def sqlstate(error: Exception) -> str:
    original = getattr(error, "orig", None)
    return getattr(original, "sqlstate", None) or getattr(error, "sqlstate", None) or ""


handlers = {
    Refused: refused,
    ValidationError: invalid,
    NotReady: not_ready,
    HTTPException: http,
    SQLAlchemyError: database_failed,
    asyncpg.PostgresError: database_failed,
    asyncpg.InterfaceError: database_failed,
    OSError: database_failed,
    TimeoutError: database_failed,
}
