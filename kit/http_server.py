"""HTTP connections that lose no request when a server shuts down.

A server that closes an idle connection may do so just as a request arrives on it. That request is lost, and a POST must
not be repeated. So a server that shuts down handles one more request on each connection and sends `Connection: close`
with the response. Its clients (proxy/nginx.conf.template, dev/inner-nginx.conf.template, web/clients/transport.py) do
not reuse a connection that was idle for IDLE_SECONDS.

This module depends on internals of uvicorn's HttpToolsProtocol, which no documentation guarantees. When you upgrade
uvicorn, check these; tests/kit/test_http_server.py has a test for each:

    shutdown()               the server calls it once on every open connection when it shuts down
                             (test_an_idle_connection_gets_one_more_response_and_is_then_closed)
    cycle                    the current request and response; None before the first request on a connection
                             (the same test, on a connection without a request)
    cycle.response_complete  False while a response is being sent, True afterwards
                             (test_a_response_in_progress_is_sent_completely_before_the_connection_closes)
    on_headers_complete()    the parser calls it for each request; it sets `cycle` before the response starts
                             (test_every_request_gets_its_own_cycle)
    cycle.keep_alive         False makes the response carry `Connection: close` and closes the connection after it
                             (test_an_idle_connection_gets_one_more_response_and_is_then_closed)
    transport, loop          the asyncio transport and loop of the connection
                             (test_a_connection_that_stays_idle_is_closed)
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IDLE_SECONDS = 3.0
LINGER_SECONDS = 4.0  # longer than any client keeps an idle connection; uvicorn's own keep-alive timeout is 5


class Connection(HttpToolsProtocol):
    linger_seconds = LINGER_SECONDS
    _shutting_down = False

    def shutdown(self) -> None:
        self._shutting_down = True
        if self._is_idle():
            self.loop.call_later(self.linger_seconds, self._close_if_idle)
        else:
            super().shutdown()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._shutting_down and self.cycle:
            self.cycle.keep_alive = False

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete
