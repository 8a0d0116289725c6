"""TCP ports: reserves the public ports, and picks free inner ports."""

import errno
import itertools
import os
import random
import socket

from dev.terminal import StartError

# Below the ephemeral port ranges of Linux and macOS. An outgoing connection could take a port in those ranges
# while a service restarts. Parallel tests narrow the range.
FIRST, LAST = map(int, os.environ.get("INNER_PORTS", "20000-29999").split("-"))
INNER = range(FIRST, LAST + 1)
_given: set[int] = set()


def reserve(bind: str, port: int) -> None:
    """Keep this port for the caller. Raise StartError if it cannot be bound."""
    error = _bind_error(bind, port)
    if error is None:
        _given.add(port)
        return
    if error.errno == errno.EADDRINUSE:
        raise StartError(
            f"port {port} on {bind} is in use by another program; "
            f"stop that program, or use another port: PORT={port + 1} make dev"
        )
    raise StartError(f"cannot listen on {bind}:{port}: {error.strerror or error} (see BIND and PORT)")


def free(preferred: int | None = None) -> int:
    """Return a free port of 127.0.0.1 that this process has not reserved or returned before.

    A caller may listen long after it asked, so a port that is still free is not offered to another caller.
    """
    candidates = itertools.chain([preferred] if preferred else [], random.sample(INNER, len(INNER)))
    port = next((port for port in candidates if port not in _given and not _bind_error("127.0.0.1", port)), None)
    if port is None:
        raise StartError(f"no port from {INNER.start} to {INNER.stop - 1} is free on 127.0.0.1")
    _given.add(port)
    return port


def _bind_error(host: str, port: int) -> OSError | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            # nginx and uvicorn set this option too: connections in TIME_WAIT do not block a port
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            trial.listen()
    except OSError as error:
        return error
    return None
