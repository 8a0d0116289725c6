"""Health checks for load balancers, orchestrators and `make doctor`."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import JSONResponse, Response, StreamingResponse

from web.errors import UserError
from web.pages.streams import STREAM_HEADERS
from web.state import Request

# Like an answer: a short beginning, the text, a short end. A proxy may treat each of them differently.
PARTS = ("data: alive\n\n", "data: and well, as every line of this long text says\n\n" * 400, "data: still\n\n")
PAUSE_SECONDS = 0.5


async def healthz(request: Request) -> Response:
    """As an event stream, it sends PARTS with pauses: a client can then detect a proxy that buffers responses."""
    if "text/event-stream" not in request.headers.get("accept", ""):
        return JSONResponse({"status": "alive"})

    async def parts() -> AsyncIterator[str]:
        yield PARTS[0]
        for part in PARTS[1:]:
            await asyncio.sleep(PAUSE_SECONDS)
            yield part

    return StreamingResponse(parts(), media_type="text/event-stream", headers=STREAM_HEADERS)


async def readyz(request: Request) -> Response:
    """Ready if dbapi is and accepts this process's credential.

    The model's state is information only: history is readable without a model.
    """
    body: dict[str, str] = {"status": "ready", "model": request.state["models"].state}
    try:
        await request.state["dbapi"].ready()
    except UserError as error:
        reason = getattr(error, "reason", "") or "dbapi does not respond"
        body |= {"status": "not ready", "reason": reason}
    return JSONResponse(body, 200 if body["status"] == "ready" else 503)
