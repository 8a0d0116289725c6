"""Ports: the public one, which must be free, and the inner ones, which are found."""

import errno
import itertools
import random
import socket

from dev.terminal import StartError

# Below the ranges from which Linux and macOS take ports for outgoing connections: there, a port could be
# lost to one of them in the moment between a service's death and its restart.
INNER = range(20000, 30000)


def refuse_taken(bind: str, port: int) -> None:
    error = _trouble(bind, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        raise StartError(f"port {port} on {bind} is taken by another program; free it, or choose another: PORT={port + 1} make dev")
    raise StartError(f"can't listen on {bind}:{port}: {error.strerror or error} (see BIND and PORT)")


def free(preferred: int | None, taken: set[int]) -> int:
    """A free port of 127.0.0.1 that is not in `taken`, and is added to it."""
    candidates = itertools.chain([preferred] if preferred else [], iter(lambda: random.choice(INNER), None))  # noqa: S311 (no secret)
    port = next(port for port in candidates if port not in taken and not _trouble("127.0.0.1", port))
    taken.add(port)
    return port


def _trouble(host: str, port: int) -> OSError | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what nginx and uvicorn do: old connections don't count
            trial.bind(address)
            trial.listen()
    except OSError as error:
        return error
    return None
