"""Requests in, answers out: JSON that a Pydantic schema has checked, both ways."""

from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from dbapi.errors import TooLarge, WrongType

MOST_BYTES = 1_000_000
MOST_LOG_BYTES = 16_000_000  # one append carries the new text of every answer a process is writing

Schema = TypeVar("Schema", bound=BaseModel)


async def read(request: Request, schema: type[Schema], most: int = MOST_BYTES) -> Schema:
    """Raises WrongType, TooLarge, or Pydantic's ValidationError (also for what is no JSON at all)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongType
    if int(request.headers.get("content-length") or 0) > most:
        raise TooLarge
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLarge
    return schema.model_validate_json(bytes(body), context={"message_code_points": request.state["message_code_points"]})


def answer(schema: BaseModel, status: int = 200) -> Response:
    return Response(schema.model_dump_json(), status, media_type="application/json")
