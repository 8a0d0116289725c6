"""HTTP connections on which no request is lost when a server leaves.

Who closes an idle connection may do so just when a request comes along it. That request is lost, and a POST may not be sent
again. So a server that is asked to leave answers once more on each connection and says that this was the last time; and its
clients (proxy/nginx.conf.template, dev/inner-nginx.conf.template, web/clients/transport.py) use none that has been idle for IDLE_SECONDS.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IDLE_SECONDS = 3.0
LINGER_SECONDS = 4.0  # by then nobody uses an idle connection any more; without a signal uvicorn closes one after 5


class Connection(HttpToolsProtocol):
    linger_seconds = LINGER_SECONDS
    _leaving = False

    def shutdown(self) -> None:
        self._leaving = True
        if self._is_idle():
            self.loop.call_later(self.linger_seconds, self._close_if_idle)
        else:
            super().shutdown()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._leaving and self.cycle:
            self.cycle.keep_alive = False

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete
