"""The ASGI extension "runnel.push", which sends parts of a response body synchronously once the body has begun.

ASGI's `send` is a coroutine that passes every middleware, and its caller needs a task that is woken for each part.

This module depends on internals of uvicorn's RequestResponseCycle, which no documentation guarantees. When you upgrade
uvicorn, check these; tests/web/test_push.py has a test for each. kit/http_server.py lists those of the connection.

    scope                a dict that is passed to the app after `on_headers_complete`, so that extensions can be added
                         (test_pushed_parts_arrive_in_order_before_the_end)
    chunked_encoding     True once a chunked response has started; otherwise None or False
                         (test_nothing_is_pushed_into_a_body_of_a_fixed_length)
    flow.write_paused    True while the transport's write buffer is above its high-water mark
                         (test_nothing_is_pushed_while_the_client_does_not_read)
    disconnected         True once the client has closed the connection
                         (test_nothing_is_pushed_to_a_client_that_left)
    response_complete    True once the last part has been sent
                         (test_pushed_parts_arrive_in_order_before_the_end)
    transport            the asyncio transport; uvicorn adds no buffer of its own, so the order of writes is kept
                         (test_pushed_parts_arrive_in_order_before_the_end)
"""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from kit.http_server import Connection

EXTENSION = "runnel.push"

# Returns False if the part was not sent: send it with `send`, which waits for the client.
Push = Callable[[bytes], bool]


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
    """Return the push function of a request, or None if the server does not support the extension."""
    return scope.get("extensions", {}).get(EXTENSION, {}).get("push")  # type: ignore[no-any-return]
