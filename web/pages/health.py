"""Health checks for load balancers, orchestrators and `make doctor`."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import JSONResponse, Response, StreamingResponse

from web.errors import UserError
from web.pages.streams import STREAM_HEADERS
from web.state import Request

SECOND_PART_SECONDS = 0.5


async def healthz(request: Request) -> Response:
    """As an event stream, it sends two parts with a pause: a client can then detect a proxy that buffers responses."""
    if "text/event-stream" not in request.headers.get("accept", ""):
        return JSONResponse({"status": "alive"})

    async def parts() -> AsyncIterator[str]:
        yield "data: alive\n\n"
        await asyncio.sleep(SECOND_PART_SECONDS)
        yield "data: still\n\n"

    return StreamingResponse(parts(), media_type="text/event-stream", headers=STREAM_HEADERS)


async def readyz(request: Request) -> Response:
    """Ready if dbapi is and accepts this process's credential.

    The model's state is information only: history is readable without a model.
    """
    body: dict[str, str] = {"status": "ready", "model": request.state["llama"].state}
    try:
        await request.state["dbapi"].ready()
    except UserError as error:
        reason = getattr(error, "reason", "") or "dbapi does not respond"
        body |= {"status": "not ready", "reason": reason}
    return JSONResponse(body, 200 if body["status"] == "ready" else 503)
