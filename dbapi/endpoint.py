"""A handler declares its request and its response in its signature.

    @endpoint(status=201)
    async def create_link(request: Request, session: SessionId, new: NewLink) -> LinkMade: ...

The annotation of a parameter decides where its value comes from:

- `SessionId`: the X-Session-ID header, which is required; optional with `SessionId | None`
- a Pydantic model: the JSON body
- `Annotated[..., Query(...)]`, with a default: the query parameter of that name
- anything else: the part of the path of that name

The return annotation is the model of the JSON body, `None` for an empty 204, or `JSONLines[model]` for a stream.
openapi.py documents these declarations, so the document always matches the code.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from dbapi.auth import SessionId, optional_session_id, session_id
from dbapi.errors import TooLarge, WrongType
from dbapi.state import Request

MAX_BYTES = 1_000_000

Model = TypeVar("Model", bound=BaseModel)
Handler = Callable[..., Awaitable[BaseModel | Response | None]]
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Query:
    """A query parameter. `parse` may raise BadRequest; a missing or empty parameter gets the handler's default."""

    parse: Callable[[str], object]
    schema: dict[str, object]


def number(default: int) -> Callable[[str], int]:
    """Parses a number of up to seven digits; `default` for any other text."""
    return lambda text: int(text) if text.isascii() and text.isdecimal() and len(text) < 8 else default


class JSONLines(StreamingResponse, Generic[Model]):
    media_type = "application/x-ndjson"


@dataclass(kw_only=True)
class Operation:
    """The declarations of one handler."""

    statuses: dict[int, str]
    session_required: bool | None = None  # None: the handler takes no session
    body: type[BaseModel] | None = None
    queries: dict[str, Query] = field(default_factory=dict)
    path_parameters: dict[str, type] = field(default_factory=dict)
    response: type[BaseModel] | None = None
    media_type: str = "application/json"


def endpoint(
    status: int = 200, status_if_existing: int | None = None, max_bytes: int = MAX_BYTES
) -> Callable[[Handler], Endpoint]:
    """`status_if_existing` is the status of a response whose field `created` is false."""

    def decorate(handler: Handler) -> Endpoint:
        operation = Operation(statuses={status: "Success"})
        if status_if_existing:
            operation.statuses[status_if_existing] = "It existed already"
        readers, body = _read_signature(handler, operation)

        @functools.wraps(handler)
        async def handle(request: Request) -> Response:
            values = {name: read(request) for name, read in readers.items()}
            if body and operation.body:
                values[body] = await _read_body(request, operation.body, max_bytes)
            result = await handler(request, **values)
            if isinstance(result, BaseModel):
                is_new = status_if_existing is None or getattr(result, "created", True)
                code = status if is_new else status_if_existing
                return Response(result.model_dump_json(), code or status, media_type="application/json")
            return result or Response(status_code=status)

        vars(handle)["operation"] = operation
        return handle

    return decorate


def operation_of(handle: Callable[..., object]) -> Operation:
    """Raises KeyError if the function is not an endpoint."""
    operation: Operation = vars(handle)["operation"]
    return operation


def _read_signature(
    handler: Handler, operation: Operation
) -> tuple[dict[str, Callable[[Request], object]], str | None]:
    """Completes `operation`. Returns a reader for each parameter but the body, and the name of the body's parameter."""
    hints, body = get_type_hints(handler, include_extras=True), None
    _read_return(hints.pop("return"), operation)
    readers: dict[str, Callable[[Request], object]] = {}
    for name, parameter in list(inspect.signature(handler).parameters.items())[1:]:
        hint = hints[name]
        query = next((each for each in get_args(hint) if isinstance(each, Query)), None)
        if query:
            operation.queries[name] = query
            readers[name] = functools.partial(_read_query, name, query.parse, parameter.default)
        elif hint in (SessionId, SessionId | None):
            operation.session_required = hint is SessionId
            readers[name] = session_id if operation.session_required else optional_session_id
        elif inspect.isclass(hint) and issubclass(hint, BaseModel):
            operation.body, body = hint, name
        else:
            operation.path_parameters[name] = hint
            readers[name] = functools.partial(_read_path, name)
    return readers, body


def _read_return(hint: Any, operation: Operation) -> None:
    if get_origin(hint) is JSONLines:
        (hint,) = get_args(hint)
        operation.media_type = JSONLines.media_type
    operation.response = hint if inspect.isclass(hint) and issubclass(hint, BaseModel) else None


def _read_query(name: str, parse: Callable[[str], object], default: object, request: Request) -> object:
    text = request.query_params.get(name)
    return parse(text) if text else default


def _read_path(name: str, request: Request) -> object:
    return request.path_params[name]


async def _read_body(request: Request, model: type[BaseModel], max_bytes: int) -> BaseModel:
    """Raises WrongType, TooLarge, or Pydantic's ValidationError, also for malformed JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongType
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise TooLarge
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise TooLarge
    context = {"message_code_points": request.state["message_code_points"]}
    return model.model_validate_json(bytes(body), context=context)
