"""TCP ports: checks that the public port is free, and picks free inner ports."""

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


def refuse_taken(bind: str, port: int) -> None:
    """Raise StartError if the port cannot be bound."""
    error = _bind_error(bind, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        raise StartError(
            f"port {port} on {bind} is in use by another program; "
            f"stop that program, or use another port: PORT={port + 1} make dev"
        )
    raise StartError(f"cannot listen on {bind}:{port}: {error.strerror or error} (see BIND and PORT)")


def free(preferred: int | None, taken: set[int]) -> int:
    """Return a free port of 127.0.0.1 that is not in `taken`, and add it to `taken`."""
    random_ports = iter(lambda: random.choice(INNER), None)  # noqa: S311 (not a secret)
    candidates = itertools.chain([preferred] if preferred else [], random_ports)
    port = next(port for port in candidates if port not in taken and not _bind_error("127.0.0.1", port))
    taken.add(port)
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
