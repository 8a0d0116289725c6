"""Sending without waiting: an ASGI extension, under the name of "runnel.push", for parts of a body that has begun.

`send` is a coroutine behind those of all middleware, and whoever calls it needs a task that is woken for every part.
"""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from kit.http_server import Connection

EXTENSION = "runnel.push"

Push = Callable[[bytes], bool]  # false if this part has to be sent as any other, which waits until the client takes more


class PushingConnection(Connection):
    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle:
            self.cycle.scope["extensions"] = {EXTENSION: {"push": _pushing(self.cycle)}}


def _pushing(cycle: RequestResponseCycle) -> Push:
    def push(part: bytes) -> bool:
        if not cycle.chunked_encoding or cycle.flow.write_paused or cycle.disconnected or cycle.response_complete:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True

    return push


def of(scope: Any) -> Push | None:
    """None where the server has no such extension."""
    return scope.get("extensions", {}).get(EXTENSION, {}).get("push")  # type: ignore[no-any-return]
